//! The memory map: one section of struct pages of 6.12.

use super::types::offset;
use super::{CPU_SLAB, DIRECT, Kernel, RAM_END, RAM_START, SECTIONS, SLAB_CACHES, USER_FRAMES};
use std::collections::BTreeSet;

const VMEMMAP: u64 = 0xffff_ea00_0000_0000;
const MEMMAP: u64 = 0x200_0000;
const PAGES: u64 = RAM_END / 4096;

/// Struct pages of this many bytes.
const SIZE: u64 = 64;
const LRU: u64 = 1 << 5;
const HEAD: u64 = 1 << 6;
const PRIVATE: u64 = 1 << 14;
const SWAPBACKED: u64 = 1 << 17;

impl Kernel {
    pub(super) fn memmap(&mut self) {
        for at in (0..PAGES * SIZE).step_by(4096) {
            self.ram.map(VMEMMAP + at, MEMMAP + at, 12);
        }
        let roots = SECTIONS;
        let entries = SECTIONS + 0x800;
        self.ram.put_image64(roots, entries);
        // Present, has a memmap, online, early.
        self.ram.put_image64(entries, VMEMMAP | 0xf);
        self.line_symbol(SECTIONS, "mem_section");
        for line in [
            "LENGTH(mem_section)=2048",
            "SIZE(mem_section)=16",
            "OFFSET(mem_section.section_mem_map)=0",
            "NUMBER(SECTION_SIZE_BITS)=27",
            "NUMBER(MAX_PHYSMEM_BITS)=46",
            "SIZE(page)=64",
            "OFFSET(page.flags)=0",
            "OFFSET(page.compound_head)=8",
            "OFFSET(page.mapping)=24",
            "OFFSET(page.private)=40",
            "OFFSET(page._mapcount)=48",
            "OFFSET(page._refcount)=52",
            "NUMBER(PG_head_mask)=64",
            "NUMBER(PG_lru)=5",
            "NUMBER(PG_private)=14",
            "NUMBER(PG_swapcache)=10",
            "NUMBER(PG_swapbacked)=17",
            "NUMBER(PG_hwpoison)=21",
            "LENGTH(zone.free_area)=11",
            "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-268435456",
            "NUMBER(PAGE_OFFLINE_MAPCOUNT_VALUE)=-251658240",
            "NUMBER(PAGE_SLAB_MAPCOUNT_VALUE)=-184549376",
            "NUMBER(PAGE_HUGETLB_MAPCOUNT_VALUE)=-201326592",
        ] {
            self.ram.line(line);
        }
        for pfn in 0..PAGES {
            self.page(pfn, 0, 0, u32::MAX, 1);
        }
        // The processes' memory and the page cache of what they read.
        let user = USER_FRAMES / 4096;
        for pfn in user..user + 64 {
            self.page(pfn, LRU | SWAPBACKED, 0xffff_8880_0180_0101, u32::MAX, 1);
        }
        // The last one's, which is the writer's.
        if let Some(&(frame, page, mm)) = self.user_pages.last() {
            let mapping = self.anonymous(page, mm);
            self.page(frame / 4096, LRU | SWAPBACKED, mapping, u32::MAX, 1);
        }
        for pfn in user + 64..user + 160 {
            let private = if pfn % 4 == 0 { PRIVATE } else { 0 };
            self.page(pfn, LRU | private, 0xffff_8880_0180_0200, u32::MAX, 1);
        }
        self.slab(user + 160);
        // What nobody has written to is free, in the largest blocks that fit.
        let kept: BTreeSet<u64> = self.ram.pages().map(|(pfn, _)| pfn).collect();
        let used = |pfn: u64| kept.contains(&pfn) || (user..user + 160).contains(&pfn);
        let mut pfn = RAM_START / 4096;
        while pfn < PAGES {
            let fits = |order: u32| {
                let block = pfn..pfn + (1 << order);
                pfn.is_multiple_of(1 << order) && block.end <= PAGES && !block.into_iter().any(used)
            };
            match (0..=10).rev().find(|order| fits(*order)) {
                Some(order) => {
                    self.free(pfn, order);
                    pfn += 1 << order;
                }
                None => pfn += 1,
            }
        }
    }

    fn page(&mut self, pfn: u64, flags: u64, mapping: u64, mapcount: u32, refcount: u32) {
        let mut page = [0; SIZE as usize];
        page[..8].copy_from_slice(&flags.to_le_bytes());
        page[24..32].copy_from_slice(&mapping.to_le_bytes());
        page[48..52].copy_from_slice(&mapcount.to_le_bytes());
        page[52..56].copy_from_slice(&refcount.to_le_bytes());
        self.ram.put(MEMMAP + pfn * SIZE, &page);
    }

    fn free(&mut self, pfn: u64, order: u32) {
        for page in pfn..pfn + (1 << order) {
            self.page(page, 0, 0, u32::MAX, 0);
        }
        self.page(pfn, 0, 0, 0xf000_0000, 0);
        self.ram
            .put(MEMMAP + pfn * SIZE + 40, &u64::from(order).to_le_bytes());
    }

    /// A slab of eight pages, with objects of 192 bytes.
    fn slab(&mut self, pfn: u64) {
        let cache = self.alloc(128 + 64 + 64);
        let (name, node) = (cache + 128, cache + 192);
        let at = |member: &str| cache + offset("kmem_cache", member);
        self.put32(at("oo"), 3 << 16 | 170);
        self.put32(at("size"), 192);
        self.put32(at("object_size"), 184);
        self.put64(at("name"), name);
        self.put64(at("node"), node);
        self.put(name, b"crasher_cache\0");
        self.list(SLAB_CACHES, &[at("list")]);
        let in_node = |member: &str| node + offset("kmem_cache_node", member);
        self.put64(in_node("nr_slabs"), 3);
        self.put64(in_node("total_objects"), 510);
        for object in 0..8 {
            self.ram.put((pfn + object) * 4096, &[0x6b; 64]);
        }
        self.page(pfn, HEAD, cache, 0xf500_0000, 1);
        let head = VMEMMAP + pfn * SIZE;
        let alias = DIRECT + MEMMAP + pfn * SIZE;
        self.put(alias + offset("slab", "inuse"), &42_u16.to_le_bytes());
        self.put(alias + offset("slab", "objects"), &170_u16.to_le_bytes());
        let link = offset("slab", "slab_list");
        let partial = in_node("partial");
        for (at, to) in [(partial, head + link), (alias + link, partial)] {
            self.put64(at, to);
            self.put64(at + 8, to);
        }
        self.slabs_of_cpu(cache, DIRECT + pfn * 4096);
        for tail in pfn + 1..pfn + 8 {
            self.page(tail, 0, 0, u32::MAX, 0);
            self.ram
                .put(MEMMAP + tail * SIZE + 8, &(head | 1).to_le_bytes());
        }
        // The order stands in the first tail's flags.
        self.ram
            .put(MEMMAP + (pfn + 1) * SIZE, &3_u64.to_le_bytes());
    }

    /// What CPU 0 keeps of a cache: a slab, two free objects of which are its own and one somebody else's, and a
    /// slab in its partial list with ten free ones. CPU 1 has none.
    fn slabs_of_cpu(&mut self, cache: u64, objects: u64) {
        const RANDOM: u64 = 0x1234_5678_9abc_def0;
        /// Where a free object holds the address of the next.
        const LINK: u64 = 96;
        let at = |member: &str| cache + offset("kmem_cache", member);
        self.put64(at("cpu_slab"), CPU_SLAB);
        self.put64(at("random"), RANDOM);
        self.put32(at("offset"), LINK as u32);
        let (first, second) = (objects + 192, objects + 5 * 192);
        for (object, next) in [(first, second), (second, 0)] {
            let link = object + LINK;
            self.put64(link, next ^ RANDOM ^ link.swap_bytes());
        }
        let slabs = self.alloc(128);
        for (slab, inuse) in [(slabs, 169_u16), (slabs + 64, 160)] {
            self.put(slab + offset("slab", "inuse"), &inuse.to_le_bytes());
            self.put(slab + offset("slab", "objects"), &170_u16.to_le_bytes());
        }
        let own = Self::area(0) + CPU_SLAB;
        self.put64(own + offset("kmem_cache_cpu", "freelist"), first);
        self.put64(own + offset("kmem_cache_cpu", "slab"), slabs);
        self.put64(own + offset("kmem_cache_cpu", "partial"), slabs + 64);
    }
}
