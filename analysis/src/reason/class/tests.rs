//! Lines of logs and the class that they prove.

use super::*;
use crate::reason::explain::refine;
use crate::reason::shapes;

/// The class that panic()'s own message names, where it names one itself.
fn of_message(message: &str) -> Option<Class> {
    match shapes::refers(message) {
        Some(_) => None,
        None => shapes::of_message(message).map(|shape| shape.class),
    }
}

/// The class of a line that opens a report.
fn of_headline(line: &str) -> Option<Class> {
    shapes::of_line(line).map(|shape| refine(shape.class, line))
}

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
