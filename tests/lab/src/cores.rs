//! Cores that a hypervisor wrote: a Debian kernel of any architecture panics under QEMU's translation, or runs on, QEMU
//! writes its memory (`dump-guest-memory`), and what is read of the core is held against drgn with the
//! kernel's own vmlinux, against the stacks that the kernel itself printed, and against its own counters.
//!
//! The guest has a static busybox and no disk. On x86_64 and aarch64 `-device vmcoreinfo` brings the note into the
//! core; it takes the kernel's qemu_fw_cfg module. On the others the text is found in memory.

mod console;
mod debuggers;
mod essential;
mod forms;
mod guest;
mod judge;
mod machines;
mod traces;
mod witness;

pub use essential::run as essential;

use crate::results::Entry;
use crate::{cache, kernels};
use anyhow::{Context, Result, bail};
use machines::{ARM, Fate, MACHINES, MAINFRAME, Machine, PC, POWER, RISCV};
use std::fs;
use std::path::{Path, PathBuf};

/// The architectures whose cores are made.
pub const ARCHITECTURES: [&str; 5] = [PC.arch, ARM.arch, RISCV.arch, POWER.arch, MAINFRAME.arch];

/// The machines by name, with what each shows.
pub fn names() -> impl Iterator<Item = (&'static str, String)> {
    MACHINES.iter().map(|m| (m.name, m.about.to_owned()))
}

/// Makes and reads the cores of the machines named, or of an architecture; none: of all. A core that was read right
/// is removed, unless it is to be kept.
///
/// # Errors
/// A machine is not known, or a kernel cannot be fetched. What is wrong with a core is in its entry.
pub fn run(arch: Option<&str>, names: &[String], keep: bool) -> Result<Vec<Entry>> {
    if let Some(other) = names
        .iter()
        .find(|name| MACHINES.iter().all(|m| m.name != **name))
    {
        let known: Vec<_> = MACHINES.iter().map(|m| m.name).collect();
        bail!(
            "No machine is called {other}; there are {}",
            known.join(", ")
        );
    }
    let wanted = |m: &&Machine| {
        arch.is_none_or(|arch| arch == m.board.arch)
            && (names.is_empty() || names.iter().any(|name| name == m.name))
    };
    let mut entries = Vec::new();
    for machine in MACHINES.iter().filter(wanted) {
        eprintln!("lab: {}: {}", machine.name, machine.about);
        let dir = cache().join("cores").join(machine.name);
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir)?;
        entries.push(one(machine, &dir, keep)?);
    }
    for entry in &entries {
        let word = if entry.failed.is_empty() {
            "ok"
        } else {
            "FAILED"
        };
        println!("{:<16} {} checks, {word}", entry.name, entry.checks);
    }
    let failed = entries.iter().filter(|e| !e.failed.is_empty()).count();
    println!("{} passed, {failed} failed", entries.len() - failed);
    Ok(entries)
}

/// The files of one machine's memory.
struct Core {
    /// As QEMU writes it, a gigabyte.
    elf: PathBuf,
    /// The same in its kdump form, which is flattened.
    kdump: PathBuf,
    /// Ours, at level 31.
    filtered: PathBuf,
    /// What the guest printed.
    console: PathBuf,
    /// What it wrote before it died.
    disk: PathBuf,
}

impl Core {
    fn within(dir: &Path) -> Self {
        Self {
            elf: dir.join("core"),
            kdump: dir.join("core.kdump"),
            filtered: dir.join("31.elf"),
            console: dir.join("console.txt"),
            disk: dir.join("disk"),
        }
    }

    fn remove(&self) {
        for file in [&self.elf, &self.kdump, &self.filtered] {
            let _ = fs::remove_file(file);
        }
    }
}

fn one(machine: &Machine, dir: &Path, keep: bool) -> Result<Entry> {
    let kernel = kernels::get(machine.kernel, None, &mut |line| eprintln!("lab: {line}"))?;
    let core = Core::within(dir);
    let made = guest::dumped(&kernel, machine, dir, &core)
        .with_context(|| format!("No core of {} was made", machine.name));
    let vmlinux = machine
        .drgn
        .then(|| kernels::vmlinux(&kernel))
        .transpose()?;
    let judged = made.and_then(|()| {
        let class = machine.fate.class();
        let mut checks = forms::filtered(&core.elf, &core.filtered, class, dir)?;
        checks.push(forms::kdump(&core.elf, &core.kdump, class)?);
        if machine.board.arch == MAINFRAME.arch {
            let out = dir.join("stand-alone");
            checks.push(forms::stand_alone(&core.elf, &out, class)?);
        }
        checks.extend(judge::all(&core, machine, vmlinux.as_deref(), dir)?);
        Ok(checks)
    });
    let checks = judged.unwrap_or_else(|error| vec![("core", Err(format!("{error:#}")))]);
    let failed = failed(machine, &checks);
    if failed.is_empty() && !keep {
        core.remove();
    }
    Ok(Entry {
        name: format!("cores/{}", machine.name),
        kernel: kernel.release,
        checks: checks.len(),
        failed,
    })
}

/// Says what came of the checks; the names of those that failed.
fn failed(machine: &Machine, checks: &[judge::Check]) -> Vec<String> {
    let mut failed = Vec::new();
    for (what, said) in checks {
        match said {
            Ok(said) => eprintln!("lab: {}: {what}: {said}", machine.name),
            Err(why) => {
                eprintln!("lab: {}: {what} FAILED: {why}", machine.name);
                failed.push((*what).to_owned());
            }
        }
    }
    failed
}
