//! A name for a crash that is the same for the same bug on every machine.
//!
//! Built from the class and the functions on the stack, without offsets, compiler suffixes, CPU,
//! task or addresses. Frames of the panic machinery itself are left out, so that the same bug gets
//! the same name whether the oops or panic() started the capture kernel.

use super::{Class, Location, Oops};
use sha2::{Digest, Sha256};

/// Frames that tell how the kernel died, not why.
const MACHINERY: &[&str] = &[
    "panic",
    "vpanic",
    "_printk",
    "dump_stack",
    "dump_stack_lvl",
    "show_stack",
    "show_regs",
    "__die",
    "__die_body",
    "die",
    "die_addr",
    "oops_end",
    "oops_begin",
    "no_context",
    "page_fault_oops",
    "kernelmode_fixup_or_oops",
    "__bad_area_nosemaphore",
    "bad_area_nosemaphore",
    "do_user_addr_fault",
    "do_kern_addr_fault",
    "exc_page_fault",
    "asm_exc_page_fault",
    "exc_invalid_op",
    "asm_exc_invalid_op",
    "handle_bug",
    "do_error_trap",
    "do_trap",
    "exc_general_protection",
    "asm_exc_general_protection",
    "exc_double_fault",
    "asm_exc_double_fault",
    "__warn",
    "report_bug",
    "check_panic_on_warn",
    "crash_kexec",
    "__crash_kexec",
    "machine_kexec",
    "crash_setup_regs",
    "crash_save_cpu",
    "native_machine_crash_shutdown",
    "machine_crash_shutdown",
    "nmi_panic",
    "unknown_nmi_error",
    "watchdog_overflow_callback",
    "watchdog_hardlockup_check",
    "__perf_event_overflow",
    "perf_event_overflow",
    "handle_pmi_common",
    "intel_pmu_handle_irq",
    "perf_event_nmi_handler",
    "nmi_handle",
    "default_do_nmi",
    "exc_nmi",
    "end_repeat_nmi",
    "asm_exc_nmi",
    "watchdog_timer_fn",
    "__hrtimer_run_queues",
    "hrtimer_interrupt",
    "__sysvec_apic_timer_interrupt",
    "sysvec_apic_timer_interrupt",
    "asm_sysvec_apic_timer_interrupt",
    "handle_stack_overflow",
    "panic_on_rcu_stall",
    "dump_header",
];

/// Frames of a task that waits: how it went to sleep, not what it wanted.
const WAITING: &[&str] = &[
    "__schedule",
    "schedule",
    "schedule_timeout",
    "schedule_preempt_disabled",
    "schedule_hrtimeout_range",
    "schedule_hrtimeout_range_clock",
    "io_schedule",
    "io_schedule_timeout",
    "__mutex_lock",
    "__mutex_lock_slowpath",
    "mutex_lock",
    "mutex_lock_killable",
    "mutex_lock_interruptible",
    "down",
    "__down",
    "__down_common",
    "down_read",
    "down_write",
    "down_read_killable",
    "down_write_killable",
    "rwsem_down_read_slowpath",
    "rwsem_down_write_slowpath",
    "rwsem_read_trylock",
    "__wait_for_common",
    "do_wait_for_common",
    "wait_for_common",
    "wait_for_completion",
    "wait_for_completion_timeout",
    "__wait_on_bit",
    "__wait_on_bit_lock",
    "out_of_line_wait_on_bit",
    "bit_wait",
    "bit_wait_io",
    "folio_wait_bit_common",
    "__folio_lock",
    "__lock_page",
];

/// Frames that count for the hash.
const DEPTH: usize = 5;

/// A function's name without what the compiler added: `f.isra.0.cold` is `f`.
#[must_use]
pub fn normalise(function: &str) -> &str {
    match function.find('.') {
        Some(0) | None => function,
        Some(dot) => function.get(..dot).unwrap_or(function),
    }
}

/// The frames that tell why, innermost first: where RIP stood, then the reliable frames of the trace.
fn frames(oops: &Oops) -> impl Iterator<Item = &Location> {
    oops.location
        .iter()
        .chain(oops.trace.iter().filter(|frame| frame.reliable))
        .filter(|frame| {
            let function = normalise(&frame.function);
            !MACHINERY.contains(&function) && !WAITING.contains(&function)
        })
}

/// The first frame outside the panic machinery.
#[must_use]
pub fn culprit(oops: &Oops) -> Option<&Location> {
    frames(oops).next()
}

/// `class:function:hash`. Without a stack the panic message stands in, numbers left out.
#[must_use]
pub fn of(class: Class, oops: &Oops, message: Option<&str>) -> String {
    let mut hash = Sha256::new();
    hash.update(class.name());
    let mut first = None;
    // Of a broken processor or memory no function is guilty.
    let depth = if class == Class::MachineCheck {
        0
    } else {
        DEPTH
    };
    for frame in frames(oops).take(depth) {
        let function = normalise(&frame.function);
        first.get_or_insert(function);
        hash.update(b"\0");
        hash.update(function);
        hash.update(b"\0");
        hash.update(frame.module.as_deref().unwrap_or_default());
    }
    if first.is_none() {
        let words: String = message
            .unwrap_or_default()
            .chars()
            .filter(|c| !c.is_ascii_digit())
            .collect();
        hash.update(words);
    }
    let digest = hash.finalize();
    let short: String = digest
        .iter()
        .take(3)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{}:{}:{short}", class.name(), first.unwrap_or("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oops(frames: &[&str]) -> Oops {
        Oops {
            trace: frames
                .iter()
                .filter_map(|text| Location::parse(text))
                .collect(),
            ..Oops::default()
        }
    }

    #[test]
    fn offsets_and_suffixes_do_not_count() {
        let one = oops(&["panic+0x1/0x2", "f.isra.0+0x10/0x20", "g+0x1/0x2 [m]"]);
        let two = oops(&[
            "oops_end+0x1/0x2",
            "f+0x18/0x40",
            "? stale+0x1/0x2",
            "g+0x9/0x9 [m]",
        ]);
        assert_eq!(of(Class::Bug, &one, None), of(Class::Bug, &two, None));
        assert_ne!(of(Class::Bug, &one, None), of(Class::NullDeref, &one, None));
        assert_ne!(
            of(Class::Bug, &one, None),
            of(Class::Bug, &oops(&["g+0x1/0x2 [m]"]), None)
        );
        assert_eq!(culprit(&one).unwrap().function, "f.isra.0");
    }

    #[test]
    fn without_frames_the_message_counts_without_numbers() {
        let none = Oops::default();
        let a = of(Class::Other, &none, Some("device 17 died"));
        assert_eq!(a, of(Class::Other, &none, Some("device 3 died")));
        assert!(a.starts_with("other:-:"));
    }
}
