//! The kinds of pages by their numbers in `pages.map`, and how they are counted.
//!
//! `crate::mm::rules` says what makes a page one of a kind. Which kinds are kept is policy and not
//! this crate's business.

use crate::addr::PfnRange;

/// What a page of RAM was used for when the kernel died.
///
/// The numbers are those of `pages.map` and stay as they are; new kinds are added at the end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
#[non_exhaustive]
pub enum Kind {
    /// Not understood or not looked at: always kept.
    Unknown = 0,
    /// In the buddy allocator.
    Free = 1,
    /// Never accepted from the hypervisor (TDX, SNP); reading it can kill the machine.
    Unaccepted = 2,
    /// Page cache (or swap cache) without private data.
    Cache = 3,
    /// Page cache with private data (buffer heads and the like).
    CachePrivate = 4,
    /// Anonymous memory of processes, KSM included.
    Anon = 5,
    /// hugetlb, of processes by definition.
    Hugetlb = 6,
    /// Slab.
    Slab = 7,
    /// Page tables.
    PageTable = 8,
    /// Other typed pages (zsmalloc, guard, large kmalloc …).
    Typed = 9,
    /// Hardware-poisoned: never read.
    HwPoison = 10,
    /// Offline or ballooned: never read.
    Offline = 11,
    /// In use by the kernel with no type: stacks, per-CPU areas, vmalloc, drivers.
    Kernel = 12,
    /// Reserved: kernel image, boot memory, holes that firmware keeps.
    Reserved = 13,
    /// Device memory with struct pages (pmem, ZONE_DEVICE).
    Device = 14,
}

impl Kind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 15] = [
        Self::Unknown,
        Self::Free,
        Self::Unaccepted,
        Self::Cache,
        Self::CachePrivate,
        Self::Anon,
        Self::Hugetlb,
        Self::Slab,
        Self::PageTable,
        Self::Typed,
        Self::HwPoison,
        Self::Offline,
        Self::Kernel,
        Self::Reserved,
        Self::Device,
    ];

    /// The kind of a number in `pages.map`; an unknown number is [`Kind::Unknown`].
    #[must_use]
    pub(crate) fn from_u8(n: u8) -> Self {
        Self::ALL
            .get(usize::from(n))
            .copied()
            .unwrap_or(Self::Unknown)
    }

    /// The name used in the config, on the command line and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Free => "free",
            Self::Unaccepted => "unaccepted",
            Self::Cache => "cache",
            Self::CachePrivate => "cache-private",
            Self::Anon => "anon",
            Self::Hugetlb => "hugetlb",
            Self::Slab => "slab",
            Self::PageTable => "page-table",
            Self::Typed => "typed",
            Self::HwPoison => "hwpoison",
            Self::Offline => "offline",
            Self::Kernel => "kernel",
            Self::Reserved => "reserved",
            Self::Device => "device",
        }
    }

    /// Whether a page of this kind is never read, at any level.
    #[must_use]
    pub fn never_read(self) -> bool {
        matches!(self, Self::HwPoison | Self::Offline | Self::Unaccepted)
    }
}

/// Consecutive pages of one kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KindRun {
    /// The pages.
    pub pages: PfnRange,
    /// What they are.
    pub kind: Kind,
}

/// Pages by kind.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct KindCounts([u64; Kind::ALL.len()]);

impl KindCounts {
    /// Counts `pages` more pages of `kind`.
    pub fn add(&mut self, kind: Kind, pages: u64) {
        if let Some(count) = self.0.get_mut(usize::from(kind as u8)) {
            *count = count.saturating_add(pages);
        }
    }

    /// Pages of `kind`.
    #[must_use]
    pub fn of(&self, kind: Kind) -> u64 {
        self.0.get(usize::from(kind as u8)).copied().unwrap_or(0)
    }

    /// Pages of all kinds.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// Every kind with its pages, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, u64)> + '_ {
        Kind::ALL.into_iter().zip(self.0.iter().copied())
    }
}
