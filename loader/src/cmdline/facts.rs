//! Facts of the machine that the capture kernel's command line depends on.

use std::path::Path;

use crate::{probe, root};

/// Facts of the machine that the command line depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The running kernel's command line.
    pub running: String,
    /// The capture kernel's release.
    pub release: String,
    /// The running kernel's release: when both are equal, `symbols` speaks for the capture kernel too.
    pub running_release: String,
    /// Names in the running kernel's /proc/kallsyms that tell which parameters it knows; `None` when
    /// it could not be read.
    pub symbols: Option<Vec<String>>,
    /// CPUs online.
    pub cpus: u32,
    /// The APIC id of the CPU that booted the machine.
    pub boot_apicid: Option<u32>,
    /// Drivers of watchdogs that have a pretimeout parameter.
    pub watchdogs: Vec<String>,
    /// Bytes reserved.
    pub reserved: u64,
    /// The machine's vendor as its firmware names it.
    pub vendor: String,
    /// The machine's architecture as uname(1) names it.
    pub machine: String,
}

impl Facts {
    /// Reads the machine under `root`, for a capture kernel of this release.
    #[must_use]
    pub fn read(root: &Path, release: &str) -> Self {
        Self {
            running: root::text(root, "/proc/cmdline").unwrap_or_default(),
            release: release.to_owned(),
            running_release: probe::running_release(root).unwrap_or_default(),
            symbols: probes(root),
            cpus: online(root),
            boot_apicid: boot_apicid(root),
            watchdogs: watchdogs(root),
            reserved: probe::reservation(root).bytes.unwrap_or(0),
            vendor: root::text(root, "/sys/class/dmi/id/sys_vendor").unwrap_or_default(),
            machine: std::env::consts::ARCH.to_owned(),
        }
    }

    /// Whether the capture kernel has this function; by version where the symbols do not tell.
    pub(super) fn has(&self, symbol: &str, by_version: bool) -> bool {
        match &self.symbols {
            Some(symbols) if self.release == self.running_release => {
                symbols.iter().any(|s| s == symbol)
            }
            _ => by_version,
        }
    }
}

/// The kernel function that parses a parameter which not every kernel has.
pub(super) const DISABLE_APICID: &str = "apic_set_disabled_cpu_apicid";
pub(super) const INITRAMFS_OPTIONS: &str = "initramfs_options_setup";
pub(super) const NO_MEMHOTPLUG: &str = "disable_acpi_memory_hotplug";
pub(super) const HEST_DISABLE: &str = "setup_hest_disable";
const PROBES: [&str; 4] = [
    DISABLE_APICID,
    INITRAMFS_OPTIONS,
    NO_MEMHOTPLUG,
    HEST_DISABLE,
];

fn probes(root: &Path) -> Option<Vec<String>> {
    use std::io::{BufRead, BufReader};
    let file = std::fs::File::open(root::under(root, "/proc/kallsyms")).ok()?;
    let mut found = Vec::new();
    let mut any = false;
    for line in BufReader::new(file).lines() {
        let Ok(line) = line else { break };
        any = true;
        if let Some(symbol) = line.split_whitespace().nth(2)
            && PROBES.contains(&symbol)
        {
            found.push(symbol.to_owned());
        }
    }
    any.then_some(found)
}

pub(crate) fn online(root: &Path) -> u32 {
    let text = root::text(root, "/sys/devices/system/cpu/online").unwrap_or_default();
    let count = text.split(',').filter_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
        last.checked_sub(first)?.checked_add(1)
    });
    count.fold(0, u32::saturating_add).max(1)
}

fn boot_apicid(root: &Path) -> Option<u32> {
    let text = root::text(root, "/proc/cpuinfo").ok()?;
    let line = text.lines().find(|l| l.starts_with("initial apicid"))?;
    line.split_once(':')?.1.trim().parse().ok()
}

fn watchdogs(root: &Path) -> Vec<String> {
    let class = root::under(root, "/sys/class/watchdog");
    let entries = std::fs::read_dir(class).into_iter().flatten().flatten();
    let mut out: Vec<String> = entries
        .filter_map(|e| std::fs::read_link(e.path().join("device/driver/module")).ok())
        .filter_map(|link| Some(link.file_name()?.to_str()?.to_owned()))
        .filter(|module| {
            let parameters = format!("/sys/module/{module}/parameters");
            ["pretimeout", "kdumptimeout"]
                .iter()
                .any(|p| root::under(root, format!("{parameters}/{p}")).exists())
        })
        .collect();
    out.sort_unstable();
    out.dedup();
    out
}
