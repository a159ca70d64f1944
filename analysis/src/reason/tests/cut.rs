//! Logs that were cut off or mixed up: the right answer, or one marked as unclear.

use super::*;

/// A report of KASAN, whole.
fn kasan() -> String {
    format!(
        "BUG: KASAN: slab-use-after-free in acme_use+0x12/0x340\nRead of size 8 at addr ffff888012345678 by task acmed/77\n\n{}\nAllocated by task 70:\n kasan_save_stack+0x1/0x2\n acme_new+0x1/0x2\n\nFreed by task 71:\n kasan_save_stack+0x1/0x2\n kfree+0x1/0x2\n acme_drop+0x1/0x2\n\nThe buggy address belongs to the object at ffff888012345600\n which belongs to the cache acme of size 128\nKernel panic - not syncing: KASAN: panic_on_warn set ...\n",
        trace(&[
            &at("dump_stack_lvl"),
            &at("kasan_report"),
            &at("acme_use"),
            &at("acme_run"),
            &at("vfs_write"),
            &at("do_syscall_64"),
            &at("entry_SYSCALL_64_after_hwframe"),
        ])
    )
}

/// A fault, whole.
fn oops() -> String {
    let text = fault(
        "BUG: unable to handle page fault for address: ffffc900deadbee8\nOops: Oops: 0000 [#1] SMP",
        "memcpy_orig",
        &[
            "acme_copy",
            "acme_run",
            "vfs_write",
            "do_syscall_64",
            "entry_SYSCALL_64_after_hwframe",
        ],
    );
    text + "Kernel panic - not syncing: Fatal exception\n"
}

/// Two locks in two orders.
fn lockdep() -> String {
    let below = trace(&[
        &at("dump_stack_lvl"),
        &at("print_circular_bug"),
        &at("__lock_acquire"),
        &at("lock_acquire"),
        &at("__mutex_lock"),
        &at("acme_back"),
        &at("kthread"),
        &at("ret_from_fork_asm"),
    ]);
    format!(
        "======================================================\nWARNING: possible circular locking dependency detected\n6.12.1-t #1 Not tainted\n------------------------------------------------------\nacmed/77 is trying to acquire lock:\nffff888 (&a->first){{+.+.}}-{{3:3}}, at: acme_back+0x12/0x340\n\nbut task is already holding lock:\nffff889 (&a->second){{+.+.}}-{{3:3}}, at: acme_back+0x2/0x340\n\nstack backtrace:\n{below}"
    )
}

#[test]
fn a_log_cut_off_anywhere_is_right_or_unclear() {
    for whole in [kasan(), oops(), lockdep()] {
        let right = reason(&whole);
        assert_ne!(right.trust.verdict, Verdict::Unclear, "{whole}");
        for end in 0..whole.len() {
            let cut = reason(&whole[..end]);
            if cut.trust.verdict == Verdict::Unclear {
                continue;
            }
            assert_eq!(
                (cut.class, &cut.culprit.as_ref().map(|at| &at.function)),
                (right.class, &right.culprit.as_ref().map(|at| &at.function)),
                "cut at {end}: {}\n{}",
                cut.trust.because,
                &whole[..end]
            );
        }
    }
}

#[test]
fn a_log_that_begins_in_the_middle_is_right_or_unclear() {
    for whole in [kasan(), oops(), lockdep()] {
        let right = reason(&whole).culprit.map(|at| at.function);
        for (start, _) in whole.match_indices('\n') {
            let cut = reason(&whole[start..]);
            let culprit = cut.culprit.map(|at| at.function);
            assert!(
                cut.trust.verdict == Verdict::Unclear || culprit.is_none() || culprit == right,
                "from {start}: {culprit:?}, {}\n{}",
                cut.trust.because,
                &whole[start..]
            );
        }
    }
}

#[test]
fn a_short_stack_that_is_closed_is_whole() {
    let closed = fault("divide error: 0000 [#1] SMP", "acme_rate", &["acme_run"]);
    for end in ["", "Kernel panic - not syncing: Fatal exception\n"] {
        let told = reason(&format!("{closed}{end}")).trust;
        assert_eq!(told.verdict, Verdict::Sure, "{}", told.because);
    }
    let open = closed.replace(" </TASK>\n", "");
    assert_eq!(reason(&open).trust.verdict, Verdict::Unclear);
    let ended = format!("{open}Kernel panic - not syncing: Fatal exception\n");
    assert_eq!(reason(&ended).trust.verdict, Verdict::Sure);
}

#[test]
fn missing_lines_are_doubts() {
    let says = |text: &str| {
        let told = reason(text).trust;
        assert_eq!(told.verdict, Verdict::Unclear, "{}\n{text}", told.because);
        told.because
    };
    for (text, because) in [
        (
            "Kernel panic - not syncing: hung_task: blocked tasks\nCall Trace:\n panic+0x1/0x2\n watchdog+0x1/0x2\n kthread+0x1/0x2\n".to_string(),
            "not in the log",
        ),
        (
            "Kernel panic - not syncing: Fatal exception\nCall Trace:\n panic+0x1/0x2\n oops_end+0x1/0x2\n acme_run+0x1/0x2\n".to_string(),
            "not in the log",
        ),
        (
            "INFO: Freed in acme_drop+0x1/0x2 age=6 cpu=0 pid=3\n kfree+0x1/0x2\n acme_drop+0x1/0x2\n acme_run+0x1/0x2\n kthread+0x1/0x2\n".to_string(),
            "beginning of the report",
        ),
        (
            kasan().replace("Read of size 8 at addr ffff888012345678 by task acmed/77\n", ""),
            "what was accessed",
        ),
        (
            kasan().replace("Freed by task 71:\n kasan_save_stack+0x1/0x2\n kfree+0x1/0x2\n acme_drop+0x1/0x2\n", "Freed by task 71:\n"),
            "has no frames",
        ),
    ] {
        let said = says(&text);
        assert!(said.contains(because), "{said}\n{text}");
    }
    // The kernel says itself that it has none.
    let without = kasan().replace(
        "Freed by task 71:\n kasan_save_stack+0x1/0x2\n kfree+0x1/0x2\n acme_drop+0x1/0x2\n",
        "Freed by task 0:\n(stack is not available)\n",
    );
    assert_eq!(reason(&without).trust.verdict, Verdict::Sure);
}

#[test]
fn reports_without_a_stack_by_nature_are_not_doubted_for_it() {
    let text = "WARNING: lock held when returning to user space!\n6.12.1-t #1 Not tainted\nacmed/77 is leaving the kernel with locks still held!\n1 lock held by acmed/77:\n #0: ffff888 (&a->lock){+.+.}-{3:3}, at: acme_open+0x1/0x2\n";
    let told = reason(text);
    assert_eq!(told.culprit.map(|at| at.function), Some("acme_open".into()));
    assert_eq!(
        told.trust.verdict,
        Verdict::Likely,
        "{}",
        told.trust.because
    );
}

#[test]
fn a_second_header_inside_the_trace_is_a_doubt_and_one_behind_it_is_none() {
    let whole = oops();
    let strange = "CPU: 0 UID: 0 PID: 99 Comm: other Not tainted 6.12.1-t #1\n";
    let inside = whole.replace(" acme_run+", &format!("{strange} acme_run+"));
    assert_eq!(reason(&inside).trust.verdict, Verdict::Unclear);
    let behind = whole.replace(" </TASK>\n", &format!(" </TASK>\n{strange}"));
    assert_eq!(reason(&behind).trust.verdict, Verdict::Likely);
}

/// A warning of an old kernel, whose trace holds the registers of the trap, with the panic it led to.
fn warning() -> String {
    let header = "WARNING: CPU: 1 PID: 77 at mm/slab_common.c:1012 kmalloc_slab+0x5d/0x70\nKernel panic - not syncing: panic_on_warn set ...\n\nCPU: 1 PID: 77 Comm: acmed Not tainted 4.16.0-t #1\nCall Trace:\n";
    let trap = " dump_stack+0x1/0x2\n panic+0x1/0x2\n __warn+0x1/0x2\n invalid_op+0x1/0x2\nRIP: 0010:kmalloc_slab+0x5d/0x70\nRSP: 0018:ffff8801972af8d0 EFLAGS: 00010246\nRAX: 0000000000000000 RBX: ffff880185ea5004\n";
    let below = " __kmalloc+0x1/0x2\n acme_fill+0x1/0x2\n acme_mount+0x1/0x2\n SyS_mount+0x1/0x2\n entry_SYSCALL_64+0x1/0x2\n";
    format!("{header}{trap}{below}")
}

#[test]
fn a_log_that_ends_in_the_registers_of_a_trap_is_a_doubt() {
    let whole = warning();
    let right = reason(&whole);
    assert_eq!(
        right.culprit.map(|at| at.function),
        Some("acme_fill".into())
    );
    assert_ne!(right.trust.verdict, Verdict::Unclear);
    let end = whole.find(" __kmalloc").unwrap();
    assert_eq!(reason(&whole[..end]).trust.verdict, Verdict::Unclear);
}

#[test]
fn a_failure_on_demand_inside_a_trace_is_a_doubt_and_one_behind_it_is_none() {
    let whole = warning();
    let strange = "FAULT_INJECTION: forcing a failure.\nname failslab, interval 1, probability 0\n";
    let inside = whole.replace(" __warn+", &format!("{strange} __warn+"));
    assert_eq!(reason(&inside).trust.verdict, Verdict::Unclear);
    let behind = format!("{whole}{strange}");
    assert_ne!(reason(&behind).trust.verdict, Verdict::Unclear);
}

#[test]
fn a_bad_page_without_its_owner_is_a_doubt() {
    let found = "BUG: Bad page state in process acmed  pfn:1b317b\npage dumped because: PAGE_FLAGS_CHECK_AT_FREE flag(s) set\n";
    let below = [
        at("bad_page"),
        at("acme_send"),
        at("entry_SYSCALL_64_after_hwframe"),
    ];
    let below = trace(&below.each_ref().map(String::as_str));
    let owner = "page last allocated via order 0, migratetype Unmovable, gfp_mask 0xcc0, pid 77\n post_alloc_hook+0x1/0x2\n acme_new+0x1/0x2\n acme_open+0x1/0x2\n";
    let whole = reason(&format!("{found}{owner}{below}"));
    assert_eq!(whole.culprit.map(|at| at.function), Some("acme_new".into()));
    assert_ne!(whole.trust.verdict, Verdict::Unclear);
    assert_eq!(
        reason(&format!("{found}{below}")).trust.verdict,
        Verdict::Unclear
    );
}
