//! What a function has done to its stack at one of its instructions, and what a call looks like.
//!
//! Facts: z/Architecture Principles of Operation; the s390x ELF ABI, with the kernel's packed stack. A function
//! stores its registers in its caller's frame (`stmg %rN,%r15`), then makes its own (`aghi` or `lay` of %r15);
//! `lmg` of %r15 gives it back. The two high bits of an instruction tell its length.

use crate::unwind::chain::Kept;
use crate::unwind::memory::Pages;
use vmcore::addr::VirtAddr;

/// Longest function that is looked through.
const MAX_BYTES: u64 = 64 << 10;

fn length(first: u8) -> u64 {
    match first >> 6 {
        0 => 2,
        3 => 6,
        _ => 4,
    }
}

/// Whether a call stands right before `pc`: one that links in %r14. `None` where the code cannot be read.
pub(super) fn follows_call(pages: &Pages<'_>, pc: u64) -> Option<bool> {
    if !pc.is_multiple_of(2) {
        return Some(false);
    }
    let before = |bytes: u64| pages.bytes::<2>(VirtAddr(pc.checked_sub(bytes)?));
    let [basr, register] = before(2)?;
    // basr %r14; bras %r14; brasl %r14.
    let calls = basr == 0x0d && register >> 4 == 14
        || before(4)? == [0xa7, 0xe5]
        || before(6)? == [0xc0, 0xe5];
    Some(calls)
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
        let head = pages.bytes::<2>(VirtAddr(at))?;
        let [first, second] = head;
        let len = length(first);
        let last = pages.bytes::<1>(VirtAddr(at.checked_add(len)?.checked_sub(1)?))?;
        match (first, second, last) {
            // stmg %rN,%r15 with N up to 14.
            (0xeb, registers, [0x24]) if registers & 0xf == 0xf && registers >> 4 <= 14 => {
                made.link = true;
                now.link = true;
            }
            // aghi %r15; lay %r15,…
            (0xa7, 0xfb, _) | (0xe3, 0xf0, [0x71]) => {
                made.frame = true;
                now.frame = true;
            }
            // lmg %rN,%r15.
            (0xeb, registers, [0x04]) if registers & 0xf == 0xf => now = Kept::default(),
            // br %r14, j, jg: the code after it is reached from elsewhere.
            (0x07, 0xfe, _) | (0xa7, 0xf4, _) | (0xc0, 0xf4, _) => now = made,
            _ => {}
        }
        at = at.checked_add(len)?;
    }
    Some(now)
}
