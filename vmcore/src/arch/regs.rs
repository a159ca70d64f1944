//! The registers of one CPU or of one interrupted context, of any architecture.

use super::{aarch64, table, x86_64};
use crate::addr::VirtAddr;

/// Saved registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Registers {
    /// Of x86_64.
    X86_64(x86_64::regs::Registers),
    /// Of aarch64.
    Aarch64(aarch64::regs::Registers),
    /// Of another architecture, whose table says which they are.
    Table(table::Registers),
}

impl Registers {
    /// All of them with the names that people know, in the order of the kernel's `pt_regs`.
    #[must_use]
    pub fn named(&self) -> Vec<(&'static str, u64)> {
        match self {
            Self::X86_64(registers) => registers.named().to_vec(),
            Self::Aarch64(registers) => registers.named(),
            Self::Table(registers) => registers.named(),
        }
    }

    /// Whether the CPU ran in user mode.
    #[must_use]
    pub fn user_mode(&self) -> bool {
        match self {
            Self::X86_64(registers) => registers.user_mode(),
            Self::Aarch64(registers) => registers.user_mode(),
            Self::Table(registers) => registers.user_mode(),
        }
    }

    /// The instruction pointer as an address.
    #[must_use]
    pub fn pc(&self) -> VirtAddr {
        match self {
            Self::X86_64(registers) => registers.pc(),
            Self::Aarch64(registers) => VirtAddr(registers.pc),
            Self::Table(registers) => VirtAddr(registers.pc()),
        }
    }

    /// Whether the CPU took interrupts; `None` where the registers do not say it.
    #[must_use]
    pub fn takes_interrupts(&self) -> Option<bool> {
        match self {
            Self::X86_64(registers) => Some(registers.takes_interrupts()),
            Self::Aarch64(registers) => Some(registers.takes_interrupts()),
            Self::Table(registers) => registers.takes_interrupts(),
        }
    }

    /// The stack pointer as an address.
    #[must_use]
    pub fn sp(&self) -> VirtAddr {
        match self {
            Self::X86_64(registers) => VirtAddr(registers.sp),
            Self::Aarch64(registers) => VirtAddr(registers.sp),
            Self::Table(registers) => VirtAddr(registers.sp()),
        }
    }
}
