//! The blocks of a stream on a device: its header, and the entry before each file.

/// Everything begins at a multiple of it.
pub(super) const BLOCK: usize = 4096;

const HEADER: &[u8; 16] = b"AFTERPANIC-RAW\n\0";
const ENTRY: &[u8; 16] = b"AFTERPANIC-ENTRY";

/// The shape's version.
const VERSION: u32 = 1;

/// Where the checksum of a block's other bytes stands.
const SUM: usize = BLOCK - 4;

/// Where a name begins.
const NAME: usize = 40;

/// How far a stream got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// The capture kernel wrote it, or does so.
    Written = 1,
    /// It has a crash directory.
    Collected = 2,
}

/// The first block of the device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Header {
    pub state: State,
    /// In every entry, too.
    pub id: u64,
    /// Bytes of the device.
    pub size: u64,
}

/// What an entry is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// The crash directory has this name from here on.
    Directory = 1,
    /// A file; its content follows.
    File = 2,
    /// A file that was removed.
    Removed = 3,
}

/// One entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    pub id: u64,
    pub kind: Kind,
    /// Bytes of content.
    pub len: u64,
    pub name: String,
}

type Block = [u8; BLOCK];

fn put(block: &mut Block, at: usize, bytes: &[u8]) {
    let into = block.iter_mut().skip(at);
    into.zip(bytes).for_each(|(into, byte)| *into = *byte);
}

fn sealed(mut block: Block) -> Block {
    let sum = crc32fast::hash(block.get(..SUM).unwrap_or_default());
    put(&mut block, SUM, &sum.to_le_bytes());
    block
}

/// The block, if its first bytes and its checksum are right.
fn whole<'a>(block: &'a [u8], magic: &[u8; 16]) -> Option<&'a [u8]> {
    let (body, sum) = block.get(..BLOCK)?.split_at_checked(SUM)?;
    let right = body.starts_with(magic) && crc32fast::hash(body) == u32_at(sum, 0)?;
    right.then_some(body)
}

fn u32_at(block: &[u8], at: usize) -> Option<u32> {
    let bytes = block.get(at..at.checked_add(4)?)?;
    bytes.try_into().ok().map(u32::from_le_bytes)
}

fn u64_at(block: &[u8], at: usize) -> Option<u64> {
    let bytes = block.get(at..at.checked_add(8)?)?;
    bytes.try_into().ok().map(u64::from_le_bytes)
}

impl Header {
    pub(super) fn encode(&self) -> Block {
        let mut block = [0; BLOCK];
        put(&mut block, 0, HEADER);
        put(&mut block, 16, &VERSION.to_le_bytes());
        put(&mut block, 20, &(self.state as u32).to_le_bytes());
        put(&mut block, 24, &self.id.to_le_bytes());
        put(&mut block, 32, &self.size.to_le_bytes());
        sealed(block)
    }

    pub(super) fn parse(block: &[u8]) -> Option<Self> {
        let body = whole(block, HEADER)?;
        let state = match (u32_at(body, 16)?, u32_at(body, 20)?) {
            (VERSION, 1) => State::Written,
            (VERSION, 2) => State::Collected,
            _ => return None,
        };
        Some(Self {
            state,
            id: u64_at(body, 24)?,
            size: u64_at(body, 32)?,
        })
    }
}

impl Entry {
    pub(super) fn encode(&self) -> Block {
        let mut block = [0; BLOCK];
        let name = self.name.as_bytes();
        put(&mut block, 0, ENTRY);
        put(&mut block, 16, &self.id.to_le_bytes());
        put(&mut block, 24, &self.len.to_le_bytes());
        put(&mut block, 32, &(self.kind as u32).to_le_bytes());
        let len = u32::try_from(name.len()).unwrap_or(u32::MAX);
        put(&mut block, 36, &len.to_le_bytes());
        put(&mut block, NAME, name);
        sealed(block)
    }

    /// The entry in a block of the stream `id`.
    pub(super) fn parse(block: &[u8], id: u64) -> Option<Self> {
        let body = whole(block, ENTRY)?;
        let kind = match u32_at(body, 32)? {
            1 => Kind::Directory,
            2 => Kind::File,
            3 => Kind::Removed,
            _ => return None,
        };
        let len = usize::try_from(u32_at(body, 36)?).ok()?;
        let name = body.get(NAME..NAME.checked_add(len)?)?;
        let entry = Self {
            id: u64_at(body, 16)?,
            kind,
            len: u64_at(body, 24)?,
            name: String::from_utf8(name.to_vec()).ok()?,
        };
        (entry.id == id).then_some(entry)
    }
}
