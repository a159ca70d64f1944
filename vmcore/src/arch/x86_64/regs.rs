//! Saved registers of x86_64: the NT_PRSTATUS descriptor and `struct pt_regs`.
//!
//! Facts: arch/x86/include/asm/{elf.h,user_64.h,ptrace.h}, include/linux/elfcore.h; both layouts
//! are ABI and the same in every kernel. On FRED machines the upper bits of the saved cs and ss
//! hold event data, so only 16 bits of a selector count.

use crate::addr::VirtAddr;

/// Bytes of an x86_64 NT_PRSTATUS descriptor.
pub const PRSTATUS_BYTES: usize = 336;
/// Where pr_pid stands in it.
const PRSTATUS_PID: usize = 32;
/// Where the 27 registers stand in it.
const PRSTATUS_REGS: usize = 112;
/// Bytes of `struct pt_regs`.
pub const PT_REGS_BYTES: usize = 168;

/// The registers of one CPU or of one interrupted context.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub struct Registers {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub bp: u64,
    pub bx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub ax: u64,
    pub cx: u64,
    pub dx: u64,
    pub si: u64,
    pub di: u64,
    pub orig_ax: u64,
    pub ip: u64,
    pub cs: u64,
    pub flags: u64,
    pub sp: u64,
    pub ss: u64,
}

/// Names in the order of `pt_regs`, as [`Registers::named`] gives them.
const NAMES: [&str; 21] = [
    "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi",
    "rdi", "orig_rax", "rip", "cs", "rflags", "rsp", "ss",
];

impl Registers {
    /// From the first 168 bytes of a `pt_regs` (or of the register block of a PRSTATUS, which has
    /// the same order). `None` when there are fewer.
    #[must_use]
    pub fn from_pt_regs(bytes: &[u8]) -> Option<Self> {
        let mut words = [0u64; 21];
        let bytes = bytes.get(..PT_REGS_BYTES)?;
        for (word, chunk) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*chunk);
        }
        let [
            r15,
            r14,
            r13,
            r12,
            bp,
            bx,
            r11,
            r10,
            r9,
            r8,
            ax,
            cx,
            dx,
            si,
            di,
            orig_ax,
            ip,
            cs,
            flags,
            sp,
            ss,
        ] = words;
        Some(Self {
            r15,
            r14,
            r13,
            r12,
            bp,
            bx,
            r11,
            r10,
            r9,
            r8,
            ax,
            cx,
            dx,
            si,
            di,
            orig_ax,
            ip,
            cs,
            flags,
            sp,
            ss,
        })
    }

    /// From an NT_PRSTATUS descriptor: the pid it names and the registers.
    #[must_use]
    pub fn from_prstatus(desc: &[u8]) -> Option<(i32, Self)> {
        let pid = desc
            .get(PRSTATUS_PID..PRSTATUS_PID + 4)?
            .first_chunk::<4>()?;
        let regs = Self::from_pt_regs(desc.get(PRSTATUS_REGS..)?)?;
        Some((i32::from_le_bytes(*pid), regs))
    }

    /// All of them with their names, in the order of `pt_regs`.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 21] {
        let values = [
            self.r15,
            self.r14,
            self.r13,
            self.r12,
            self.bp,
            self.bx,
            self.r11,
            self.r10,
            self.r9,
            self.r8,
            self.ax,
            self.cx,
            self.dx,
            self.si,
            self.di,
            self.orig_ax,
            self.ip,
            self.cs & 0xffff,
            self.flags,
            self.sp,
            self.ss & 0xffff,
        ];
        let mut out = [("", 0); 21];
        for ((slot, name), value) in out.iter_mut().zip(NAMES).zip(values) {
            *slot = (name, value);
        }
        out
    }

    /// Whether the CPU ran in user mode.
    #[must_use]
    pub fn user_mode(&self) -> bool {
        self.cs & 3 == 3
    }

    /// The instruction pointer as an address.
    #[must_use]
    pub fn pc(&self) -> VirtAddr {
        VirtAddr(self.ip)
    }
}
