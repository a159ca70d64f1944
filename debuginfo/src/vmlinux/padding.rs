//! Where functions end: kallsyms has no sizes, and assemblers fill up to the next function with NOPs.

use crate::dwarf::Range;
use vmcore::addr::{PAGE_SIZE, VirtAddr};
use vmcore::kernel::Kernel;

/// Functions begin at multiples of this.
const ALIGN: u64 = 16;
/// The most that is filled up: a cache line.
const MAX: usize = 63;
/// What the GNU assembler fills code with on x86_64, from one byte to eleven (binutils,
/// gas/config/tc-i386.c: `alt_11` and shorter).
const NOPS: [&[u8]; 11] = [
    &[0x90],
    &[0x66, 0x90],
    &[0x0f, 0x1f, 0x00],
    &[0x0f, 0x1f, 0x40, 0x00],
    &[0x0f, 0x1f, 0x44, 0x00, 0x00],
    &[0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
    &[0x0f, 0x1f, 0x80, 0, 0, 0, 0],
    &[0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0],
    &[0x66, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0],
    &[0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0],
    &[0x66, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0],
];

/// Code of the kernel or of a module.
pub(super) struct Code {
    start: u64,
    bytes: Vec<u8>,
    /// Whether all of it could be read.
    pub whole: bool,
}

impl Code {
    /// Reads it; pages that cannot be read are zeros, which are no NOPs.
    pub(super) fn read(kernel: &Kernel, text: Range) -> Self {
        let mut bytes = vec![0; usize::try_from(text.len()).unwrap_or(0)];
        let whole = kernel.read(VirtAddr(text.start), &mut bytes).is_ok();
        if !whole {
            let pages = bytes.chunks_mut(PAGE_SIZE as usize);
            for (n, page) in (0..).zip(pages) {
                let at = VirtAddr(text.start.saturating_add(n * PAGE_SIZE));
                if kernel.read(at, page).is_err() {
                    page.fill(0);
                }
            }
        }
        Self {
            start: text.start,
            bytes,
            whole,
        }
    }

    /// Whether `address` is in it.
    pub(super) fn contains(&self, address: u64) -> bool {
        let offset = address.checked_sub(self.start);
        offset.is_some_and(|offset| offset < self.bytes.len() as u64)
    }

    /// The size without the padding of the function at `address`, whose next begins `room` bytes later.
    pub(super) fn size(&self, address: u64, room: u64) -> u64 {
        let end = address.saturating_add(room);
        let code = (|| {
            let from = usize::try_from(address.checked_sub(self.start)?).ok()?;
            let to = usize::try_from(end.checked_sub(self.start)?).ok()?;
            self.bytes.get(from..to)
        })();
        match code {
            Some(code) if end.is_multiple_of(ALIGN) => (code.len() - padding(code)) as u64,
            _ => room,
        }
    }
}

/// Bytes of NOPs at the end. What is nothing else is code: the room before a function (`__pfx_…`).
fn padding(code: &[u8]) -> usize {
    let most = code.len().saturating_sub(1).min(MAX);
    if is_nops(code) {
        return 0;
    }
    let is_padding = |len: &usize| {
        let rest = code.get(code.len() - len..).unwrap_or_default();
        is_nops(rest)
    };
    (1..=most).rev().find(is_padding).unwrap_or(0)
}

/// Whether bytes are NOPs as the assembler chooses them: the longest first.
fn is_nops(mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        let nop = NOPS.iter().rev().find_map(|nop| bytes.strip_prefix(*nop));
        match nop {
            Some(rest) => bytes = rest,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::{Code, padding};

    #[test]
    fn nops_behind_a_function_are_not_part_of_it() {
        // ret; nopw 0x0(%rax,%rax,1) and so on
        assert_eq!(padding(&[0xc3, 0x90]), 1);
        assert_eq!(padding(&[0xc3, 0x66, 0x90]), 2);
        let long = [
            0xc3, 0x66, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0, 0x0f, 0x1f, 0x00,
        ];
        assert_eq!(padding(&long), 14);
        // int3 behind ret is the function's own.
        assert_eq!(padding(&[0xc3, 0xcc]), 0);
        assert_eq!(padding(&[0x90; 16]), 0);
        assert_eq!(padding(&[]), 0);
    }

    #[test]
    fn only_what_ends_at_a_boundary_is_padded() {
        let mut bytes = vec![0xc3, 0x90, 0x90];
        bytes.resize(16, 0x90);
        let code = Code {
            start: 0x1000,
            bytes,
            whole: true,
        };
        assert_eq!(code.size(0x1000, 16), 1);
        assert_eq!(code.size(0x1000, 3), 3);
        assert_eq!(code.size(0x2000, 16), 16);
    }
}
