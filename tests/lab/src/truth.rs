//! The analysis held against drgn, which has the DWARF vmlinux: agreement as numbers.
//!
//! `tests/lab/truth/ask.py` asks drgn; the same questions are asked of `analysis` here. Both answer
//! with maps from keys to values, section by section; every key counts once. What differs must be
//! exactly what `expected/analysis.toml` knows for that series, no more and no less.

use crate::{expected, tools};
use analysis::report::{Options, Report, Section};
use analysis::unwind::{FrameKind, Trace, Unwinder, panic_cpu};
use analysis::{memory, modules, mounts, report, tasks};
use anyhow::{Context, Result, bail, ensure};
use rehearse::guest::image::KernelFiles;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use vmcore::addr::VirtAddr;
use vmcore::kernel::{Kernel, Types};

/// One section's agreement.
#[derive(Debug, Default)]
pub struct Agreement {
    /// Its name.
    pub section: String,
    /// Answers compared.
    pub compared: usize,
    /// The keys whose answers differ, with both.
    pub differ: Vec<String>,
}

impl Agreement {
    /// `tasks: 80 of 80`.
    #[must_use]
    pub fn line(&self) -> String {
        let agree = self.compared.saturating_sub(self.differ.len());
        format!("{}: {agree} of {}", self.section, self.compared)
    }
}

/// Compares a core with drgn and what is expected of that.
///
/// # Errors
/// A tool is missing, the core cannot be read, or another number of answers differs than is known.
pub fn check(core: &Path, kernel: &KernelFiles, dir: &Path) -> Result<Vec<Agreement>> {
    let vmlinux = crate::kernels::vmlinux(kernel)?;
    let agreements = compare(core, &vmlinux, kernel, dir)?;
    let mut wrong = Vec::new();
    for agreement in &agreements {
        let (known, why) = expected::analysis(&kernel.release, &agreement.section)?;
        let found = agreement.differ.len();
        if found != known {
            let shown: Vec<_> = agreement
                .differ
                .iter()
                .take(3)
                .map(String::as_str)
                .collect();
            wrong.push(format!(
                "{}, {found} differ and {known} are known ({why}): {}",
                agreement.line(),
                shown.join("; ")
            ));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join(" | "));
    Ok(agreements)
}

/// Compares without judging.
///
/// # Errors
/// A tool is missing or the core cannot be read.
pub fn compare(
    core: &Path,
    vmlinux: &Path,
    files: &KernelFiles,
    dir: &Path,
) -> Result<Vec<Agreement>> {
    let image = vmcore::dump::open(core)?;
    let kernel = Kernel::new(image)?;
    let list = modules::read(&kernel)?;
    let mut objects = Vec::new();
    for module in &list {
        objects.extend(object(files, &module.name, dir)?);
    }
    let out = dir.join("drgn.json");
    let said = tools::drgn()?
        .arg(crate::root().join("tests/lab/truth/ask.py"))
        .args([core, vmlinux, &out])
        .args(&objects)
        .output()
        .context("Cannot run drgn")?;
    ensure!(
        said.status.success(),
        "drgn: {}",
        String::from_utf8_lossy(&said.stderr)
    );
    for object in &objects {
        let _ = fs::remove_file(object);
    }
    let theirs: Map<String, Value> = serde_json::from_slice(&fs::read(&out)?)?;
    let ours = ours(&kernel, &theirs)?;
    let empty = Value::Null;
    let sections = theirs.iter().map(|(name, theirs)| {
        let ours = ours.get(name.as_str()).unwrap_or(&empty);
        section(name, ours, theirs)
    });
    sections.collect()
}

/// A module's file, unpacked, for drgn to unwind through.
fn object(files: &KernelFiles, name: &str, dir: &Path) -> Result<Option<PathBuf>> {
    let index = initramfs::modules::Index::open_dir(&files.modules, &files.release)?;
    let Some(module) = index.module(name) else {
        return Ok(None);
    };
    let path = dir.join(format!("{name}.ko"));
    fs::write(&path, initramfs::modules::read(&index, module)?)?;
    Ok(Some(path))
}

fn section(name: &str, ours: &Value, theirs: &Value) -> Result<Agreement> {
    let Value::Object(theirs) = theirs else {
        bail!("drgn does not tell the {name}: {theirs}");
    };
    let Value::Object(ours) = ours else {
        bail!("we do not tell the {name}: {ours}");
    };
    let mut agreement = Agreement {
        section: name.to_owned(),
        ..Agreement::default()
    };
    let mut keys: Vec<&String> = theirs.keys().chain(ours.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        agreement.compared += 1;
        let (our, their) = (ours.get(key), theirs.get(key));
        let same = match (our, their) {
            (Some(our), Some(their)) => same(our, their),
            _ => false,
        };
        if !same {
            let show = |value: Option<&Value>| value.map_or("nothing".into(), difference);
            agreement
                .differ
                .push(format!("{key}: ours {}, drgn {}", show(our), show(their)));
        }
    }
    Ok(agreement)
}

/// An answer on one line, not too long.
fn difference(value: &Value) -> String {
    value.to_string().chars().take(400).collect()
}

/// Equal, but for what is said in two ways: a frame has one name here and all that its address has
/// there; the clock of the log and the kernel's own may fall into neighbouring seconds.
fn same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => match (a.get("name"), b.get("names")) {
            (Some(name), Some(Value::Array(names))) => {
                let place = |m: &Map<String, Value>| (m.get("pc").cloned(), m.get("sp").cloned());
                place(a) == place(b) && (names.is_empty() || names.contains(name))
            }
            _ => a == b,
        },
        (Value::Number(a), Value::Number(b)) => a == b,
        _ => ours == theirs,
    }
}

/// Our answers to the same questions.
fn ours(kernel: &Kernel, theirs: &Map<String, Value>) -> Result<BTreeMap<&'static str, Value>> {
    let unwinder = Unwinder::new(kernel);
    let all = tasks::read(kernel, tasks::Options::default())?.tasks;
    let mut answers = BTreeMap::new();
    let list = all.iter().map(|task| {
        let facts = json!({
            "pid": task.pid,
            "tgid": task.tgid,
            "ppid": task.ppid,
            "state": task.state.letter().to_string(),
            "cpu": task.cpu,
            "on_cpu": task.on_cpu,
            "comm": task.comm,
        });
        (task.address.to_string(), facts)
    });
    answers.insert("tasks", Value::Object(list.collect()));
    let stacks = all.iter().map(|task| {
        let trace = unwinder.task(VirtAddr::from(task.address));
        (task.address.to_string(), frames(&trace))
    });
    answers.insert("stacks", Value::Object(stacks.collect()));
    answers.insert("crashed", crashed(kernel, &unwinder)?);
    let list = modules::read(kernel)?;
    let list = list.iter().map(|module| {
        let facts = json!({
            "address": module.address,
            "text": module.text,
            "size": module.size,
        });
        (module.name.clone(), facts)
    });
    answers.insert("modules", Value::Object(list.collect()));
    let list = mounts::read(kernel)?.mounts;
    let list = list.iter().map(|m| {
        let facts = json!([m.source, m.target, m.fs_type]);
        (m.address.to_string(), facts)
    });
    answers.insert("mounts", Value::Object(list.collect()));
    answers.insert("uptime", uptime(kernel, theirs));
    let zones = memory::read(kernel).zones;
    let zones = zones.iter().map(|zone| {
        let facts = json!({
            "present": zone.present,
            "managed": zone.managed,
            "counters": zone.counters,
        });
        (format!("{}/{}", zone.node, zone.name), facts)
    });
    answers.insert("zones", Value::Object(zones.collect()));
    answers.insert("types", types(kernel.types()?, theirs.get("types")));
    Ok(answers)
}

fn frames(trace: &Trace) -> Value {
    let frames = trace.frames.iter().map(|frame| {
        let name = frame.symbol.as_ref().map(|symbol| symbol.name.clone());
        let user = frame.kind == FrameKind::User;
        json!({
            "pc": format!("{:#x}", frame.pc.0),
            "sp": format!("{:#x}", frame.sp.0),
            "name": name.filter(|_| !user),
        })
    });
    Value::Array(frames.collect())
}

fn crashed(kernel: &Kernel, unwinder: &Unwinder<'_>) -> Result<Value> {
    let cpu = panic_cpu(kernel).context("No CPU panicked")?;
    let registers = kernel.prstatus(cpu).context("It saved no registers")?;
    let mut found = Map::new();
    for (name, value) in registers.named() {
        if !["orig_rax", "cs", "rflags", "ss"].contains(&name) {
            found.insert(name.to_owned(), json!(format!("{value:#x}")));
        }
    }
    found.insert("cpu".into(), json!(cpu));
    found.insert("stack".into(), frames(&unwinder.cpu(cpu)));
    Ok(Value::Object(found))
}

/// Seconds by the log's clock; drgn's answer where it is no more than one away.
fn uptime(kernel: &Kernel, theirs: &Map<String, Value>) -> Value {
    let options = Options {
        log_tail: 0,
        sections: &[Section::Reason],
    };
    let Report { uptime_seconds, .. } = report::build(kernel, options);
    let told = theirs.get("uptime").and_then(|u| u.get("seconds"));
    let near = told
        .and_then(Value::as_u64)
        .zip(uptime_seconds)
        .is_some_and(|(a, b)| a.abs_diff(b) <= 1);
    match told.filter(|_| near) {
        Some(told) => json!({ "seconds": told }),
        None => json!({ "seconds": uptime_seconds }),
    }
}

/// The types that drgn has, with the members that it names.
fn types(types: &Types, theirs: Option<&Value>) -> Value {
    let mut found = Map::new();
    for (name, facts) in theirs.and_then(Value::as_object).into_iter().flatten() {
        let Ok(size) = types.size_of(name) else {
            continue;
        };
        let members = facts.get("offsets").and_then(Value::as_object);
        let offsets: Map<String, Value> = members
            .into_iter()
            .flatten()
            .filter_map(|(member, _)| {
                let at = types.member(name, member).ok()?;
                let bits = at.offset * 8 + u64::from(at.bit);
                Some((member.clone(), json!(bits)))
            })
            .collect();
        found.insert(name.clone(), json!({ "size": size, "offsets": offsets }));
    }
    Value::Object(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agreement(ours: &Value, theirs: &Value) -> Agreement {
        section("x", ours, theirs).unwrap()
    }

    #[test]
    fn what_only_one_side_has_differs() {
        let both = agreement(&json!({"a": 1, "b": 2}), &json!({"a": 1, "c": 2}));
        assert_eq!((both.compared, both.differ.len()), (3, 2));
        assert_eq!(both.line(), "x: 1 of 3");
        assert!(section("x", &json!({}), &json!("LookupError: y")).is_err());
    }

    #[test]
    fn a_frame_may_have_any_of_its_addresss_names() {
        let theirs = json!({"t": [{"pc": "0x1", "sp": "0x2", "names": ["a", "b"]}]});
        for (name, pc, same) in [("b", "0x1", true), ("c", "0x1", false), ("b", "0x9", false)] {
            let ours = json!({"t": [{"pc": pc, "sp": "0x2", "name": name}]});
            assert_eq!(
                agreement(&ours, &theirs).differ.is_empty(),
                same,
                "{name} {pc}"
            );
        }
        let shorter = json!({"t": []});
        assert_eq!(agreement(&shorter, &theirs).differ.len(), 1);
    }
}
