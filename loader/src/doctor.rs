//! Every reason why a dump would not happen or not arrive, each with its fix. One file a check.
//!
//! A check reads the machine under a root prefix and changes nothing. What it cannot read it reports
//! as not made; it never says ok for something that it did not see.

mod encryption;
mod finding;
mod image;
mod kernel;
mod later;
mod memory;
mod others;
mod platform;
mod policy;
mod proof;
mod pstore;
mod raw;
mod readonly;
mod selinux;
mod server;
mod settings;
mod signature;
mod space;
mod target;
mod watchdog;

use std::path::{Path, PathBuf};

use config::Config;
use initramfs::build;
use serde::Serialize;

use finding::Examined;
pub use finding::{Finding, Level};

use crate::bootloader::{self, BootLoader};
use crate::probe;
use crate::status::{self, Status};

/// The machine in a line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Overview {
    /// Its name.
    pub hostname: String,
    /// The running kernel.
    pub release: String,
    /// CPUs online.
    pub cpus: u32,
    /// RAM in bytes, as /proc/meminfo has it.
    pub ram: u64,
    /// `KVM guest`, `VMware guest`, `hardware` …
    pub platform: String,
}

/// Everything that was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The machine.
    pub machine: Overview,
    /// Who keeps the boot configuration.
    pub boot_loader: BootLoader,
    /// In the order of the way of a dump.
    pub findings: Vec<Finding>,
    /// A capture kernel is loaded now.
    pub armed: bool,
    /// What to run next.
    pub next: Option<String>,
}

impl Report {
    /// How many findings have this level.
    #[must_use]
    pub fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|f| f.level == level).count()
    }
}

fn overview(root: &Path, status: &Status) -> Overview {
    Overview {
        hostname: status.hostname.clone().unwrap_or_default(),
        release: status.running.clone().unwrap_or_default(),
        cpus: crate::cmdline::online(root),
        ram: probe::ram(root).unwrap_or(0),
        platform: crate::platform::name(root),
    }
}

/// Looks at the machine under `root`. `capture` is the binary that the image would hold.
#[must_use]
pub fn examine(root: &Path, config: &Config, capture: PathBuf) -> Report {
    let status = status::status(root, config);
    let request = build::Request::new(root, config.clone(), capture);
    let examined = Examined {
        root,
        config,
        prepared: build::prepare(&request),
        privileged: crate::access::may_boot(root) != Some(false),
        status,
    };
    let checks: [fn(&Examined<'_>) -> Vec<Finding>; 15] = [
        platform::check,
        encryption::check,
        kernel::check,
        signature::check,
        memory::check,
        readonly::check,
        target::check,
        later::check,
        image::check,
        selinux::check,
        policy::check,
        pstore::check,
        others::check,
        watchdog::check,
        proof::check,
    ];
    let findings: Vec<Finding> = checks.iter().flat_map(|check| check(&examined)).collect();
    Report {
        machine: overview(root, &examined.status),
        boot_loader: bootloader::detect(root),
        armed: probe::is_loaded(root, crate::kernel::Slot::Crash) == Some(true),
        next: next(&findings),
        findings,
    }
}

fn next(findings: &[Finding]) -> Option<String> {
    let failed = |check: &str| {
        findings
            .iter()
            .any(|f| f.check == check && f.level == Level::Fail)
    };
    if failed("memory") {
        Some("sudo afterpanic reserve".to_owned())
    } else if let Some(first) = findings.iter().find(|f| f.level == Level::Fail) {
        first.fix.clone()
    } else if findings.iter().any(|f| f.level == Level::NotMade) {
        Some("sudo afterpanic doctor".to_owned())
    } else if findings
        .iter()
        .any(|f| f.check == "proof" && f.level != Level::Ok)
    {
        Some("sudo afterpanic rehearse".to_owned())
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
