//! kdump-compressed files from a description, with numbers of its own.
//!
//! After makedumpfile's diskdump_mod.h; offsets are written out here once more on purpose.

use std::collections::BTreeMap;
use std::io::Write;

/// 4096 times 0x41 as LZO1X-1 packs it: a literal, then one match of distance 1.
pub const LZO_OF_A: &[u8] = &[
    0x12, 0x41, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xed, 0, 0, 0x11, 0, 0,
];
/// The same as raw snappy: the length, a literal of one byte, 64 copies at offset 1 (63 of 64 bytes
/// and one of 63).
#[must_use]
pub fn snappy_of_a() -> Vec<u8> {
    let mut out = vec![0x80, 0x20, 0x00, 0x41];
    for _ in 0..63 {
        out.extend_from_slice(&[0xfe, 1, 0]);
    }
    out.extend_from_slice(&[0xfa, 1, 0]);
    out
}

/// How pages are stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Packing {
    /// As they are.
    Raw,
    /// A zlib stream each.
    Zlib,
    /// A zstd frame each.
    Zstd,
}

/// A dump under construction.
#[derive(Clone, Debug)]
pub struct Kdump {
    max: u64,
    ram: Vec<(u64, u64)>,
    pages: BTreeMap<u64, Vec<u8>>,
    raw: BTreeMap<u64, (u32, Vec<u8>)>,
    notes: Vec<u8>,
    text: Option<(usize, usize)>,
    version: u32,
    packing: Packing,
    split: Option<(u64, u64)>,
    incomplete: Option<u64>,
    time: u64,
}

impl Kdump {
    /// A dump of a machine whose last page is `max` − 1.
    #[must_use]
    pub fn new(max: u64) -> Self {
        Self {
            max,
            ram: Vec::new(),
            pages: BTreeMap::new(),
            raw: BTreeMap::new(),
            notes: Vec::new(),
            text: None,
            version: 6,
            packing: Packing::Zlib,
            split: None,
            incomplete: None,
            time: 5,
        }
    }

    /// Pages that exist.
    #[must_use]
    pub fn ram(mut self, start: u64, end: u64) -> Self {
        self.ram.push((start, end));
        self
    }

    /// A page that is in the file.
    #[must_use]
    pub fn page(mut self, pfn: u64, data: &[u8]) -> Self {
        self.pages.insert(pfn, data.to_vec());
        self
    }

    /// The stored bytes and flags of a page that is in the file.
    #[must_use]
    pub fn raw_data(mut self, pfn: u64, flags: u32, data: &[u8]) -> Self {
        self.raw.insert(pfn, (flags, data.to_vec()));
        self
    }

    /// A note.
    #[must_use]
    pub fn note(mut self, name: &str, n_type: u32, desc: &[u8]) -> Self {
        for word in [name.len() as u32 + 1, desc.len() as u32, n_type] {
            self.notes.extend_from_slice(&word.to_le_bytes());
        }
        self.notes.extend_from_slice(name.as_bytes());
        self.notes.push(0);
        self.notes.resize(self.notes.len().next_multiple_of(4), 0);
        if name == "VMCOREINFO" {
            self.text = Some((self.notes.len(), desc.len()));
        }
        self.notes.extend_from_slice(desc);
        self.notes.resize(self.notes.len().next_multiple_of(4), 0);
        self
    }

    /// header_version.
    #[must_use]
    pub fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// How pages are stored.
    #[must_use]
    pub fn packing(mut self, packing: Packing) -> Self {
        self.packing = packing;
        self
    }

    /// Only the descriptors of these pages: one file of a split dump.
    #[must_use]
    pub fn split(mut self, start: u64, end: u64) -> Self {
        self.split = Some((start, end));
        self
    }

    /// The disk was full from this page on.
    #[must_use]
    pub fn incomplete(mut self, from: u64) -> Self {
        self.incomplete = Some(from);
        self
    }

    /// timestamp.tv_sec.
    #[must_use]
    pub fn time(mut self, time: u64) -> Self {
        self.time = time;
        self
    }

    fn pack(&self, pfn: u64, data: &[u8]) -> (u32, Vec<u8>) {
        if let Some(raw) = self.raw.get(&pfn) {
            return raw.clone();
        }
        match self.packing {
            Packing::Raw => (0, data.to_vec()),
            Packing::Zlib => {
                let level = flate2::Compression::new(6);
                let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), level);
                let packed = zlib.write_all(data).and_then(|()| zlib.finish());
                (1, packed.unwrap_or_default())
            }
            Packing::Zstd => (32, zstd::bulk::compress(data, 2).unwrap_or_default()),
        }
    }

    /// The file.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        let sub_blocks = (104 + self.notes.len()).div_ceil(4096);
        let map_blocks = (self.max.div_ceil(8) as usize).div_ceil(4096);
        let mut file = vec![0; 4096 * (1 + sub_blocks + 2 * map_blocks)];
        let put = |file: &mut Vec<u8>, at: usize, bytes: &[u8]| {
            if let Some(to) = file.get_mut(at..at + bytes.len()) {
                to.copy_from_slice(bytes);
            }
        };
        let word = |n: usize| (n as u32).to_le_bytes();
        put(&mut file, 0, b"KDUMP   ");
        put(&mut file, 8, &self.version.to_le_bytes());
        put(&mut file, 12, b"Linux");
        put(&mut file, 272, b"x86_64");
        put(&mut file, 408, &self.time.to_le_bytes());
        let method = match self.packing {
            Packing::Raw => 0,
            Packing::Zlib => 1,
            Packing::Zstd => 32,
        };
        let status = method | if self.incomplete.is_some() { 8 } else { 0 };
        put(&mut file, 424, &word(status));
        put(&mut file, 428, &word(4096));
        put(&mut file, 432, &word(sub_blocks));
        put(&mut file, 436, &word(2 * map_blocks));
        put(&mut file, 440, &word(self.max as usize));
        put(&mut file, 460, &word(1));
        let sub = 4096;
        put(&mut file, sub + 8, &word(31));
        let (start, end) = self.split.unwrap_or((0, 0));
        if self.version >= 2 {
            put(
                &mut file,
                sub + 12,
                &word(usize::from(self.split.is_some())),
            );
            put(&mut file, sub + 16, &start.to_le_bytes());
            put(&mut file, sub + 24, &end.to_le_bytes());
        }
        let notes_at = (sub + 104) as u64;
        if self.version >= 3
            && let Some((at, len)) = self.text
        {
            put(&mut file, sub + 32, &(notes_at + at as u64).to_le_bytes());
            put(&mut file, sub + 40, &(len as u64).to_le_bytes());
        }
        if self.version >= 4 {
            put(&mut file, sub + 48, &notes_at.to_le_bytes());
            put(
                &mut file,
                sub + 56,
                &(self.notes.len() as u64).to_le_bytes(),
            );
        }
        if self.version >= 6 {
            put(&mut file, sub + 80, &start.to_le_bytes());
            put(&mut file, sub + 88, &end.to_le_bytes());
            put(&mut file, sub + 96, &self.max.to_le_bytes());
        }
        put(&mut file, sub + 104, &self.notes);
        let first = 4096 * (1 + sub_blocks);
        let second = first + 4096 * map_blocks;
        let mut set = |at: usize, pfn: u64| {
            if let Some(byte) = file.get_mut(at + (pfn / 8) as usize) {
                *byte |= 1 << (pfn % 8);
            }
        };
        for pfn in self.ram.iter().flat_map(|(start, end)| *start..*end) {
            set(first, pfn);
        }
        for pfn in self.pages.keys() {
            set(second, *pfn);
        }
        let own = |pfn: u64| self.split.is_none() || (start..end).contains(&pfn);
        let mine: Vec<_> = self.pages.iter().filter(|(pfn, _)| own(**pfn)).collect();
        let mut data_at = file.len() + 24 * mine.len();
        let mut data = Vec::new();
        for (pfn, page) in mine {
            if self.incomplete.is_some_and(|from| *pfn >= from) {
                file.extend_from_slice(&[0; 24]);
                continue;
            }
            let (flags, packed) = self.pack(*pfn, page);
            file.extend_from_slice(&(data_at as u64).to_le_bytes());
            file.extend_from_slice(&word(packed.len()));
            file.extend_from_slice(&flags.to_le_bytes());
            file.extend_from_slice(&[0; 8]);
            data_at += packed.len();
            data.extend_from_slice(&packed);
        }
        file.extend_from_slice(&data);
        file
    }
}

/// A file that was built, as a big-endian machine writes it: the same pages, every word of the format swapped,
/// the machine named `s390x`.
#[must_use]
pub fn big_endian(mut file: Vec<u8>) -> Vec<u8> {
    fn swap(file: &mut [u8], at: usize, len: usize) {
        if let Some(word) = file.get_mut(at..at + len) {
            word.reverse();
        }
    }
    let word = |file: &[u8], at: usize| {
        let bytes = file.get(at..at + 4).and_then(|bytes| bytes.first_chunk());
        bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize)
    };
    let block = word(&file, 428);
    let (subs, maps) = (word(&file, 432), word(&file, 436));
    let descs = block * (1 + subs + maps);
    let notes = (word(&file, block + 48), word(&file, block + 56));
    let data = word(&file, descs);
    for at in (8..12).step_by(4).chain((424..464).step_by(4)) {
        swap(&mut file, at, 4);
    }
    swap(&mut file, 408, 8);
    if let Some(name) = file.get_mut(272..280) {
        name.copy_from_slice(b"s390x\0\0\0");
    }
    for at in [block + 8, block + 12] {
        swap(&mut file, at, 4);
    }
    for at in [0].into_iter().chain((16..104).step_by(8)) {
        swap(&mut file, block + at, 8);
    }
    let mut at = notes.0;
    while at < notes.0 + notes.1 {
        let (name, desc) = (word(&file, at), word(&file, at + 4));
        for field in [at, at + 4, at + 8] {
            swap(&mut file, field, 4);
        }
        at += 12 + name.next_multiple_of(4) + desc.next_multiple_of(4);
    }
    for at in (descs..data).step_by(24) {
        for (field, len) in [(0, 8), (8, 4), (12, 4), (16, 8)] {
            swap(&mut file, at + field, len);
        }
    }
    file
}
