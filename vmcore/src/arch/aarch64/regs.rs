//! Saved registers of aarch64: the NT_PRSTATUS descriptor and `struct pt_regs`.
//!
//! Facts: arch/arm64/include/uapi/asm/ptrace.h (`user_pt_regs`, which begins `pt_regs`),
//! arch/arm64/include/asm/elf.h, include/linux/elfcore.h; both layouts are ABI and the same in every
//! kernel.

/// Bytes of an aarch64 NT_PRSTATUS descriptor.
pub(crate) const PRSTATUS_BYTES: usize = 392;
/// The offset of pr_pid in it.
const PRSTATUS_PID: usize = 32;
/// The offset of the 34 registers in it.
const PRSTATUS_REGS: usize = 112;
/// Bytes of `struct user_pt_regs`.
pub const USER_PT_REGS_BYTES: usize = 272;

const NAMES: [&str; 31] = [
    "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14",
    "x15", "x16", "x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27",
    "x28", "x29", "lr",
];

/// The registers of one CPU or of one interrupted context.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Registers {
    /// x0 to x30.
    pub x: [u64; 31],
    /// The stack pointer.
    pub sp: u64,
    /// The program counter.
    pub pc: u64,
    /// The processor state (SPSR).
    pub pstate: u64,
}

impl Registers {
    /// From the first 272 bytes of a `pt_regs`. `None` when there are fewer.
    #[must_use]
    pub fn from_pt_regs(bytes: &[u8]) -> Option<Self> {
        let mut words = [0u64; USER_PT_REGS_BYTES / 8];
        let bytes = bytes.get(..USER_PT_REGS_BYTES)?;
        for (word, chunk) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*chunk);
        }
        let [x @ .., sp, pc, pstate] = words;
        Some(Self { x, sp, pc, pstate })
    }

    /// From an NT_PRSTATUS descriptor: the pid it names and the registers.
    #[must_use]
    pub(crate) fn from_prstatus(desc: &[u8]) -> Option<(i32, Self)> {
        let pid = desc
            .get(PRSTATUS_PID..PRSTATUS_PID + 4)?
            .first_chunk::<4>()?;
        let regs = Self::from_pt_regs(desc.get(PRSTATUS_REGS..)?)?;
        Some((i32::from_le_bytes(*pid), regs))
    }

    /// The frame pointer.
    #[must_use]
    pub fn fp(&self) -> u64 {
        let [.., fp, _] = self.x;
        fp
    }

    /// The link register: where the function that runs returns to, until it saved it.
    #[must_use]
    pub fn lr(&self) -> u64 {
        let [.., lr] = self.x;
        lr
    }

    /// All of them with their names, in the order of `pt_regs`.
    #[must_use]
    pub fn named(&self) -> Vec<(&'static str, u64)> {
        let rest = [("sp", self.sp), ("pc", self.pc), ("pstate", self.pstate)];
        NAMES.into_iter().zip(self.x).chain(rest).collect()
    }

    /// Whether the CPU took interrupts: PSR_I_BIT masks them.
    #[must_use]
    pub fn takes_interrupts(&self) -> bool {
        self.pstate & 1 << 7 == 0
    }

    /// Whether the CPU ran at EL0 (PSR_MODE_MASK of AArch64 and of AArch32's user mode).
    #[must_use]
    pub fn user_mode(&self) -> bool {
        self.pstate & 0xf == 0
    }
}
