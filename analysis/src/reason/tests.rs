//! Every shape of report in the words of its kernel, with made-up functions: the class, the culprit, and
//! what else the report must say.

mod between;
mod choice;
mod core_log;
mod cut;
mod locks;
mod wordings;

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
    // 6.12, with what runs on the overflow stack in the trace and nothing before it.
    let frames = "\n acme_self+0x20/0x40".repeat(6);
    let whole = format!(
        "Kernel panic - not syncing: kernel stack overflow\nCall trace:\n dump_backtrace+0xd8/0x130\n panic+0x160/0x378\n \
         nmi_panic+0x88/0x90\n panic_bad_stack+0xec/0x100\n handle_bad_stack+0x34/0x40\n __bad_stack+0x78/0x80\n \
         acme_self+0x8/0x40{frames}\n init_module+0x20/0x30\n __arm64_sys_init_module+0x24/0x40\n invoke_syscall+0x60/0xe0\n"
    );
    assert_eq!(answer(&whole), ("stack-overflow", "acme_self".into()));
}
