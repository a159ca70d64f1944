//! ELF64 cores from a description: segments, notes, and deliberate oddities.
//!
//! Every number is written out here from elf(5), so that a wrong constant in a reader is seen.

/// One program header to be.
#[derive(Clone, Debug)]
pub struct Load {
    /// p_vaddr.
    pub vaddr: u64,
    /// p_paddr.
    pub paddr: u64,
    /// The bytes in the file.
    pub data: Vec<u8>,
    /// p_memsz, when it is more than the data.
    pub memsz: u64,
}

/// A core under construction.
#[derive(Clone, Debug, Default)]
pub struct Elf {
    loads: Vec<Load>,
    aliases: Vec<(usize, u64, u64, u64, u64)>,
    notes: Vec<u8>,
    xnum: bool,
    sections_first: bool,
    machine: Option<u16>,
    big: bool,
}

impl Elf {
    /// An empty core.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A segment whose p_vaddr is `base` + `paddr`.
    #[must_use]
    pub fn load(mut self, base: u64, paddr: u64, data: &[u8]) -> Self {
        self.loads.push(Load {
            vaddr: base.wrapping_add(paddr),
            paddr,
            data: data.to_vec(),
            memsz: data.len() as u64,
        });
        self
    }

    /// A segment whose p_vaddr is `base` + `paddr`, with only the first `data.len()` of its `memsz`
    /// bytes in the file.
    #[must_use]
    pub fn sparse_load(mut self, base: u64, paddr: u64, data: &[u8], memsz: u64) -> Self {
        self.loads.push(Load {
            vaddr: base.wrapping_add(paddr),
            paddr,
            data: data.to_vec(),
            memsz,
        });
        self
    }

    /// A segment of which only the first `data.len()` of `memsz` bytes are stored.
    #[must_use]
    pub fn short_load(mut self, paddr: u64, data: &[u8], memsz: u64) -> Self {
        self.loads.push(Load {
            vaddr: 0,
            paddr,
            data: data.to_vec(),
            memsz,
        });
        self
    }

    /// Another program header for bytes of load number `of`, `skip` bytes into it.
    #[must_use]
    pub fn alias(mut self, of: usize, skip: u64, vaddr: u64, paddr: u64, len: u64) -> Self {
        self.aliases.push((of, skip, vaddr, paddr, len));
        self
    }

    /// A note.
    #[must_use]
    pub fn note(mut self, name: &str, n_type: u32, desc: &[u8]) -> Self {
        let owner_len = name.len() as u32 + 1;
        for word in [owner_len, desc.len() as u32, n_type] {
            let word = self.bytes(word.into(), 4);
            self.notes.extend(word);
        }
        self.notes.extend_from_slice(name.as_bytes());
        self.notes.push(0);
        while !self.notes.len().is_multiple_of(4) {
            self.notes.push(0);
        }
        self.notes.extend_from_slice(desc);
        while !self.notes.len().is_multiple_of(4) {
            self.notes.push(0);
        }
        self
    }

    /// Bytes as they are where the next note would stand.
    #[must_use]
    pub fn raw_note(mut self, bytes: &[u8]) -> Self {
        self.notes.extend_from_slice(bytes);
        self
    }

    /// Puts the number of program headers into section header 0 whatever it is.
    #[must_use]
    pub fn extended_count(mut self) -> Self {
        self.xnum = true;
        self
    }

    /// Of another machine than x86_64: e_machine.
    #[must_use]
    pub fn machine(mut self, machine: u16) -> Self {
        self.machine = Some(machine);
        self
    }

    /// Big-endian from here on: to be said before the notes.
    #[must_use]
    pub fn big(mut self) -> Self {
        self.big = true;
        self
    }

    /// The last `len` bytes of a word in the file's order.
    fn bytes(&self, word: u64, len: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = word.to_le_bytes().into_iter().take(len).collect();
        if self.big {
            bytes.reverse();
        }
        bytes
    }

    /// Puts the section header before the program headers, as QEMU does.
    #[must_use]
    pub fn sections_first(mut self) -> Self {
        self.sections_first = true;
        self
    }

    /// The file.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        let count = 1 + self.loads.len() + self.aliases.len();
        let xnum = self.xnum || count >= 65_535;
        let sections = if xnum { 64 } else { 0 };
        let (shoff, phoff) = if self.sections_first {
            (64, 64 + sections)
        } else {
            (64 + 56 * count, 64)
        };
        let notes_at = 64 + sections + 56 * count;
        let mut at = (notes_at + self.notes.len()).next_multiple_of(4096);
        let mut offsets = Vec::new();
        for load in &self.loads {
            offsets.push(at as u64);
            at += load.data.len();
        }
        let mut file = Vec::with_capacity(at);
        file.extend_from_slice(b"\x7fELF\x02");
        file.push(if self.big { 2 } else { 1 });
        file.extend_from_slice(b"\x01\0\0\0\0\0\0\0\0\0");
        file.extend(self.bytes(4, 2));
        file.extend(self.bytes(self.machine.unwrap_or(62).into(), 2));
        file.extend(self.bytes(1, 4));
        file.extend(self.bytes(0, 8));
        file.extend(self.bytes(phoff as u64, 8));
        file.extend(self.bytes(if xnum { shoff as u64 } else { 0 }, 8));
        file.extend(self.bytes(0, 4));
        let phnum = if xnum { 65_535 } else { count as u16 };
        for half in [64, 56, phnum, if xnum { 64 } else { 0 }, u16::from(xnum), 0] {
            file.extend(self.bytes(half.into(), 2));
        }
        let section = |file: &mut Vec<u8>| {
            if xnum {
                file.extend_from_slice(&[0; 32]);
                file.extend(self.bytes(1, 8));
                file.extend(self.bytes(0, 4));
                file.extend(self.bytes(count as u64, 4));
                file.extend_from_slice(&[0; 16]);
            }
        };
        if self.sections_first {
            section(&mut file);
        }
        let notes_len = self.notes.len() as u64;
        self.phdr(&mut file, 4, [notes_at as u64, 0, 0, notes_len, notes_len]);
        for (load, offset) in self.loads.iter().zip(&offsets) {
            let filesz = load.data.len() as u64;
            self.phdr(
                &mut file,
                1,
                [*offset, load.vaddr, load.paddr, filesz, load.memsz],
            );
        }
        for (of, skip, vaddr, paddr, len) in &self.aliases {
            let offset = offsets.get(*of).copied().unwrap_or(0) + skip;
            self.phdr(&mut file, 1, [offset, *vaddr, *paddr, *len, *len]);
        }
        if !self.sections_first {
            section(&mut file);
        }
        file.extend_from_slice(&self.notes);
        file.resize((notes_at + self.notes.len()).next_multiple_of(4096), 0);
        for load in &self.loads {
            file.extend_from_slice(&load.data);
        }
        file
    }

    fn phdr(&self, file: &mut Vec<u8>, p_type: u32, fields: [u64; 5]) {
        file.extend(self.bytes(p_type.into(), 4));
        file.extend(self.bytes(7, 4));
        for field in fields {
            file.extend(self.bytes(field, 8));
        }
        file.extend(self.bytes(0, 8));
    }
}

/// `pages` pages of bytes that differ from page to page and are not all zero.
#[must_use]
pub fn pages(seed: u8, pages: usize) -> Vec<u8> {
    let mut state = u64::from(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..pages * 4096)
        .map(|i| {
            if i % 512 == 0 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
            }
            // Half noise, half runs, so that codecs find something.
            if i % 512 < 64 {
                (state >> (i % 57)) as u8
            } else {
                (state >> 40) as u8
            }
        })
        .collect()
}
