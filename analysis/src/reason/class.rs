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
    /// KASAN: use after free, out of bounds, and the like.
    Kasan,
    /// KFENCE: the same, sampled.
    Kfence,
    /// KMSAN: memory that was never written, used or leaked.
    Kmsan,
    /// KCSAN: a data race.
    Kcsan,
    /// UBSAN: behaviour that C does not define.
    Ubsan,
    /// kmemleak: memory that nobody refers to.
    MemoryLeak,
    /// Locks, preemption or RCU used against their rules.
    Lockdep,
    /// Code that must not sleep did.
    AtomicSleep,
    /// A linked list was corrupt.
    ListCorruption,
    /// A reference count overflowed, underflowed or was used after free.
    Refcount,
    /// Slab debugging found a corrupt object.
    Slab,
    /// Page tables or page frames were corrupt.
    BadPage,
    /// A call through a pointer of the wrong type.
    Cfi,
    /// A buffer on the kernel's stack was overrun.
    StackCorruption,
    /// A workqueue made no progress.
    WorkqueueLockup,
    /// A watchdog device expired.
    Watchdog,
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
            Self::Kasan => "kasan",
            Self::Kfence => "kfence",
            Self::Kmsan => "kmsan",
            Self::Kcsan => "kcsan",
            Self::Ubsan => "ubsan",
            Self::MemoryLeak => "memory-leak",
            Self::Lockdep => "lockdep",
            Self::AtomicSleep => "atomic-sleep",
            Self::ListCorruption => "list-corruption",
            Self::Refcount => "refcount",
            Self::Slab => "slab",
            Self::BadPage => "bad-page",
            Self::Cfi => "cfi",
            Self::StackCorruption => "stack-corruption",
            Self::WorkqueueLockup => "workqueue-lockup",
            Self::Watchdog => "watchdog",
            Self::Other => "other",
        }
    }
}

/// The text behind `Kernel panic - not syncing: `.
#[must_use]
pub fn panic_message(line: &str) -> Option<&str> {
    // The last line of a panic repeats it.
    if line.contains("end Kernel panic") {
        return None;
    }
    let (_, message) = line.split_once("Kernel panic - not syncing: ")?;
    Some(message.trim())
}

/// Addresses too low for any mapping: a NULL pointer with a member's offset.
pub(super) const LOW: u64 = 0x1_0000;

/// The count of oopses in the header of one: `Oops: 0000 [#4] PREEMPT SMP`.
pub(super) fn oops_number(line: &str) -> Option<u32> {
    let (head, tail) = line.split_once("[#")?;
    let (number, _) = tail.split_once(']')?;
    number.parse().ok().filter(|_| !head.is_empty())
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

#[cfg(test)]
mod tests;
