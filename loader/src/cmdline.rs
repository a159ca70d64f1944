//! The capture kernel's command line, derived from the running kernel's.
//!
//! Facts: lib/cmdline.c and kernel/params.c (words, quotes, `--`), Documentation/admin-guide/
//! kernel-parameters.txt, Linux 5.10 to 7.2; what distributions drop and add is the collected
//! experience of kdump's users. `elfcorehdr=` is added by the kernel or by the segment loader.
//!
//! A word that the kernel does not know goes to init: `name=value` into its environment, a bare word
//! into its arguments. So a bare word is added only where the kernel is known to have it. The one
//! exception is `nokaslr`: the unpacking code before the kernel reads it and the kernel proper does
//! not know it (6.1, 6.12, 7.2), so it reaches init, which has no use for arguments.

use std::path::Path;

use serde::Serialize;

use crate::root;

/// Names whose parameters are not carried over, each with the reason. A trailing `*` is any rest.
const DROP: &[(&str, &str)] = &[
    ("BOOT_IMAGE", "the boot loader's"),
    ("crashkernel", "nothing is reserved inside the reservation"),
    ("elfcorehdr", "belongs to an earlier capture kernel"),
    ("dmcryptkeys", "belongs to an earlier capture kernel"),
    ("mem", "the capture kernel has a memory map of its own"),
    ("memmap", "the capture kernel has a memory map of its own"),
    ("hugepages", "memory"),
    ("hugepagesz", "memory"),
    ("default_hugepagesz", "memory"),
    ("hugetlb_cma", "memory"),
    ("cma", "memory"),
    ("kernelcore", "memory"),
    ("movablecore", "memory"),
    ("log_buf_len", "memory"),
    ("trace_buf_size", "memory"),
    ("ftrace*", "memory"),
    ("trace_event", "memory"),
    ("swiotlb", "memory; the kernel's default is right"),
    ("slub_debug", "memory and time"),
    ("slab_debug", "memory and time"),
    ("page_owner", "memory"),
    ("page_poison", "time"),
    ("init_on_alloc", "time"),
    ("init_on_free", "time"),
    ("debug_pagealloc", "memory and time"),
    ("kasan*", "memory"),
    ("kmemleak", "memory"),
    (
        "ramoops*",
        "the crashed kernel's records would be overwritten",
    ),
    (
        "pstore*",
        "the crashed kernel's records would be overwritten",
    ),
    ("reserve_mem", "memory"),
    ("kho", "memory"),
    ("quiet", "the console shows what the capture kernel does"),
    ("splash", "there is no screen to draw on"),
    ("vt.handoff", "there is no screen to draw on"),
    ("root", "the image is the root"),
    ("rootflags", "the image is the root"),
    ("rootfstype", "the image is the root"),
    ("rootwait", "the image is the root"),
    ("rootdelay", "the image is the root"),
    ("ro", "the image is the root"),
    ("rw", "the image is the root"),
    ("resume*", "the image is the root"),
    ("noresume", "the image is the root"),
    ("hibernate", "the image is the root"),
    ("init", "the image's /init is ours"),
    ("rdinit", "the image's /init is ours"),
    ("initrd", "the image is loaded with the kernel"),
    ("noinitrd", "the image is loaded with the kernel"),
    ("initramfs_options", "set again below"),
    ("rd.*", "for another initramfs"),
    ("systemd.*", "systemd does not run"),
    ("luks.*", "systemd does not run"),
    ("fsck.*", "systemd does not run"),
    ("udev.*", "systemd does not run"),
    ("net.ifnames", "udev does not run"),
    ("biosdevname", "udev does not run"),
    ("ip", "for another initramfs"),
    ("netroot", "for another initramfs"),
    ("nfsroot", "for another initramfs"),
    ("fcoe", "for another initramfs"),
    ("iscsi_initiator", "for another initramfs"),
    ("cloud-init*", "for another init"),
    ("ds", "for another init"),
    ("ignition.*", "for another init"),
    ("nr_cpus", "set again below"),
    ("maxcpus", "set again below"),
    ("possible_cpus", "set again below"),
    ("nosmp", "set again below"),
    ("isolcpus", "names CPUs that are not started"),
    ("nohz_full", "names CPUs that are not started"),
    ("rcu_nocbs", "names CPUs that are not started"),
    ("irqaffinity", "names CPUs that are not started"),
    ("disable_cpu_apicid", "set again below"),
    ("panic", "set again below"),
    ("oops", "set again below"),
    ("panic_on_warn", "a warning must not end the dump"),
    ("panic_on_taint", "a taint must not end the dump"),
    ("softlockup_panic", "a slow disk must not end the dump"),
    ("hardlockup_panic", "a slow disk must not end the dump"),
    ("hung_task_panic", "a slow disk must not end the dump"),
    (
        "unknown_nmi_panic",
        "a second press of the NMI button must not end the dump",
    ),
    ("panic_print", "for the crashed kernel"),
    ("crash_kexec_post_notifiers", "for the crashed kernel"),
    ("sysrq_always_enabled", "for the crashed kernel"),
    ("numa", "set again below"),
    ("numa_balancing", "memory"),
    ("cgroup_*", "set again below"),
    ("systemd_*", "systemd does not run"),
    ("transparent_hugepage", "set again below"),
    ("irqpoll", "set again below"),
    ("reset_devices", "set again below"),
    ("nokaslr", "set again below"),
    ("kaslr", "set again below"),
    ("abm", "for another initramfs"),
];

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
}

/// What the operator asks for, `[capture_kernel]` of the config.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// CPUs; `None`: by the reserved memory.
    pub cpus: Option<u32>,
    /// Whole parameters to add. One that is derived here too is replaced by it.
    pub add: Vec<String>,
    /// Names of parameters to drop, ours as well.
    pub drop: Vec<String>,
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// The parameter.
    pub parameter: String,
    /// Why it was dropped or added.
    pub why: String,
}

/// A derived command line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Derived {
    /// The whole of it.
    pub cmdline: String,
    /// What the running kernel has and this has not.
    pub dropped: Vec<Decision>,
    /// What is new.
    pub added: Vec<Decision>,
}

/// The kernel's words: separated by white space, double quotes keep it inside one.
#[must_use]
pub fn words(cmdline: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for c in cmdline.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                word.push(c);
            }
            c if c.is_ascii_whitespace() && !quoted => {
                if !word.is_empty() {
                    out.push(std::mem::take(&mut word));
                }
            }
            '\0' => break,
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        out.push(word);
    }
    out
}

/// The name of a parameter, with `-` as `_`: the kernel takes them for the same.
fn name(word: &str) -> String {
    let name = word
        .trim_start_matches('"')
        .split('=')
        .next()
        .unwrap_or_default();
    name.replace('-', "_")
}

fn matches(pattern: &str, word: &str) -> bool {
    let name = name(word);
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(&prefix.replace('-', "_")),
        None => name == pattern.replace('-', "_"),
    }
}

/// The CPUs that the memory is enough for: one up to 128 MiB, one more for each further 32 MiB.
#[must_use]
pub fn cpu_budget(reserved: u64, online: u32) -> u32 {
    let beyond = reserved.saturating_sub(128 << 20) / (32 << 20);
    let by_memory = u32::try_from(beyond).unwrap_or(u32::MAX).saturating_add(1);
    by_memory.min(online).clamp(1, 4)
}

/// `6.12.107+deb13` as (6, 12, 107); a missing number is 0.
fn version(release: &str) -> (u32, u32, u32) {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|n| n.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next(), next())
}

impl Facts {
    /// Reads the machine under `root`, for a capture kernel of this release.
    #[must_use]
    pub fn read(root: &Path, release: &str) -> Self {
        Self {
            running: root::text(root, "/proc/cmdline").unwrap_or_default(),
            release: release.to_owned(),
            running_release: crate::status::running_release(root).unwrap_or_default(),
            symbols: probes(root),
            cpus: online(root),
            boot_apicid: boot_apicid(root),
            watchdogs: watchdogs(root),
            reserved: crate::status::reservation(root).bytes.unwrap_or(0),
            vendor: root::text(root, "/sys/class/dmi/id/sys_vendor").unwrap_or_default(),
        }
    }

    /// Whether the capture kernel has this function; by version where the symbols do not tell.
    fn has(&self, symbol: &str, by_version: bool) -> bool {
        match &self.symbols {
            Some(symbols) if self.release == self.running_release => {
                symbols.iter().any(|s| s == symbol)
            }
            _ => by_version,
        }
    }
}

/// Functions that parse a parameter which not every kernel has.
const DISABLE_APICID: &str = "apic_set_disabled_cpu_apicid";
const INITRAMFS_OPTIONS: &str = "initramfs_options_setup";
const NO_MEMHOTPLUG: &str = "disable_acpi_memory_hotplug";
const HEST_DISABLE: &str = "setup_hest_disable";
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

/// What is added on x86-64, in order.
fn additions(facts: &Facts, wishes: &Wishes) -> Vec<Decision> {
    let mut out = Vec::new();
    let mut add = |parameter: String, why: &str| {
        out.push(Decision {
            parameter,
            why: why.to_owned(),
        });
    };
    let cpus = wishes
        .cpus
        .unwrap_or_else(|| cpu_budget(facts.reserved, facts.cpus))
        .max(1);
    add(
        "reset_devices".to_owned(),
        "drivers reset what the crashed kernel left running",
    );
    let graviton = facts.vendor.starts_with("Amazon") && facts.running.contains("aarch64");
    if !graviton {
        add(
            "irqpoll".to_owned(),
            "interrupts that nobody here asked for do not shut down a shared line",
        );
    }
    add(
        format!("nr_cpus={cpus}"),
        if wishes.cpus.is_some() {
            "as configured"
        } else {
            "by the reserved memory"
        },
    );
    let (major, minor, patch) = version(&facts.release);
    let newer = |than: (u32, u32)| (major, minor) >= than;
    if cpus > 1
        && let Some(id) = facts.boot_apicid
        && facts.has(DISABLE_APICID, !newer((6, 9)))
    {
        add(
            format!("disable_cpu_apicid={id}"),
            "starting the boot CPU again would reset the machine (kernels before 6.9)",
        );
    }
    add(
        "panic=10".to_owned(),
        "a panic of the capture kernel reboots",
    );
    add(
        "oops=panic".to_owned(),
        "an oops of the capture kernel reboots",
    );
    add(
        "nokaslr".to_owned(),
        "in so little memory a random place may be none",
    );
    add("cgroup_disable=memory".to_owned(), "memory");
    add("numa=off".to_owned(), "memory");
    add("transparent_hugepage=never".to_owned(), "memory");
    add("cma=0".to_owned(), "memory");
    add("hugetlb_cma=0".to_owned(), "memory");
    add("kfence.sample_interval=0".to_owned(), "memory");
    // crypto/testmgr.c since 4.7; with fips=1 the kernel tests nevertheless. RSA's tests with private
    // keys take more time than all from the start of /init to the mounted target (docs/measurements.md).
    add(
        "cryptomgr.notests=1".to_owned(),
        "time: the crashed kernel has tested the same ciphers",
    );
    if facts.has(NO_MEMHOTPLUG, true) {
        add(
            "acpi_no_memhotplug".to_owned(),
            "memory added later belongs to the crashed kernel",
        );
    }
    if facts.has(HEST_DISABLE, false) {
        add(
            "hest_disable".to_owned(),
            "memory; error records are the crashed kernel's",
        );
    }
    // Backported to 6.12.54 and 6.17.4, so the symbol tells more than the version.
    let by_version = newer((6, 18)) || ((major, minor) == (6, 12) && patch >= 54);
    if facts.has(INITRAMFS_OPTIONS, by_version) {
        add(
            "initramfs_options=size=90%".to_owned(),
            "the unpacked image may take more than half of memory",
        );
    }
    for module in &facts.watchdogs {
        let key = if module == "hpwdt" {
            "kdumptimeout"
        } else {
            "pretimeout"
        };
        add(
            format!("{module}.{key}=0"),
            "the watchdog's pretimeout must not panic the capture kernel",
        );
    }
    out
}

/// Derives the command line.
#[must_use]
pub fn derive(facts: &Facts, wishes: &Wishes) -> Derived {
    let mut out = Derived::default();
    let mut kept: Vec<String> = Vec::new();
    let asked: Vec<String> = wishes.add.iter().flat_map(|a| words(a)).collect();
    let mut rest = words(&facts.running).into_iter();
    for word in rest.by_ref() {
        if word == "--" {
            break;
        }
        let dropped = if wishes.drop.iter().any(|p| matches(p, &word)) {
            Some("as configured")
        } else {
            DROP.iter()
                .find(|(p, _)| matches(p, &word))
                .map(|(_, why)| *why)
        };
        match dropped {
            Some(why) => out.dropped.push(Decision {
                parameter: word,
                why: why.to_owned(),
            }),
            None => kept.push(word),
        }
    }
    for word in rest {
        out.dropped.push(Decision {
            parameter: word,
            why: "an argument of init".to_owned(),
        });
    }
    for decision in additions(facts, wishes) {
        let replaced = asked.iter().any(|a| name(a) == name(&decision.parameter));
        let unwanted = wishes.drop.iter().any(|p| matches(p, &decision.parameter));
        if !replaced && !unwanted {
            out.added.push(decision);
        }
    }
    for word in asked {
        out.added.push(Decision {
            parameter: word,
            why: "as configured".to_owned(),
        });
    }
    let mut all = kept;
    all.extend(out.added.iter().map(|d| d.parameter.clone()));
    out.cmdline = all.join(" ");
    out
}

#[cfg(test)]
#[path = "cmdline/tests.rs"]
mod tests;
