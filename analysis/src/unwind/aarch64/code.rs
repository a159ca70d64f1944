//! Whether a function keeps its frame record at one of its instructions.
//!
//! Facts: Arm ARM, C6.2 (ADD immediate, LDP, RET, B, BL, BLR and their authenticated kinds); AAPCS64. A
//! function stores {fp, lr}, then points fp at them; before that, after it loads them back, and in a
//! function that calls nothing, fp is the caller's and lr leads to the caller.

use crate::unwind::memory::Pages;
use vmcore::addr::VirtAddr;

/// Bytes of an instruction.
pub(super) const INSTRUCTION: u64 = 4;
/// Longest function that is looked through.
const MAX_BYTES: u64 = 64 << 10;

/// `add x29, sp, #imm`, `mov x29, sp` among them.
fn sets_fp(code: u32) -> bool {
    code & 0xffc0_03ff == 0x9100_03fd
}

/// `ldp x29, x30, [sp …]`: with the offset, or after it (post-index).
fn restores(code: u32) -> bool {
    matches!(code & 0xffc0_7fff, 0xa940_7bfd | 0xa8c0_7bfd)
}

/// The code after it is reached from elsewhere: `ret`, `retaa`, `retab`, `b`, `br`.
fn leaves(code: u32) -> bool {
    code & 0xffff_fc1f == 0xd65f_0000
        || matches!(code, 0xd65f_0bff | 0xd65f_0fff)
        || code & 0xfc00_0000 == 0x1400_0000
        || code & 0xffff_fc1f == 0xd61f_0000
}

/// `bl`, `blr` and the kinds of `blr` that authenticate.
pub(super) fn is_call(code: u32) -> bool {
    code & 0xfc00_0000 == 0x9400_0000
        || code & 0xffff_fc1f == 0xd63f_0000
        || matches!(code & 0xffff_f800, 0xd63f_0800)
        || code & 0xffff_f800 == 0xd73f_0800
}

/// An instruction.
pub(super) fn instruction(pages: &Pages<'_>, at: u64) -> Option<u32> {
    pages.bytes::<4>(VirtAddr(at)).map(u32::from_le_bytes)
}

/// Whether fp points to the function's own record when `pc` is about to run. `start`: where the function
/// begins. `None` where its code cannot be read or is too long.
pub(super) fn keeps_record(pages: &Pages<'_>, start: u64, pc: u64) -> Option<bool> {
    if pc.checked_sub(start)? > MAX_BYTES {
        return None;
    }
    let (mut set, mut restored) = (false, false);
    let mut at = start;
    while at < pc {
        let code = instruction(pages, at)?;
        if sets_fp(code) {
            (set, restored) = (true, false);
        } else if restores(code) {
            restored = true;
        } else if leaves(code) {
            restored = false;
        }
        at = at.checked_add(INSTRUCTION)?;
    }
    Some(set && !restored)
}
