//! A toy kernel's memory map: sections, struct pages, the page tables that map them, and the
//! VMCOREINFO text that describes it all, in the form of the kernel series asked for.
//!
//! Numbers are the kernel's own, written down again here on purpose: nothing is shared with the
//! reader. RAM begins at page frame 256 and its first 64 MiB hold what the toy itself needs.

// A builder for tests fails loudly on a test's own mistake.
#![allow(clippy::panic, clippy::indexing_slicing, clippy::unwrap_used)]

mod series;

pub use series::Series;

use std::collections::BTreeMap;
use std::fmt::Write;

/// Pages in a section.
pub const SECTION: u64 = 32768;
/// The first page frame of RAM.
pub const RAM_START: u64 = 256;
/// Page frames below this belong to the toy's own tables.
pub const FIRST_USABLE: u64 = 16384;

const VMEMMAP: u64 = 0xffff_ea00_0000_0000;
const KERNEL_MAP: u64 = 0xffff_ffff_8000_0000;
const DIRECT_MAP: u64 = 0xffff_8880_0000_0000;
const PGD: u64 = 0x20_0000;
const ROOTS: u64 = 0x21_0000;
const ENTRIES: u64 = 0x22_0000;
const TABLES: u64 = 0x23_0000;
/// Where the memmap itself lies.
const MEMMAP: u64 = 0x100_0000;

/// The toy: fill it, then read `memory` and `vmcoreinfo`.
pub struct Toy {
    /// Which kernel it mimics.
    pub series: Series,
    /// Contents by physical page frame; what is absent reads as zeros.
    pub memory: BTreeMap<u64, Box<[u8; 4096]>>,
    /// RAM as half-open ranges of page frames.
    pub ram: Vec<(u64, u64)>,
    /// What each page is by construction, by the names of the kinds; absent means "kernel".
    pub truth: BTreeMap<u64, &'static str>,
    sections: u64,
    page_size: u64,
    next_table: u64,
    /// Lines to leave out of VMCOREINFO, by key.
    pub without: Vec<&'static str>,
}

impl Toy {
    /// RAM of so many sections, every page in use by the kernel.
    pub fn new(series: Series, sections: u64) -> Self {
        Self::with_struct_size(series, sections, 64)
    }

    /// The same with struct pages of another size (a multiple of 8, at least 64).
    pub fn with_struct_size(series: Series, sections: u64, page_size: u64) -> Self {
        assert!((1..=4).contains(&sections) && page_size.is_multiple_of(8) && page_size >= 64);
        let mut toy = Self {
            series,
            memory: BTreeMap::new(),
            ram: vec![(RAM_START, sections * SECTION)],
            truth: BTreeMap::new(),
            sections,
            page_size,
            next_table: TABLES,
            without: Vec::new(),
        };
        let bytes = (sections * SECTION * page_size).next_multiple_of(1 << 21);
        assert!(MEMMAP + bytes <= FIRST_USABLE * 4096);
        for at in (0..bytes).step_by(1 << 21) {
            let pmd = toy.entry_of(VMEMMAP + at, 21);
            toy.put64(pmd, (MEMMAP + at) | 0x80 | 0x3);
        }
        let direct = toy.entry_of(DIRECT_MAP, 30);
        toy.put64(direct, 0x8000_0000_0000_00e3);
        toy.put64(ROOTS, KERNEL_MAP + ENTRIES);
        for section in 0..sections {
            // The memmap of section n, encoded: minus the pages before it. Flags: present, has a
            // memmap, online, early.
            toy.put64(ENTRIES + section * 16, VMEMMAP | 0xf);
        }
        for pfn in 0..sections * SECTION {
            toy.page(pfn, 48, &u32::MAX.to_le_bytes());
            toy.page(pfn, 52, &1u32.to_le_bytes());
        }
        toy
    }

    /// Sets the flags of a section: 1 present, 2 has a memmap, 4 online, 8 early, 16 of a device.
    pub fn section_flags(&mut self, section: u64, flags: u64) {
        self.put64(ENTRIES + section * 16, VMEMMAP | flags);
    }

    /// Writes at a physical address.
    pub fn put(&mut self, at: u64, bytes: &[u8]) {
        let mut at = at;
        let mut rest = bytes;
        while !rest.is_empty() {
            let start = (at % 4096) as usize;
            let (now, later) = rest.split_at(rest.len().min(4096 - start));
            let page = self
                .memory
                .entry(at / 4096)
                .or_insert_with(|| Box::new([0; 4096]));
            page[start..start + now.len()].copy_from_slice(now);
            at += now.len() as u64;
            rest = later;
        }
    }

    /// Writes eight bytes at a physical address.
    pub fn put64(&mut self, at: u64, value: u64) {
        self.put(at, &value.to_le_bytes());
    }

    /// Reads eight bytes at a physical address.
    pub fn get64(&self, at: u64) -> u64 {
        let page = self.memory.get(&(at / 4096));
        let at = (at % 4096) as usize;
        page.map_or(0, |p| u64::from_le_bytes(p[at..at + 8].try_into().unwrap()))
    }

    /// Physical address of the page-table entry of `va` at the level whose entries map `1 << shift`
    /// bytes; tables on the way are made.
    fn entry_of(&mut self, va: u64, shift: u32) -> u64 {
        let mut table = PGD;
        let mut level = 39;
        loop {
            let entry = table + (va >> level & 511) * 8;
            if level == shift {
                return entry;
            }
            if self.get64(entry) & 1 == 0 {
                let new = self.next_table;
                self.next_table += 4096;
                self.put64(entry, new | 0x3);
            }
            table = self.get64(entry) & 0x000f_ffff_ffff_f000;
            level -= 9;
        }
    }

    /// Maps a page of the kernel's address space, as vmalloc would.
    pub fn map_kernel_page(&mut self, va: u64, pfn: u64) {
        let entry = self.entry_of(va, 12);
        self.put64(entry, (pfn * 4096) | 0x8000_0000_0000_0063);
    }

    /// Where the direct map begins.
    pub fn direct_map(&self) -> u64 {
        DIRECT_MAP
    }

    /// Virtual address of a page's struct page.
    pub fn struct_page(&self, pfn: u64) -> u64 {
        VMEMMAP + pfn * self.page_size
    }

    /// Writes a field of a struct page, by its offset in the common layout.
    pub fn page(&mut self, pfn: u64, offset: u64, bytes: &[u8]) {
        self.put(MEMMAP + pfn * self.page_size + offset, bytes);
    }

    fn flags(&mut self, pfn: u64, set: u64) {
        let at = MEMMAP + pfn * self.page_size;
        let old = self.get64(at);
        self.put64(at, old | set);
    }

    fn is(&mut self, pfn: u64, order: u32, what: &'static str) {
        for pfn in pfn..pfn + (1 << order) {
            self.truth.insert(pfn, what);
        }
    }

    /// Makes `1 << order` pages one compound page (order 0: leaves a single page).
    pub fn compound(&mut self, pfn: u64, order: u32) {
        if order == 0 {
            return;
        }
        assert!(pfn.is_multiple_of(1 << order));
        self.flags(pfn, self.series.head());
        let head = self.struct_page(pfn);
        for tail in pfn + 1..pfn + (1 << order) {
            let word = if self.series.masked_tails() && self.page_size == 64 {
                (u64::MAX << (order + 6)) | 1
            } else {
                head | 1
            };
            self.page(tail, 8, &word.to_le_bytes());
            self.page(tail, 52, &0u32.to_le_bytes());
        }
        match self.series {
            s if s <= Series::V6_1 => self.page(pfn + 1, 17, &[order as u8]),
            Series::V6_3 => self.page(pfn + 1, 19, &[order as u8]),
            _ => self.flags(pfn + 1, u64::from(order)),
        }
        // `_entire_mapcount` of the folio, where a single page has `mapping`: -1.
        self.page(pfn + 1, 24, &u32::MAX.to_le_bytes());
    }

    /// A block in the buddy allocator.
    pub fn free(&mut self, pfn: u64, order: u32) {
        for page in pfn..pfn + (1 << order) {
            self.page(page, 52, &0u32.to_le_bytes());
        }
        self.page(pfn, 40, &u64::from(order).to_le_bytes());
        self.typed(pfn, "buddy");
        self.is(pfn, order, "free");
    }

    /// A block the hypervisor has not handed over yet.
    pub fn unaccepted(&mut self, pfn: u64) {
        for page in pfn..pfn + 1024 {
            self.page(page, 52, &0u32.to_le_bytes());
        }
        self.typed(pfn, "unaccepted");
        self.is(pfn, 10, "unaccepted");
    }

    fn typed(&mut self, pfn: u64, name: &str) {
        let value = self.series.page_type(name);
        self.page(pfn, 48, &value.to_le_bytes());
    }

    /// Anonymous memory.
    pub fn anon(&mut self, pfn: u64, order: u32) {
        self.compound(pfn, order);
        self.page(pfn, 24, &0xffff_8881_0123_4561u64.to_le_bytes());
        self.flags(pfn, self.series.lru() | self.series.swapbacked());
        self.is(pfn, order, "anon");
    }

    /// Page cache.
    pub fn cache(&mut self, pfn: u64, order: u32, private: bool) {
        self.compound(pfn, order);
        self.page(pfn, 24, &0xffff_8881_0abc_de58u64.to_le_bytes());
        self.flags(pfn, self.series.lru());
        if private {
            self.flags(pfn, self.series.private());
        }
        self.is(pfn, order, if private { "cache-private" } else { "cache" });
    }

    /// Swap cache that is not on a list.
    pub fn swap_cache(&mut self, pfn: u64) {
        self.flags(pfn, self.series.swapcache() | self.series.swapbacked());
        self.is(pfn, 0, "cache");
    }

    /// A slab. Its second word of links stands where `mapping` stands in a page: an odd count.
    pub fn slab(&mut self, pfn: u64, order: u32) {
        self.compound(pfn, order);
        self.page(pfn, 24, &3u64.to_le_bytes());
        if self.series.typed_slab() {
            self.typed(pfn, "slab");
        } else {
            self.flags(pfn, 1 << 9);
        }
        self.is(pfn, order, "slab");
    }

    /// A slab whose links look like an anonymous page's `mapping`, as a pointer with bit 0 set
    /// would: nothing but the slab mark tells them apart.
    pub fn treacherous_slab(&mut self, pfn: u64, order: u32) {
        self.slab(pfn, order);
        self.page(pfn, 24, &0xffff_8881_0777_0001u64.to_le_bytes());
    }

    /// A page table.
    pub fn table(&mut self, pfn: u64) {
        self.typed(pfn, "table");
        self.page(pfn, 24, &0xffff_8881_0999_0001u64.to_le_bytes());
        self.is(pfn, 0, "page-table");
    }

    /// A page of another type (6.11 and newer).
    pub fn zsmalloc(&mut self, pfn: u64) {
        self.typed(pfn, "zsmalloc");
        self.is(pfn, 0, "typed");
    }

    /// A ballooned page.
    pub fn offline(&mut self, pfn: u64) {
        self.typed(pfn, "offline");
        self.is(pfn, 0, "offline");
    }

    /// Memory that failed.
    pub fn poison(&mut self, pfn: u64) {
        self.flags(pfn, self.series.poison());
        self.is(pfn, 0, "hwpoison");
    }

    /// A reserved page.
    pub fn reserved(&mut self, pfn: u64) {
        self.flags(pfn, self.series.private() >> 1);
        self.is(pfn, 0, "reserved");
    }

    /// A kernel allocation without a type.
    pub fn kernel(&mut self, pfn: u64, order: u32) {
        self.compound(pfn, order);
        self.is(pfn, order, "kernel");
    }

    /// A hugetlb page, with its own struct pages or (`shared`) with all but the first page of them
    /// mapped to one, as HVO leaves them.
    pub fn hugetlb(&mut self, pfn: u64, order: u32, shared: bool) {
        self.compound(pfn, order);
        self.page(pfn, 24, &0xffff_8881_0444_4440u64.to_le_bytes());
        match self.series {
            s if s <= Series::V6_1 => self.page(pfn + 1, 16, &[2]),
            Series::V6_3 => self.page(pfn + 1, 18, &[2]),
            Series::V6_6 => self.flags(pfn + 1, 1 << 8),
            _ => self.typed(pfn, "hugetlb"),
        }
        self.is(pfn, order, "hugetlb");
        if shared {
            self.share_struct_pages(pfn, order);
        }
    }

    fn share_struct_pages(&mut self, pfn: u64, order: u32) {
        assert_eq!(self.page_size, 64);
        let first = self.struct_page(pfn);
        let len = 64u64 << order;
        for va in (first & !0x1f_ffff..first + len).step_by(1 << 21) {
            self.split(va);
        }
        // 7.1 keeps a page of nothing but tails for this; before, the head's own page serves.
        let target = if self.series.masked_tails() {
            let spare = self.next_table;
            self.next_table += 4096;
            let word = (u64::MAX << (order + 6)) | 1;
            for tail in 0..64 {
                self.put64(spare + tail * 64 + 8, word);
                self.put(spare + tail * 64 + 48, &u32::MAX.to_le_bytes());
            }
            spare
        } else {
            MEMMAP + pfn * 64
        };
        for va in (first + 4096..first + len).step_by(4096) {
            let entry = self.entry_of(va, 12);
            self.put64(entry, target | 0x1);
        }
    }

    /// Replaces a 2 MiB mapping by a table of 4 KiB mappings.
    fn split(&mut self, va: u64) {
        let pmd = self.entry_of(va, 21);
        let old = self.get64(pmd);
        if old & 0x80 == 0 {
            return;
        }
        let table = self.next_table;
        self.next_table += 4096;
        for n in 0..512 {
            self.put64(
                table + n * 8,
                ((old & 0x000f_ffff_ffe0_0000) + n * 4096) | 0x3,
            );
        }
        self.put64(pmd, table | 0x3);
    }

    /// Unmaps the struct pages around `pfn`'s: one page of them.
    pub fn unmap_struct_pages(&mut self, pfn: u64) {
        let va = self.struct_page(pfn) & !0xfff;
        self.split(va);
        let entry = self.entry_of(va, 12);
        self.put64(entry, 0);
    }

    /// The VMCOREINFO text.
    pub fn vmcoreinfo(&self) -> String {
        let s = self.series;
        let mut text = String::new();
        let number = |value: u32| i64::from(value.cast_signed());
        let mut line = |key: &str, value: String| {
            if !self.without.contains(&key) {
                writeln!(text, "{key}={value}").unwrap();
            }
        };
        line("OSRELEASE", s.release().into());
        line("PAGESIZE", "4096".into());
        line("NUMBER(phys_base)", "0".into());
        line("NUMBER(pgtable_l5_enabled)", "0".into());
        line("SYMBOL(swapper_pg_dir)", format!("{:x}", KERNEL_MAP + PGD));
        line("SYMBOL(mem_section)", format!("{:x}", KERNEL_MAP + ROOTS));
        line("LENGTH(mem_section)", "2048".into());
        line("SIZE(mem_section)", "16".into());
        line("OFFSET(mem_section.section_mem_map)", "0".into());
        line("NUMBER(SECTION_SIZE_BITS)", "27".into());
        line("NUMBER(MAX_PHYSMEM_BITS)", "46".into());
        line("SIZE(page)", self.page_size.to_string());
        for (field, offset) in [
            ("flags", 0),
            ("mapping", 24),
            ("private", 40),
            ("_mapcount", 48),
            ("_refcount", 52),
        ] {
            line(&format!("OFFSET(page.{field})"), offset.to_string());
        }
        let tail = if s >= Series::V7_1 {
            "compound_info"
        } else {
            "compound_head"
        };
        line(&format!("OFFSET(page.{tail})"), "8".into());
        line("NUMBER(PG_head_mask)", s.head().to_string());
        for (flag, mask) in [
            ("PG_lru", s.lru()),
            ("PG_private", s.private()),
            ("PG_swapcache", s.swapcache()),
            ("PG_swapbacked", s.swapbacked()),
            ("PG_hwpoison", s.poison()),
        ] {
            line(
                &format!("NUMBER({flag})"),
                mask.trailing_zeros().to_string(),
            );
        }
        line("LENGTH(zone.free_area)", "11".into());
        for (key, name) in [
            ("NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)", "buddy"),
            ("NUMBER(PAGE_OFFLINE_MAPCOUNT_VALUE)", "offline"),
        ] {
            line(key, number(s.page_type(name)).to_string());
        }
        if s.typed_slab() {
            let value = number(s.page_type("slab")).to_string();
            line("NUMBER(PAGE_SLAB_MAPCOUNT_VALUE)", value);
        } else {
            line("NUMBER(PG_slab)", "9".into());
        }
        match s {
            s if s <= Series::V6_1 => {
                line("OFFSET(page.compound_dtor)", "16".into());
                line("OFFSET(page.compound_order)", "17".into());
                line("NUMBER(HUGETLB_PAGE_DTOR)", "2".into());
            }
            Series::V6_3 => {
                let second = self.page_size;
                line("OFFSET(folio._folio_dtor)", (second + 18).to_string());
                line("OFFSET(folio._folio_order)", (second + 19).to_string());
                line("NUMBER(HUGETLB_PAGE_DTOR)", "2".into());
            }
            Series::V6_6 => line("NUMBER(PG_hugetlb)", "8".into()),
            _ => {
                let value = number(s.page_type("hugetlb")).to_string();
                line("NUMBER(PAGE_HUGETLB_MAPCOUNT_VALUE)", value);
            }
        }
        if s >= Series::V7_1 {
            let value = number(s.page_type("unaccepted")).to_string();
            line("NUMBER(PAGE_UNACCEPTED_MAPCOUNT_VALUE)", value);
        }
        text
    }

    /// Number of sections.
    pub fn sections(&self) -> u64 {
        self.sections
    }
}
