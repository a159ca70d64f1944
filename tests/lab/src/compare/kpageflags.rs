//! /proc/kpageflags and /proc/kpagecount: 64 bits a page, as the running kernel sees it.
//!
//! Facts: include/uapi/linux/kernel-page-flags.h, fs/proc/page.c (stable_page_flags), 5.10 to 7.2.
//! A tail of a compound page shows its own raw flags, so it is judged by its head.

use super::Changes;
use anyhow::{Context, Result};
use std::path::Path;
use vmcore::mm::{Kind, KindRun};

const DIRTY: u32 = 4;
const LRU: u32 = 5;
const SLAB: u32 = 7;
const BUDDY: u32 = 10;
const ANON: u32 = 12;
const SWAPCACHE: u32 = 13;
const SWAPBACKED: u32 = 14;
const COMPOUND_TAIL: u32 = 16;
const HUGE: u32 = 17;
const UNEVICTABLE: u32 = 18;
const HWPOISON: u32 = 19;
const NOPAGE: u32 = 20;
const THP: u32 = 22;
const OFFLINE: u32 = 23;
const PGTABLE: u32 = 26;
const RESERVED: u32 = 32;

/// What a guest with memory of every kind has at the least: all of these bits, in so many pages.
/// Poison is not among them: not every kernel knows it.
const PRESENT: [(&str, &[u32], usize); 11] = [
    ("free", &[BUDDY], 1000),
    ("page cache", &[LRU], 1000),
    ("dirty page cache", &[LRU, DIRTY], 500),
    ("anonymous", &[ANON, LRU], 4000),
    ("transparent huge", &[ANON, THP], 512),
    ("hugetlb", &[HUGE], 12 * 512),
    ("slab", &[SLAB], 1000),
    ("page table", &[PGTABLE], 100),
    ("mlocked", &[UNEVICTABLE], 400),
    ("ballooned", &[OFFLINE], 4096),
    ("swap-cached", &[SWAPCACHE], 500),
];

/// What the kernel's word comes to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs)]
pub enum Seen {
    NoPage,
    HwPoison,
    Free,
    Hugetlb,
    Slab,
    PageTable,
    Offline,
    Anon,
    Cache,
    Reserved,
    Other,
}

impl Seen {
    fn of(flags: u64) -> Self {
        let has = |bit: u32| flags >> bit & 1 == 1;
        let rows = [
            (has(NOPAGE), Self::NoPage),
            (has(HWPOISON), Self::HwPoison),
            (has(BUDDY), Self::Free),
            (has(HUGE), Self::Hugetlb),
            (has(SLAB), Self::Slab),
            (has(PGTABLE), Self::PageTable),
            (has(OFFLINE), Self::Offline),
            (has(RESERVED), Self::Reserved),
            (has(ANON), Self::Anon),
            (has(LRU) || has(SWAPCACHE) && has(SWAPBACKED), Self::Cache),
        ];
        let found = rows.iter().find(|(is, _)| *is);
        found.map_or(Self::Other, |(_, seen)| *seen)
    }

    /// Whether such pages do not come and go in the moment before a panic.
    #[must_use]
    pub fn stays(self) -> bool {
        matches!(
            self,
            Self::HwPoison | Self::Offline | Self::Hugetlb | Self::Reserved
        )
    }

    /// Whether level 31 of makedumpfile leaves such pages out.
    #[must_use]
    pub fn may_go(self) -> bool {
        matches!(
            self,
            Self::HwPoison | Self::Free | Self::Hugetlb | Self::Offline | Self::Anon | Self::Cache
        )
    }

    /// Whether our kind says the same.
    #[must_use]
    pub fn agrees(self, kind: Kind) -> bool {
        match self {
            // No struct page was online: nothing was said.
            Self::NoPage => true,
            Self::HwPoison => kind == Kind::HwPoison,
            Self::Free => kind == Kind::Free,
            Self::Hugetlb => kind == Kind::Hugetlb,
            Self::Slab => kind == Kind::Slab,
            Self::PageTable => kind == Kind::PageTable,
            Self::Offline => kind == Kind::Offline,
            Self::Anon => kind == Kind::Anon,
            Self::Cache => matches!(kind, Kind::Cache | Kind::CachePrivate),
            Self::Reserved => kind == Kind::Reserved,
            Self::Other => matches!(kind, Kind::Kernel | Kind::Typed | Kind::Reserved),
        }
    }
}

/// A copy of the file.
#[derive(Clone, Debug)]
pub struct KpageFlags {
    words: Vec<u64>,
    /// Page frames of 4 KiB in a page of the kernel.
    frames: u64,
}

impl KpageFlags {
    /// Reads a copy; trailing bytes that are no whole word are ignored.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes =
            std::fs::read(path).with_context(|| format!("Cannot read {}", path.display()))?;
        Ok(Self::parse(&bytes))
    }

    fn parse(bytes: &[u8]) -> Self {
        let words = bytes.as_chunks::<8>().0.iter();
        Self::of(words.copied().map(u64::from_le_bytes).collect())
    }

    /// The words of a copy.
    #[must_use]
    pub fn of(mut words: Vec<u64>) -> Self {
        // Tails take their head's word; poison stays where it is.
        let mut head = 0;
        for word in &mut words {
            if *word >> COMPOUND_TAIL & 1 == 0 {
                head = *word;
            } else if *word >> HWPOISON & 1 == 0 {
                *word = head;
            }
        }
        Self { words, frames: 1 }
    }

    /// The same of a kernel whose pages are of several page frames.
    #[must_use]
    pub fn of_frames(self, frames: u64) -> Self {
        Self { frames, ..self }
    }

    /// Adds the pages of a run of which the kernel said something else; `listed`: whether one was on a list of a CPU in
    /// the end.
    pub fn judge(&self, run: &KindRun, listed: &dyn Fn(u64) -> bool, changes: &mut Changes) {
        changes.all += run.pages.len();
        for pfn in run.pages.start.0..run.pages.end.0 {
            let seen = self.seen(pfn);
            if seen.agrees(run.kind) {
                continue;
            }
            if run.kind == Kind::Free && seen == Seen::Other {
                changes.given_back.add(pfn);
                continue;
            }
            let differences = match run.kind == Kind::Kernel && listed(pfn) {
                true => &mut changes.listed,
                false => &mut changes.others,
            };
            differences.entry((run.kind, seen)).or_default().add(pfn);
        }
    }

    /// The sorts of memory of which there is too little for a test.
    #[must_use]
    pub fn absent(&self) -> Vec<&'static str> {
        let with = |bits: &[u32]| {
            let all = |word: &&u64| bits.iter().all(|bit| **word >> bit & 1 == 1);
            self.words.iter().filter(all).count()
        };
        let few = |(_, bits, least): &&(&str, &[u32], usize)| with(bits) < *least;
        PRESENT.iter().filter(few).map(|(name, ..)| *name).collect()
    }

    /// What the kernel said of the page that a page frame is in.
    #[must_use]
    pub fn seen(&self, pfn: u64) -> Seen {
        let page = pfn / self.frames;
        let word = usize::try_from(page).ok().and_then(|n| self.words.get(n));
        word.map_or(Seen::NoPage, |flags| Seen::of(*flags))
    }
}

/// A copy of /proc/kpagecount: how often processes have each page mapped.
#[derive(Clone, Debug)]
pub struct PageCounts {
    words: Vec<u64>,
}

impl PageCounts {
    /// Reads a copy.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes =
            std::fs::read(path).with_context(|| format!("Cannot read {}", path.display()))?;
        let words = bytes.as_chunks::<8>().0.iter();
        Ok(Self {
            words: words.copied().map(u64::from_le_bytes).collect(),
        })
    }

    /// Whether a process had the page mapped.
    #[must_use]
    pub fn mapped(&self, pfn: u64) -> bool {
        let word = usize::try_from(pfn).ok().and_then(|n| self.words.get(n));
        word.is_some_and(|count| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_follow_their_head() {
        let words: [u64; 6] = [
            1 << BUDDY,
            (1 << 15) | (1 << ANON) | (1 << LRU),
            1 << COMPOUND_TAIL,
            (1 << COMPOUND_TAIL) | (1 << HWPOISON),
            1 << COMPOUND_TAIL,
            (1 << LRU) | (1 << SWAPBACKED),
        ];
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        let flags = KpageFlags::parse(&bytes);
        let seen: Vec<Seen> = (0..7).map(|pfn| flags.seen(pfn)).collect();
        assert_eq!(seen[..3], [Seen::Free, Seen::Anon, Seen::Anon]);
        assert_eq!(seen[3..5], [Seen::HwPoison, Seen::Anon]);
        assert_eq!(seen[5..], [Seen::Cache, Seen::NoPage]);
        assert!(Seen::Cache.agrees(Kind::CachePrivate) && !Seen::Cache.agrees(Kind::Anon));
    }
}
