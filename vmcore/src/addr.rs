//! Addresses as types: a physical address never meets a virtual one, and arithmetic is checked.
//!
//! Everything here comes from a dump sooner or later, so nothing wraps: `checked_*` answers `None`
//! and the caller says what was being computed.

use std::fmt;

/// log2 of the page size this crate works in. Only 4 KiB pages exist on x86_64; a dump with another
/// page size is refused while opening.
pub const PAGE_SHIFT: u32 = 12;
/// Bytes in a page.
pub const PAGE_SIZE: u64 = 1 << PAGE_SHIFT;
/// Bytes in a page, for buffers.
pub const PAGE_BYTES: usize = 1 << PAGE_SHIFT;

macro_rules! address {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u64);

        impl $name {
            /// `self + n`, or `None` past 2^64.
            #[must_use]
            pub fn checked_add(self, n: u64) -> Option<Self> {
                self.0.checked_add(n).map(Self)
            }

            /// `self - n`, or `None` below zero.
            #[must_use]
            pub fn checked_sub(self, n: u64) -> Option<Self> {
                self.0.checked_sub(n).map(Self)
            }

            /// The distance from `base` up to `self`, or `None` when `self` is below it.
            #[must_use]
            pub fn offset_from(self, base: Self) -> Option<u64> {
                self.0.checked_sub(base.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:#x})"), self.0)
            }
        }
    };
}

address! {
    /// A physical address of the crashed machine, in bytes.
    PhysAddr
}
address! {
    /// A virtual address of the crashed kernel (or of one of its tasks), in bytes.
    VirtAddr
}
address! {
    /// A page frame number: physical address / page size.
    Pfn
}
address! {
    /// An offset into a file, in bytes.
    FileOffset
}

impl PhysAddr {
    /// The page that holds this byte.
    #[must_use]
    pub fn pfn(self) -> Pfn {
        Pfn(self.0 >> PAGE_SHIFT)
    }

    /// The offset inside its page, in bytes.
    #[must_use]
    pub fn page_offset(self) -> u64 {
        self.0 & (PAGE_SIZE - 1)
    }
}

impl VirtAddr {
    /// The offset inside its page, in bytes.
    #[must_use]
    pub fn page_offset(self) -> u64 {
        self.0 & (PAGE_SIZE - 1)
    }

    /// `self + n` modulo 2^64: for the places where the kernel itself relies on wrapping
    /// (per-CPU symbol + `__per_cpu_offset`, negative kallsyms offsets).
    #[must_use]
    pub fn wrapping_add(self, n: u64) -> Self {
        Self(self.0.wrapping_add(n))
    }
}

impl Pfn {
    /// The physical address of the page's first byte, or `None` past 2^64.
    #[must_use]
    pub fn phys(self) -> Option<PhysAddr> {
        self.0.checked_mul(PAGE_SIZE).map(PhysAddr)
    }
}

/// A half-open run of page frames, `start..end`. Never empty when it comes out of this crate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PfnRange {
    /// The first page.
    pub start: Pfn,
    /// The page after the last.
    pub end: Pfn,
}

impl PfnRange {
    /// `start..end`; an `end` below `start` makes an empty range.
    #[must_use]
    pub fn new(start: Pfn, end: Pfn) -> Self {
        Self {
            start,
            end: end.max(start),
        }
    }

    /// Number of pages.
    #[must_use]
    pub fn len(self) -> u64 {
        self.end.0.saturating_sub(self.start.0)
    }

    /// Whether it holds no page.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.end <= self.start
    }

    /// Whether `pfn` is one of its pages.
    #[must_use]
    pub fn contains(self, pfn: Pfn) -> bool {
        self.start <= pfn && pfn < self.end
    }

    /// The pages in both, or `None` when there are none.
    #[must_use]
    pub fn intersect(self, other: Self) -> Option<Self> {
        let both = Self {
            start: self.start.max(other.start),
            end: self.end.min(other.end),
        };
        (!both.is_empty()).then_some(both)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_is_checked() {
        assert_eq!(PhysAddr(u64::MAX).checked_add(1), None);
        assert_eq!(PhysAddr(5).checked_sub(6), None);
        assert_eq!(Pfn(u64::MAX).phys(), None);
        assert_eq!(PhysAddr(0x1fff).pfn(), Pfn(1));
        assert_eq!(PhysAddr(0x1fff).page_offset(), 0xfff);
    }

    #[test]
    fn ranges_intersect() {
        let a = PfnRange::new(Pfn(10), Pfn(20));
        assert_eq!(
            a.intersect(PfnRange::new(Pfn(15), Pfn(30))),
            Some(PfnRange::new(Pfn(15), Pfn(20)))
        );
        assert_eq!(a.intersect(PfnRange::new(Pfn(20), Pfn(30))), None);
        assert!(PfnRange::new(Pfn(3), Pfn(1)).is_empty());
    }
}
