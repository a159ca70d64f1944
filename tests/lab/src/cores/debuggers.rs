//! The vmlinux that is made from a core, in drgn's and gdb's hands.

use super::judge::{Check, Theirs, ask};
use super::{Core, Machine};
use crate::tools;
use anyhow::{Context, Result};
use debuginfo::{Globals, Options, Vmlinux};
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use vmcore::kernel::Kernel;

/// What gdb is asked, and what its answers must hold; `RELEASE` is the kernel's.
const QUESTIONS: [(&str, &str); 4] = [
    ("p init_task.comm", "\"swapper/0"),
    ("p linux_banner", "\"Linux version RELEASE "),
    ("p init_uts_ns.name.release", "\"RELEASE\""),
    ("p init_task.tasks.next != 0", "= 1"),
];

/// drgn with our file against drgn with the kernel's own; gdb on the core at level 31.
///
/// # Errors
/// The file cannot be made, or a debugger cannot be run.
pub(super) fn check(
    kernel: &Kernel,
    machine: &Machine,
    core: &Core,
    theirs: &Theirs,
    dir: &Path,
) -> Result<Vec<Check>> {
    let ours = ask(kernel, &core.elf, machine, &make(kernel, false, dir)?, dir)?;
    let relocated = make(kernel, true, dir)?;
    Ok(vec![
        ("vmlinux in drgn", same(&ours, theirs)),
        ("vmlinux in gdb", gdb(kernel, &relocated, &core.filtered)?),
    ])
}

fn make(kernel: &Kernel, relocated: bool, dir: &Path) -> Result<PathBuf> {
    let out = dir.join(if relocated { "vmlinux.gdb" } else { "vmlinux" });
    let options = Options {
        relocated,
        modules: relocated,
    };
    let made = Vmlinux::of(kernel, &Globals::of_kernel(kernel, None)?, options)?;
    made.write(&mut BufWriter::new(File::create(&out)?))?;
    Ok(out)
}

fn same(ours: &Theirs, theirs: &Theirs) -> Result<String, String> {
    let known = |of: &Theirs| of.tasks.len() + of.types.len() + of.modules.len();
    match ours == theirs && known(ours) > 0 {
        true => Ok(format!(
            "{} tasks with their stacks, {} modules, {} structures as with the debug vmlinux",
            ours.tasks.len(),
            ours.modules.len(),
            ours.types.len()
        )),
        false => {
            let differs = ours
                .tasks
                .iter()
                .find(|(at, task)| theirs.tasks.get(*at) != Some(task));
            let types = ours
                .types
                .iter()
                .find(|(name, of)| theirs.types.get(*name) != Some(of));
            Err(format!("differs: {differs:?}, {types:?}"))
        }
    }
}

fn gdb(kernel: &Kernel, vmlinux: &Path, core: &Path) -> Result<Result<String, String>> {
    let mut command = tools::gdb()?;
    command.args(["-nx", "-batch", "-ex", "set pagination off"]);
    for (question, _) in QUESTIONS {
        command.args(["-ex", question]);
    }
    let said = command.args([vmlinux, core]).output();
    let said = said.context("Cannot run gdb")?;
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let _ = fs::write(vmlinux.with_extension("gdb.txt"), &text);
    let release = kernel.vmcoreinfo().osrelease().unwrap_or_default();
    let wrong = (1..).zip(QUESTIONS).find(|(n, (_, words))| {
        let words = words.replace("RELEASE", release);
        let begins = format!("${n} = ");
        !text
            .lines()
            .any(|line| line.starts_with(&begins) && line.contains(&words))
    });
    Ok(match wrong {
        None => Ok(format!("{} questions", QUESTIONS.len())),
        Some((_, (question, _))) => Err(format!("{question}: {text}")),
    })
}
