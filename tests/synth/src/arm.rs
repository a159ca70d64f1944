//! A small aarch64 machine with pages of any size: page tables, a memory map, registers.
//!
//! Numbers are written out here from the Arm ARM (D8.3) and arch/arm64/include/asm, and not taken from the
//! code under test.

// Builders for tests: a mistake in here is to be loud.
#![allow(clippy::panic, clippy::indexing_slicing, clippy::unwrap_used)]

use crate::board::{self, Board, IMAGE, TABLES};

/// Where RAM begins.
pub const RAM: u64 = 0x4000_0000;
/// Its length in bytes.
pub const RAM_BYTES: u64 = board::RAM_BYTES;
/// Where the kernel image lies.
pub const IMAGE_PA: u64 = RAM + IMAGE;
const TABLES_PA: u64 = RAM + TABLES;

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
    board: Board,
}

impl Arm {
    /// A machine whose kernel is mapped, with a memory map in which every page is the kernel's.
    #[must_use]
    pub fn new(shape: Shape) -> Self {
        let mut arm = Self {
            shape,
            board: Board::new(RAM, shape.page_shift),
        };
        let page = 1_u64 << shape.page_shift;
        let root = arm.table();
        assert_eq!(root, TABLES_PA);
        let image = arm.image();
        // The image holds its top table.
        arm.board.text += &format!(
            "SYMBOL(swapper_pg_dir)={:x}\nSYMBOL(_stext)={:x}\nNUMBER(VA_BITS)={}\nNUMBER(kimage_voffset)={:#x}\n\
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
        let section_bits = if shape.page_shift == 16 { 29 } else { 27 };
        let linear = arm.linear(RAM);
        arm.board.memory_map(section_bits, 48, linear);
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
        self.board.table(1 << self.shape.page_shift)
    }

    /// Writes at a physical address.
    pub fn put(&mut self, pa: u64, bytes: &[u8]) {
        self.board.put(pa, bytes);
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
            table = match self.board.word(slot) {
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

    /// A free block of RAM's pages.
    pub fn free(&mut self, page: u64, order: u32) {
        self.board.free(page, order);
    }

    /// A page of a process, whose `anon_vma` pointer carries a tag.
    pub fn anon(&mut self, page: u64) {
        let tagged = self.linear(RAM + 0x1000) & !(0xff << 56) | 0xf3 << 56;
        self.board.anon(page, tagged);
    }

    /// The core as QEMU writes it, with one CPU's registers: x0 to x30 are 0 to 30.
    #[must_use]
    pub fn core(&self, note: bool, pc: u64, sp: u64) -> Vec<u8> {
        let words: Vec<u64> = (0..31).chain([sp, pc, 0x8000_0005]).collect();
        let prstatus = board::prstatus(392, &words);
        self.board.core(183, note, &prstatus)
    }
}
