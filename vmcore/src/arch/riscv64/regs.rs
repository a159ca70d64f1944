//! Saved registers of riscv64: the NT_PRSTATUS descriptor and `struct pt_regs`.
//!
//! Facts: arch/riscv/include/asm/{ptrace.h,elf.h,csr.h}, arch/riscv/include/uapi/asm/ptrace.h
//! (`user_regs_struct`, which begins `pt_regs`), include/linux/elfcore.h, 4.15 to 7.2. A note has the 32
//! registers alone: the status of the CPU is in `pt_regs` only.

use crate::arch::table::{Registers, Set, named};
use crate::order::Order;

/// Bytes of a riscv64 NT_PRSTATUS descriptor.
pub(crate) const PRSTATUS_BYTES: usize = 376;
/// The offset of pr_pid in it.
const PRSTATUS_PID: usize = 32;
/// The offset of the registers in it.
const PRSTATUS_REGS: usize = 112;
/// Registers in it.
const NOTED: usize = 32;
/// Bytes of `struct pt_regs`.
pub const PT_REGS_BYTES: usize = 288;

/// The place of ra, where the function that runs returns to until it saves it.
pub const RA: usize = 1;
/// The place of s0, the frame pointer.
pub const FP: usize = 8;
const STATUS: usize = 32;
/// SR_SPP: the CPU was in the kernel.
const SPP: u64 = 1 << 8;
/// SR_SPIE: it took interrupts.
const SPIE: u64 = 1 << 5;

/// In the order of `pt_regs`.
static SET: Set = Set {
    order: Order::Little,
    named,
    names: &[
        "epc", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4",
        "a5", "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4",
        "t5", "t6", "status", "badaddr", "cause", "orig_a0",
    ],
    pc: 0,
    sp: 2,
    // Without the status the address tells: the kernel's half is the upper one.
    user_mode: |all| match all.get(STATUS) {
        Some(status) => status & SPP == 0,
        None => all.pc() >> 63 == 0,
    },
    interrupts: |all| all.get(STATUS).map(|status| status & SPIE != 0),
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
    let registers = Registers::read(&SET, desc.get(PRSTATUS_REGS..)?, NOTED)?;
    Some((i32::from_le_bytes(*pid), registers))
}
