//! Saved registers of s390x: the NT_PRSTATUS descriptor and `struct pt_regs`.
//!
//! Facts: arch/s390/include/uapi/asm/ptrace.h (`s390_regs`, `user_pt_regs`), arch/s390/include/asm/{ptrace.h,
//! elf.h}, include/linux/elfcore.h; z/Architecture Principles of Operation, "Program-Status-Word Format". The
//! layouts are ABI and the same in every 64-bit kernel.

use crate::arch::table::{Registers, Set, named};
use crate::order::Order;

/// Bytes of an s390x NT_PRSTATUS descriptor.
pub(crate) const PRSTATUS_BYTES: usize = 336;
/// The offset of pr_pid in it.
const PRSTATUS_PID: usize = 32;
/// The offset of the registers in it.
const PRSTATUS_REGS: usize = 112;
/// The offset of the PSW in `pt_regs`, behind the arguments; the general registers follow it.
const PT_REGS_PSW: usize = 8;
/// Bytes of `pt_regs` up to the end of the general registers.
pub const PT_REGS_BYTES: usize = PT_REGS_PSW + 18 * 8;

/// The place of r14, where a function returns to until it saves it.
pub const LINK: usize = 16;
const MASK: usize = 0;
/// PSW_MASK_PSTATE: user mode.
const PSTATE: u64 = 1 << 48;
/// PSW_MASK_IO and PSW_MASK_EXT: interrupts are taken.
const INTERRUPTS: u64 = 3 << 56;

/// The PSW, then the general registers, as both structures have them.
static SET: Set = Set {
    order: Order::Big,
    named,
    names: &[
        "psw_mask", "psw_addr", "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10",
        "r11", "r12", "r13", "r14", "r15",
    ],
    pc: 1,
    sp: 17,
    user_mode: |all| all.get(MASK).is_some_and(|mask| mask & PSTATE != 0),
    interrupts: |all| all.get(MASK).map(|mask| mask & INTERRUPTS != 0),
};

/// From the first 152 bytes of a `pt_regs`. `None` when it is cut off.
#[must_use]
pub fn from_pt_regs(bytes: &[u8]) -> Option<Registers> {
    Registers::read(&SET, bytes.get(PT_REGS_PSW..)?, SET.names.len())
}

/// From an NT_PRSTATUS descriptor: the pid it names and the registers.
pub(crate) fn from_prstatus(desc: &[u8]) -> Option<(i32, Registers)> {
    let pid = Order::Big.u32_at(desc, PRSTATUS_PID)?.cast_signed();
    let registers = Registers::read(&SET, desc.get(PRSTATUS_REGS..)?, SET.names.len())?;
    Some((pid, registers))
}
