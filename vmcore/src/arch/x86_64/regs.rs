//! Saved registers of x86_64: the NT_PRSTATUS descriptor and `struct pt_regs`.
//!
//! Facts: arch/x86/include/asm/{elf.h,user_64.h,ptrace.h}, include/linux/elfcore.h; both layouts
//! are ABI and the same in every kernel. On FRED machines the upper bits of the saved cs and ss
//! hold event data, so only 16 bits of a selector count.

use crate::addr::VirtAddr;

/// Bytes of an x86_64 NT_PRSTATUS descriptor.
pub(crate) const PRSTATUS_BYTES: usize = 336;
/// The offset of pr_pid in it.
const PRSTATUS_PID: usize = 32;
/// The offset of the 27 registers in it.
const PRSTATUS_REGS: usize = 112;
/// Bytes of `struct pt_regs`.
pub const PT_REGS_BYTES: usize = 168;

/// The fields in the order of `pt_regs`, each with the name that people know.
macro_rules! registers {
    ($($field:ident $name:literal,)*) => {
        /// The registers of one CPU or of one interrupted context.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        #[allow(missing_docs)]
        pub struct Registers {
            $(pub $field: u64,)*
        }

        impl Registers {
            fn from_words(words: [u64; PT_REGS_BYTES / 8]) -> Self {
                let [$($field,)*] = words;
                Self { $($field,)* }
            }

            /// All of them with their names, in the order of `pt_regs`.
            #[must_use]
            pub fn named(&self) -> [(&'static str, u64); PT_REGS_BYTES / 8] {
                let Self { $($field,)* } = Self {
                    cs: self.cs & 0xffff,
                    ss: self.ss & 0xffff,
                    ..*self
                };
                [$(($name, $field),)*]
            }
        }
    };
}

registers! {
    r15 "r15",
    r14 "r14",
    r13 "r13",
    r12 "r12",
    bp "rbp",
    bx "rbx",
    r11 "r11",
    r10 "r10",
    r9 "r9",
    r8 "r8",
    ax "rax",
    cx "rcx",
    dx "rdx",
    si "rsi",
    di "rdi",
    orig_ax "orig_rax",
    ip "rip",
    cs "cs",
    flags "rflags",
    sp "rsp",
    ss "ss",
}

impl Registers {
    /// From the first 168 bytes of a `pt_regs` (or of the register block of a PRSTATUS, which has
    /// the same order). `None` when there are fewer.
    #[must_use]
    pub fn from_pt_regs(bytes: &[u8]) -> Option<Self> {
        let mut words = [0u64; PT_REGS_BYTES / 8];
        let bytes = bytes.get(..PT_REGS_BYTES)?;
        for (word, chunk) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*chunk);
        }
        Some(Self::from_words(words))
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

    /// Whether the CPU ran in user mode.
    #[must_use]
    pub fn user_mode(&self) -> bool {
        self.cs & 3 == 3
    }

    /// Whether the CPU took interrupts: bit 9 of the flags (Intel SDM, volume 1, 3.4.3).
    #[must_use]
    pub fn takes_interrupts(&self) -> bool {
        self.flags & 1 << 9 != 0
    }

    /// The instruction pointer as an address.
    #[must_use]
    pub fn pc(&self) -> VirtAddr {
        VirtAddr(self.ip)
    }
}
