//! Lines of others between those of a report, and interrupts on top of one another.

use super::{answer, reason};

#[test]
fn what_programs_print_does_not_end_a_trace() {
    let mut text = "[    1.000000] BUG: KASAN: slab-out-of-bounds in memcmp+0x1/0x2\n[    1.000001] Read of size 1 at addr ffff888000000000 by task acmed/7\n[    1.000002] CPU: 0 PID: 7 Comm: acmed Not tainted 6.12.1 #1\n[    1.000003] Call Trace:\n[    1.000004]  dump_stack+0x1/0x2\n".to_string();
    for i in 0..40 {
        text += &format!("acmed: request {i} of the day\n");
    }
    text += "[    1.000005]  kasan_report+0x1/0x2\n[    1.000006]  memcmp+0x1/0x2\n[    1.000007]  acme_match+0x1/0x2\n[    1.000008]  acme_find+0x1/0x2\n[    1.000009]  entry_SYSCALL_64+0x1/0x2\n";
    assert_eq!(answer(&text), ("kasan", "acme_match".to_string()));
    // Without times nobody can tell.
    let bare: String = text
        .lines()
        .map(|line| {
            line.split_once("] ")
                .map_or(line, |(_, rest)| rest)
                .to_string()
                + "\n"
        })
        .collect();
    assert_eq!(reason(&bare).culprit, None);
}

#[test]
fn a_remark_in_one_line_does_not_end_a_trace() {
    let text = "INFO: task acmed:7 blocked for more than 120 seconds.\n      Not tainted 6.12.1 #1\ntask:acmed           state:D stack:0     pid:7\nCall Trace:\n schedule+0x1/0x2\nunregister_netdevice: waiting for lo to become free. Usage count = 6\n schedule_preempt_disabled+0x1/0x2\n mutex_lock_nested+0x1/0x2\n acme_clone+0x1/0x2\n";
    assert_eq!(answer(text), ("hung-task", "acme_clone".to_string()));
}

#[test]
fn a_task_whose_name_holds_a_line_break_hung() {
    let text = "INFO: task a\nb:77 blocked for more than 143 seconds.\n      Tainted: G             L      6.12.1 #0\ntask:a\nb state:D stack:25960 pid:77 tgid:77 ppid:1\nCall Trace:\n <TASK>\n __schedule+0x1/0x2\n schedule+0x1/0x2\n acme_close+0x1/0x2\n acme_create+0x1/0x2\n </TASK>\n";
    assert_eq!(answer(text), ("hung-task", "acme_close".to_string()));
}

#[test]
fn the_tick_is_on_top_of_the_interrupt_that_is_busy() {
    let below = "\
 <IRQ>
 acme_rx+0x1/0x2
 tasklet_action_common+0x1/0x2
 __do_softirq+0x1/0x2
 irq_exit_rcu+0x1/0x2
 sysvec_apic_timer_interrupt+0x1/0x2
 </IRQ>
 <TASK>
 asm_sysvec_apic_timer_interrupt+0x1/0x2
RIP: 0010:other_task+0x1/0x2
 other_caller+0x1/0x2
 </TASK>
";
    let header = "CPU: 1 PID: 77 Comm: acmed Not tainted 6.12.1 #1\n";
    // The registers of the softirq stand before the trace.
    let soft = format!(
        "watchdog: BUG: soft lockup - CPU#1 stuck for 134s! [acmed:77]\n{header}RIP: 0010:acme_hash+0x1/0x2\nCall Trace:\n{below}"
    );
    assert_eq!(answer(&soft), ("soft-lockup", "acme_hash".to_string()));
    // The frames of the tick stand before those of the softirq.
    let rcu = format!(
        "rcu: INFO: rcu_preempt self-detected stall on CPU\n{header}Call Trace:\n <IRQ>\n rcu_sched_clock_irq+0x1/0x2\n update_process_times+0x1/0x2\n hrtimer_interrupt+0x1/0x2\n __sysvec_apic_timer_interrupt+0x1/0x2\n sysvec_apic_timer_interrupt+0x1/0x2\n asm_sysvec_apic_timer_interrupt+0x1/0x2\n acme_hash+0x1/0x2\n{}",
        below
            .replace(" <IRQ>\n", "")
            .replace("RIP: 0010:other_task+0x1/0x2\n", "")
    );
    assert_eq!(answer(&rcu), ("rcu-stall", "acme_hash".to_string()));
}

#[test]
fn powerpc_names_what_an_exception_interrupted() {
    let text = "WARNING: CPU: 1 PID: 7 at arch/powerpc/acme.c:79 acme_assert+0x1/0x2\nKernel panic - not syncing: panic_on_warn set ...\nCPU: 1 PID: 7 Comm: acmed Not tainted 6.12.1 #7\nCall Trace:\n[c000000000000800] [c00000000135c19c] dump_stack+0x1/0x2 (unreliable)\n[c000000000000860] [c00000000016ab98] panic+0x1/0x2\n[c0000000000009a0] [c00000000135a500] report_bug+0x1/0x2\n[c000000000000a40] [c0000000000392d4] program_check_exception+0x1/0x2\n[c000000000000ac0] [c0000000000090a4] program_check_common+0x1/0x2\n--- interrupt: 700 at acme_assert+0x1/0x2\n    LR = acme_insert+0x1/0x2\n[c000000000000df0] [c00000000009651c] acme_fault+0x1/0x2\n[c000000000000e20] [c0000000000088f8] data_access_slb_common+0x1/0x2\n";
    assert_eq!(answer(text), ("warn", "acme_assert".to_string()));
}

#[test]
fn a_warning_of_which_only_the_headline_is_left_names_its_function() {
    let text = "WARNING: CPU: 1 PID: 7 at drivers/acme/a.c:79 acme_check+0x1/0x2 [acme]\n";
    let told = reason(text);
    assert_eq!(told.culprit.unwrap().function, "acme_check");
    assert_eq!(told.trust.verdict, super::super::trust::Verdict::Unclear);
}
