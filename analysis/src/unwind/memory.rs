//! Reads of the dump by the unwinder: whole pages, a fixed number of them remembered.
//!
//! Unwinding reads the same few pages again and again (the middle of the ORC tables, the stack at
//! hand) in words of two to eight bytes; from a compressed core each such read would be dear.

use std::cell::RefCell;
use vmcore::addr::{PAGE_BYTES, PAGE_SHIFT, VirtAddr};
use vmcore::kernel::{Kernel, Memory};
use vmcore::order::Order;

/// Pages remembered: 256 KiB.
const SLOTS: usize = 64;

/// Memory by virtual address.
pub(super) trait Source {
    /// Fills `buf` from `va`, all or nothing.
    fn fill(&self, va: VirtAddr, buf: &mut [u8]) -> bool;

    /// The order of the bytes in its words.
    fn order(&self) -> Order {
        Order::Little
    }
}

impl Source for Kernel {
    fn fill(&self, va: VirtAddr, buf: &mut [u8]) -> bool {
        self.read(va, buf).is_ok()
    }

    fn order(&self) -> Order {
        Memory::order(self)
    }
}

struct Slot {
    page: u64,
    readable: bool,
    bytes: Box<[u8; PAGE_BYTES]>,
}

/// A source with its last pages remembered.
pub(super) struct Pages<'s> {
    source: &'s dyn Source,
    slots: RefCell<Vec<Option<Slot>>>,
}

impl<'s> Pages<'s> {
    /// Nothing is read yet.
    pub(super) fn new(source: &'s dyn Source) -> Self {
        let slots = RefCell::new((0..SLOTS).map(|_| None).collect());
        Self { source, slots }
    }

    /// Copies bytes, across pages; `None` when any of them cannot be read.
    pub(super) fn copy(&self, va: VirtAddr, buf: &mut [u8]) -> Option<()> {
        let mut at = va;
        let mut rest = buf;
        while !rest.is_empty() {
            let offset = usize::try_from(at.page_offset()).ok()?;
            let n = (PAGE_BYTES - offset).min(rest.len());
            let (now, later) = rest.split_at_mut_checked(n)?;
            self.copy_within(at, offset, now)?;
            rest = later;
            if !rest.is_empty() {
                at = at.checked_add(u64::try_from(n).ok()?)?;
            }
        }
        Some(())
    }

    fn copy_within(&self, at: VirtAddr, offset: usize, buf: &mut [u8]) -> Option<()> {
        let page = at.0 >> PAGE_SHIFT;
        // Neighbours get different slots, and so do the same pages of different stacks.
        let index = usize::try_from((page ^ (page >> 6) ^ (page >> 17)) % SLOTS as u64).ok()?;
        let mut slots = self.slots.borrow_mut();
        let slot = slots.get_mut(index)?;
        if slot.as_ref().is_none_or(|slot| slot.page != page) {
            let mut bytes = match slot.take() {
                Some(old) => old.bytes,
                None => Box::new([0; PAGE_BYTES]),
            };
            let start = VirtAddr(page << PAGE_SHIFT);
            let readable = self.source.fill(start, bytes.as_mut_slice());
            *slot = Some(Slot {
                page,
                readable,
                bytes,
            });
        }
        let slot = slot.as_ref().filter(|slot| slot.readable)?;
        let end = offset.checked_add(buf.len())?;
        buf.copy_from_slice(slot.bytes.get(offset..end)?);
        Some(())
    }

    /// An array of known size.
    pub(super) fn bytes<const N: usize>(&self, va: VirtAddr) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.copy(va, &mut bytes)?;
        Some(bytes)
    }

    /// A 64-bit word.
    pub(super) fn word(&self, va: VirtAddr) -> Option<u64> {
        self.bytes(va).map(|bytes| self.source.order().u64(bytes))
    }

    /// A 32-bit word.
    pub(super) fn half(&self, va: VirtAddr) -> Option<u32> {
        self.bytes(va).map(|bytes| self.source.order().u32(bytes))
    }

    /// A 64-bit word at `base + offset`.
    pub(super) fn word_at(&self, base: VirtAddr, offset: u64) -> Option<u64> {
        self.word(base.checked_add(offset)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    struct Ramp(Cell<u32>);

    impl Source for Ramp {
        fn fill(&self, va: VirtAddr, buf: &mut [u8]) -> bool {
            self.0.set(self.0.get() + 1);
            for (i, byte) in buf.iter_mut().enumerate() {
                *byte = u8::try_from((va.0 + i as u64) % 251).unwrap();
            }
            va.0 < 0x8000
        }
    }

    #[test]
    fn words_cross_pages_and_pages_are_read_once() {
        let ramp = Ramp(Cell::new(0));
        let pages = Pages::new(&ramp);
        let expected: Vec<u8> = (0xffc..0x1004u64).map(|a| (a % 251) as u8).collect();
        for _ in 0..3 {
            let got: [u8; 8] = pages.bytes(VirtAddr(0xffc)).unwrap();
            assert_eq!(got.to_vec(), expected);
        }
        assert_eq!(ramp.0.get(), 2);
    }

    #[test]
    fn what_cannot_be_read_is_none() {
        let ramp = Ramp(Cell::new(0));
        let pages = Pages::new(&ramp);
        assert_eq!(pages.word(VirtAddr(0x9000)), None);
        assert_eq!(pages.word(VirtAddr(0x7ffc)), None);
        assert_eq!(pages.word(VirtAddr(u64::MAX - 3)), None);
        assert_eq!(pages.word_at(VirtAddr(u64::MAX), 1), None);
    }

    #[test]
    fn pages_that_share_a_slot_do_not_mix() {
        let ramp = Ramp(Cell::new(0));
        let pages = Pages::new(&ramp);
        for page in 0..8u64 {
            let va = page << PAGE_SHIFT;
            assert_eq!(
                pages.bytes::<1>(VirtAddr(va)),
                Some([u8::try_from(va % 251).unwrap()])
            );
        }
    }
}
