//! What a function has done to its stack at one of its instructions, and what a call looks like.
//!
//! Facts: Power ISA 3.0B; 64-Bit ELF V2 ABI, "The Stack Frame". A function saves the link register into its
//! caller's frame (`std r0,16(r1)`), then makes its own (`stdu r1,-N(r1)`); at its end it adds N again.

use crate::unwind::chain::Kept;
use crate::unwind::memory::Pages;
use vmcore::addr::VirtAddr;

/// Bytes of an instruction.
const INSTRUCTION: u64 = 4;
/// Longest function that is looked through.
const MAX_BYTES: u64 = 64 << 10;

fn instruction(pages: &Pages<'_>, at: u64) -> Option<u32> {
    pages.bytes::<4>(VirtAddr(at)).map(u32::from_le_bytes)
}

/// Whether a call stands right before `pc`: a branch with LK set. `None` where the code cannot be read.
pub(super) fn follows_call(pages: &Pages<'_>, pc: u64) -> Option<bool> {
    if !pc.is_multiple_of(INSTRUCTION) {
        return Some(false);
    }
    let code = instruction(pages, pc.checked_sub(INSTRUCTION)?)?;
    // bc, b, and those by register: bclr, bcctr.
    Some(matches!(code >> 26, 16 | 18 | 19) && code & 1 == 1)
}

/// What the function that begins at `start` has on the stack when `pc` is about to run. `None` where its code
/// cannot be read or is too long.
pub(super) fn kept(pages: &Pages<'_>, start: u64, pc: u64) -> Option<Kept> {
    if pc.checked_sub(start)? > MAX_BYTES {
        return None;
    }
    // What the prologue did, and what is undone until the code leaves the function.
    let (mut made, mut now) = (Kept::default(), Kept::default());
    let mut at = start;
    while at < pc {
        let code = instruction(pages, at)?;
        match code {
            // stdu r1,-N(r1)
            _ if code & 0xffff_8003 == 0xf821_8001 => {
                made.frame = true;
                now.frame = true;
            }
            // std r0,16(r1)
            0xf801_0010 => {
                made.link = true;
                now.link = true;
            }
            // addi r1,r1,N
            _ if code & 0xffff_8000 == 0x3821_0000 => now.frame = false,
            // mtlr r0
            0x7c08_03a6 => now.link = false,
            // blr, b, bctr: the code after it is reached from elsewhere.
            0x4e80_0020 | 0x4e80_0420 => now = made,
            _ if code & 0xfc00_0003 == 0x4800_0000 => now = made,
            _ => {}
        }
        at = at.checked_add(INSTRUCTION)?;
    }
    Some(now)
}
