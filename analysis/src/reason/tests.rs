//! Every shape of report in the words of its kernel, with made-up functions: the class, the culprit, and
//! what else the report must say.

use super::*;
use std::fmt::Write;

fn reason(text: &str) -> Reason {
    let mut collector = Collector::new();
    crate::evidence::read(&mut text.as_bytes(), &mut |line| collector.push(line)).unwrap();
    collector.finish()
}

/// What a test compares: class and function.
fn answer(text: &str) -> (&'static str, String) {
    let reason = reason(text);
    let culprit = reason.culprit.map_or("-".to_string(), |at| at.function);
    (reason.class.name(), culprit)
}

/// A trace of x86 of these frames.
fn trace(frames: &[&str]) -> String {
    let mut text =
        "CPU: 1 UID: 0 PID: 77 Comm: acmed Not tainted 6.12.1-t #1\nCall Trace:\n <TASK>\n"
            .to_string();
    for frame in frames {
        writeln!(text, " {frame}").unwrap();
    }
    text + " </TASK>\n"
}

/// A frame of a function.
fn at(function: &str) -> String {
    format!("{function}+0x12/0x340")
}

/// A fault of x86: the headline, the place, the trace.
fn fault(headline: &str, place: &str, frames: &[&str]) -> String {
    let frames: Vec<String> = frames.iter().map(|frame| at(frame)).collect();
    let frames: Vec<&str> = frames.iter().map(String::as_str).collect();
    let mut text = format!("{headline}\n");
    writeln!(text, "RIP: 0010:{}", at(place)).unwrap();
    text + &trace(&frames)
}

#[test]
fn faults_and_traps_blame_the_place_or_its_caller() {
    for (headline, place, frames, class, culprit) in [
        (
            "BUG: kernel NULL pointer dereference, address: 0000000000000008\nOops: Oops: 0000 [#1] SMP",
            "acme_get",
            &["acme_run"][..],
            "null-deref",
            "acme_get",
        ),
        (
            "BUG: unable to handle kernel NULL pointer dereference at (null)",
            "acme_get",
            &["acme_run"],
            "null-deref",
            "acme_get",
        ),
        (
            "BUG: unable to handle page fault for address: ffffc900deadbee8",
            "memcpy_orig",
            &["acme_copy", "acme_run"],
            "bad-address",
            "acme_copy",
        ),
        (
            "BUG: unable to handle kernel paging request at ffffc900deadbee8",
            "__list_del_entry_valid",
            &["acme_unlink"],
            "bad-address",
            "acme_unlink",
        ),
        (
            "Oops: general protection fault, probably for non-canonical address 0xdead000000000108: 0000 [#1] SMP",
            "_raw_spin_lock",
            &["acme_lock", "acme_run"],
            "general-protection",
            "acme_lock",
        ),
        (
            "general protection fault: 0000 [#1] SMP",
            "kmem_cache_alloc",
            &["kmem_cache_alloc", "acme_new"],
            "general-protection",
            "acme_new",
        ),
        (
            "divide error: 0000 [#1] SMP",
            "acme_rate",
            &["acme_run"],
            "trap",
            "acme_rate",
        ),
        (
            "Oops: int3: 0000 [#1] SMP",
            "acme_hook",
            &["acme_run"],
            "trap",
            "acme_hook",
        ),
        (
            "stack segment: 0000 [#1] SMP",
            "acme_walk",
            &["acme_run"],
            "trap",
            "acme_walk",
        ),
        (
            "kernel BUG at fs/acme/inode.c:12!\nOops: invalid opcode: 0000 [#1] SMP",
            "acme_evict",
            &["evict"],
            "bug",
            "acme_evict",
        ),
        (
            "kernel BUG at net/core/skbuff.c:108!\ninvalid opcode: 0000 [#1] SMP",
            "skb_panic",
            &["skb_put", "acme_build"],
            "bug",
            "acme_build",
        ),
        (
            "traps: PANIC: double fault, error_code: 0x0\ndouble fault: 0000 [#1] SMP",
            "acme_deep",
            &["acme_run"],
            "double-fault",
            "acme_deep",
        ),
    ] {
        assert_eq!(
            answer(&fault(headline, place, frames)),
            (class, culprit.to_string()),
            "{headline}"
        );
    }
}

#[test]
fn warnings_blame_by_what_they_warn_of() {
    for (headline, place, frames, class, culprit) in [
        (
            "WARNING: CPU: 1 PID: 7 at drivers/acme/a.c:9 acme_check+0x1/0x2",
            "acme_check",
            &["acme_run"][..],
            "warn",
            "acme_check",
        ),
        (
            "WARNING: drivers/acme/a.c:9 at acme_check+0x1/0x2, CPU#1: acmed/77",
            "acme_check",
            &["acme_run"],
            "warn",
            "acme_check",
        ),
        (
            "refcount_t: underflow; use-after-free.\nWARNING: CPU: 1 PID: 7 at lib/refcount.c:28 refcount_warn_saturate+0x1/0x2",
            "refcount_warn_saturate",
            &["kobject_put", "acme_put"],
            "refcount",
            "acme_put",
        ),
        (
            "ODEBUG: free active (active state 0) object: ffff888012345678 object type: timer_list hint: acme_tick+0x0/0x10\nWARNING: CPU: 1 PID: 7 at lib/debugobjects.c:505 debug_print_object+0x1/0x2",
            "debug_print_object",
            &["debug_check_no_obj_freed", "kfree", "acme_free"],
            "warn",
            "acme_free",
        ),
        (
            "list_add corruption. prev->next should be next (ffff1), but was ffff2. (prev=ffff3).\nkernel BUG at lib/list_debug.c:32!\nOops: invalid opcode: 0000 [#1] SMP",
            "__list_add_valid_or_report",
            &["acme_insert"],
            "list-corruption",
            "acme_insert",
        ),
        (
            "memcpy: detected buffer overflow: 9 byte write of buffer size 8\nkernel BUG at lib/string_helpers.c:1040!\nOops: invalid opcode: 0000 [#1] SMP",
            "__fortify_panic",
            &["acme_copy"],
            "bug",
            "acme_copy",
        ),
        (
            "usercopy: Kernel memory exposure attempt detected from SLUB object 'acme' (offset 8, size 72)!\nkernel BUG at mm/usercopy.c:102!\ninvalid opcode: 0000 [#1] SMP",
            "usercopy_abort",
            &["__check_heap_object", "__check_object_size", "acme_ioctl"],
            "bug",
            "acme_ioctl",
        ),
        (
            "WARNING: CPU: 1 PID: 7 at mm/page_alloc.c:4728 __alloc_frozen_pages_noprof+0x1/0x2",
            "__alloc_frozen_pages_noprof",
            &[
                "alloc_pages_mpol",
                "___kmalloc_large_node",
                "__kmalloc_noprof",
                "acme_table",
            ],
            "warn",
            "acme_table",
        ),
        (
            "CFI failure at acme_call+0x1/0x2 [acme] (target: kfree+0x0/0xb0; expected type: 0x81aceae9)\nOops: invalid opcode: 0000 [#1] SMP",
            "acme_call",
            &["acme_run"],
            "cfi",
            "acme_call",
        ),
    ] {
        assert_eq!(
            answer(&fault(headline, place, frames)),
            (class, culprit.to_string()),
            "{headline}"
        );
    }
}

#[test]
fn sanitizers_name_their_function_or_its_caller() {
    let kasan = |place: &str, frames: &[&str]| {
        let frames: Vec<String> = frames.iter().map(|frame| at(frame)).collect();
        let frames: Vec<&str> = frames.iter().map(String::as_str).collect();
        format!(
            "BUG: KASAN: slab-use-after-free in {}\nRead of size 8 at addr ffff888012345678 by task acmed/77\n\n{}\nAllocated by task 70:\n kasan_save_stack+0x1/0x2\n acme_new+0x1/0x2\n\nFreed by task 71:\n kasan_save_stack+0x1/0x2\n kfree+0x1/0x2\n acme_drop+0x1/0x2\n\nThe buggy address belongs to the object at ffff888012345600\n which belongs to the cache acme of size 128\n",
            at(place),
            trace(&frames)
        )
    };
    let text = kasan(
        "acme_use",
        &[
            "dump_stack_lvl",
            "print_report",
            "kasan_report",
            "acme_use",
            "acme_run",
        ],
    );
    assert_eq!(answer(&text), ("kasan", "acme_use".into()));
    let told = reason(&text);
    assert!(
        told.explanation
            .iter()
            .any(|line| line.contains("cache acme of size 128"))
    );
    let titles: Vec<&str> = told
        .oops
        .stacks
        .iter()
        .map(|stack| stack.title.as_str())
        .collect();
    assert_eq!(titles, ["Allocated by task 70", "Freed by task 71"]);
    assert_eq!(told.trust.verdict, Verdict::Sure);
    let text = kasan("memcpy", &["kasan_report", "memcpy", "acme_use"]);
    assert_eq!(answer(&text), ("kasan", "acme_use".into()));
    for (text, expected) in [
        (
            "BUG: KFENCE: out-of-bounds read in acme_peek+0x1/0x2\n\nOut-of-bounds read at 0xffff8 (1B right of kfence-#1):\n acme_peek+0x1/0x2\n acme_run+0x1/0x2\n",
            ("kfence", "acme_peek"),
        ),
        (
            "BUG: KMSAN: uninit-value in acme_hash+0x1/0x2\n acme_hash+0x1/0x2\n acme_run+0x1/0x2\n\nUninit was created at:\n acme_alloc+0x1/0x2\n",
            ("kmsan", "acme_hash"),
        ),
        (
            "BUG: KMSAN: kernel-infoleak in _copy_to_user+0x1/0x2\n _copy_to_user+0x1/0x2\n acme_read+0x1/0x2\n",
            ("kmsan", "acme_read"),
        ),
        (
            "BUG: KCSAN: data-race in acme_read / acme_write\n\nwrite to 0xffff8 of 8 bytes by task 7 on cpu 1:\n acme_write+0x1/0x2\n\nread to 0xffff8 of 8 bytes by task 8 on cpu 0:\n acme_read+0x1/0x2\n",
            ("kcsan", "acme_read"),
        ),
        (
            "UBSAN: shift-out-of-bounds in fs/acme.c:3:4\nshift exponent 70 is too large for 64-bit type 'long'\nCall Trace:\n dump_stack_lvl+0x1/0x2\n ubsan_epilogue+0x1/0x2\n __ubsan_handle_shift_out_of_bounds+0x1/0x2\n acme_mount+0x1/0x2\n",
            ("ubsan", "acme_mount"),
        ),
        (
            "unreferenced object 0xffff888012345678 (size 64):\n  comm \"acmed\", pid 77, jiffies 4294937521\n  backtrace:\n    [<00000000c00c89f0>] kmemleak_alloc+0x1/0x2\n    [<00000000c00c89f1>] __kmalloc+0x1/0x2\n    [<00000000c00c89f2>] acme_open+0x1/0x2\n",
            ("memory-leak", "acme_open"),
        ),
        (
            "BUG acme (Not tainted): Poison overwritten\nCall Trace:\n dump_stack_lvl+0x1/0x2\n print_trailer+0x1/0x2\n check_bytes_and_report+0x1/0x2\n check_object+0x1/0x2\n __slab_alloc+0x1/0x2\n acme_new+0x1/0x2\n",
            ("slab", "acme_new"),
        ),
    ] {
        assert_eq!(answer(text), (expected.0, expected.1.to_string()), "{text}");
    }
}

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
    ] {
        assert_eq!(
            answer(text),
            ("atomic-sleep", "acme_atomic".to_string()),
            "{text}"
        );
    }
}

#[test]
fn hangs_show_what_was_interrupted() {
    let stall = "\
rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:
rcu: 	1-...!: (1 GPs behind) idle=4c6/1/0x4000 softirq=6646/6646 fqs=126
rcu: 	(detected by 0, t=2100 jiffies, g=11589, q=1)
Sending NMI from CPU 0 to CPUs 1:
NMI backtrace for cpu 1
CPU: 1 UID: 0 PID: 77 Comm: acmed Not tainted 6.12.1 #1
RIP: 0010:acme_spin+0x1/0x2
Call Trace:
 <TASK>
 acme_loop+0x1/0x2
 </TASK>
rcu: rcu_preempt kthread starved for 2100 jiffies! g11589 f0x0
rcu: RCU grace-period kthread stack dump:
task:rcu_preempt     state:R  running task     stack:0     pid:16
Call Trace:
 <TASK>
 __schedule+0x1/0x2
 rcu_gp_kthread+0x1/0x2
 </TASK>
";
    assert_eq!(answer(stall), ("rcu-stall", "acme_spin".into()));
    let own = "\
rcu: INFO: rcu_preempt self-detected stall on CPU
CPU: 1 UID: 0 PID: 77 Comm: acmed Not tainted 6.12.1 #1
Call Trace:
 <IRQ>
 rcu_sched_clock_irq+0x1/0x2
 update_process_times+0x1/0x2
 tick_nohz_handler+0x1/0x2
 sysvec_apic_timer_interrupt+0x1/0x2
 </IRQ>
 <TASK>
 asm_sysvec_apic_timer_interrupt+0x1/0x2
RIP: 0010:acme_spin+0x1/0x2
 acme_loop+0x1/0x2
 </TASK>
";
    assert_eq!(answer(own), ("rcu-stall", "acme_spin".into()));
    let hung = "\
INFO: task acmed:77 blocked for more than 122 seconds.
      Not tainted 6.16.1 #1
task:acmed           state:D stack:0     pid:77
Call Trace:
 <TASK>
 __schedule+0x1/0x2
 schedule+0x1/0x2
 __mutex_lock+0x1/0x2
 acme_wait+0x1/0x2
 </TASK>
INFO: task acmed:77 is blocked on a mutex likely owned by task holder:88.
";
    assert_eq!(answer(hung), ("hung-task", "acme_wait".into()));
    assert_eq!(reason(hung).blocker.as_deref(), Some("holder:88"));
}

#[test]
fn other_architectures_have_their_words() {
    let arm64 = "\
Unable to handle kernel NULL pointer dereference at virtual address 0000000000000018
Mem abort info:
  ESR = 0x0000000096000004
Internal error: Oops: 0000000096000004 [#1] PREEMPT SMP
CPU: 3 UID: 0 PID: 77 Comm: acmed Tainted: G           OE      6.12.1 #1
pstate: 60400005 (nZCv daif +PAN -UAO -TCO -DIT -SSBS BTYPE=--)
pc : acme_get+0x18/0x40 [acme]
lr : acme_run+0x2c/0x60 [acme]
Call trace:
 acme_get+0x18/0x40 [acme] (P)
 acme_run+0x2c/0x60 [acme]
";
    let arm = "\
8<--- cut here ---
Unable to handle kernel NULL pointer dereference at virtual address 00000018 when read
[00000018] *pgd=00000000
Internal error: Oops: 5 [#1] SMP ARM
PC is at acme_get+0x18/0x40
LR is at acme_run+0x2c/0x60
Backtrace:
 acme_get from acme_run+0x2c/0x60
 r4:00000000
 acme_run from kthread+0xe8/0x100
";
    let riscv = "\
Unable to handle kernel NULL pointer dereference at virtual address 0000000000000018
Oops [#1]
CPU: 1 UID: 0 PID: 77 Comm: acmed Not tainted 6.12.1 #1
epc : acme_get+0x18/0x40 [acme]
 ra : acme_run+0x2c/0x60 [acme]
epc : ffffffff0160a018 ra : ffffffff0160a02c sp : ff20000000a3bd80
[<ffffffff0160a018>] acme_get+0x18/0x40 [acme]
[<ffffffff0160a02c>] acme_run+0x2c/0x60 [acme]
";
    let ppc = "\
BUG: Kernel NULL pointer dereference on read at 0x00000018
Faulting instruction address: 0xc0080000012a0118
Oops: Kernel access of bad area, sig: 11 [#1]
CPU: 5 UID: 0 PID: 77 Comm: acmed Tainted: G           OE      6.12.1 #1
NIP:  c0080000012a0118 LR: c0080000012a0f0c CTR: c000000000cd1234
NIP [c0080000012a0118] acme_get+0x18/0x40 [acme]
LR [c0080000012a0f0c] acme_run+0x2c/0x60 [acme]
Call Trace:
[c000000009aa3c20] [c0080000012a0f0c] acme_run+0x2c/0x60 [acme] (unreliable)
";
    let s390 = "\
Unable to handle kernel pointer dereference in virtual kernel address space
Failing address: 0000000000000018 TEID: 0000000000000483
Oops: 0004 ilc:2 [#1] SMP
CPU: 0 UID: 0 PID: 77 Comm: acmed Tainted: G           O       6.12.1 #1
Krnl PSW : 0704c00180000000 000003ff8000011a (acme_get+0x18/0x40 [acme])
Call Trace:
 [<000003ff8000011a>] acme_get+0x18/0x40 [acme]
 [<000003ff800001a0>] acme_run+0x2c/0x60 [acme]
Last Breaking-Event-Address:
 [<000003ff80000200>] acme_other+0x1/0x2 [acme]
";
    for (name, text) in [
        ("arm64", arm64),
        ("arm", arm),
        ("riscv", riscv),
        ("ppc64le", ppc),
        ("s390", s390),
    ] {
        let told = reason(text);
        assert_eq!(
            (
                told.class,
                told.culprit.as_ref().map(|at| at.function.as_str())
            ),
            (Class::NullDeref, Some("acme_get")),
            "{name}"
        );
        assert_eq!(told.address.as_deref(), Some("0x18"), "{name}");
    }
    let overflow = "Insufficient stack space to handle exception!\nCPU: 1 PID: 7 Comm: acmed Not tainted 6.12.1 #1\npc : acme_self+0x4/0x40\nlr : acme_self+0x20/0x40\nKernel panic - not syncing: kernel stack overflow\nCall trace:\n panic+0x1/0x2\n __bad_stack+0x1/0x2\n acme_self+0x4/0x40\n acme_self+0x20/0x40\n acme_self+0x20/0x40\n acme_self+0x20/0x40\n acme_self+0x20/0x40\n acme_self+0x20/0x40\n vfs_write+0x1/0x2\n";
    assert_eq!(answer(overflow), ("stack-overflow", "acme_self".into()));
}

#[test]
fn machines_and_people_are_nobodys_function() {
    for (text, class) in [
        (
            "mce: [Hardware Error]: CPU 2: Machine Check Exception: 5 Bank 4: b200000000070f0f\nKernel panic - not syncing: Fatal local machine check",
            "machine-check",
        ),
        (
            "{1}[Hardware Error]: event severity: fatal\nKernel panic - not syncing: Fatal hardware error!",
            "machine-check",
        ),
        ("Kernel panic - not syncing: NMI: Not continuing", "nmi"),
        (
            "Kernel panic - not syncing: An NMI occurred. Depending on your system",
            "nmi",
        ),
        (
            "Kernel panic - not syncing: Software Watchdog Timer expired",
            "watchdog",
        ),
        (
            "Kernel panic - not syncing: Out of memory and no killable processes...",
            "oom",
        ),
        (
            "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)",
            "no-root",
        ),
        (
            "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000007",
            "init-killed",
        ),
    ] {
        assert_eq!(answer(text), (class, "-".to_string()), "{text}");
    }
    let died = reason("Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000007");
    assert!(
        died.explanation.iter().any(|line| line.contains("SIGBUS")),
        "{:?}",
        died.explanation
    );
}

#[test]
fn a_panic_says_which_report_it_means() {
    let warning = fault(
        "WARNING: CPU: 1 PID: 7 at drivers/acme/a.c:9 acme_old+0x1/0x2",
        "acme_old",
        &["acme_run"],
    );
    let kasan = "BUG: KASAN: slab-out-of-bounds in acme_new+0x1/0x2\nCall Trace:\n kasan_report+0x1/0x2\n acme_new+0x1/0x2\n";
    let both = format!(
        "{warning}---[ end trace 0 ]---\n{kasan}Kernel panic - not syncing: KASAN: panic_on_warn set ...\n"
    );
    let told = reason(&both);
    assert_eq!(
        told.culprit.as_ref().map(|at| at.function.as_str()),
        Some("acme_new")
    );
    assert_eq!(told.reports, 2);
    assert_eq!(
        told.first
            .and_then(|first| first.culprit)
            .map(|at| at.function)
            .as_deref(),
        Some("acme_old")
    );
    let oops = |pid: u32, number: u32, place: &str| {
        format!(
            "BUG: kernel NULL pointer dereference, address: 0000000000000018\nOops: Oops: 0000 [#{number}] SMP\nCPU: 1 UID: 0 PID: {pid} Comm: x Not tainted 6.12.1 #1\nRIP: 0010:{place}+0x1/0x2\nCall Trace:\n acme_run+0x1/0x2\n---[ end trace 0 ]---\n"
        )
    };
    let init = format!(
        "{}Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000009\nCall Trace:\n do_exit+0x1/0x2\n",
        oops(1, 1, "acme_init")
    );
    assert_eq!(answer(&init), ("null-deref", "acme_init".into()));
    let two = format!(
        "{}{}Kernel panic - not syncing: Fatal exception\n",
        oops(7, 1, "acme_a"),
        oops(8, 2, "acme_b")
    );
    let told = reason(&two);
    assert_eq!(
        told.culprit.as_ref().map(|at| at.function.as_str()),
        Some("acme_b")
    );
    assert_eq!(told.oops_number, Some(2));
    let after = format!(
        "{kasan}{}Kernel panic - not syncing: Fatal exception\n",
        oops(7, 1, "acme_late")
    );
    assert_eq!(
        answer(&after),
        ("kasan", "acme_new".into()),
        "memory was corrupt before the oops"
    );
}

#[test]
fn mixed_lines_are_told_apart() {
    let by_caller = "\
[    1.000000][   T7] BUG: kernel NULL pointer dereference, address: 0000000000000018
[    1.000001][   T9] WARNING: CPU: 3 PID: 9 at drivers/acme/b.c:1 acme_warned+0x1/0x2
[    1.000002][   T7] Oops: Oops: 0000 [#1] SMP
[    1.000003][   T9] RIP: 0010:acme_warned+0x1/0x2
[    1.000004][   T7] RIP: 0010:acme_fell+0x1/0x2
[    1.000005][   T9] Call Trace:
[    1.000006][   T9]  acme_other+0x1/0x2
[    1.000007][   T7] Call Trace:
[    1.000008][   T7]  acme_run+0x1/0x2
[    1.000009][   T7] Kernel panic - not syncing: Fatal exception
";
    let told = reason(by_caller);
    assert_eq!(
        told.culprit.as_ref().map(|at| at.function.as_str()),
        Some("acme_fell")
    );
    assert_eq!(told.oops.trace.len(), 1, "{:?}", told.oops.trace);
    let by_shape = "BUG: unable to handle page fault for address: ffffc900deadbee8\nRIP: 0010:memcpy_orig+0x1/0x2\nCall Trace:\n <TASK>\nEXT4-fs (vda3): I/O error\n acme_copy+0x1/0x2\nusb 1-1: reset\n acme_run+0x1/0x2\n </TASK>\n";
    assert_eq!(answer(by_shape), ("bad-address", "acme_copy".into()));
}

#[test]
fn a_decoded_log_has_the_signature_of_the_raw_one() {
    let raw = fault(
        "BUG: kernel NULL pointer dereference, address: 0000000000000018",
        "acme_get.isra.0",
        &["acme_run", "acme_top"],
    );
    let decoded = "BUG: kernel NULL pointer dereference, address: 0000000000000018\nRIP: 0010:acme_get (drivers/acme/a.c:9) \nCall Trace:\n <TASK>\n acme_inlined drivers/acme/a.c:3 [inline]\n acme_run+0x12/0x340 drivers/acme/a.c:7\n acme_top (drivers/acme/a.c:20) \n";
    let (raw, decoded) = (reason(&raw), reason(decoded));
    assert_eq!(raw.signature, decoded.signature);
    assert!(decoded.oops.trace.iter().any(|frame| frame.inline));
}

#[test]
fn what_is_cut_off_is_unclear() {
    let text = fault(
        "BUG: kernel NULL pointer dereference, address: 0000000000000018",
        "acme_get",
        &["acme_run"],
    );
    for end in 0..text.len() {
        let told = reason(text.get(..end).unwrap_or_default());
        let complete = told
            .oops
            .trace
            .iter()
            .any(|frame| frame.function == "acme_run");
        assert!(
            complete || told.trust.verdict == Verdict::Unclear,
            "cut at {end}: {:?}",
            told.trust
        );
    }
}
