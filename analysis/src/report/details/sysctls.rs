//! Settings of the kernel that decide when it panics, what it does then, and how it uses memory: the
//! variables behind files in /proc/sys.
//!
//! Facts: kernel/{panic,hung_task,watchdog,sysctl}.c, kernel/rcu/update.c, drivers/tty/sysrq.c,
//! mm/{oom_kill,vmscan,util,page_alloc,page-writeback}.c, 5.10 to 7.2. A variable that a kernel does not
//! have, or whose name it does not tell (CONFIG_KALLSYMS_ALL), leaves no row.

use serde::{Deserialize, Serialize};
use vmcore::kernel::Kernel;

/// One setting.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sysctl {
    /// Its name for sysctl(8).
    pub name: String,
    /// Its value.
    pub value: i64,
}

/// How wide a variable is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    /// `int`, `unsigned int`.
    Int,
    /// `long`, `unsigned long`.
    Long,
}
use Type::{Int, Long};

/// Names, variables and types.
const TABLE: &[(&str, &str, Type)] = &[
    ("kernel.panic", "panic_timeout", Int),
    ("kernel.panic_on_oops", "panic_on_oops", Int),
    ("kernel.panic_on_warn", "panic_on_warn", Int),
    (
        "kernel.panic_on_rcu_stall",
        "sysctl_panic_on_rcu_stall",
        Int,
    ),
    (
        "kernel.panic_on_unrecovered_nmi",
        "panic_on_unrecovered_nmi",
        Int,
    ),
    ("kernel.panic_on_io_nmi", "panic_on_io_nmi", Int),
    ("kernel.unknown_nmi_panic", "unknown_nmi_panic", Int),
    ("kernel.panic_print", "panic_print", Long),
    ("kernel.hung_task_panic", "sysctl_hung_task_panic", Int),
    (
        "kernel.hung_task_timeout_secs",
        "sysctl_hung_task_timeout_secs",
        Long,
    ),
    ("kernel.softlockup_panic", "softlockup_panic", Int),
    ("kernel.hardlockup_panic", "hardlockup_panic", Int),
    ("kernel.watchdog_thresh", "watchdog_thresh", Int),
    ("kernel.sysrq", "sysrq_enabled", Int),
    ("kernel.tainted", "tainted_mask", Long),
    ("kernel.randomize_va_space", "randomize_va_space", Int),
    ("kernel.kptr_restrict", "kptr_restrict", Int),
    ("kernel.dmesg_restrict", "dmesg_restrict", Int),
    ("kernel.threads-max", "max_threads", Int),
    ("vm.panic_on_oom", "sysctl_panic_on_oom", Int),
    (
        "vm.oom_kill_allocating_task",
        "sysctl_oom_kill_allocating_task",
        Int,
    ),
    ("vm.overcommit_memory", "sysctl_overcommit_memory", Int),
    ("vm.overcommit_ratio", "sysctl_overcommit_ratio", Int),
    ("vm.min_free_kbytes", "min_free_kbytes", Int),
    ("vm.swappiness", "vm_swappiness", Int),
    ("vm.dirty_ratio", "vm_dirty_ratio", Int),
    ("vm.dirty_background_ratio", "dirty_background_ratio", Int),
];

/// The settings that can be read.
pub(super) fn read(kernel: &Kernel) -> Vec<Sysctl> {
    let rows = TABLE.iter().filter_map(|(name, variable, width)| {
        let at = kernel.symbol(variable).ok()?;
        let value = match width {
            Int => i64::from(kernel.read_i32(at).ok()?),
            Long => kernel.read_u64(at).ok()?.cast_signed(),
        };
        Some(Sysctl {
            name: (*name).to_owned(),
            value,
        })
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toy;
    use synth::kernel::TEXT;
    use synth::ram::Ram;

    #[test]
    fn a_setting_is_as_wide_as_its_variable() {
        let mut ram = Ram::new(4, 0);
        let at = TEXT + 0x80_0000;
        ram.map(at, ram.image_pa(at), 12);
        ram.put_image(at, &(-5_i32).to_le_bytes());
        ram.put_image(at + 4, &0x7777_7777_u32.to_le_bytes());
        ram.put_image64(at + 8, 1 << 40 | 1 << 12);
        ram.line(&format!("SYMBOL(panic_timeout)={at:x}"));
        ram.line(&format!("SYMBOL(tainted_mask)={:x}", at + 8));
        // Its page is not in the dump.
        ram.line(&format!("SYMBOL(vm_swappiness)={:x}", at + 0x10_0000));
        let rows: Vec<_> = read(&toy::kernel(&ram))
            .into_iter()
            .map(|row| (row.name, row.value))
            .collect();
        let expected = [("kernel.panic", -5), ("kernel.tainted", 1 << 40 | 1 << 12)];
        assert_eq!(rows, expected.map(|(name, value)| (name.to_owned(), value)));
    }
}
