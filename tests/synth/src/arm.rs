//! A small aarch64 machine with pages of any size: page tables, a memory map, registers.
//!
//! Numbers are written out here from the Arm ARM (D8.3) and arch/arm64/include/asm, and not taken from the
//! code under test.

// Builders for tests: a mistake in here is to be loud.
#![allow(clippy::panic, clippy::indexing_slicing, clippy::unwrap_used)]

use crate::elf::Elf;
use std::collections::BTreeMap;

/// Where RAM begins.
pub const RAM: u64 = 0x4000_0000;
/// Its length in bytes.
pub const RAM_BYTES: u64 = 64 << 20;
/// Where the kernel image lies.
pub const IMAGE_PA: u64 = RAM + 0x20_0000;
/// Where the page of VMCOREINFO lies, for cores without a note.
pub const TEXT_PA: u64 = RAM + 0x40_0000;
/// Where the array of struct pages lies, as seen from the page of RAM's first byte.
const PAGES_PA: u64 = RAM + 0x200_0000;
const ROOTS_PA: u64 = RAM + 0x300_0000;
const SECTIONS_PA: u64 = RAM + 0x310_0000;
const TABLES_PA: u64 = RAM + 0x380_0000;

/// What a kernel and its CPU have.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// log2 of the page size.
    pub page_shift: u32,
    /// CONFIG_ARM64_VA_BITS.
    pub va_bits: u32,
    /// 64 − TCR_EL1.T1SZ.
    pub actual: u32,
    /// Levels of tables.
    pub levels: u32,
}

/// The kernels that there are.
pub const SHAPES: [Shape; 7] = [
    shape(12, 39, 39, 3),
    shape(12, 48, 48, 4),
    shape(12, 52, 52, 5),
    shape(14, 52, 47, 3),
    shape(14, 52, 52, 4),
    shape(16, 42, 42, 2),
    shape(16, 52, 48, 3),
];

const fn shape(page_shift: u32, va_bits: u32, actual: u32, levels: u32) -> Shape {
    Shape {
        page_shift,
        va_bits,
        actual,
        levels,
    }
}

/// A machine under construction.
pub struct Arm {
    /// What it is.
    pub shape: Shape,
    frames: BTreeMap<u64, Vec<u8>>,
    next_table: u64,
    /// VMCOREINFO.
    pub text: String,
}

impl Arm {
    /// A machine whose kernel is mapped, with a memory map in which every page is the kernel's.
    #[must_use]
    pub fn new(shape: Shape) -> Self {
        let mut arm = Self {
            shape,
            frames: BTreeMap::new(),
            next_table: TABLES_PA,
            text: String::new(),
        };
        let page = 1_u64 << shape.page_shift;
        let root = arm.table();
        assert_eq!(root, TABLES_PA);
        let image = arm.image();
        // The image holds its top table.
        arm.text = format!(
            "OSRELEASE=6.12.1-toy\nPAGESIZE={page}\nSYMBOL(swapper_pg_dir)={:x}\n\
             SYMBOL(_stext)={:x}\nNUMBER(VA_BITS)={}\nNUMBER(kimage_voffset)={:#x}\n\
             NUMBER(PHYS_OFFSET)={:#x}\nNUMBER(TCR_EL1_T1SZ)={:#x}\n\
             NUMBER(MODULES_VADDR)={:#x}\nNUMBER(KERNELPACMASK)=0x7f000000000000\n",
            image.wrapping_add(TABLES_PA - IMAGE_PA),
            image,
            shape.va_bits,
            image.wrapping_sub(IMAGE_PA),
            // arch/arm64/mm/init.c: as if all of VA_BITS were in use.
            (u64::MAX << shape.va_bits)
                .wrapping_sub(arm.linear(RAM))
                .wrapping_add(RAM),
            64 - shape.actual,
            image & !0xffff_ffff,
        );
        for pa in [IMAGE_PA, IMAGE_PA + page, TABLES_PA] {
            arm.map(image.wrapping_add(pa - IMAGE_PA), pa, 1);
        }
        // By this one page the linear map is believed.
        arm.map(arm.linear(TABLES_PA), TABLES_PA, 1);
        arm.memory_map();
        arm
    }

    /// The address of the image's first byte: 2 GiB above the bottom of the upper half of the smallest
    /// address space that the kernel may run in.
    #[must_use]
    pub fn image(&self) -> u64 {
        let least = match (self.shape.va_bits, self.shape.page_shift) {
            (52, 14) => 47,
            (52, _) => 48,
            (bits, _) => bits,
        };
        (u64::MAX << (least - 1)) + 0x8000_0000
    }

    /// The address of a byte of RAM in the linear map.
    #[must_use]
    pub fn linear(&self, pa: u64) -> u64 {
        (u64::MAX << self.shape.actual) + (pa - RAM)
    }

    fn table(&mut self) -> u64 {
        let at = self.next_table;
        self.next_table += 0x1_0000;
        self.put(at, &vec![0; 1 << self.shape.page_shift]);
        at
    }

    /// Writes at a physical address.
    pub fn put(&mut self, pa: u64, bytes: &[u8]) {
        for (at, byte) in (pa..).zip(bytes) {
            let frame = self.frames.entry(at >> 12).or_insert_with(|| vec![0; 4096]);
            frame[(at & 4095) as usize] = *byte;
        }
    }

    fn word(&self, pa: u64) -> u64 {
        let frame = &self.frames[&(pa >> 12)];
        let at = (pa & 4095) as usize;
        u64::from_le_bytes(frame[at..at + 8].try_into().unwrap())
    }

    /// An address as an entry has it.
    fn encoded(&self, pa: u64) -> u64 {
        match (self.shape.page_shift, self.shape.actual) {
            (16, _) => pa & 0xffff_ffff_0000 | pa >> 48 << 12,
            (_, 52) => pa & 0x3_ffff_ffff_f000 | (pa >> 50 & 3) << 8,
            _ => pa,
        }
    }

    /// Maps a page (level 1) or what one entry of a higher level maps.
    pub fn map(&mut self, va: u64, pa: u64, level: u32) {
        let shift = self.shape.page_shift;
        // A 64 KiB kernel lays its tables out for all its bits.
        let bits = if shift == 16 {
            self.shape.va_bits
        } else {
            self.shape.actual
        };
        let mut table = TABLES_PA;
        for at in (level..=self.shape.levels).rev() {
            let low = shift + (shift - 3) * (at - 1);
            let wide = if at == self.shape.levels {
                bits - low
            } else {
                shift - 3
            };
            let slot = table + (va >> low & ((1 << wide) - 1)) * 8;
            if at == level {
                let kind = if level == 1 { 3 } else { 1 };
                // Accessed, and never executed.
                let entry = self.encoded(pa) | 0x0060_0000_0000_0400 | kind;
                self.put(slot, &entry.to_le_bytes());
                return;
            }
            table = match self.word(slot) {
                0 => {
                    let new = self.table();
                    let entry = self.encoded(new) | 3;
                    self.put(slot, &entry.to_le_bytes());
                    new
                }
                entry => entry & 0xffff_ffff_0000,
            };
        }
    }

    /// Struct pages of 64 bytes in the linear map, found through the sections, each page in use.
    fn memory_map(&mut self) {
        let section_bits = if self.shape.page_shift == 16 { 29 } else { 27 };
        let (roots, sections) = (self.linear(ROOTS_PA), self.linear(SECTIONS_PA));
        self.put(ROOTS_PA, &sections.to_le_bytes());
        let first = RAM >> self.shape.page_shift;
        let base = self.linear(PAGES_PA).wrapping_sub(first * 64);
        // Present, with a memory map, online.
        self.put(
            SECTIONS_PA + (RAM >> section_bits) * 16,
            &(base | 7).to_le_bytes(),
        );
        for page in 0..RAM_BYTES >> self.shape.page_shift {
            self.page(page, 0, u32::MAX, 0, 0);
        }
        self.text += &format!(
            "SYMBOL(mem_section)={roots:x}\nLENGTH(mem_section)=8192\nSIZE(mem_section)=16\n\
             OFFSET(mem_section.section_mem_map)=0\nNUMBER(SECTION_SIZE_BITS)={section_bits}\n\
             NUMBER(MAX_PHYSMEM_BITS)=48\nSIZE(page)=64\nOFFSET(page.flags)=0\n\
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
        let at = PAGES_PA + page * 64;
        let mut bytes = [0; 64];
        bytes[..8].copy_from_slice(&flags.to_le_bytes());
        bytes[24..32].copy_from_slice(&mapping.to_le_bytes());
        bytes[40..48].copy_from_slice(&private.to_le_bytes());
        bytes[48..52].copy_from_slice(&mapcount.to_le_bytes());
        // Free pages are held by nobody.
        bytes[52] = u8::from(mapcount >> 24 != 0xf0);
        self.put(at, &bytes);
    }

    /// A free block of RAM's pages.
    pub fn free(&mut self, page: u64, order: u32) {
        for inside in 1..1 << order {
            self.page(page + inside, 0, u32::MAX, 0, 0);
            self.put(PAGES_PA + (page + inside) * 64 + 52, &[0]);
        }
        self.page(page, 0, 0xf000_0000, 0, u64::from(order));
    }

    /// A page of a process, whose `anon_vma` pointer carries a tag.
    pub fn anon(&mut self, page: u64) {
        let tagged = self.linear(RAM + 0x1000) & !(0xff << 56) | 0xf3 << 56;
        self.page(page, 1 << 5 | 1 << 17, 0, tagged | 1, 0);
    }

    /// The core as QEMU writes it: all of RAM in one segment without virtual addresses, one CPU's registers
    /// (x0 to x30 are 0 to 30), and VMCOREINFO as a note or in memory.
    #[must_use]
    pub fn core(&self, note: bool, pc: u64, sp: u64) -> Vec<u8> {
        let mut ram = vec![0; RAM_BYTES as usize];
        for (frame, bytes) in &self.frames {
            let at = (frame * 4096 - RAM) as usize;
            ram[at..at + 4096].copy_from_slice(bytes);
        }
        let mut prstatus = vec![0; 392];
        let words = (0..31).chain([sp, pc, 0x8000_0005]);
        for (n, word) in words.enumerate() {
            prstatus[112 + n * 8..120 + n * 8].copy_from_slice(&word.to_le_bytes());
        }
        let elf = Elf::new().machine(183).note("CORE", 1, &prstatus);
        match note {
            true => elf.note("VMCOREINFO", 0, self.text.as_bytes()),
            false => {
                let at = (TEXT_PA - RAM) as usize;
                ram[at..at + self.text.len()].copy_from_slice(self.text.as_bytes());
                elf
            }
        }
        .load(0_u64.wrapping_sub(RAM), RAM, &ram)
        .build()
    }
}
