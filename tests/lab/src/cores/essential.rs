//! One small core of each architecture, for every run of the tests: made once, kept, and made again where it is missing
//! or the guest is another.

use super::{Core, MACHINES, Machine, failed, guest, judge};
use crate::{cache, kernels};
use anyhow::{Context, Result};
use dump::{Level, Request, convert};
use std::fs;
use std::path::PathBuf;
use vmcore::dump::open;
use vmcore::write::OutputFormat;

/// The machines: one of each architecture that no capture kernel runs on.
const NAMES: [&str; 3] = ["sv57", "radix-64k", "z-max"];

/// Reads the cores, and makes those that are missing. Whether all is right.
///
/// # Errors
/// A core cannot be made.
pub fn run() -> Result<bool> {
    let mut wrong = 0;
    let mut checks = 0;
    for machine in MACHINES.iter().filter(|m| NAMES.contains(&m.name)) {
        let core = kept(machine)
            .with_context(|| format!("No essential core of {} was made", machine.name))?;
        let judged = judge::essential(&core, machine)?;
        checks += judged.len();
        wrong += failed(machine, &judged).len();
    }
    println!("{} passed, {wrong} failed", checks - wrong);
    Ok(wrong == 0)
}

fn kept(machine: &Machine) -> Result<PathBuf> {
    let dir = cache().join("cores/essential");
    fs::create_dir_all(&dir)?;
    let guest = guest::fingerprint(machine);
    let out = dir.join(format!("{}-{guest:016x}.elf.zst", machine.name));
    if out.exists() {
        return Ok(out);
    }
    eprintln!("lab: {}: {}", machine.name, machine.about);
    let kernel = kernels::get(machine.kernel, None, &mut |line| eprintln!("lab: {line}"))?;
    let work = tempfile::tempdir_in(&dir)?;
    let core = Core::within(work.path());
    guest::dumped(&kernel, machine, work.path(), &core)?;
    let small = work.path().join("essential.elf.zst");
    convert(
        &Request {
            dump: open(&core.kdump)?,
            out: &small,
            format: OutputFormat::ElfZst,
            level: Some(Level::Essential),
            codec_level: None,
            threads: 2,
        },
        &mut |_, _| {},
    )?;
    fs::rename(&small, &out)?;
    Ok(out)
}
