//! Saved registers of ppc64le: the NT_PRSTATUS descriptor and `struct pt_regs`.
//!
//! Facts: arch/powerpc/include/uapi/asm/{ptrace.h,elf.h} (`user_pt_regs`, ELF_NGREG),
//! arch/powerpc/include/asm/{reg.h,hw_irq.h}, include/linux/elfcore.h; the layout is ABI and the same in every
//! kernel.

use crate::arch::table::{Registers, Set, named};
use crate::order::Order;

/// Bytes of a ppc64le NT_PRSTATUS descriptor.
pub(crate) const PRSTATUS_BYTES: usize = 504;
/// The offset of pr_pid in it.
const PRSTATUS_PID: usize = 32;
/// The offset of the registers in it.
const PRSTATUS_REGS: usize = 112;
/// Bytes of `struct user_pt_regs`, which begins `pt_regs`.
pub const PT_REGS_BYTES: usize = 352;

/// The place of r1, the stack pointer.
pub const SP: usize = 1;
/// The place of the next instruction's address.
pub const NIP: usize = 32;
/// The place of the link register.
pub const LINK: usize = 36;
const MSR: usize = 33;
const SOFTE: usize = 39;
/// MSR_EE: external interrupts are taken.
const EE: u64 = 1 << 15;
/// MSR_PR: user mode.
const PR: u64 = 1 << 14;

/// In the order of `pt_regs`.
static SET: Set = Set {
    order: Order::Little,
    named,
    names: &[
        "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "r13",
        "r14", "r15", "r16", "r17", "r18", "r19", "r20", "r21", "r22", "r23", "r24", "r25", "r26",
        "r27", "r28", "r29", "r30", "r31", "nip", "msr", "orig_r3", "ctr", "lr", "xer", "ccr",
        "softe", "trap", "dar", "dsisr", "result",
    ],
    pc: NIP,
    sp: SP,
    user_mode: |all| all.get(MSR).is_some_and(|msr| msr & PR != 0),
    // The kernel mostly masks in software (`irq_soft_mask`): IRQS_DISABLED is bit 0.
    interrupts: |all| Some(all.get(MSR)? & EE != 0 && all.get(SOFTE)? & 1 == 0),
};

/// From a `pt_regs`. `None` when it is cut off.
#[must_use]
pub fn from_pt_regs(bytes: &[u8]) -> Option<Registers> {
    Registers::read(&SET, bytes, SET.names.len())
}

/// From an NT_PRSTATUS descriptor: the pid it names and the registers.
pub(crate) fn from_prstatus(desc: &[u8]) -> Option<(i32, Registers)> {
    let pid = desc
        .get(PRSTATUS_PID..PRSTATUS_PID + 4)?
        .first_chunk::<4>()?;
    let registers = from_pt_regs(desc.get(PRSTATUS_REGS..)?)?;
    Some((i32::from_le_bytes(*pid), registers))
}

/// QEMU up to 7.2 at least writes dumps of ppc64le guests as if they were big-endian: memory is as it was, and
/// the words of the notes are swapped. Notes of s390x, which is big-endian, are shorter and stay as they are.
pub(crate) fn swap_prstatus(desc: &mut [u8]) {
    if desc.len() < PRSTATUS_REGS + PT_REGS_BYTES {
        return;
    }
    if let Some(pid) = desc.get_mut(PRSTATUS_PID..PRSTATUS_PID + 4) {
        pid.reverse();
    }
    let words = desc.get_mut(PRSTATUS_REGS..).unwrap_or_default();
    for word in words.as_chunks_mut::<8>().0 {
        word.reverse();
    }
}
