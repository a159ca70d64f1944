//! A small ppc64le machine: tables of the radix and of the hash MMU, a memory map, registers.
//!
//! Numbers are written out here from the Power ISA and arch/powerpc/include/asm/book3s/64, and not taken from
//! the code under test.

// Builders for tests: a mistake in here is to be loud.
#![allow(clippy::indexing_slicing)]

use crate::board::{self, Board, IMAGE, TABLES};

/// The address of physical address 0 in the linear map, which the image is a part of.
pub const LINEAR: u64 = 0xc000_0000_0000_0000;
/// Where the list of the memory map's pages lies (hash MMU).
const LIST: u64 = 0x42_0000;
/// What the memory map's pages are at, with the hash MMU, and how large they are.
const VMEMMAP: u64 = 0xc00c_0000_0000_0000;
const VMEMMAP_SHIFT: u32 = 20;

/// What a kernel and its MMU have.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Whether the MMU is radix.
    pub radix: bool,
    /// log2 of the page size.
    pub page_shift: u32,
    /// log2 of the entries of a table, the lowest level first.
    pub bits: [u32; 4],
    /// Where vmalloc's part begins.
    pub vmalloc: u64,
}

/// The kernels that there are.
pub const SHAPES: [Shape; 4] = [
    Shape {
        radix: true,
        page_shift: 16,
        bits: [5, 9, 9, 13],
        vmalloc: 0xc008_0000_0000_0000,
    },
    Shape {
        radix: true,
        page_shift: 12,
        bits: [9, 9, 9, 13],
        vmalloc: 0xc008_0000_0000_0000,
    },
    Shape {
        radix: false,
        page_shift: 16,
        bits: [8, 10, 10, 8],
        vmalloc: 0xc008_0000_0000_0000,
    },
    Shape {
        radix: false,
        page_shift: 12,
        bits: [9, 7, 9, 9],
        vmalloc: 0xc000_1000_0000_0000,
    },
];

/// A machine under construction.
pub struct Power {
    /// What it is.
    pub shape: Shape,
    /// Its memory.
    pub board: Board,
}

impl Power {
    /// A machine with a memory map in which every page is the kernel's. `told`: VMCOREINFO names the MMU.
    #[must_use]
    pub fn new(shape: Shape, told: bool) -> Self {
        let mut board = Board::new(0, shape.page_shift);
        board.table(8 << shape.bits[3]);
        board.text += &format!(
            "SYMBOL(init_uts_ns)={:x}\nOFFSET(uts_namespace.name)=4\nSYMBOL(swapper_pg_dir)={:x}\n\
             SYMBOL(_stext)={:x}\nSYMBOL(vmemmap_list)={:x}\nSYMBOL(mmu_vmemmap_psize)={:x}\n\
             SYMBOL(mmu_psize_defs)={:x}\nSIZE(vmemmap_backing)=24\nOFFSET(vmemmap_backing.list)=0\n\
             OFFSET(vmemmap_backing.phys)=8\nOFFSET(vmemmap_backing.virt_addr)=16\n\
             SIZE(mmu_psize_def)=32\nOFFSET(mmu_psize_def.shift)=4\n",
            LINEAR + 0x43_0000,
            LINEAR + TABLES,
            LINEAR + IMAGE,
            LINEAR + LIST,
            LINEAR + LIST + 8,
            LINEAR + LIST + 16,
        );
        if told {
            board.text += &format!("NUMBER(RADIX_MMU)={}\n", u8::from(shape.radix));
        }
        // The kernel's own name: release is the third of fields of 65 bytes.
        board.put(0x43_0000 + 4 + 2 * 65, b"6.12.1-toy");
        board.memory_map(24, 51, LINEAR);
        let mut power = Self { shape, board };
        if shape.radix {
            power.map(LINEAR + TABLES, TABLES, 1);
            power.map(LINEAR + IMAGE, IMAGE, 1);
        }
        power
    }

    /// With the hash MMU: the memory map's first pages, in the list that tells where they lie.
    pub fn vmemmap(&mut self, pages: &[u64]) -> u64 {
        // psize 1 of the table.
        self.board.put(LIST + 8, &1_u32.to_le_bytes());
        self.board
            .put(LIST + 16 + 32 + 4, &VMEMMAP_SHIFT.to_le_bytes());
        let mut head = 0_u64;
        for (n, phys) in (0..).zip(pages) {
            let at = LIST + 0x1000 + n * 24;
            let virt = VMEMMAP + (n << VMEMMAP_SHIFT);
            for (slot, word) in [(0, head), (8, *phys), (16, virt)] {
                self.board.put(at + slot, &word.to_le_bytes());
            }
            head = LINEAR + at;
        }
        self.board.put(LIST, &head.to_le_bytes());
        VMEMMAP
    }

    /// Maps a page (level 1) or what one entry of a higher level maps.
    pub fn map(&mut self, va: u64, pa: u64, level: u32) {
        let mut table = TABLES;
        for at in (level..=4).rev() {
            let below: u32 = self.shape.bits.iter().take(at as usize - 1).sum();
            let low = self.shape.page_shift + below;
            let wide = self.shape.bits[at as usize - 1];
            let slot = table + (va >> low & ((1 << wide) - 1)) * 8;
            if at == level {
                // Valid, a leaf, with software bits of both MMUs, readable and writable.
                let software = if self.shape.radix { 0 } else { 1 << 55 };
                let entry = 3 << 62 | software | pa | 0x18e;
                self.board.put(slot, &entry.to_be_bytes());
                return;
            }
            table = match self.board.word(slot).swap_bytes() {
                0 => {
                    let bits = self.shape.bits[at as usize - 2];
                    let new = self.board.table(8 << bits);
                    let size = if self.shape.radix { u64::from(bits) } else { 0 };
                    let entry = 1 << 63 | new | size;
                    self.board.put(slot, &entry.to_be_bytes());
                    new
                }
                entry => entry & 0x0fff_ffff_ffff_ff00,
            };
        }
    }

    /// The core as QEMU writes it, with one CPU's registers: r0 to r31 are 0 to 31 but r1.
    #[must_use]
    pub fn core(&self, note: bool, nip: u64, sp: u64) -> Vec<u8> {
        let mut words: Vec<u64> = (0..32).collect();
        words[1] = sp;
        // nip, msr (EE), orig_gpr3, ctr, link.
        words.extend([nip, 1 << 63 | 1 << 15, 0, 0, 36]);
        self.board.core(21, note, &board::prstatus(504, &words))
    }
}
