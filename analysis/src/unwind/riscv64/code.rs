//! Whether a function keeps its frame at one of its instructions, and what a call looks like.
//!
//! Facts: RISC-V Unprivileged ISA, chapters "RV32I" and "C"; the calling convention. A function stores ra and
//! s0, then points s0 at the stack pointer it was called with; before that, and after it loads s0 back, s0 is
//! the caller's. Instructions have 2 or 4 bytes; the two low bits tell.

use crate::unwind::memory::Pages;
use vmcore::addr::VirtAddr;

/// Longest function that is looked through.
const MAX_BYTES: u64 = 64 << 10;

/// An instruction, by its bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Code {
    Short(u16),
    Long(u32),
}

impl Code {
    fn read(pages: &Pages<'_>, at: u64) -> Option<Self> {
        let short = half(pages, at)?;
        if short & 3 != 3 {
            return Some(Self::Short(short));
        }
        let high = half(pages, at.checked_add(2)?)?;
        Some(Self::Long(u32::from(high) << 16 | u32::from(short)))
    }

    fn bytes(self) -> u64 {
        match self {
            Self::Short(_) => 2,
            Self::Long(_) => 4,
        }
    }

    /// `addi s0, sp, imm` or `c.addi4spn s0, imm`.
    fn sets_fp(self) -> bool {
        match self {
            Self::Long(code) => code & 0x000f_ffff == 0x0001_0413,
            Self::Short(code) => code & 0xe01f == 0 && code != 0,
        }
    }

    /// `ld s0, imm(sp)` or `c.ldsp s0, imm`.
    fn restores(self) -> bool {
        match self {
            Self::Long(code) => code & 0x000f_ffff == 0x0001_3403,
            Self::Short(code) => code & 0xef83 == 0x6402,
        }
    }

    /// The code after it is reached from elsewhere: `ret`, `jr`, `j`, and the short ones.
    fn leaves(self) -> bool {
        match self {
            // jalr x0 and jal x0.
            Self::Long(code) => matches!(code & 0xfff, 0x067 | 0x06f),
            // c.j, and c.jr of any register but x0.
            Self::Short(code) => {
                code & 0xe003 == 0xa001 || code & 0xf07f == 0x8002 && code != 0x8002
            }
        }
    }
}

fn half(pages: &Pages<'_>, at: u64) -> Option<u16> {
    pages.bytes::<2>(VirtAddr(at)).map(u16::from_le_bytes)
}

/// Whether a call stands right before `pc`: `jal` or `jalr` that links in ra or t0, or `c.jalr`. `None` where
/// the code cannot be read.
pub(super) fn follows_call(pages: &Pages<'_>, pc: u64) -> Option<bool> {
    if !pc.is_multiple_of(2) {
        return Some(false);
    }
    let short = half(pages, pc.checked_sub(2)?)?;
    if short & 0xf07f == 0x9002 && short != 0x9002 {
        return Some(true);
    }
    let start = half(pages, pc.checked_sub(4)?)?;
    let links = matches!(start & 0xf80, 0x080 | 0x280);
    Some(links && matches!(start & 0x7f, 0x67 | 0x6f))
}

/// Whether s0 is the function's own when `pc` is about to run. `start`: where the function begins. `None`
/// where its code cannot be read or is too long.
pub(super) fn keeps_frame(pages: &Pages<'_>, start: u64, pc: u64) -> Option<bool> {
    if pc.checked_sub(start)? > MAX_BYTES {
        return None;
    }
    let (mut set, mut restored) = (false, false);
    let mut at = start;
    while at < pc {
        let code = Code::read(pages, at)?;
        if code.sets_fp() {
            (set, restored) = (true, false);
        } else if code.restores() {
            restored = true;
        } else if code.leaves() {
            restored = false;
        }
        at = at.checked_add(code.bytes())?;
    }
    Some(set && !restored)
}
