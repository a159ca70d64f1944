//! Words that several parts of a report share: kinds of death, lengths of time.

use crate::reason::Class;

/// The kind of death as the report names it.
pub(super) fn class_words(class: Class) -> &'static str {
    match class {
        Class::Sysrq => "crash asked for through sysrq-c",
        Class::NullDeref => "NULL pointer dereference",
        Class::BadAddress => "page fault at a bad address",
        Class::GeneralProtection => "general protection fault",
        Class::Bug => "BUG: an assertion of the kernel failed",
        Class::Warn => "a warning",
        Class::HungTask => "a task hung",
        Class::SoftLockup => "soft lockup: a CPU did not schedule",
        Class::HardLockup => "hard lockup: a CPU did not take interrupts",
        Class::RcuStall => "RCU stall",
        Class::Oom => "out of memory",
        Class::DoubleFault => "double fault",
        Class::StackOverflow => "kernel stack overflow",
        Class::MachineCheck => "machine check: the hardware reported an error",
        Class::Nmi => "non-maskable interrupt",
        Class::InitKilled => "init died",
        Class::NoRoot => "no root filesystem or init to run",
        Class::Trap => "processor trap in kernel code",
        Class::Kasan => "KASAN: memory used that was freed or never allocated",
        Class::Kfence => "KFENCE: memory used that was freed or never allocated",
        Class::Kmsan => "KMSAN: memory used or leaked that was never written",
        Class::Kcsan => "KCSAN: two CPUs used the same data without a lock",
        Class::Ubsan => "UBSAN: an index, shift or sum out of range",
        Class::MemoryLeak => "memory leak",
        Class::Lockdep => "a lock, RCU or per-CPU data used against the rules",
        Class::AtomicSleep => "code slept where it must not",
        Class::ListCorruption => "a linked list is corrupt",
        Class::Refcount => "a reference count is wrong: an object was used after it was freed",
        Class::Slab => "a slab object is corrupt",
        Class::BadPage => "page tables or page frames are corrupt",
        Class::Cfi => "a call through a pointer of the wrong type",
        Class::StackCorruption => "a buffer on the kernel stack was overrun",
        Class::WorkqueueLockup => "a workqueue made no progress",
        Class::Watchdog => "a watchdog expired because nobody fed it",
        Class::Other => "panic",
    }
}

/// `41 days`, `3 hours`, `12 minutes`, `9 seconds`: the largest unit with at least two of it.
#[must_use]
pub fn duration(seconds: u64) -> String {
    for (unit, name) in [(86_400, "days"), (3_600, "hours"), (60, "minutes")] {
        if seconds / unit >= 2 {
            return format!("{} {name}", seconds / unit);
        }
    }
    format!("{seconds} seconds")
}

/// Bytes in the unit that leaves at most four digits: `312 MiB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut scale = 1_u64;
    while unit + 1 < UNITS.len() && bytes / scale >= 1024 {
        unit += 1;
        scale *= 1024;
    }
    let name = UNITS.get(unit).copied().unwrap_or("B");
    let (whole, tenths) = (bytes / scale, bytes % scale * 10 / scale);
    if unit == 0 || whole >= 100 {
        format!("{whole} {name}")
    } else {
        format!("{whole}.{tenths} {name}")
    }
}

/// A number with its thousands apart: `412,903`.
#[must_use]
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{count, size};

    #[test]
    fn numbers_read_well() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(412_903), "412,903");
        assert_eq!(count(1_000_000), "1,000,000");
    }

    #[test]
    fn sizes_read_well() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(312 << 20), "312 MiB");
        assert_eq!(size(5 << 40), "5.0 TiB");
        assert_eq!(size(u64::MAX), "16777215 TiB");
    }
}
