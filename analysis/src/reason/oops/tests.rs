//! Lines of reports as kernels print them.

use super::*;

/// The shape of a 6.12 NULL dereference; numbers are made up.
const OOPS: &str = "\
#PF: supervisor read access in kernel mode
#PF: error_code(0x0000) - not-present page
PGD 0 P4D 0
Oops: Oops: 0000 [#1] PREEMPT SMP NOPTI
CPU: 2 UID: 0 PID: 212 Comm: kworker/2:1 Kdump: loaded Tainted: G           OE      6.12.1-x #1
Tainted: [O]=OOT_MODULE, [E]=UNSIGNED_MODULE
Hardware name: QEMU Standard PC (i440FX + PIIX, 1996), BIOS 1.16
RIP: 0010:acme_poll+0x41/0x50 [acme]
Code: 90 90 <48> 8b 40 18 c3 cc
RSP: 0018:ffffb0c0000f3e50 EFLAGS: 00010246
RAX: 0000000000000000 RBX: ffff9f0001234000 RCX: 0000000000000001
CR2: 0000000000000018 CR3: 0000000003e2c000 CR4: 00000000000006f0
Call Trace:
 <TASK>
 ? __die_body.cold+0x19/0x27
 process_one_work+0x174/0x330
 worker_thread+0x1b1/0x2f0
 </TASK>
Modules linked in: acme(OE)
RIP: 0033:0x7f0000001234
RAX: ffffffffffffffda RBX: 0000000000000002 RCX: 00007f0000001234
";

#[test]
fn an_oops_is_read() {
    let oops = Oops::read(OOPS.lines());
    assert_eq!(
        oops.location.as_ref().unwrap().to_string(),
        "acme_poll+0x41 [acme]"
    );
    assert_eq!(
        (oops.cpu, oops.pid, oops.comm.as_deref()),
        (Some(2), Some(212), Some("kworker/2:1"))
    );
    assert_eq!(oops.tainted.as_deref(), Some("G OE"));
    assert_eq!(oops.access.as_deref(), Some("read"));
    assert_eq!(
        oops.code.unwrap().instruction.as_deref(),
        Some("mov 0x18(%rax),%rax")
    );
    let trace: Vec<_> = oops
        .trace
        .iter()
        .map(|l| (l.function.as_str(), l.reliable))
        .collect();
    assert_eq!(
        trace,
        [
            ("__die_body.cold", false),
            ("process_one_work", true),
            ("worker_thread", true)
        ]
    );
    let rax = oops
        .registers
        .iter()
        .find(|(name, _)| name == "rax")
        .unwrap();
    assert_eq!(rax.1, "0x0");
    assert!(
        oops.registers
            .iter()
            .any(|(name, value)| name == "cr2" && value == "0x18")
    );
    assert!(
        oops.registers
            .iter()
            .any(|(name, value)| name == "rsp" && value == "0xffffb0c0000f3e50")
    );
}

/// The shape of a 6.12 panic() in an interrupt; numbers are made up.
const IN_INTERRUPT: &str = "\
Kernel panic - not syncing: acme: gone
CPU: 0 UID: 0 PID: 0 Comm: swapper/0 Not tainted 6.12.1-x #1
Call Trace:
 <IRQ>
 dump_stack_lvl+0x5d/0x80
 panic+0x118/0x2d0
 acme_give_up+0x10/0x20 [acme]
 irq_work_run_list+0x40/0x60
 </IRQ>
 <TASK>
 asm_sysvec_irq_work+0x1a/0x20
RIP: 0010:pv_native_safe_halt+0xf/0x20
Code: 90 90 <48> 8b 40 18 c3 cc
RSP: 0018:ffffffffb0c03e98 EFLAGS: 00000246
RAX: 0000000000000001 RBX: 0000000000000000 RCX: 0000000000000001
 default_idle+0x9/0x20
 do_idle+0x1e5/0x2a0
 </TASK>
";

#[test]
fn what_an_interrupt_found_is_no_fault() {
    let oops = Oops::read(IN_INTERRUPT.lines());
    assert_eq!(oops.location, None);
    assert_eq!(oops.code, None);
    assert!(oops.registers.is_empty());
    let trace: Vec<_> = oops.trace.iter().map(|l| l.function.as_str()).collect();
    assert_eq!(
        trace,
        [
            "dump_stack_lvl",
            "panic",
            "acme_give_up",
            "irq_work_run_list",
            "asm_sysvec_irq_work",
            "pv_native_safe_halt",
            "default_idle",
            "do_idle"
        ]
    );
}
