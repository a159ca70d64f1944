//! Whether what arrived is a core: judged on this machine, by reading all of it.
//!
//! The capture kernel's own word (the manifest's verdict) is not enough: every checksum is read again,
//! the kernel inside must hang together, and the report must name what the rehearsal did.

use crate::guest::{RESERVED, SAYS};
use crate::session::{Crash, Session};
use crate::vm::End;
use analysis::report::{self, Options};
use dump::facts::Verdict as Saved;
use dump::seal::{Identities, open_dump};
use loader::crashkernel::Value;
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};
use store::CrashDir;
use vmcore::dump::Completeness;
use vmcore::dump::verify::verify;
use vmcore::kernel::{Kernel, sanity};

/// The function that a sysrq-c dies in, in every kernel.
pub const DIES_IN: &str = "sysrq_handle_crash";

/// What a rehearsal showed.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// A complete, readable core arrived and the machine rebooted.
    pub passed: bool,
    /// What speaks against it, in sentences.
    pub wrong: Vec<String>,
    /// The kernel.
    pub release: String,
    /// `crashkernel=` as it was.
    pub crashkernel: String,
    /// Bytes that the kernel reserved for it.
    pub reserved: Option<u64>,
    /// `kvm` or `tcg`.
    pub accel: &'static str,
    /// Seconds after the panic.
    pub moments: Moments,
    /// What was saved.
    pub core: Option<Core>,
    /// The first line of what the report says the reason was.
    pub reason: Option<String>,
    /// The most memory the capture kernel used, in bytes, where it was measured.
    pub peak: Option<u64>,
}

/// Seconds after the panic; nothing for what did not happen.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Moments {
    /// The machine's start to the panic.
    pub panic_at: Option<f64>,
    /// The target was mounted.
    pub mounted: Option<f64>,
    /// The log was saved.
    pub log: Option<f64>,
    /// The report was made.
    pub report: Option<f64>,
    /// The core was written.
    pub core: Option<f64>,
    /// The machine rebooted.
    pub reboot: Option<f64>,
}

/// The core that arrived.
#[derive(Debug, Clone, Serialize)]
pub struct Core {
    /// `standard` and so on.
    pub level: String,
    /// `complete`, `degraded` or `incomplete`.
    pub saved: &'static str,
    /// Its file's size.
    pub bytes: u64,
    /// Pages in it.
    pub pages: u64,
}

/// Judges a rehearsal; `saved` is what was fetched from the target.
#[must_use]
pub fn judge(session: &Session, crash: &Crash, saved: Option<&Path>) -> Verdict {
    let mut wrong = Vec::new();
    if let Some(said) = crash.guest_failure() {
        wrong.push(format!("The machine could not be armed: {said}"));
    } else if crash.times.panic.is_none() {
        wrong.push("The machine did not come up".into());
    }
    match &crash.outcome.end {
        End::Reset => {}
        End::Deadline => wrong.push(format!(
            "It had not rebooted after {} s",
            session.deadline.as_secs()
        )),
        End::PowerOff => wrong.push("It switched itself off instead of rebooting".into()),
        End::Stopped => wrong.push("It was stopped".into()),
        End::Failed(said) => wrong.push(format!("QEMU failed: {said}")),
    }
    let reserved = reserved(crash);
    let asked = session.crashkernel.as_deref().unwrap_or_default();
    let ram = session.memory_mib.saturating_mul(1 << 20);
    wrong.extend(reserved.and_then(|got| dishonoured(asked, ram, got)));
    let mut verdict = Verdict {
        passed: false,
        wrong,
        reserved,
        release: session.kernel.release.clone(),
        crashkernel: session.crashkernel.clone().unwrap_or_default(),
        accel: session.accel.name(),
        moments: moments(crash),
        core: None,
        reason: None,
        peak: peak(crash.lines(true)),
    };
    match saved.and_then(|dir| newest(dir, &session.hostname)) {
        Some(dir) => {
            let looked = look(&dir, DIES_IN, &session.identities);
            verdict.wrong.extend(looked.wrong);
            (verdict.core, verdict.reason) = (looked.core, looked.reason);
        }
        None if verdict.wrong.is_empty() => verdict.wrong.push("Nothing was saved".into()),
        None => {}
    }
    verdict.passed = verdict.wrong.is_empty();
    verdict
}

/// What the crashed kernel said that it has reserved.
fn reserved(crash: &Crash) -> Option<u64> {
    let said = format!("{SAYS}{RESERVED}");
    let line = crash.lines(false).find_map(|l| l.strip_prefix(&said))?;
    line.trim().parse().ok()
}

/// Whether the reservation is another one than was asked for. A high one has a part below 4 GiB
/// besides, which kernels from 6.12 on count, too.
fn dishonoured(asked: &str, ram: u64, got: u64) -> Option<String> {
    let value = Value::parse(asked).ok()?;
    let size = value.size_for(ram)?;
    let right = match value {
        Value::High(_) => got >= size,
        _ => got == size,
    };
    (!right).then(|| {
        format!(
            "crashkernel={asked} asks for {} MiB in a machine of {} MiB, the kernel reserved {} MiB",
            size >> 20,
            ram >> 20,
            got >> 20
        )
    })
}

/// The crash directory that sorts last.
fn newest(dir: &Path, hostname: &str) -> Option<PathBuf> {
    let prefix = format!("{hostname}-");
    let entries = fs::read_dir(dir).ok()?.flatten();
    entries
        .filter(|e| e.file_name().to_string_lossy().starts_with(&prefix))
        .map(|e| e.path())
        .max()
}

/// What a crash directory turned out to be.
#[derive(Debug, Default)]
pub struct Looked {
    /// What speaks against it, in sentences.
    pub wrong: Vec<String>,
    /// The core in it.
    pub core: Option<Core>,
    /// What the report says the reason was.
    pub reason: Option<String>,
}

/// Reads a crash directory as its user would: every checksum of the core, the kernel in it, and a
/// report made anew, which has to name the function `dies_in`. Sealed files are opened with `identities`.
#[must_use]
pub fn look(dir: &Path, dies_in: &str, identities: &Identities) -> Looked {
    let mut looked = Looked::default();
    if let Err(why) = look_into(dir, dies_in, identities, &mut looked) {
        looked.wrong.push(why.to_string());
    }
    looked
}

/// Compares the files of a sealed crash directory with its manifest. Their contents are not read.
#[must_use]
pub fn arrived(dir: &Path) -> Looked {
    let mut looked = Looked::default();
    if let Err(why) = facts(dir, &mut looked) {
        looked.wrong.push(why.to_string());
    }
    match store::audit::audit(dir) {
        Err(error) => looked
            .wrong
            .push(format!("The files cannot be compared: {error}")),
        Ok(files) => {
            let wrong = files
                .into_iter()
                .filter_map(|file| Some((file.outcome.err()?, file.name)));
            let wrong = wrong.map(|(why, name)| format!("{name}: {why}"));
            looked.wrong.extend(wrong);
        }
    }
    looked
}

/// Why a crash directory cannot be judged any further. The message holds its cause: it becomes a
/// sentence of the verdict.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error("The crash directory has no readable manifest: {0}")]
    Manifest(Box<dyn std::error::Error>),
    #[error("There is no core among the files")]
    NoCore,
    #[error("The core cannot be opened: {0}")]
    Core(Box<dyn std::error::Error>),
    #[error("There is no kernel in the core: {0}")]
    Kernel(Box<dyn std::error::Error>),
}

/// What the manifest says; the name of the core.
fn facts(dir: &Path, looked: &mut Looked) -> Result<String, LookError> {
    let manifest = CrashDir::open(dir)
        .and_then(|dir| dir.manifest())
        .map_err(|error| LookError::Manifest(error.into()))?;
    if !matches!(manifest.verdict, Saved::Complete | Saved::Degraded) {
        let name = manifest.verdict.name();
        looked
            .wrong
            .push(format!("The capture kernel calls the dump {name}"));
    }
    looked.wrong.extend(manifest.soft_errors.iter().cloned());
    let facts = (manifest.core.as_ref()).ok_or(LookError::NoCore)?;
    looked.core = Some(Core {
        level: facts.level.clone(),
        saved: manifest.verdict.name(),
        bytes: facts.size,
        pages: facts.pages.kept,
    });
    Ok(facts.file.clone())
}

fn look_into(
    dir: &Path,
    dies_in: &str,
    identities: &Identities,
    looked: &mut Looked,
) -> Result<(), LookError> {
    let core = dir.join(facts(dir, looked)?);
    let image = open_dump(&core, identities).map_err(|error| LookError::Core(error.into()))?;
    if let Completeness::Incomplete(why) = &image.info().completeness {
        looked.wrong.push(format!("The core is incomplete: {why}"));
    }
    match verify(&*image, &mut |_| {}, &mut |_| {}) {
        Ok(sum) if sum.damages == 0 => {}
        Ok(sum) => looked
            .wrong
            .push(format!("{} places of the core are damaged", sum.damages)),
        Err(error) => looked
            .wrong
            .push(format!("The core cannot be read: {error}")),
    }
    let kernel = Kernel::new(image).map_err(|error| LookError::Kernel(error.into()))?;
    for check in sanity::check(&kernel) {
        if !check.answer.agrees() {
            let why = check.answer.detail();
            looked.wrong.push(format!("{}: {why}", check.what));
        }
    }
    let options = Options {
        log_tail: 1,
        ..Options::default()
    };
    let mut text = String::new();
    let _ = report::text::write(&report::build(&kernel, options), &mut text);
    looked.reason = reason(&text);
    if !text.contains(dies_in) {
        looked
            .wrong
            .push(format!("The report does not name {dies_in}"));
    }
    Ok(())
}

/// The line of a report that says why.
#[must_use]
pub fn reason(report: &str) -> Option<String> {
    report.lines().nth(1).map(|line| line.trim().to_owned())
}

/// Reads the times off the console, where the capture kernel says each step as it ends.
fn moments(crash: &Crash) -> Moments {
    let Some(panic) = crash.times.panic else {
        return Moments::default();
    };
    let after = |needle: &str| {
        let found = crash
            .lines
            .iter()
            .find(|(at, line)| *at > panic && line.contains(needle));
        found.map(|(at, _)| at.saturating_sub(panic).as_secs_f64())
    };
    Moments {
        panic_at: Some(panic.as_secs_f64()),
        mounted: after("afterpanic: target: done"),
        log: after("afterpanic: log: done"),
        report: after("afterpanic: report: done"),
        core: after("afterpanic: core: done"),
        reboot: crash
            .times
            .end
            .map(|end| end.saturating_sub(panic).as_secs_f64()),
    }
}

/// The capture kernel says at its end how much of its memory was ever in use: `memory: peak 71 of 96
/// MiB`.
pub fn peak<'a>(lines: impl Iterator<Item = &'a str>) -> Option<u64> {
    let line = lines.filter_map(|l| l.split_once("memory: peak ")).last()?;
    let mib: u64 = line.1.split_whitespace().next()?.parse().ok()?;
    mib.checked_mul(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reservation_is_honoured_exactly() {
        const GIB: u64 = 1 << 30;
        let said = |asked: &str, got: u64| dishonoured(asked, GIB, got << 20);
        assert_eq!(said("192M", 192), None);
        assert!(said("192M", 160).unwrap().contains("reserved 160 MiB"));
        assert!(said("192M", 0).is_some());
        assert_eq!(said("128M,high", 384), None);
        assert!(said("128M,high", 64).is_some());
        // A rule that does not hold for so little RAM reserves nothing, as it does.
        assert_eq!(said("2G-:256M", 0), None);
        assert_eq!(said("512M-:64M", 64), None);
        assert_eq!(said("what is this", 7), None);
    }

    #[test]
    fn the_peak_is_the_last_one_said() {
        let lines = [
            "[    3.1] afterpanic: memory: peak 40 of 96 MiB",
            "memory: peak x",
            "afterpanic: memory: peak 71 of 96 MiB",
        ];
        assert_eq!(peak(lines[..1].iter().copied()), Some(40 << 20));
        assert_eq!(peak(lines[2..].iter().copied()), Some(71 << 20));
        assert_eq!(peak([].into_iter()), None);
    }
}
