//! A small s390x machine: big-endian, with tables of three and four levels, a memory map, registers.
//!
//! Numbers are written out here from the z/Architecture Principles of Operation and arch/s390/include/asm, and
//! not taken from the code under test.

use crate::board::{Board, IMAGE, TABLES};

/// What a kernel has.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Levels of tables: 3 from regions of 2 GiB, 4 from those of 4 TiB.
    pub levels: u32,
    /// Where the image and the identity mapping lie, since 6.10: KERNELOFFSET, IDENTITYBASE.
    pub moved: Option<(u64, u64)>,
}

/// The kernels that there are.
pub const SHAPES: [Shape; 3] = [
    Shape {
        levels: 3,
        moved: None,
    },
    Shape {
        levels: 3,
        moved: Some((0x3ff_e000_0000, 0)),
    },
    Shape {
        levels: 4,
        moved: Some((0x1f_ff00_0000_0000, 0x10_0000_0000_0000)),
    },
];

/// A machine under construction.
pub struct Mainframe {
    /// What it is.
    pub shape: Shape,
    /// Its memory.
    pub board: Board,
}

impl Mainframe {
    /// A machine whose kernel is mapped, with a memory map in which every page is the kernel's.
    #[must_use]
    pub fn new(shape: Shape) -> Self {
        let mut board = Board::new(0, 12);
        board.big = true;
        let mut this = Self { shape, board };
        let root = this.table(shape.levels);
        assert_eq!(root, TABLES);
        this.board.text += &format!(
            "SYMBOL(swapper_pg_dir)={:x}\nSYMBOL(_stext)={:x}\nSYMBOL(lowcore_ptr)={:x}\n\
             SYMBOL(high_memory)=0\nLENGTH(lowcore_ptr)=512\n",
            this.image(TABLES),
            this.image(IMAGE),
            this.image(IMAGE) + 0x2000,
        );
        if let Some((offset, identity)) = shape.moved {
            // Physically the image is where it was linked to: KERNELOFFPHYS.
            this.board.text +=
                &format!("IDENTITYBASE={identity:x}\nKERNELOFFSET={offset:x}\nKERNELOFFPHYS=0\n");
        }
        for pa in [IMAGE, TABLES] {
            this.map(this.image(pa), pa, 1);
            this.map(this.identity(pa), pa, 1);
        }
        let identity = this.identity(0);
        this.board.memory_map(28, 46, identity);
        this
    }

    /// The address of a byte of the image.
    #[must_use]
    pub fn image(&self, pa: u64) -> u64 {
        pa + self.shape.moved.map_or(0, |(offset, _)| offset)
    }

    /// The address of a byte in the identity mapping.
    #[must_use]
    pub fn identity(&self, pa: u64) -> u64 {
        pa + self.shape.moved.map_or(0, |(_, identity)| identity)
    }

    /// A table of a level whose entries map nothing: the I bit, and the type that they all have.
    fn table(&mut self, level: u32) -> u64 {
        let entries = if level == 1 { 256 } else { 2048 };
        let at = self.board.table(entries * 8);
        let empty = match level {
            1 => 0x400,
            _ => 0x20 | u64::from(level - 2) << 2,
        };
        for entry in 0..entries as u64 {
            self.board.put_word(at + entry * 8, empty, 8);
        }
        at
    }

    /// Maps a page (level 1) or what one entry of a higher level maps.
    pub fn map(&mut self, va: u64, pa: u64, level: u32) {
        let mut table = TABLES;
        for at in (level..=self.shape.levels).rev() {
            let (low, wide) = match at {
                1 => (12, 8),
                _ => (20 + 11 * (at - 2), 11),
            };
            let slot = table + (va >> low & ((1 << wide) - 1)) * 8;
            let kind = u64::from(at.saturating_sub(2)) << 2;
            if at == level {
                // FC where it is no page table.
                let large = if level == 1 { 0 } else { 0x400 | kind };
                self.board.put_word(slot, pa | large | 3, 8);
                return;
            }
            let entry = self.board.word(slot);
            table = match entry & 0x20 {
                0 => entry & !0xfff,
                _ => {
                    let new = self.table(at - 1);
                    // All of the next table is there (TL).
                    let length = if at > 2 { 3 } else { 0 };
                    self.board.put_word(slot, new | kind | length, 8);
                    new
                }
            };
        }
    }

    /// The core as QEMU writes it, with one CPU's registers: r0 to r14 are 0 to 14.
    #[must_use]
    pub fn core(&self, note: bool, psw: [u64; 2], sp: u64) -> Vec<u8> {
        let mut desc = vec![0; 336];
        let words = psw.into_iter().chain(0..15).chain([sp]);
        for (slot, word) in desc.chunks_mut(8).skip(14).zip(words) {
            slot.copy_from_slice(&word.to_be_bytes());
        }
        self.board.core(22, note, &desc)
    }
}
