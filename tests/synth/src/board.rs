//! What small machines of other architectures than x86_64 share: RAM, a memory map in it, the core.
//!
//! Struct pages have 64 bytes; their members' offsets are told by VMCOREINFO as a real kernel tells them.

// Builders for tests: a mistake in here is to be loud.
#![allow(clippy::panic, clippy::indexing_slicing, clippy::unwrap_used)]

use crate::elf::Elf;
use std::collections::BTreeMap;

/// The length of RAM in bytes.
pub const RAM_BYTES: u64 = 64 << 20;
/// Where the kernel image lies, from the first byte of RAM.
pub const IMAGE: u64 = 0x20_0000;
/// Where the page of VMCOREINFO lies, for cores without a note.
const TEXT: u64 = 0x40_0000;
/// Where the array of struct pages lies.
const PAGES: u64 = 0x200_0000;
const ROOTS: u64 = 0x300_0000;
const SECTIONS: u64 = 0x310_0000;
/// Where page tables are made, 64 KiB apart, the top one first.
pub const TABLES: u64 = 0x380_0000;

/// The memory of a machine under construction.
pub struct Board {
    /// Where RAM begins.
    pub ram: u64,
    /// log2 of the page size.
    pub page_shift: u32,
    /// Whether the highest byte of a word comes first.
    pub big: bool,
    /// VMCOREINFO.
    pub text: String,
    frames: BTreeMap<u64, Vec<u8>>,
    next_table: u64,
}

impl Board {
    /// RAM without anything in it.
    #[must_use]
    pub fn new(ram: u64, page_shift: u32) -> Self {
        Self {
            ram,
            page_shift,
            big: false,
            text: format!("OSRELEASE=6.12.1-toy\nPAGESIZE={}\n", 1_u64 << page_shift),
            frames: BTreeMap::new(),
            next_table: ram + TABLES,
        }
    }

    /// Writes at a physical address.
    pub fn put(&mut self, pa: u64, bytes: &[u8]) {
        for (at, byte) in (pa..).zip(bytes) {
            let frame = self.frames.entry(at >> 12).or_insert_with(|| vec![0; 4096]);
            frame[(at & 4095) as usize] = *byte;
        }
    }

    /// Writes a word of `len` bytes.
    pub fn put_word(&mut self, pa: u64, word: u64, len: usize) {
        let mut bytes: Vec<u8> = word.to_le_bytes().into_iter().take(len).collect();
        if self.big {
            bytes.reverse();
        }
        self.put(pa, &bytes);
    }

    /// A word that was written.
    #[must_use]
    pub fn word(&self, pa: u64) -> u64 {
        let frame = &self.frames[&(pa >> 12)];
        let at = (pa & 4095) as usize;
        let bytes = frame[at..at + 8].try_into().unwrap();
        match self.big {
            true => u64::from_be_bytes(bytes),
            false => u64::from_le_bytes(bytes),
        }
    }

    /// Room for a page table of so many bytes, all zeros.
    pub fn table(&mut self, bytes: usize) -> u64 {
        let at = self.next_table;
        self.next_table += 0x1_0000;
        self.put(at, &vec![0; bytes]);
        at
    }

    /// A memory map found through the sections, each page of it in use. `linear`: the address of RAM's first
    /// byte in the linear map.
    pub fn memory_map(&mut self, section_bits: u32, max_physmem: u32, linear: u64) {
        let sections = 1_u64 << (max_physmem - section_bits);
        let (roots, table) = (linear.wrapping_add(ROOTS), linear.wrapping_add(SECTIONS));
        self.put_word(self.ram + ROOTS, table, 8);
        let first = self.ram >> self.page_shift;
        let base = linear.wrapping_add(PAGES).wrapping_sub(first * 64);
        // Present, with a memory map, online.
        let last = self.ram + RAM_BYTES - 1;
        for section in self.ram >> section_bits..=last >> section_bits {
            self.put_word(self.ram + SECTIONS + section * 16, base | 7, 8);
        }
        for page in 0..RAM_BYTES >> self.page_shift {
            self.page(page, 0, u32::MAX, 0, 0);
        }
        let roots_count = sections.div_ceil(256);
        self.text += &format!(
            "SYMBOL(mem_section)={roots:x}\nLENGTH(mem_section)={roots_count}\nSIZE(mem_section)=16\n\
             OFFSET(mem_section.section_mem_map)=0\nNUMBER(SECTION_SIZE_BITS)={section_bits}\n\
             NUMBER(MAX_PHYSMEM_BITS)={max_physmem}\nSIZE(page)=64\nOFFSET(page.flags)=0\n\
             OFFSET(page._refcount)=52\nOFFSET(page.mapping)=24\nOFFSET(page.lru)=8\n\
             OFFSET(page._mapcount)=48\nOFFSET(page.private)=40\nOFFSET(page.compound_head)=8\n\
             LENGTH(zone.free_area)=11\nLENGTH(free_area.free_list)=6\nNUMBER(NR_FREE_PAGES)=0\n\
             NUMBER(PG_lru)=5\nNUMBER(PG_private)=14\nNUMBER(PG_swapcache)=10\n\
             NUMBER(PG_swapbacked)=17\nNUMBER(PAGE_SLAB_MAPCOUNT_VALUE)=-184549376\n\
             NUMBER(PG_hwpoison)=20\nNUMBER(PG_head_mask)=64\n\
             NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-268435456\n\
             NUMBER(PAGE_HUGETLB_MAPCOUNT_VALUE)=-201326592\n\
             NUMBER(PAGE_OFFLINE_MAPCOUNT_VALUE)=-251658240\n"
        );
    }

    /// Writes the struct page of RAM's page number `page`.
    fn page(&mut self, page: u64, flags: u64, mapcount: u32, mapping: u64, private: u64) {
        let at = self.ram + PAGES + page * 64;
        self.put(at, &[0; 64]);
        for (offset, word) in [(0, flags), (24, mapping), (40, private)] {
            self.put_word(at + offset, word, 8);
        }
        self.put_word(at + 48, mapcount.into(), 4);
        // Free pages are held by nobody.
        self.put_word(at + 52, u64::from(mapcount >> 24 != 0xf0), 4);
    }

    /// A free block of RAM's pages.
    pub fn free(&mut self, page: u64, order: u32) {
        for inside in 1..1 << order {
            self.page(page + inside, 0, u32::MAX, 0, 0);
            self.put(self.ram + PAGES + (page + inside) * 64 + 52, &[0; 4]);
        }
        self.page(page, 0, 0xf000_0000, 0, u64::from(order));
    }

    /// A page of a process. `anon_vma`: what its mapping points to.
    pub fn anon(&mut self, page: u64, anon_vma: u64) {
        self.page(page, 1 << 5 | 1 << 17, 0, anon_vma | 1, 0);
    }

    /// All of RAM, with VMCOREINFO in its page where `text` is set.
    #[must_use]
    pub fn bytes(&self, text: bool) -> Vec<u8> {
        let mut ram = vec![0; RAM_BYTES as usize];
        for (frame, bytes) in &self.frames {
            let at = (frame * 4096 - self.ram) as usize;
            ram[at..at + 4096].copy_from_slice(bytes);
        }
        if text {
            let at = TEXT as usize;
            ram[at..at + self.text.len()].copy_from_slice(self.text.as_bytes());
        }
        ram
    }

    /// The core as QEMU writes it: all of RAM in one segment without virtual addresses, one CPU's registers,
    /// and VMCOREINFO as a note or in memory.
    #[must_use]
    pub fn core(&self, machine: u16, note: bool, prstatus: &[u8]) -> Vec<u8> {
        let elf = match self.big {
            true => Elf::new().big(),
            false => Elf::new(),
        };
        let elf = elf.machine(machine).note("CORE", 1, prstatus);
        let elf = match note {
            true => elf.note("VMCOREINFO", 0, self.text.as_bytes()),
            false => elf,
        };
        elf.load(0_u64.wrapping_sub(self.ram), self.ram, &self.bytes(!note))
            .build()
    }
}

/// An NT_PRSTATUS descriptor with registers from byte 112 on.
#[must_use]
pub fn prstatus(bytes: usize, registers: &[u64]) -> Vec<u8> {
    let mut desc = vec![0; bytes];
    for (n, word) in registers.iter().enumerate() {
        desc[112 + n * 8..120 + n * 8].copy_from_slice(&word.to_le_bytes());
    }
    desc
}
