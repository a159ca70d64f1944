//! The log of a core, and what the stack in memory adds.

use super::super::*;

fn log(text: &str) -> Vec<Line> {
    text.lines()
        .map(|text| Line {
            text: text.to_string(),
            ..Line::default()
        })
        .collect()
}

#[test]
fn sysrq_is_told_by_its_message() {
    let reason = Reason::from_log(&log("\
sysrq: Trigger a crash
Kernel panic - not syncing: sysrq triggered crash
CPU: 1 UID: 0 PID: 1 Comm: init Not tainted 6.12.1 #1
Call Trace:
 <TASK>
 panic+0x367/0x38a
 sysrq_handle_crash+0x1a/0x20
 __handle_sysrq.cold+0xa0/0xdf
 </TASK>
"));
    assert_eq!(reason.class, Class::Sysrq);
    assert_eq!(reason.culprit.unwrap().function, "sysrq_handle_crash");
    assert!(reason.signature.starts_with("sysrq:sysrq_handle_crash:"));
    assert_eq!(reason.first_line, 0);
}

#[test]
fn an_oops_without_a_panic_line_is_found() {
    let reason = Reason::from_log(&log("\
WARNING: CPU: 0 PID: 9 at kernel/x.c:1 warned+0x1/0x2
---[ end trace 0000000000000000 ]---
BUG: kernel NULL pointer dereference, address: 0000000000000018
#PF: supervisor write access in kernel mode
Oops: Oops: 0002 [#1] PREEMPT SMP NOPTI
CPU: 0 UID: 0 PID: 77 Comm: a b Tainted: G        W          6.12.1 #1
RIP: 0010:fall+0x4/0x10
"));
    assert_eq!(reason.class, Class::NullDeref);
    assert_eq!(reason.address.as_deref(), Some("0x18"));
    assert_eq!(reason.oops.comm.as_deref(), Some("a b"));
    assert_eq!(reason.culprit.unwrap().function, "fall");
    assert_eq!(reason.first_line, 2);
}

#[test]
fn a_stack_overflow_has_the_address_of_the_register() {
    let reason = Reason::from_log(&log("\
BUG: TASK stack guard page was hit at 0000000059505698 (stack is 00000000aa..00000000bb)
Oops: stack guard page: 0000 [#1] PREEMPT SMP NOPTI
RIP: 0010:acme_recurse+0x2e/0x45 [acme]
CR2: ffffb0c00000fff8 CR3: 0000000003e2c000 CR4: 00000000000006f0
"));
    assert_eq!(reason.class, Class::StackOverflow);
    assert_eq!(reason.address.as_deref(), Some("0xffffb0c00000fff8"));
}

#[test]
fn a_hung_task_is_named_with_what_it_wanted() {
    let reason = Reason::from_log(&log("\
INFO: task acme:forth:212 blocked for more than 4 seconds.
  Tainted: G           OE      6.12.1 #1
task:acme:forth      state:D stack:0     pid:212   tgid:212   ppid:2
Call Trace:
 <TASK>
 __schedule+0x3e2/0xb10
 schedule+0x27/0xf0
 schedule_preempt_disabled+0x15/0x30
 __mutex_lock.constprop.0+0x2d0/0x620
 acme_forth+0x30/0x60 [acme]
 kthread+0xd2/0x100
 </TASK>
Kernel panic - not syncing: hung_task: blocked tasks
CPU: 0 UID: 0 PID: 30 Comm: khungtaskd Tainted: G           OE      6.12.1 #1
Call Trace:
 <TASK>
 panic+0x118/0x2d0
 </TASK>
"));
    assert_eq!(reason.class, Class::HungTask);
    assert_eq!(reason.culprit.unwrap().function, "acme_forth");
    let oops = &reason.oops;
    assert_eq!(
        (oops.comm.as_deref(), oops.pid),
        (Some("acme:forth"), Some(212))
    );
    assert!(reason.signature.starts_with("hung-task:acme_forth:"));
}

#[test]
fn a_hung_tasks_own_stack_says_what_the_log_only_guesses() {
    let mut reason = Reason::from_log(&log("\
INFO: task b:7 blocked for more than 10 seconds.
Call Trace:
 <TASK>
 __schedule+0x3e2/0xb10
 __mutex_lock.constprop.0+0x2d0/0x620
 ? acme_back+0x30/0x60 [acme]
 </TASK>
Kernel panic - not syncing: hung_task: blocked tasks
"));
    assert_eq!(reason.culprit, None);
    let frames = [
        "__schedule+0x1/0x2",
        "acme_back+0x3/0x4 [acme]",
        "kthread+0x1/0x2",
    ];
    let stack: Vec<Location> = frames.iter().filter_map(|t| Location::parse(t)).collect();
    reason.refine_hung(stack.clone());
    assert!(reason.signature.starts_with("hung-task:acme_back:"));
    let known = reason.clone();
    reason.refine_hung(stack.into_iter().skip(2).collect());
    assert_eq!(reason, known, "what is known stays");
}

#[test]
fn a_log_without_trouble_is_other() {
    let reason = Reason::from_log(&log("one\ntwo\n"));
    assert_eq!(
        (reason.class, reason.message, reason.headline),
        (Class::Other, None, None)
    );
    assert_eq!(Reason::from_log(&[]).class, Class::Other);
}

#[test]
fn the_stack_speaks_where_the_log_does_not() {
    let frames = [
        "__crash_kexec+0x1/0x2",
        "panic+0x1/0x2",
        "acme_stop+0x7/0x9 [acme]",
    ];
    let stack: Vec<Location> = frames
        .iter()
        .filter_map(|text| Location::parse(text))
        .collect();
    let mut reason = Reason::from_log(&log("Kernel panic - not syncing: acme: gone"));
    reason.refine(&stack);
    assert!(
        reason.signature.starts_with("other:acme_stop:"),
        "{}",
        reason.signature
    );
    let told = "Oops: 0000 [#1] SMP\nRIP: 0010:fall+0x4/0x10\nCall Trace:\n ? stale+0x1/0x2\n";
    let mut reason = Reason::from_log(&log(told));
    let before = reason.clone();
    reason.refine(&stack);
    assert_eq!(
        reason, before,
        "the stack knows nothing of the place of the fault"
    );
    let frames = ["die+0x1/0x2", "fall+0x4/0x10", "caller+0x3/0x9"];
    let stack: Vec<Location> = frames
        .iter()
        .filter_map(|text| Location::parse(text))
        .collect();
    reason.refine(&stack);
    assert_eq!(reason.oops.trace.len(), 1);
    assert_eq!(reason.oops.trace[0].function, "caller");
    let mut told = Reason::from_log(&log(&told.replace("? stale", "sure")));
    let mut before = told.clone();
    told.refine(&stack);
    before.trust = Trust::agreed();
    assert_eq!(told, before, "a trace that the log is sure of stays");
}

#[test]
fn a_call_that_never_returns_is_named_by_the_stack_in_the_core() {
    // The call of panic is the last instruction of acme_stop; what follows it in memory is acme_other.
    let told = "\
Kernel panic - not syncing: acme: gone
Call Trace:
[<ffffffff80066214>] panic+0x11a/0x35a
[<ffffffff806f7f90>] acme_other+0x0/0x7e
[<ffffffff806f864c>] acme_poll+0xa4/0x188
";
    let mut reason = Reason::from_log(&log(told));
    assert!(reason.signature.starts_with("other:acme_other:"));
    let frames = [
        "panic+0x350/0x35a",
        "acme_stop+0x20/0x20",
        "acme_poll+0xa4/0x188",
    ];
    let stack: Vec<Location> = frames.iter().filter_map(|t| Location::parse(t)).collect();
    reason.refine(&stack);
    assert!(
        reason.signature.starts_with("other:acme_stop:"),
        "{}",
        reason.signature
    );
    assert_eq!(
        reason.culprit.map(|at| at.function).as_deref(),
        Some("acme_stop")
    );
    // A stack with another caller tells nothing.
    let mut reason = Reason::from_log(&log(told));
    let before = reason.clone();
    reason.refine(&stack[..2]);
    assert_eq!(reason, before);
}

#[test]
fn the_bug_headline_wins_over_its_trap() {
    let reason = Reason::from_log(&log("\
kernel BUG at fs/x.c:9!
Oops: invalid opcode: 0000 [#1] PREEMPT SMP NOPTI
RIP: 0010:boom+0x4/0x10
Kernel panic - not syncing: Fatal exception
"));
    assert_eq!(reason.class, Class::Bug);
    assert_eq!(reason.message.as_deref(), Some("Fatal exception"));
}

/// The headline of a hard lockup that CPU 1 noticed, and its own stack below the panic.
const NOTICED: &str = "\
Kernel panic - not syncing: Hard LOCKUP
CPU: 1 UID: 0 PID: 812 Comm: reader Tainted: G           OE      6.12.1-t #1
Call trace:
 dump_backtrace+0xd8/0x130
 panic+0x160/0x378
 nmi_panic+0x88/0x90
 watchdog_hardlockup_check+0x1d4/0x240
 watchdog_buddy_check_hardlockup+0x60/0x80
 watchdog_timer_fn+0x8c/0x2b0
 __hrtimer_run_queues+0x134/0x2a0
 el1_interrupt+0x34/0x58
 el1h_64_irq_handler+0x18/0x30
 el1h_64_irq+0x64/0x68
 reader_checksum+0x34/0xe8
 reader_loop+0x280/0x2e0
";

#[test]
fn who_notices_a_hard_lockup_is_not_to_blame_for_it() {
    let silent = format!(
        "watchdog: Watchdog detected hard LOCKUP on cpu 0\nSending NMI from CPU 1 to CPUs 0:\n{NOTICED}"
    );
    let mut reason = Reason::from_log(&log(&silent));
    assert_eq!(reason.class, Class::HardLockup);
    assert_eq!(reason.culprit, None);
    assert_eq!((reason.oops.cpu, &reason.oops.comm), (None, &None));
    assert_eq!(reason.oops.tainted.as_deref(), Some("G OE"));
    assert_eq!(reason.trust.verdict, Verdict::Unclear);
    assert!(!reason.signature.contains("reader"), "{}", reason.signature);
    assert_eq!(reason.silent_cpu(), Some(0));
    let known = reason.signature.clone();
    let stack: Vec<Location> = Location::parse("acme_spin+0x1/0x2").into_iter().collect();
    reason.refine_silent(0, (77, "acmed"), stack);
    assert_eq!(reason.oops.pid, Some(77));
    assert_eq!(reason.signature, known, "a guess does not tell bugs apart");

    // One that answered, and one that found itself.
    let answered = format!(
        "watchdog: Watchdog detected hard LOCKUP on cpu 0\nSending NMI from CPU 1 to CPUs 0:\n\
         NMI backtrace for cpu 0\nCPU: 0 UID: 0 PID: 77 Comm: acmed Tainted: G  OE  6.12.1-t #1\n\
         pc : acme_spin+0x1/0x2\nCall trace:\n acme_spin+0x1/0x2\n acme_loop+0x1/0x2\n{NOTICED}"
    );
    let own = "watchdog: Watchdog detected hard LOCKUP on cpu 0\n\
         CPU: 0 UID: 0 PID: 77 Comm: acmed Tainted: G  OE  6.12.1-t #1\n\
         RIP: 0010:acme_spin+0x1/0x2\nCall Trace:\n <TASK>\n acme_loop+0x1/0x2\n </TASK>\n\
         Kernel panic - not syncing: Hard LOCKUP\n";
    for text in [answered.as_str(), own] {
        let reason = Reason::from_log(&log(text));
        assert_eq!(reason.class, Class::HardLockup);
        assert_eq!(reason.culprit.unwrap().function, "acme_spin", "{text}");
    }
}
