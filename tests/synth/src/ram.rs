//! A machine's RAM page by page, with page tables: the ground that toy kernels stand on.
//!
//! Numbers are written out here and not taken from the code under test.

// Builders for tests: a mistake in here is to be loud.
#![allow(clippy::panic, clippy::indexing_slicing, clippy::unwrap_used)]

use std::collections::BTreeMap;

/// RAM, the tables that map it and the VMCOREINFO text that says so.
#[derive(Clone)]
pub struct Ram {
    pages: BTreeMap<u64, Vec<u8>>,
    /// VMCOREINFO lines.
    pub text: String,
    levels: u32,
    root: u64,
    next_table: u64,
    phys_base: i64,
    /// Bits set in every entry that are no part of the address.
    pub encryption: u64,
}

impl Ram {
    /// Empty RAM with a top table inside the kernel image.
    pub fn new(levels: u32, phys_base: i64) -> Self {
        Self::with_tables(
            levels,
            phys_base,
            0xffff_ffff_8300_0000,
            0x70_0000_0000 >> 8,
        )
    }

    /// Empty RAM with the top table at an address of the kernel image and the others from a physical
    /// address on.
    pub fn with_tables(levels: u32, phys_base: i64, root_va: u64, tables: u64) -> Self {
        let mut ram = Self {
            pages: BTreeMap::new(),
            text: String::new(),
            levels,
            root: 0,
            next_table: tables,
            phys_base,
            encryption: 0,
        };
        ram.root = ram.image_pa(root_va);
        ram.put(ram.root, &[0; 4096]);
        ram.line("OSRELEASE=6.12.1-toy");
        ram.line("PAGESIZE=4096");
        ram.line(&format!("NUMBER(phys_base)={phys_base}"));
        ram.line(&format!("SYMBOL(swapper_pg_dir)={root_va:x}"));
        ram.line(&format!(
            "NUMBER(pgtable_l5_enabled)={}",
            u32::from(levels == 5)
        ));
        ram.line("NUMBER(KERNEL_IMAGE_SIZE)=1073741824");
        ram
    }

    /// Puts the tables that are made from now on elsewhere.
    pub fn tables_from(&mut self, pa: u64) {
        self.next_table = pa;
    }

    /// Adds a VMCOREINFO line.
    pub fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Replaces a VMCOREINFO line that begins with `key`.
    pub fn replace(&mut self, key: &str, line: &str) {
        let kept: Vec<&str> = self.text.lines().filter(|l| !l.starts_with(key)).collect();
        self.text = kept.join("\n") + "\n" + line + "\n";
    }

    /// Where an address of the kernel image lies.
    pub fn image_pa(&self, va: u64) -> u64 {
        (va - 0xffff_ffff_8000_0000).wrapping_add_signed(self.phys_base)
    }

    /// Writes at a physical address; pages come into being.
    pub fn put(&mut self, pa: u64, bytes: &[u8]) {
        let mut at = pa;
        let mut rest = bytes;
        while !rest.is_empty() {
            let start = (at & 4095) as usize;
            let n = rest.len().min(4096 - start);
            let page = self.pages.entry(at >> 12).or_insert_with(|| vec![0; 4096]);
            page[start..start + n].copy_from_slice(&rest[..n]);
            at += n as u64;
            rest = &rest[n..];
        }
    }

    /// Writes at an address of the kernel image.
    pub fn put_image(&mut self, va: u64, bytes: &[u8]) {
        self.put(self.image_pa(va), bytes);
    }

    /// Writes a 64-bit word at an address of the kernel image.
    pub fn put_image64(&mut self, va: u64, value: u64) {
        self.put_image(va, &value.to_le_bytes());
    }

    /// Takes a page away.
    pub fn drop_page(&mut self, pa: u64) {
        self.pages.remove(&(pa >> 12));
    }

    fn get64(&self, pa: u64) -> u64 {
        let page = &self.pages[&(pa >> 12)];
        let at = (pa & 4095) as usize;
        u64::from_le_bytes(page[at..at + 8].try_into().unwrap())
    }

    /// Maps `va` to `pa` by a page of 2^`shift` bytes; answers where the last entry is.
    pub fn map(&mut self, va: u64, pa: u64, shift: u32) -> u64 {
        let mut table = self.root;
        let mut level_shift = if self.levels == 5 { 48 } else { 39 };
        loop {
            let slot = table + ((va >> level_shift) & 511) * 8;
            if level_shift == shift {
                let large = if shift > 12 { 0x80 } else { 0 };
                // Present, writable, accessed, and the no-execute bit at the top.
                let entry = pa | 0x8000_0000_0000_0023 | large | self.encryption;
                self.put(slot, &entry.to_le_bytes());
                return slot;
            }
            let entry = self.get64(slot);
            table = if entry & 1 == 1 {
                entry & 0x000f_ffff_ffff_f000 & !self.encryption
            } else {
                let new = self.next_table;
                self.next_table += 4096;
                self.put(new, &[0; 4096]);
                let entry = new | 0x63 | self.encryption;
                self.put(slot, &entry.to_le_bytes());
                new
            };
            level_shift -= 9;
        }
    }

    /// The pages, ascending: number and bytes.
    pub fn pages(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.pages.iter().map(|(pfn, page)| (*pfn, page.as_slice()))
    }

    /// The bytes of one page.
    pub fn page(&self, pfn: u64) -> Option<&[u8]> {
        self.pages.get(&pfn).map(Vec::as_slice)
    }
}
