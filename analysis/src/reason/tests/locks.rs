//! Locks, RCU and preemption used against their rules.

use super::{answer, reason};

#[test]
fn locks_blame_where_they_are_taken() {
    let deadlock = "\
======================================================
WARNING: possible circular locking dependency detected
6.12.1 #1 Not tainted
------------------------------------------------------
acmed/77 is trying to acquire lock:
ffff888012345678 (&a->lock){+.+.}-{4:4}, at: acme_first+0x1/0x2

but task is already holding lock:
ffff888012345679 (&b->lock){+.+.}-{4:4}, at: acme_second+0x1/0x2

the existing dependency chain (in reverse order) is:

-> #1 (&b->lock){+.+.}-{4:4}:
       lock_acquire+0x1/0x2
       acme_other+0x1/0x2

-> #0 (&a->lock){+.+.}-{4:4}:
       lock_acquire+0x1/0x2
       acme_first+0x1/0x2

stack backtrace:
CPU: 0 UID: 0 PID: 77 Comm: acmed Not tainted 6.12.1 #1
Call Trace:
 dump_stack_lvl+0x1/0x2
 print_circular_bug+0x1/0x2
 __lock_acquire+0x1/0x2
 acme_first+0x1/0x2
 acme_second+0x1/0x2
";
    assert_eq!(answer(deadlock), ("lockdep", "acme_first".into()));
    let told = reason(deadlock);
    assert_eq!(told.oops.stacks.len(), 2, "the two orders");
    assert!(
        told.explanation
            .iter()
            .any(|line| line.contains("(&a->lock)")),
        "{:?}",
        told.explanation
    );
    for (text, expected) in [
        (
            "WARNING: inconsistent lock state\n6.12.1 #1 Not tainted\ninconsistent {IN-HARDIRQ-W} -> {HARDIRQ-ON-W} usage.\nacmed/7 [HC0[0]:SC0[0]:HE1:SE1] takes:\nffff (&a->lock){?.+.}-{3:3}, at: acme_irq+0x1/0x2\n{IN-HARDIRQ-W} state was registered at:\n  acme_handler+0x1/0x2\n",
            "acme_irq",
        ),
        (
            "WARNING: bad unlock balance detected!\n6.12.1 #1 Not tainted\nacmed/7 is trying to release lock (&a->lock) at:\n[<ffffffff81000000>] acme_drop+0x1/0x2\nbut there are no more locks to release!\n",
            "acme_drop",
        ),
        (
            "WARNING: suspicious RCU usage\n6.12.1 #1 Not tainted\ndrivers/acme/a.c:12 suspicious rcu_dereference_check() usage!\nCall Trace:\n dump_stack_lvl+0x1/0x2\n lockdep_rcu_suspicious+0x1/0x2\n acme_lookup+0x1/0x2\n",
            "acme_lookup",
        ),
        (
            "[ BUG: Invalid wait context ]\n6.12.1 #1 Not tainted\nacmed/7 is trying to lock:\nffff (&a->lock){+.+.}-{3:3}, at: acme_poll+0x1/0x2\n",
            "acme_poll",
        ),
        (
            "WARNING: lock held when returning to user space!\nacmed/7 is leaving the kernel with locks still held!\n1 lock held by acmed/7:\n #0: ffff (&a->lock){+.+.}-{4:4}, at: acme_ioctl+0x1/0x2\n",
            "acme_ioctl",
        ),
        (
            "INFO: trying to register non-static key.\nCall Trace:\n dump_stack_lvl+0x1/0x2\n register_lock_class+0x1/0x2\n __lock_acquire+0x1/0x2\n _raw_spin_lock+0x1/0x2\n acme_flush+0x1/0x2\n",
            "acme_flush",
        ),
        (
            "BUG: workqueue leaked lock or atomic: kworker/0:1/0x00000000/7\n     last function: acme_work\n",
            "acme_work",
        ),
        (
            "BUG: spinlock bad magic on CPU#1, acmed/7\nCall Trace:\n dump_stack_lvl+0x1/0x2\n spin_bug+0x1/0x2\n do_raw_spin_lock+0x1/0x2\n acme_start+0x1/0x2\n",
            "acme_start",
        ),
        (
            "BUG: using smp_processor_id() in preemptible [00000000] code: acmed/7\ncaller is acme_stat+0x1/0x2\nCall Trace:\n dump_stack_lvl+0x1/0x2\n check_preemption_disabled+0x1/0x2\n acme_stat+0x1/0x2\n",
            "acme_stat",
        ),
    ] {
        assert_eq!(answer(text), ("lockdep", expected.to_string()), "{text}");
    }
    for text in [
        "BUG: sleeping function called from invalid context at kernel/locking/mutex.c:580\nin_atomic(): 1, irqs_disabled(): 0, non_block: 0, pid: 7, name: acmed\nCall Trace:\n dump_stack_lvl+0x1/0x2\n __might_resched+0x1/0x2\n mutex_lock+0x1/0x2\n acme_atomic+0x1/0x2\n",
        "BUG: scheduling while atomic: acmed/7/0x00000002\nPreemption disabled at:\n[<ffffffff81000000>] acme_other+0x1/0x2\nCPU: 1 PID: 7 Comm: acmed Not tainted 6.12.1 #1\nCall Trace:\n dump_stack_lvl+0x1/0x2\n __schedule_bug+0x1/0x2\n __schedule+0x1/0x2\n schedule+0x1/0x2\n acme_atomic+0x1/0x2\n",
        "BUG: scheduling while atomic: acmed/7/0x00000002\n1 lock held by acmed/7:\n #0: ffffffffc01f5078 (acme_lock){+.+.}-{2:2}, at: acme_atomic+0x1/0x2\nKernel panic - not syncing: scheduling while atomic: panic_on_warn set ...\nCPU: 1 PID: 7 Comm: acmed Not tainted 6.12.1 #1\nCall Trace:\n panic+0x1/0x2\n check_panic_on_warn+0x1/0x2\n __schedule_bug+0x1/0x2\n __schedule+0x1/0x2\n schedule+0x1/0x2\n schedule_timeout+0x1/0x2\n msleep+0x1/0x2\n acme_atomic+0x1/0x2\n",
    ] {
        assert_eq!(
            answer(text),
            ("atomic-sleep", "acme_atomic".to_string()),
            "{text}"
        );
    }
}

#[test]
fn a_lock_that_is_held_already_is_not_the_one_asked_for() {
    let text = "[ BUG: Invalid wait context ]\n6.12.1 #1 Not tainted\n-----\nacmed/7 is trying to lock:\nffff (&mm->mmap_lock){++++}-{3:3}, at: __might_fault+0x1/0x2\nother info that might help us debug this:\ncontext-{4:4}\n1 lock held by acmed/7:\n #0: ffff (rcu_read_lock){....}-{1:2}, at: acme_count+0x1/0x2\nstack backtrace:\nCPU: 0 PID: 7 Comm: acmed Not tainted 6.12.1 #1\nCall trace:\n dump_stack+0x1/0x2\n __lock_acquire+0x1/0x2\n lock_acquire+0x1/0x2\n __might_fault+0x1/0x2\n acme_setsockopt+0x1/0x2\n sock_common_setsockopt+0x1/0x2\n";
    assert_eq!(answer(text), ("lockdep", "acme_setsockopt".to_string()));
}
