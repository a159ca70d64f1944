//! Whether what is read of a core is right: against drgn, and against the kernel's own counters.

use super::{Core, Fate, Machine, console, debuggers, guest, traces, witness};
use crate::tools;
use analysis::reason::Class;
use analysis::report;
use analysis::tasks;
use analysis::unwind::{End, FrameKind, Unwinder};
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use vmcore::kernel::{Kernel, sanity};
use vmcore::mm::check::counters;
use vmcore::mm::{self, Kind, Rules};

/// A check and what came of it.
pub(super) type Check = (&'static str, Result<String, String>);

/// Of a hundred frames so many must be the same. A CPU that was stopped inside an exception's entry shows
/// in either reader what the other leaves out.
const FRAMES: usize = 99;

/// What drgn says (truth/stacks.py).
#[derive(PartialEq, Eq, Deserialize)]
pub(super) struct Theirs {
    pub(super) tasks: BTreeMap<String, Task>,
    pub(super) modules: BTreeMap<String, String>,
    pub(super) types: BTreeMap<String, Layout>,
}

#[derive(PartialEq, Eq, Debug, Deserialize)]
pub(super) struct Layout {
    size: u64,
    /// From a name to the bit where it begins.
    members: BTreeMap<String, u64>,
}

#[derive(PartialEq, Eq, Debug, Deserialize)]
pub(super) struct Task {
    pid: i32,
    comm: String,
    /// Nothing where it cannot follow the stack.
    functions: Option<Vec<String>>,
}

/// A task by us.
#[derive(PartialEq, Eq)]
pub(super) struct Ours {
    pub(super) pid: i32,
    comm: String,
    functions: Vec<String>,
    /// Why its stack ends early.
    broken: Option<String>,
}

/// Every check.
///
/// # Errors
/// The core cannot be opened, or drgn fails.
pub(super) fn all(
    core: &Core,
    machine: &Machine,
    vmlinux: Option<&Path>,
    dir: &Path,
) -> Result<Vec<Check>> {
    let kernel = Kernel::new(vmcore::dump::open(&core.elf)?)?;
    let mut checks: Vec<Check> = sanity::check(&kernel)
        .into_iter()
        .map(|sanity| {
            let detail = sanity.answer.detail().to_owned();
            match sanity.answer.agrees() {
                true => (sanity.what, Ok(detail)),
                false => (sanity.what, Err(detail)),
            }
        })
        .collect();
    let ours = tasks_of(&kernel)?;
    checks.push(("every stack ends where stacks end", ends(&ours)));
    checks.push(("free pages by zone", free(&kernel)?));
    checks.push(("the report's reason", reason(&kernel, machine.fate.class())));
    if machine.fate == Fate::Sysrq {
        checks.push(("frames against the kernel's own", traces::same(&kernel)?));
    }
    checks.push(("CPUs online", cpus(&kernel)));
    checks.extend(console::check(&kernel, machine, &core.console)?);
    checks.extend(witness::check(&kernel, machine.fate, core)?);
    if let Some(vmlinux) = vmlinux {
        let theirs = ask(&kernel, &core.elf, machine, vmlinux, dir)?;
        checks.push(("tasks against drgn", same_tasks(&ours, &theirs.tasks)));
        // drgn 0.3.0 follows no stacks of riscv64.
        let follows = theirs.tasks.values().any(|task| task.functions.is_some());
        if follows || kernel.arch().name != "riscv64" {
            checks.push(("frames against drgn", same_frames(&ours, &theirs.tasks)));
        }
        checks.push(("modules against drgn", same_modules(&kernel, &theirs)?));
        checks.push(("layouts against drgn", same_layouts(&kernel, &theirs)?));
        checks.extend(debuggers::check(&kernel, machine, core, &theirs, dir)?);
    }
    Ok(checks)
}

/// The checks of an essential core, which lacks the memory map.
///
/// # Errors
/// The core cannot be opened.
pub(super) fn essential(core: &Path, machine: &Machine) -> Result<Vec<Check>> {
    let kernel = Kernel::new(vmcore::dump::open(core)?)?;
    let ours = tasks_of(&kernel)?;
    let modules = kernel.modules()?.len();
    Ok(vec![
        ("every stack ends where stacks end", ends(&ours)),
        ("the report's reason", reason(&kernel, machine.fate.class())),
        ("frames against the kernel's own", traces::same(&kernel)?),
        (
            "modules",
            match modules == guest::MODULES.len() {
                true => Ok(modules.to_string()),
                false => Err(format!("{modules}")),
            },
        ),
    ])
}

/// Both CPUs were online, whatever the panic did to one.
fn cpus(kernel: &Kernel) -> Result<String, String> {
    let system = analysis::system::System::read(kernel, &mut Vec::new());
    match (system.cpus_online, system.cpus_possible) {
        (Some(2), Some(2)) => Ok("2 of 2".into()),
        (online, possible) => Err(format!("{online:?} of {possible:?}")),
    }
}

/// Whether the report says why it died, and of one that runs that it has not.
pub(super) fn reason(kernel: &Kernel, class: Option<Class>) -> Result<String, String> {
    let options = report::Options {
        log_tail: 0,
        sections: &[],
    };
    let report = report::build(kernel, options);
    let reason = &report.reason;
    let said = format!(
        "{:?}: {}",
        reason.class,
        reason.message.as_deref().unwrap_or("nothing")
    );
    let right = match class {
        None => reason.is_blank(),
        Some(class) => reason.class == class,
    };
    if right { Ok(said) } else { Err(said) }
}

pub(super) fn tasks_of(kernel: &Kernel) -> Result<BTreeMap<String, Ours>> {
    let unwinder = Unwinder::new(kernel);
    let mut found = BTreeMap::new();
    tasks::for_each(kernel, tasks::Options::default(), |task| {
        let address = task.address.into();
        let trace = unwinder.task(address);
        let frames = trace
            .frames
            .iter()
            .filter(|frame| frame.kind != FrameKind::User);
        let functions = frames.map(|frame| match &frame.symbol {
            Some(symbol) => symbol.name.clone(),
            None => frame.pc.to_string(),
        });
        let ours = Ours {
            pid: task.pid,
            comm: task.comm.clone(),
            functions: functions.collect(),
            broken: match trace.end {
                End::User | End::Kernel => None,
                other => Some(format!("{other:?}")),
            },
        };
        found.insert(address.to_string(), ours);
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

pub(super) fn ends(ours: &BTreeMap<String, Ours>) -> Result<String, String> {
    let broken = ours
        .values()
        .find_map(|task| Some((task, task.broken.as_ref()?)));
    match broken {
        Some((task, why)) => Err(format!("{} ({}): {why}", task.comm, task.pid)),
        None if ours.is_empty() => Err("there are no tasks".into()),
        None => Ok(format!("{} stacks", ours.len())),
    }
}

/// Free pages as they are classified against NR_FREE_PAGES, zone by zone.
pub(super) fn free(kernel: &Kernel) -> Result<Result<String, String>> {
    let mut runs = Vec::new();
    let rules = Rules::of(kernel);
    mm::walk(kernel, &rules, &mut |run| {
        if run.kind == Kind::Free {
            runs.push(run.pages);
        }
        Ok(())
    })?;
    let mut said = Vec::new();
    for zone in counters::zones(kernel)? {
        let within = runs.iter().filter_map(|run| run.intersect(zone.span));
        let found: u64 = within.map(|run| run.len()).sum();
        let words = format!("{}: {found} of {} page frames", zone.name, zone.free);
        // A CPU was stopped while it took or gave back at most one block.
        if found.abs_diff(zone.free) > kernel.frames(64) {
            return Ok(Err(words));
        }
        said.push(words);
    }
    Ok(match said.is_empty() {
        true => Err("there are no zones".into()),
        false => Ok(said.join(", ")),
    })
}

pub(super) fn ask(
    kernel: &Kernel,
    core: &Path,
    machine: &Machine,
    vmlinux: &Path,
    dir: &Path,
) -> Result<Theirs> {
    let (out, text) = (dir.join("drgn.json"), dir.join("vmcoreinfo.txt"));
    fs::write(&text, kernel.vmcoreinfo().text())?;
    // drgn finds the rest by itself where the core has the note.
    let text = (!machine.board.noted).then_some(text);
    let said = tools::drgn()?
        .arg(crate::root().join("tests/lab/truth/stacks.py"))
        .args([core, vmlinux, &out])
        .args(text)
        .output()
        .context("Cannot run drgn")?;
    let words = String::from_utf8_lossy(&said.stderr);
    ensure!(said.status.success(), "drgn: {words}");
    let mut theirs: Theirs = serde_json::from_slice(&fs::read(&out)?)?;
    for task in theirs.tasks.values_mut() {
        task.functions.iter_mut().for_each(of_the_kernel);
    }
    Ok(theirs)
}

fn same_tasks(
    ours: &BTreeMap<String, Ours>,
    theirs: &BTreeMap<String, Task>,
) -> Result<String, String> {
    let same = theirs.iter().filter(|(at, their)| {
        let own = ours.get(*at);
        own.is_some_and(|own| own.pid == their.pid && own.comm == their.comm)
    });
    let (same, most) = (same.count(), ours.len().max(theirs.len()));
    let words = format!("{same} of {most}");
    match same == most && most > 0 {
        true => Ok(words),
        false => Err(words),
    }
}

fn same_modules(kernel: &Kernel, theirs: &Theirs) -> Result<Result<String, String>> {
    let ours = analysis::modules::read(kernel)?.into_iter();
    let ours = ours.map(|module| {
        let text = module.text.map(|at| at.to_string());
        (module.name, text.unwrap_or_default())
    });
    let ours: BTreeMap<_, _> = ours.collect();
    let theirs = &theirs.modules;
    Ok(match ours == *theirs && !ours.is_empty() {
        true => Ok(ours.into_keys().collect::<Vec<_>>().join(", ")),
        false => Err(format!("we {ours:?}, drgn {theirs:?}")),
    })
}

/// Sizes of structures and places of their members: ours are BTF's, drgn's are DWARF's.
fn same_layouts(kernel: &Kernel, theirs: &Theirs) -> Result<Result<String, String>> {
    let types = kernel.types()?;
    let mut members = 0_usize;
    let mut wrong = Vec::new();
    for (name, layout) in &theirs.types {
        let ours = types.size_of(name).ok();
        if ours != Some(layout.size) {
            wrong.push(format!("{name}: {ours:?}, drgn {}", layout.size));
        }
        for (member, bit) in &layout.members {
            let ours = types.member(name, member).ok();
            let ours = ours.map(|m| m.offset * 8 + u64::from(m.bit));
            members += 1;
            if ours != Some(*bit) {
                wrong.push(format!("{name}.{member}: bit {ours:?}, drgn {bit}"));
            }
        }
    }
    let words = format!("{members} members of {} structures", theirs.types.len());
    Ok(match wrong.is_empty() && members > 0 {
        true => Ok(words),
        false => Err(format!("{words}; {}", wrong.join("; "))),
    })
}

/// drgn's frames as far as they are the kernel's: on x86-64 it walks on into the task's own stack.
fn of_the_kernel(functions: &mut Vec<String>) {
    let is_user = |name: &String| {
        let address = name.strip_prefix("0x");
        let address = address.and_then(|hex| u64::from_str_radix(hex, 16).ok());
        address.is_some_and(|address| address >> 48 != 0xffff)
    };
    let end = functions.iter().position(is_user);
    functions.truncate(end.unwrap_or(functions.len()));
    for name in functions {
        if let Some(whole) = name.strip_suffix(LABEL) {
            *name = whole.to_owned();
        }
    }
}

/// Behind the name of the entry of a system call: kallsyms names the label in it, DWARF the whole of it.
const LABEL: &str = "_after_hwframe";

fn is_same(own: &str, their: &str) -> bool {
    own == their || own.strip_suffix(LABEL) == Some(their)
}

fn same_frames(
    ours: &BTreeMap<String, Ours>,
    theirs: &BTreeMap<String, Task>,
) -> Result<String, String> {
    let (mut same, mut all) = (0_usize, 0_usize);
    let mut first = None;
    let followed = theirs.iter().filter_map(|(at, their)| {
        let functions = their.functions.as_ref()?;
        Some((at, their, functions))
    });
    for (at, their, functions) in followed {
        let own = ours.get(at).map_or(&[][..], |own| &own.functions);
        let pairs = own.iter().zip(functions);
        let alike = pairs.filter(|(own, their)| is_same(own, their)).count();
        let most = own.len().max(functions.len());
        same += alike;
        all += most;
        if alike < most {
            first.get_or_insert_with(|| {
                format!(
                    "; {} ({}): we {own:?}, drgn {functions:?}",
                    their.comm, their.pid
                )
            });
        }
    }
    let words = format!("{same} of {all}{}", first.unwrap_or_default());
    match all > 0 && same.saturating_mul(100) >= all.saturating_mul(FRAMES) {
        true => Ok(words),
        false => Err(words),
    }
}
