//! Wordings that are rare, or of one architecture: each becomes its class, and its culprit stands where
//! the kernel puts it.

use super::*;

#[test]
fn rare_headlines_have_their_class_and_place() {
    let below = trace(&[&at("dump_stack_lvl"), &at("acme_use"), &at("acme_run")]);
    for (head, class, culprit) in [
        (
            "BUG: scheduling in a non-blocking section: acmed/77/1",
            "atomic-sleep",
            "acme_use",
        ),
        ("BUG: mempool element poison mismatch", "slab", "acme_use"),
        (
            "BUG: using __this_cpu_add() in preemptible [00000000] code: acmed/77",
            "lockdep",
            "acme_use",
        ),
        (
            "BUG: spinlock already unlocked on CPU#1, acmed/77",
            "lockdep",
            "acme_use",
        ),
        (
            "Missing ENDBR: acme_hook+0x0/0x20 [acme]\nkernel BUG at arch/x86/kernel/cet.c:132!",
            "cfi",
            "acme_hook",
        ),
        (
            "BUG: workqueue leaked atomic, lock or RCU: kworker/1:2[77]\n     preempt=0x00000001 lock=0->0 RCU=0->1 workfn=acme_tick",
            "lockdep",
            "acme_tick",
        ),
        (
            "Bad pagetable: 000f [#1] SMP\nRIP: 0010:acme_map+0x1/0x2",
            "trap",
            "acme_map",
        ),
        (
            "Kernel bug detected[#1]:\nepc   : 80123456 acme_check+0x1/0x2",
            "bug",
            "acme_check",
        ),
        (
            "Internal error: Oops - CFI: 00000000f2008228 [#1] PREEMPT SMP\npc : acme_call+0x1/0x2",
            "cfi",
            "acme_call",
        ),
        (
            "Internal error: Oops - BTI: 0000000036000002 [#1] PREEMPT SMP\npc : acme_jump+0x1/0x2",
            "trap",
            "acme_jump",
        ),
        (
            "Alignment trap: not handling instruction e1923f9f at [<80123456>]\nInternal error: : 1 [#1] SMP ARM\nPC is at acme_read+0x1/0x2",
            "trap",
            "acme_read",
        ),
    ] {
        assert_eq!(
            answer(&format!("{head}\n{below}")),
            (class, culprit.to_string()),
            "{head}"
        );
    }
}

#[test]
fn a_message_alone_has_its_class_and_blames_nobody() {
    for (message, class) in [
        ("Watchdog Timeout", "watchdog"),
        ("pre-timeout", "watchdog"),
        ("Software Watchdog Timer expired", "watchdog"),
        ("System Reset", "nmi"),
        ("EDAC: PCI Parity Error", "machine-check"),
        ("UE page 0x12 on DIMM_A1", "machine-check"),
        ("Memory failure on page 12ab", "machine-check"),
        ("MCA architectural violation!", "machine-check"),
    ] {
        let text = format!(
            "Kernel panic - not syncing: {message}\n{}",
            trace(&[&at("panic"), &at("acme_loop")])
        );
        assert_eq!(answer(&text), (class, "-".into()), "{message}");
    }
    for message in [
        "Kernel stack overflow",
        "IRQ stack guard hit",
        "Corrupt kernel stack, can't continue.",
    ] {
        let text = format!("Kernel panic - not syncing: {message}\n");
        assert_eq!(answer(&text).0, "stack-overflow", "{message}");
    }
}

#[test]
fn tasks_that_hold_up_tasks_rcu_are_the_stalled_ones() {
    let text = format!(
        "rcu: INFO: rcu_tasks_trace detected stalls on tasks:\nP77: ..\ntask:acmed           state:D stack:0     pid:77\n{}",
        trace(&[
            &at("__schedule"),
            &at("schedule"),
            &at("acme_wait"),
            &at("acme_run")
        ])
    );
    assert_eq!(answer(&text), ("rcu-stall", "acme_wait".into()));
    let text = format!(
        "INFO: task acmed:77 blocked in I/O wait for more than 122 seconds.\n{}",
        trace(&[&at("__schedule"), &at("io_schedule"), &at("acme_flush")])
    );
    assert_eq!(answer(&text), ("hung-task", "acme_flush".into()));
    assert_eq!(reason(&text).oops.pid, Some(77));
}

#[test]
fn the_function_that_a_sanitizer_names_is_no_helper_for_being_common() {
    for name in [
        "skb_release_data",
        "mod_memcg_state",
        "save_stack_trace",
        "free_netdev",
    ] {
        let text = format!(
            "BUG: KASAN: slab-use-after-free in {name}+0x12/0x340\nRead of size 8 at addr ffff888012345678 by task acmed/77\n\n{}",
            trace(&[&at("kasan_report"), &at(name), &at("acme_run")])
        );
        assert_eq!(answer(&text), ("kasan", name.to_string()));
    }
}

#[test]
fn a_panic_without_words_of_its_own_means_the_report_before_it() {
    let warning = fault(
        "WARNING: CPU: 1 PID: 77 at drivers/acme/a.c:9 acme_check+0x1/0x2",
        "acme_check",
        &["acme_run"],
    );
    for message in [
        "panic_on_taint set ...",
        "kernel: system warned too often (kernel.warn_limit is 4)",
    ] {
        let text = format!("{warning}Kernel panic - not syncing: {message}\n");
        assert_eq!(answer(&text), ("warn", "acme_check".into()), "{message}");
    }
    let text = format!(
        "{}Kernel panic - not syncing: Aiee, killing interrupt handler!\n",
        fault("divide error: 0000 [#1] SMP", "acme_rate", &["acme_run"])
    );
    assert_eq!(answer(&text), ("trap", "acme_rate".into()));
}

#[test]
fn a_lock_with_a_wrong_state_is_the_cause_of_the_fault_behind_it() {
    let lock = format!(
        "WARNING: Nested lock was not taken\n6.12.1 #1 Not tainted\nacmed/77 is trying to lock:\nffff8880 (&acme->lock){{+.+.}}-{{3:3}}, at: acme_pair+0x1/0x2\n{}",
        trace(&[
            &at("dump_stack_lvl"),
            &at("__lock_acquire"),
            &at("acme_pair")
        ])
    );
    let oops = fault(
        "BUG: unable to handle page fault for address: ffffc900deadbee8\nOops: Oops: 0000 [#1] SMP",
        "acme_next",
        &["acme_run"],
    );
    let end = "Kernel panic - not syncing: Fatal exception\n";
    assert_eq!(
        answer(&format!("{lock}{oops}{end}")),
        ("lockdep", "acme_pair".into())
    );
    // Another task's fault has nothing to do with it.
    let other = oops.replace("PID: 77", "PID: 99");
    assert_eq!(
        answer(&format!("{lock}{other}{end}")),
        ("bad-address", "acme_next".into())
    );
}

#[test]
fn notes_with_a_stack_are_the_reason_only_where_there_is_no_other() {
    let note = format!(
        "acmed: page allocation failure: order:4, mode:0xcc0(GFP_KERNEL)\n{}",
        trace(&[&at("warn_alloc"), &at("acme_grow")])
    );
    assert_eq!(answer(&note), ("oom", "-".into()));
    let oops = fault("divide error: 0000 [#1] SMP", "acme_rate", &["acme_run"]);
    assert_eq!(
        answer(&format!("{note}{oops}")),
        ("trap", "acme_rate".into())
    );
    assert_eq!(
        answer("unregister_netdevice: waiting for acme0 to become free. Usage count = 2\n"),
        ("refcount", "-".into())
    );
}

#[test]
fn a_stuck_pool_of_workers_is_the_work_item_in_it() {
    let lockup = [
        "BUG: workqueue lockup - pool cpus=1 node=0 flags=0x0 nice=0 stuck for 183s!",
        "Showing busy workqueues and worker pools:",
        "workqueue events: flags=0x0",
        "  pwq 2: cpus=0 node=0 flags=0x0 nice=0 active=1 refcnt=2",
        "    in-flight: 40:acme_quick",
        "  pwq 6: cpus=1 node=0 flags=0x0 nice=0 active=2 refcnt=3",
        "    in-flight: 812:acme_stats_work [acme_stats] ,813:acme_other",
        "    pending: vmstat_shepherd",
    ];
    let ends = [
        "kernel BUG at kernel/workqueue.c:7366!\nOops: invalid opcode: 0000 [#1] SMP\n\
         RIP: 0010:wq_watchdog_timer_fn+0x1/0x2\nKernel panic - not syncing: Fatal exception in interrupt",
        "Kernel panic - not syncing: workqueue: 1 stall(s) exceeded threshold 1",
    ];
    for end in ends {
        let reason = reason(&format!("{}\n{end}", lockup.join("\n")));
        assert_eq!(reason.class.name(), "workqueue-lockup", "{end}");
        let culprit = reason.culprit.unwrap();
        assert_eq!(culprit.function, "acme_stats_work");
        assert_eq!(culprit.module.as_deref(), Some("acme_stats"));
    }
    let idle = reason(&lockup[..4].join("\n"));
    assert_eq!(idle.culprit, None, "no work item of that pool is shown");
}

#[test]
fn an_nmi_is_named_by_what_the_hardware_said() {
    let stack = trace(&[&at("panic"), &at("nmi_panic"), &at("exc_nmi")]);
    let of = |line: &str| {
        reason(&format!(
            "{line}\nKernel panic - not syncing: NMI: Not continuing\n{stack}"
        ))
    };
    let bus = of("NMI: PCI system error (SERR) for reason b1 on CPU 0.");
    let unknown = of("Uhhuh. NMI received for unknown reason 2d on CPU 4.");
    assert!(
        bus.headline
            .as_deref()
            .is_some_and(|line| line.contains("SERR"))
    );
    assert_eq!((bus.class.name(), bus.culprit.is_none()), ("nmi", true));
    assert_ne!(bus.signature, unknown.signature);
}

#[test]
fn assertions_and_sleepers_of_everyone_are_not_to_blame() {
    for (head, frames, culprit) in [
        (
            "XFS: Assertion failed: a == b, file: fs/xfs/a.c, line: 7\nkernel BUG at fs/xfs/xfs_message.c:110!\n\
             RIP: 0010:assfail+0x4b/0x50 [xfs]",
            ["assfail", "acme_truncate"],
            "acme_truncate",
        ),
        (
            "BUG: scheduling while atomic: acmed/77/0x2",
            ["schedule_timeout", "msleep"],
            "acme_caller",
        ),
        (
            "Kernel panic - not syncing: EXT4-fs (device sda2): panic forced after error",
            ["ext4_handle_error.cold", "__ext4_error_inode"],
            "acme_caller",
        ),
    ] {
        let mut all: Vec<String> = frames.iter().map(|name| at(name)).collect();
        all.push(at("acme_caller"));
        all.push(at("acme_run"));
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let reason = reason(&format!("{head}\n{}", trace(&all)));
        assert_eq!(reason.culprit.unwrap().function, culprit, "{head}");
    }
}

#[test]
fn wrappers_of_a_helper_are_helpers_and_what_only_sounds_like_one_is_none() {
    for helper in [
        "acme_printk_level",
        "bpf_strncmp",
        "nla_strdup",
        "sock_kzalloc",
        "acme_wq_queue_work_on",
        "pci_device_add",
        "rt6_acme_list_add",
        "get_user_pages_fast",
        "skb_header_pointer",
        "ethtool_copy_from_user",
        "extent_buffer_test_bit",
        "percpu_ref_put_many",
        "obj_cgroup_uncharge_pages",
    ] {
        let (_, culprit) = answer(&fault(
            "general protection fault, probably for non-canonical address 0xdffffc0000000000: 0000 [#1] SMP",
            helper,
            &["acme_own", "vfs_write", "do_syscall_64"],
        ));
        assert_eq!(culprit, "acme_own", "{helper}");
    }
    for own in [
        "percpu_ref_switch_to_atomic_rcu",
        "kvfree_rcu_bulk",
        "kfree_rcu_work",
        "memcg_event_remove",
        "__pcpu_freelist_pop",
        "obj_cgroup_release",
        "kobj_attr_store",
    ] {
        let (_, culprit) = answer(&fault(
            "general protection fault, probably for non-canonical address 0xdffffc0000000000: 0000 [#1] SMP",
            own,
            &["rcu_do_batch", "process_one_work", "kthread"],
        ));
        assert_eq!(culprit, own);
    }
}

#[test]
fn who_held_the_most_memory_is_read_from_the_table() {
    let asked = "ext invoked oom-killer: gfp_mask=0x100cc0(GFP_USER), order=0, oom_score_adj=0\n";
    let end = "Kernel panic - not syncing: Out of memory: compulsory panic_on_oom is enabled\n";
    let explained = |table: &str| reason(&format!("{asked}{table}{end}")).explanation;
    // Since 6.9, and with a name that has a space.
    let new = "[  pid  ]   uid  tgid total_vm      rss rss_anon rss_file rss_shmem pgtables_bytes swapents oom_score_adj name
[    148]     0   148      560       32        0       32         0    40960        0             0 ext
[    154]     0   154   216337   215860   215852        8         0  1773568        0             0 acme hog
[    160]  1000   160   999999       48        0       48         0    40960        0          -500 sleep
";
    assert_eq!(
        explained(new),
        ["acme hog (154) held the most memory: 215860 pages"]
    );
    let old = "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name
[    301]     0   301     1121      560    45056        0             0 ext
[     77]     0    77      900      500    45056        0             0 acmed
";
    assert_eq!(
        explained(old),
        ["ext (301) held the most memory: 560 pages"]
    );
    assert!(explained("").is_empty());
}
