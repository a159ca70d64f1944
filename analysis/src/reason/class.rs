//! Which kind of death a log tells of.
//!
//! Sources: the messages of kernel/panic.c, kernel/hung_task.c, kernel/watchdog.c,
//! kernel/watchdog_hld.c (watchdog_perf.c since 6.5), kernel/rcu/tree_stall.h, mm/oom_kill.c,
//! arch/x86/mm/fault.c, arch/x86/kernel/{traps,dumpstack,nmi}.c, arch/x86/kernel/cpu/mce/core.c and
//! drivers/tty/sysrq.c, 5.10 to 7.x. A message that no row knows is [`Class::Other`], never a guess.

use serde::{Deserialize, Serialize};

/// The kinds of kernel death.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Class {
    /// Asked for through sysrq-c.
    Sysrq,
    /// A NULL pointer, or one near it, was followed.
    NullDeref,
    /// Any other bad address.
    BadAddress,
    /// A non-canonical address or another general protection fault.
    GeneralProtection,
    /// BUG() or BUG_ON().
    Bug,
    /// WARN() with panic_on_warn.
    Warn,
    /// A task stuck in D state, with hung_task_panic.
    HungTask,
    /// A CPU that did not schedule, with softlockup_panic.
    SoftLockup,
    /// A CPU that did not take interrupts.
    HardLockup,
    /// An RCU stall with panic_on_rcu_stall.
    RcuStall,
    /// Out of memory: panic_on_oom, or nothing left to kill.
    Oom,
    /// A double fault.
    DoubleFault,
    /// A stack guard page was hit, or the end of a stack overwritten.
    StackOverflow,
    /// A fatal machine check.
    MachineCheck,
    /// A non-maskable interrupt that the kernel was told to die of.
    Nmi,
    /// init died.
    InitKilled,
    /// No root filesystem.
    NoRoot,
    /// An invalid opcode that is no BUG, a divide error, and other traps.
    Trap,
    /// panic() for another reason.
    Other,
}

impl Class {
    /// The name in JSON and signatures.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sysrq => "sysrq",
            Self::NullDeref => "null-deref",
            Self::BadAddress => "bad-address",
            Self::GeneralProtection => "general-protection",
            Self::Bug => "bug",
            Self::Warn => "warn",
            Self::HungTask => "hung-task",
            Self::SoftLockup => "soft-lockup",
            Self::HardLockup => "hard-lockup",
            Self::RcuStall => "rcu-stall",
            Self::Oom => "oom",
            Self::DoubleFault => "double-fault",
            Self::StackOverflow => "stack-overflow",
            Self::MachineCheck => "machine-check",
            Self::Nmi => "nmi",
            Self::InitKilled => "init-killed",
            Self::NoRoot => "no-root",
            Self::Trap => "trap",
            Self::Other => "other",
        }
    }
}

/// The text behind `Kernel panic - not syncing: `.
#[must_use]
pub fn panic_message(line: &str) -> Option<&str> {
    let (_, message) = line.split_once("Kernel panic - not syncing: ")?;
    Some(message.trim())
}

/// The class that panic()'s own message names. `None` for messages such as "Fatal exception", where
/// the oops before it tells.
#[must_use]
pub fn of_message(message: &str) -> Option<Class> {
    const ROWS: &[(&str, Class)] = &[
        ("sysrq triggered crash", Class::Sysrq),
        ("hung_task: blocked tasks", Class::HungTask),
        ("softlockup: hung tasks", Class::SoftLockup),
        ("Hard LOCKUP", Class::HardLockup),
        ("Watchdog detected hard LOCKUP", Class::HardLockup),
        ("RCU Stall", Class::RcuStall),
        ("panic_on_warn set", Class::Warn),
        ("panic_on_oom is enabled", Class::Oom),
        ("System is deadlocked on memory", Class::Oom),
        ("Out of memory", Class::Oom),
        ("double fault", Class::DoubleFault),
        ("kernel stack overflow", Class::StackOverflow),
        ("corrupted stack end detected", Class::StackOverflow),
        ("stack-protector", Class::StackOverflow),
        ("achine check", Class::MachineCheck),
        ("NMI: Not continuing", Class::Nmi),
        ("NMI: Unrecovered", Class::Nmi),
        ("NMI IOCK error", Class::Nmi),
        ("NMI watchdog", Class::HardLockup),
        ("Attempted to kill init", Class::InitKilled),
        ("VFS: Unable to mount root fs", Class::NoRoot),
        ("No working init found", Class::NoRoot),
    ];
    ROWS.iter()
        .find(|(text, _)| message.contains(text))
        .map(|(_, class)| *class)
}

/// The class of a line that opens a block of trouble. `None` for every other line.
#[must_use]
pub fn of_headline(line: &str) -> Option<Class> {
    if let Some(rest) = after(line, "BUG: kernel NULL pointer dereference") {
        return Some(if rest.is_empty() || rest.starts_with(',') {
            Class::NullDeref
        } else {
            Class::Other
        });
    }
    // A page fault at an address too low for any mapping is the same bug with a member's offset.
    if let Some(address) = after(line, "BUG: unable to handle page fault for address:") {
        let low = u64::from_str_radix(address.trim(), 16).is_ok_and(|address| address < 0x1_0000);
        return Some(if low {
            Class::NullDeref
        } else {
            Class::BadAddress
        });
    }
    const ROWS: &[(&str, Class)] = &[
        ("BUG: unable to handle", Class::BadAddress),
        ("stack guard page was hit", Class::StackOverflow),
        ("kernel BUG at ", Class::Bug),
        ("general protection fault", Class::GeneralProtection),
        ("PANIC: double fault", Class::DoubleFault),
        ("BUG: soft lockup", Class::SoftLockup),
        ("hard LOCKUP on cpu", Class::HardLockup),
        ("detected stalls on CPUs", Class::RcuStall),
        ("self-detected stall on CPU", Class::RcuStall),
        ("invoked oom-killer", Class::Oom),
        ("divide error:", Class::Trap),
        ("invalid opcode:", Class::Trap),
        ("sysrq: Trigger a crash", Class::Sysrq),
    ];
    if let Some((_, class)) = ROWS.iter().find(|(text, _)| line.contains(text)) {
        return Some(*class);
    }
    if line.starts_with("WARNING: ") && line.contains(" at ") {
        return Some(Class::Warn);
    }
    if line.starts_with("INFO: task ") && line.contains(" blocked ") {
        return Some(Class::HungTask);
    }
    None
}

/// Whether a line is the counted header of an oops: `Oops: 0000 [#1] PREEMPT SMP`.
#[must_use]
pub fn is_oops_header(line: &str) -> bool {
    line.split_once("[#").is_some_and(|(head, tail)| {
        head.contains(": ")
            && tail
                .split_once(']')
                .is_some_and(|(n, _)| n.parse::<u32>().is_ok())
    })
}

fn after<'t>(line: &'t str, text: &str) -> Option<&'t str> {
    line.split_once(text).map(|(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_their_class() {
        for (line, class) in [
            (
                "Kernel panic - not syncing: sysrq triggered crash",
                Class::Sysrq,
            ),
            (
                "Kernel panic - not syncing: hung_task: blocked tasks",
                Class::HungTask,
            ),
            (
                "Kernel panic - not syncing: kernel: panic_on_warn set ...",
                Class::Warn,
            ),
            (
                "Kernel panic - not syncing: Out of memory: system-wide panic_on_oom is enabled",
                Class::Oom,
            ),
            (
                "Kernel panic - not syncing: Fatal machine check",
                Class::MachineCheck,
            ),
            (
                "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000009",
                Class::InitKilled,
            ),
        ] {
            assert_eq!(
                panic_message(line).and_then(of_message),
                Some(class),
                "{line}"
            );
        }
        assert_eq!(of_message("Fatal exception in interrupt"), None);
        assert_eq!(panic_message("Kernel is fine"), None);
    }

    #[test]
    fn headlines_name_their_class() {
        for (line, class) in [
            (
                "BUG: kernel NULL pointer dereference, address: 0000000000000018",
                Class::NullDeref,
            ),
            (
                "BUG: unable to handle page fault for address: 0000000000001000",
                Class::NullDeref,
            ),
            (
                "BUG: unable to handle page fault for address: ffffc900deadbeef",
                Class::BadAddress,
            ),
            ("kernel BUG at drivers/misc/lkdtm/bugs.c:99!", Class::Bug),
            (
                "Oops: general protection fault, probably for non-canonical address 0xdead: 0000 [#1]",
                Class::GeneralProtection,
            ),
            (
                "watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [sh:212]",
                Class::SoftLockup,
            ),
            (
                "INFO: task cat:99 blocked for more than 10 seconds.",
                Class::HungTask,
            ),
            (
                "WARNING: CPU: 1 PID: 3 at kernel/x.c:9 f+0x1/0x2",
                Class::Warn,
            ),
            (
                "BUG: TASK stack guard page was hit at 0000 (stack is 0..1)",
                Class::StackOverflow,
            ),
        ] {
            assert_eq!(of_headline(line), Some(class), "{line}");
        }
        assert_eq!(of_headline("EXT4-fs (vda): mounted filesystem"), None);
        assert!(is_oops_header("Oops: Oops: 0000 [#1] PREEMPT SMP NOPTI"));
        assert!(!is_oops_header("usb 1-1: port [#x] failed"));
    }
}
