//! A small riscv64 machine: page tables of three depths, a memory map, registers.
//!
//! Numbers are written out here from the RISC-V Privileged Architecture and arch/riscv/include/asm, and not
//! taken from the code under test.

use crate::board::{self, Board, IMAGE, TABLES};

/// Where RAM begins.
pub const RAM: u64 = 0x8000_0000;
/// Where the kernel image lies.
pub const IMAGE_PA: u64 = RAM + IMAGE;
/// The address of the image's first byte: KERNEL_LINK_ADDR, moved by KASLR.
pub const IMAGE_VA: u64 = 0xffff_ffff_8000_0000 + 0x1020_0000;
/// Sv39, Sv48 and Sv57: bits of address, levels, PAGE_OFFSET.
pub const MODES: [(u32, u32, u64); 3] = [
    (39, 3, 0xffff_ffd6_0000_0000),
    (48, 4, 0xffff_af80_0000_0000),
    (57, 5, 0xff60_0000_0000_0000),
];

/// A machine under construction.
pub struct Riscv {
    /// Its memory.
    pub board: Board,
    levels: u32,
    page_offset: u64,
}

impl Riscv {
    /// A machine whose kernel is mapped, with a memory map in which every page is the kernel's.
    #[must_use]
    pub fn new((bits, levels, page_offset): (u32, u32, u64)) -> Self {
        let mut board = Board::new(RAM, 12);
        board.table(4096);
        // VMCOREINFO writes phys_ram_base as a signed decimal.
        board.text += &format!(
            "SYMBOL(swapper_pg_dir)={:x}\nSYMBOL(_stext)={:x}\nNUMBER(phys_ram_base)={RAM}\n\
             NUMBER(PAGE_OFFSET)={page_offset:#x}\nNUMBER(VA_BITS)={bits}\n\
             NUMBER(MODULES_VADDR)={:#x}\nNUMBER(MODULES_END)={IMAGE_VA:#x}\n\
             NUMBER(KERNEL_LINK_ADDR)=0xffffffff80000000\nNUMBER(va_kernel_pa_offset)={:#x}\n",
            IMAGE_VA + (TABLES - IMAGE),
            IMAGE_VA,
            IMAGE_VA - (2 << 30),
            IMAGE_VA - IMAGE_PA,
        );
        let mut riscv = Self {
            board,
            levels,
            page_offset,
        };
        riscv.map(IMAGE_VA, IMAGE_PA, 1, 0);
        riscv.map(IMAGE_VA + (TABLES - IMAGE), RAM + TABLES, 1, 0);
        // By this one page the linear map is believed.
        riscv.map(riscv.linear(RAM + TABLES), RAM + TABLES, 1, 0);
        riscv.board.memory_map(27, 56, page_offset);
        riscv
    }

    /// The address of a byte of RAM in the linear map.
    #[must_use]
    pub fn linear(&self, pa: u64) -> u64 {
        self.page_offset + (pa - RAM)
    }

    /// Maps a page (level 1) or what one entry of a higher level maps; `high` are the entry's top bits.
    pub fn map(&mut self, va: u64, pa: u64, level: u32, high: u64) {
        let mut table = RAM + TABLES;
        for at in (level..=self.levels).rev() {
            let slot = table + (va >> (3 + 9 * at) & 511) * 8;
            if at == level {
                // Dirty, accessed, global, writable, readable, valid.
                let entry = high << 54 | pa >> 12 << 10 | 0xe7;
                self.board.put(slot, &entry.to_le_bytes());
                return;
            }
            table = match self.board.word(slot) {
                0 => {
                    let new = self.board.table(4096);
                    let entry = new >> 12 << 10 | 1;
                    self.board.put(slot, &entry.to_le_bytes());
                    new
                }
                entry => entry >> 10 << 12,
            };
        }
    }

    /// The core as QEMU writes it, with one CPU's registers: those after pc are 1 to 31, but sp.
    #[must_use]
    pub fn core(&self, note: bool, pc: u64, sp: u64) -> Vec<u8> {
        let mut words: Vec<u64> = (0..32).collect();
        for (place, word) in [(0, pc), (2, sp)] {
            if let Some(slot) = words.get_mut(place) {
                *slot = word;
            }
        }
        self.board.core(243, note, &board::prstatus(376, &words))
    }
}
