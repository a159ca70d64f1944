//! The capture kernel's command line, derived from the running kernel's.
//!
//! `table` lists what is dropped, with a reason for each word; `additions` lists what is added.
//! Facts: lib/cmdline.c and kernel/params.c (words, quotes, `--`), Documentation/admin-guide/
//! kernel-parameters.txt, Linux 5.10 to 7.2. `elfcorehdr=` is added by the kernel, or by us with
//! kexec_load(2).
//!
//! A word that the kernel does not know goes to init: `name=value` into its environment, a bare word
//! into its arguments. So a bare word is added only where the kernel is known to have it. The one
//! exception is `nokaslr` on x86-64: the unpacking code before the kernel reads it and the kernel proper
//! does not know it (6.1, 6.12, 7.2), so it reaches init, which has no use for arguments. arm64's kernel
//! knows it.

mod facts;
mod table;

use serde::Serialize;

pub use facts::Facts;
pub(crate) use facts::online;

use crate::words::words;
use facts::{DISABLE_APICID, HEST_DISABLE, INITRAMFS_OPTIONS, NO_MEMHOTPLUG};
use table::DROP;

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

/// What is added, in order.
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
    let graviton = facts.vendor.starts_with("Amazon") && facts.machine == "aarch64";
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
    // keys take more time than all from the start of /init to the mounted target (docs/measurements/capture.md).
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
