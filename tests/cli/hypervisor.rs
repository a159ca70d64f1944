//! A guest that its hypervisor dumped: after a panic and while it ran, in both formats that QEMU writes,
//! with VMCOREINFO in a note and only in memory.

use crate::harness::{Machine, Run};
use synth::kernel::{Crash, Kernel};

/// What a verb answers about a guest that QEMU dumped so.
fn asked(crash: Crash, kdump: bool, device: bool, words: &[&str]) -> Run {
    let machine = Machine::empty();
    let core = Kernel::new(crash).by_qemu(kdump, device);
    std::fs::write(machine.path("guest.dump"), core).unwrap();
    machine.run_inside(&[words, &["guest.dump"]].concat())
}

/// Every kind of file.
const KINDS: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

#[test]
fn a_guest_that_panicked_has_its_reason() {
    for (kdump, device) in KINDS {
        let report = asked(Crash::Sysrq, kdump, device, &["report"]).stdout();
        assert!(
            report.contains("panicked after") && report.contains("in sysrq_handle_crash"),
            "{kdump} {device}: {report}"
        );
        let stack = asked(Crash::Sysrq, kdump, device, &["bt"]).stdout();
        assert!(
            stack.contains("sysrq_handle_crash"),
            "{kdump} {device}: {stack}"
        );
    }
}

#[test]
fn a_guest_that_ran_has_not_panicked_and_answers_all_the_same() {
    for (kdump, device) in KINDS {
        let report = asked(Crash::Running, kdump, device, &["report"]).stdout();
        assert!(
            report.contains("has not panicked") && !report.contains("panic\n"),
            "{kdump} {device}: {report}"
        );
        // One that is on a CPU waits for nothing yet.
        assert!(report.contains("blocked: writer-2 (4243)"), "{report}");
        assert!(!report.contains("blocked: writer (4242)"), "{report}");
        let log = asked(Crash::Running, kdump, device, &["dmesg"]).stdout();
        assert!(log.contains("device 1 is ready"), "{kdump} {device}: {log}");
        let tasks = asked(Crash::Running, kdump, device, &["ps"]).stdout();
        assert!(tasks.contains("4243"), "{kdump} {device}: {tasks}");
        let all = asked(Crash::Running, kdump, device, &["bt", "--all"]).stdout();
        assert!(all.contains("fdget_pos"), "{kdump} {device}: {all}");
    }
}
