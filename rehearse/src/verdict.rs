//! Whether what arrived is a core: judged on this machine, by reading all of it.
//!
//! The panic kernel's own word (the manifest's verdict) is not enough: every checksum is read again,
//! the kernel inside must hang together, and the report must name what the rehearsal did.

use crate::session::{Crash, Session};
use crate::vm::End;
use analysis::report::{self, Options};
use capture::manifest::{Manifest, Verdict as Saved};
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};
use vmcore::image::verify::verify;
use vmcore::image::{Completeness, open};
use vmcore::kernel::{Kernel, sanity};

/// The function that a sysrq-c dies in, in every kernel.
const DIES_IN: &str = "sysrq_handle_crash";

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
    /// `kvm` or `tcg`.
    pub accel: &'static str,
    /// Seconds after the panic.
    pub moments: Moments,
    /// What was saved.
    pub core: Option<Core>,
    /// The first line of what the report says the reason was.
    pub reason: Option<String>,
    /// The most memory the panic kernel used, in bytes, where it was measured.
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
    let mut verdict = Verdict {
        passed: false,
        wrong,
        release: session.kernel.release.clone(),
        crashkernel: session.crashkernel.clone().unwrap_or_default(),
        accel: session.accel.name(),
        moments: moments(crash),
        core: None,
        reason: None,
        peak: peak(crash),
    };
    match saved.and_then(|dir| newest(dir, &session.hostname)) {
        Some(dir) => look(&dir, &mut verdict),
        None if verdict.wrong.is_empty() => verdict.wrong.push("Nothing was saved".into()),
        None => {}
    }
    verdict.passed = verdict.wrong.is_empty();
    verdict
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

/// Reads the crash directory as its user would.
fn look(dir: &Path, verdict: &mut Verdict) {
    let manifest = match Manifest::read(dir) {
        Ok(manifest) => manifest,
        Err(error) => {
            return verdict.wrong.push(format!(
                "The crash directory has no readable manifest: {error}"
            ));
        }
    };
    if !matches!(manifest.verdict, Saved::Complete | Saved::Degraded) {
        verdict.wrong.push(format!(
            "The panic kernel calls the dump {}",
            manifest.verdict.name()
        ));
    }
    verdict.wrong.extend(manifest.soft_errors.iter().cloned());
    let Some(facts) = &manifest.core else {
        return verdict
            .wrong
            .push("There is no core among the files".into());
    };
    verdict.core = Some(Core {
        level: facts.level.clone(),
        saved: manifest.verdict.name(),
        bytes: facts.size,
        pages: facts.pages.kept,
    });
    let path = dir.join(&facts.file);
    let image = match open(&path) {
        Ok(image) => image,
        Err(error) => {
            return verdict
                .wrong
                .push(format!("The core cannot be opened: {error}"));
        }
    };
    if let Completeness::Incomplete(why) = &image.info().completeness {
        verdict.wrong.push(format!("The core is incomplete: {why}"));
    }
    match verify(&*image, &mut |_| {}, &mut |_| {}) {
        Ok(sum) if sum.damages == 0 => {}
        Ok(sum) => verdict
            .wrong
            .push(format!("{} places of the core are damaged", sum.damages)),
        Err(error) => verdict
            .wrong
            .push(format!("The core cannot be read: {error}")),
    }
    let kernel = match Kernel::new(image) {
        Ok(kernel) => kernel,
        Err(error) => {
            return verdict
                .wrong
                .push(format!("There is no kernel in the core: {error}"));
        }
    };
    for check in sanity::check(&kernel) {
        if let Err(why) = check.answer {
            verdict.wrong.push(format!("{}: {why}", check.what));
        }
    }
    let report = report::build(
        &kernel,
        Options {
            log_tail: 1,
            ..Options::default()
        },
    );
    let mut text = String::new();
    let _ = report::text::write(&report, &mut text);
    verdict.reason = text.lines().nth(1).map(|line| line.trim().to_owned());
    if !text.contains(DIES_IN) {
        verdict
            .wrong
            .push(format!("The report does not name {DIES_IN}"));
    }
}

/// Reads the times off the console, where the panic kernel says each step as it ends.
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

/// The panic kernel says at its end how much of its memory was ever in use: `memory: peak 71 of 96
/// MiB`.
fn peak(crash: &Crash) -> Option<u64> {
    let line = crash
        .lines(true)
        .filter_map(|l| l.split_once("afterpanic: memory: peak "))
        .last()?;
    let mib: u64 = line.1.split_whitespace().next()?.parse().ok()?;
    mib.checked_mul(1 << 20)
}
