//! aarch64. It is entered with the MMU and the caches off, interrupts masked, at EL1 or EL2
//! (arch/arm64/kernel/cpu-reset.S, Linux 5.10 to 7.2), and must leave it like that (Documentation/arch/arm64/
//! booting.rst).
//!
//! With the MMU off every access goes to memory by itself, and must be aligned (build.rs: strict-align). So for the
//! time of the check it is switched on with the tables that the loader made, which map memory to itself. Nothing is
//! written before, and what was written is cleaned out of the caches after, so memory and caches never differ.
//! Facts: Arm Architecture Reference Manual (DDI 0487): SCTLR, TCR, MAIR, ID_AA64MMFR0_EL1, CTR_EL0. At EL2 with
//! HCR_EL2.E2H the names of EL1 stand for the registers of EL2, which have EL1's layout then.

use core::arch::{asm, global_asm};

// x19: 1 at EL2 without E2H, whose registers have names and a layout of their own; x20: the tables, 0 for none;
// x21: SCTLR as it was. A function of Rust keeps all three.
global_asm!(
    r#"
    .section .text.start, "ax"
    .globl purgatory_start
purgatory_start:
    msr daifset, #0xf
    msr spsel, #1
    adr x9, purgatory_stack_top
    mov sp, x9
    mov x19, xzr
    mrs x9, CurrentEL
    cmp x9, #8
    b.ne 1f
    mrs x9, hcr_el2
    tbnz x9, #34, 1f
    mov x19, #1
    mrs x9, cptr_el2
    bic x9, x9, #(1 << 10)
    msr cptr_el2, x9
    b 2f
1:  mrs x9, cpacr_el1
    orr x9, x9, #(3 << 20)
    msr cpacr_el1, x9
2:  isb

    adr x9, PURGATORY_TABLES
    ldr x20, [x9]
    mrs x10, id_aa64mmfr0_el1
    ubfx x11, x10, #28, #4
    cmp x11, #15
    csel x20, x20, xzr, ne
    cbz x20, 5f
    and x10, x10, #7
    mov x11, #5
    cmp x10, x11
    csel x10, x10, x11, lo
    mov x12, #0xff
    mov x11, #0x3510
    cbnz x19, 3f
    msr mair_el1, x12
    movk x11, #0x8090, lsl #16
    orr x11, x11, x10, lsl #32
    msr tcr_el1, x11
    msr ttbr0_el1, x20
    isb
    mrs x9, CurrentEL
    cmp x9, #8
    b.eq 6f
    tlbi vmalle1
    b 7f
6:  tlbi alle2
7:  dsb nsh
    isb
    mrs x21, sctlr_el1
    orr x9, x21, #1
    orr x9, x9, #(1 << 2)
    orr x9, x9, #(1 << 12)
    ic iallu
    dsb nsh
    isb
    msr sctlr_el1, x9
    b 4f
3:  msr mair_el2, x12
    movk x11, #0x8080, lsl #16
    orr x11, x11, x10, lsl #16
    msr tcr_el2, x11
    msr ttbr0_el2, x20
    isb
    tlbi alle2
    dsb nsh
    isb
    mrs x21, sctlr_el2
    orr x9, x21, #1
    orr x9, x9, #(1 << 2)
    orr x9, x9, #(1 << 12)
    ic iallu
    dsb nsh
    isb
    msr sctlr_el2, x9
4:  isb

5:  bl purgatory_check

    cbz x20, 9f
    mrs x9, ctr_el0
    ubfx x9, x9, #16, #4
    mov x10, #4
    lsl x10, x10, x9
    adr x11, purgatory_start
    adrp x12, purgatory_end
    add x12, x12, :lo12:purgatory_end
8:  dc civac, x11
    add x11, x11, x10
    cmp x11, x12
    b.lo 8b
    dsb sy
    cbnz x19, 10f
    msr sctlr_el1, x21
    b 9f
10: msr sctlr_el2, x21
9:  isb
    ic iallu
    dsb nsh
    isb
    adr x9, PURGATORY_ARGUMENT
    ldr x0, [x9]
    adr x9, PURGATORY_ENTRY
    ldr x16, [x9]
    mov x1, xzr
    mov x2, xzr
    mov x3, xzr
    br x16

    .section .data.stack, "aw"
    .balign 16
    .fill 8192, 1, 0x5a
purgatory_stack_top:
"#
);

/// The data register and the flag register of a PL011, and its flag "transmit FIFO full" (DDI 0183).
const DATA: u64 = 0;
const FLAGS: u64 = 0x18;
const FULL: u32 = 1 << 5;

/// Sends a byte to the PL011 at this address.
pub(crate) fn put(line: u64, byte: u8) {
    let flags = (line + FLAGS) as *const u32;
    // A stuck line is not waited for.
    for _ in 0..100_000 {
        // SAFETY: the loader found a PL011 at this address, which is seen there; reading its flags changes nothing.
        if unsafe { flags.read_volatile() } & FULL == 0 {
            break;
        }
    }
    // SAFETY: as above; this program owns the machine.
    unsafe { ((line + DATA) as *mut u32).write_volatile(byte.into()) }
}

/// PSCI's SYSTEM_RESET (DEN 0022), by HVC (1) or SMC (2). Returns when it did nothing.
pub(crate) fn reset(how: u64) {
    const SYSTEM_RESET: u64 = 0x8400_0009;
    if how == 1 {
        // SAFETY: firmware resets the machine; the registers it may change are named.
        unsafe { asm!("hvc #0", inout("x0") SYSTEM_RESET => _, out("x1") _, out("x2") _, out("x3") _, options(nostack)) }
    } else {
        // SAFETY: as above.
        unsafe { asm!("smc #0", inout("x0") SYSTEM_RESET => _, out("x1") _, out("x2") _, out("x3") _, options(nostack)) }
    }
}

/// Stops this processor until the operator resets it.
pub(crate) fn halt() -> ! {
    loop {
        // SAFETY: touches no memory; interrupts are masked.
        unsafe { asm!("wfi", options(nomem, nostack)) }
    }
}

/// # Safety
/// As memcpy(3).
pub(crate) unsafe fn copy(to: *mut u8, from: *const u8, n: usize) {
    // SAFETY: the caller's promise; the loop ends before the end of both.
    unsafe {
        asm!(
            "cbz {n}, 3f",
            "2: ldrb {byte:w}, [{from}], #1",
            "strb {byte:w}, [{to}], #1",
            "subs {n}, {n}, #1",
            "b.ne 2b",
            "3:",
            n = inout(reg) n => _, from = inout(reg) from => _, to = inout(reg) to => _, byte = out(reg) _,
            options(nostack)
        );
    }
}

/// # Safety
/// As memset(3).
pub(crate) unsafe fn fill(to: *mut u8, value: u8, n: usize) {
    // SAFETY: the caller's promise; the loop ends before the end.
    unsafe {
        asm!(
            "cbz {n}, 3f",
            "2: strb {value:w}, [{to}], #1",
            "subs {n}, {n}, #1",
            "b.ne 2b",
            "3:",
            n = inout(reg) n => _, to = inout(reg) to => _, value = in(reg) value,
            options(nostack)
        );
    }
}
