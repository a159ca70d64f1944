//! The kdump-compressed format: header, sub header, page descriptors.
//!
//! Facts: makedumpfile's diskdump_mod.h and `write_kdump_header` (format versions 1 to 6), crash's
//! diskdump.c, QEMU's dump/dump.c. Layout of the file, in blocks of one page: header, sub header
//! with the notes, first bitmap (pages that exist), second bitmap (pages in the file), then
//! descriptors of 24 bytes, one for each bit set in the second bitmap, then data.
//! Only the 64-bit structures are known here; the 32-bit ones are refused by name.

use super::elf::Fields;
use super::{FormatError, le16, le32};
use crate::order::Order;

/// The signature of the file.
pub(crate) const SIGNATURE: &[u8; 8] = b"KDUMP   ";
/// The format version that is written.
pub(crate) const VERSION: u32 = 6;
/// Bytes of the sub header in front of the notes.
pub(crate) const SUB_LEN: usize = 104;
/// Bytes of a page descriptor.
pub(crate) const DESC_LEN: usize = 24;
/// Bytes of the header that are used.
pub(crate) const HEADER_LEN: usize = 464;

/// Page flags and, in the header, the method of the file: zlib.
pub(crate) const ZLIB: u32 = 1;
/// LZO1X.
pub(crate) const LZO: u32 = 2;
/// Raw snappy.
pub(crate) const SNAPPY: u32 = 4;
/// Header only: the file was cut short by a full disk.
pub(crate) const INCOMPLETE: u32 = 8;
/// Header only: the vmemmap was left out.
pub(crate) const VMEMMAP_EXCLUDED: u32 = 0x10;
/// One zstd frame.
pub(crate) const ZSTD: u32 = 0x20;
/// All flags of a compressed page.
pub(crate) const METHODS: u32 = ZLIB | LZO | SNAPPY | ZSTD;

/// Page sizes of the machines that are known.
const BLOCKS: [u32; 3] = [4096, 16 << 10, 64 << 10];

/// Where the fields of the 64-bit header stand.
const UTSNAME: usize = 12;
const UTS_FIELD: usize = 65;
const UTS_LEN: usize = 6 * UTS_FIELD;

/// struct new_utsname, as text.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Utsname {
    /// "Linux".
    pub sysname: String,
    /// The host name.
    pub nodename: String,
    /// The release, as in `uname -r`.
    pub release: String,
    /// The build.
    pub version: String,
    /// "x86_64".
    pub machine: String,
    /// The NIS domain.
    pub domainname: String,
}

impl Utsname {
    /// The six fields of 65 bytes, each up to its first NUL.
    fn parse(bytes: &[u8]) -> Self {
        let mut fields = bytes.chunks(UTS_FIELD).map(|field| {
            let text = field.split(|b| *b == 0).next().unwrap_or_default();
            String::from_utf8_lossy(text).into_owned()
        });
        let mut next = || fields.next().unwrap_or_default();
        Self {
            sysname: next(),
            nodename: next(),
            release: next(),
            version: next(),
            machine: next(),
            domainname: next(),
        }
    }

    fn fields(&self) -> [&str; 6] {
        [
            &self.sysname,
            &self.nodename,
            &self.release,
            &self.version,
            &self.machine,
            &self.domainname,
        ]
    }
}

/// The header's fields.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    /// The order of the words of the file and of the memory in it.
    pub order: Order,
    /// header_version.
    pub version: u32,
    /// utsname.
    pub uts: Utsname,
    /// timestamp.tv_sec.
    pub time: u64,
    /// status.
    pub status: u32,
    /// Bytes of a block, which is a page of the machine.
    pub block: u32,
    /// Blocks of the sub header.
    pub sub_blocks: u32,
    /// Blocks of both bitmaps.
    pub bitmap_blocks: u32,
    /// max_mapnr: one past the last page.
    pub max_mapnr: u64,
    /// nr_cpus.
    pub nr_cpus: u32,
}

impl Header {
    /// Reads the header of a machine with pages of a size in [`BLOCKS`].
    ///
    /// # Errors
    /// What rules the file out.
    pub(crate) fn parse(buf: &[u8]) -> Result<Self, FormatError> {
        if buf.get(..8) != Some(SIGNATURE.as_slice()) {
            return Err(FormatError::unsupported("it does not begin with KDUMP"));
        }
        let short = || FormatError::CutOff("the kdump header");
        // The version is small: read in the wrong order it is not.
        let order = match le32(buf, 8).ok_or_else(short)? {
            version if version > 0xffff && version.swap_bytes() <= VERSION => Order::Big,
            _ => Order::Little,
        };
        let word = |at: usize| order.u32_at(buf, at).ok_or_else(short);
        let block = word(428)?;
        if !BLOCKS.contains(&block) {
            // The 32-bit header has block_size here.
            return Err(if BLOCKS.contains(&word(416)?) {
                FormatError::unsupported(
                    "it is the dump of a 32-bit machine, which is not supported",
                )
            } else {
                FormatError::unsupported(format!(
                    "its blocks are {block} bytes; only pages of 4096, 16384 and 65536 are supported"
                ))
            });
        }
        let version = word(8)?;
        if version > VERSION {
            return Err(FormatError::unsupported(format!(
                "its header has version {version} and only 0 to {VERSION} are known"
            )));
        }
        let fields = buf.get(UTSNAME..UTSNAME + UTS_LEN).ok_or_else(short)?;
        Ok(Self {
            order,
            version,
            uts: Utsname::parse(fields),
            time: order.u64_at(buf, 408).ok_or_else(short)?,
            status: word(424)?,
            block,
            sub_blocks: word(432)?,
            bitmap_blocks: word(436)?,
            max_mapnr: u64::from(word(440)?),
            nr_cpus: word(460)?,
        })
    }

    /// The bytes of the header.
    #[must_use]
    pub(crate) fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = Fields::<HEADER_LEN>::default();
        out.bytes(SIGNATURE);
        out.u32(self.version);
        for name in self.uts.fields() {
            let mut field = [0; UTS_FIELD];
            for (to, from) in field.iter_mut().take(UTS_FIELD - 1).zip(name.bytes()) {
                *to = from;
            }
            out.bytes(&field);
        }
        out.bytes(&[0; 6]); // to a multiple of 8
        out.u64(self.time);
        // Never anything else: with a page size's value here libkdumpfile takes it for a 32-bit file.
        out.u64(0); // tv_usec
        out.u32(self.status);
        out.u32(self.block);
        out.u32(self.sub_blocks);
        out.u32(self.bitmap_blocks);
        out.u32(u32::try_from(self.max_mapnr).unwrap_or(u32::MAX));
        out.bytes(&[0; 16]); // RAM, device and written blocks, current CPU
        out.u32(self.nr_cpus.max(1));
        out.done()
    }
}

/// The sub header's fields; those that the file's version does not have yet are 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct SubHeader {
    /// phys_base. QEMU writes nonsense here: use VMCOREINFO's.
    pub phys_base: u64,
    /// dump_level (version 1).
    pub dump_level: Option<u32>,
    /// One file of several (version 2).
    pub split: bool,
    /// The pages of this file, when it is one of several.
    pub start_pfn: u64,
    /// The page after the last of this file.
    pub end_pfn: u64,
    /// Where the text of VMCOREINFO stands, and its length (version 3).
    pub vmcoreinfo: (u64, u64),
    /// Where the notes stand, and their length (version 4).
    pub notes: (u64, u64),
    /// max_mapnr in 64 bits (version 6).
    pub max_mapnr: u64,
}

impl SubHeader {
    /// Reads the sub header of a file of that version.
    #[must_use]
    pub(crate) fn parse(buf: &[u8], version: u32, order: Order) -> Option<Self> {
        let since = |first: u32, at: usize| {
            if version >= first {
                order.u64_at(buf, at)
            } else {
                Some(0)
            }
        };
        let pair = |first: u32, at: usize| Some((since(first, at)?, since(first, at + 8)?));
        let wide = if version >= 6 { 80 } else { 16 };
        Some(Self {
            phys_base: order.u64_at(buf, 0)?,
            dump_level: if version >= 1 {
                Some(order.u32_at(buf, 8)?)
            } else {
                None
            },
            split: version >= 2 && order.u32_at(buf, 12)? != 0,
            start_pfn: since(2, wide)?,
            end_pfn: since(2, wide + 8)?,
            vmcoreinfo: pair(3, 32)?,
            notes: pair(4, 48)?,
            max_mapnr: since(6, 96)?,
        })
    }

    /// The bytes, as version 6.
    #[must_use]
    pub(crate) fn encode(&self) -> [u8; SUB_LEN] {
        let mut out = Fields::<SUB_LEN>::default();
        out.u64(self.phys_base);
        out.u32(self.dump_level.unwrap_or(0));
        out.u32(u32::from(self.split));
        out.u64(self.start_pfn);
        out.u64(self.end_pfn);
        out.u64(self.vmcoreinfo.0);
        out.u64(self.vmcoreinfo.1);
        out.u64(self.notes.0);
        out.u64(self.notes.1);
        out.u64(0); // offset_eraseinfo
        out.u64(0); // size_eraseinfo
        out.u64(self.start_pfn);
        out.u64(self.end_pfn);
        out.u64(self.max_mapnr);
        out.done()
    }
}

/// A page descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PageDesc {
    /// Where the data stands; 0: the page was never written.
    pub offset: u64,
    /// Bytes of data.
    pub size: u32,
    /// How it is compressed; 0: not at all.
    pub flags: u32,
}

impl PageDesc {
    /// Reads the 24 bytes.
    #[must_use]
    pub(crate) fn parse(buf: &[u8], order: Order) -> Option<Self> {
        Some(Self {
            offset: order.u64_at(buf, 0)?,
            size: order.u32_at(buf, 8)?,
            flags: order.u32_at(buf, 12)?,
        })
    }

    /// The 24 bytes.
    #[must_use]
    pub(crate) fn encode(&self) -> [u8; DESC_LEN] {
        let mut out = Fields::<DESC_LEN>::default();
        out.u64(self.offset);
        out.u32(self.size);
        out.u32(self.flags);
        out.u64(0); // page_flags
        out.done()
    }
}

/// What compresses pages with these flags, in words.
#[must_use]
pub(crate) fn methods(flags: u32) -> String {
    let names = [
        (ZLIB, "zlib"),
        (LZO, "lzo"),
        (SNAPPY, "snappy"),
        (ZSTD, "zstd"),
    ];
    let known: Vec<&str> = names
        .iter()
        .filter(|(bit, _)| flags & bit != 0)
        .map(|(_, name)| *name)
        .collect();
    if known.is_empty() {
        "none".to_owned()
    } else {
        known.join(", ")
    }
}

/// The header of makedumpfile's flattened stream.
pub(crate) const FLAT_SIGNATURE: &[u8; 12] = b"makedumpfile";
/// Bytes of that header.
pub(crate) const FLAT_HEADER_LEN: u64 = 4096;
/// Bytes in front of each record: offset and length, big-endian; both −1 in the last.
pub(crate) const FLAT_RECORD_LEN: usize = 16;

/// The record that ends a stream.
pub(crate) const FLAT_END: [u8; FLAT_RECORD_LEN] = [0xff; FLAT_RECORD_LEN];

/// The header of a flattened stream: signature, type 1, version 1.
pub(crate) fn flat_header() -> Vec<u8> {
    let mut head = FLAT_SIGNATURE.to_vec();
    head.resize(16, 0);
    head.extend_from_slice(&1_u64.to_be_bytes());
    head.extend_from_slice(&1_u64.to_be_bytes());
    head.resize(FLAT_HEADER_LEN as usize, 0);
    head
}

/// The header of a record of `len` bytes for `offset`. `None` when a number is above `i64::MAX`.
pub(crate) fn flat_record(offset: u64, len: u64) -> Option<[u8; FLAT_RECORD_LEN]> {
    let (offset, len) = (i64::try_from(offset).ok()?, i64::try_from(len).ok()?);
    let mut record = [0; FLAT_RECORD_LEN];
    let (first, second) = record.split_at_mut(8);
    first.copy_from_slice(&offset.to_be_bytes());
    second.copy_from_slice(&len.to_be_bytes());
    Some(record)
}

/// Whether `head` begins a flattened stream of a version that is known.
///
/// # Errors
/// It is a stream of another version.
pub(crate) fn is_flattened(head: &[u8]) -> Result<bool, FormatError> {
    if head.get(..12) != Some(FLAT_SIGNATURE.as_slice()) {
        return Ok(false);
    }
    match (super::be64(head, 16), super::be64(head, 24)) {
        (Some(1), Some(1)) => Ok(true),
        (kind, version) => Err(FormatError::unsupported(format!(
            "it is a flattened stream of type {} version {}; only type 1 version 1 is known",
            kind.unwrap_or(0),
            version.unwrap_or(0)
        ))),
    }
}

/// Whether `head` is the older disk dump format.
#[must_use]
pub(crate) fn is_old_diskdump(head: &[u8]) -> bool {
    head.get(..8) == Some(b"DISKDUMP".as_slice()) && le16(head, 8).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_read_back() {
        let uts = Utsname {
            sysname: "Linux".into(),
            nodename: "node".into(),
            release: "6.9".into(),
            version: "#1".into(),
            machine: "x86_64".into(),
            domainname: "(none)".into(),
        };
        let header = Header {
            order: Order::Little,
            version: 6,
            uts: uts.clone(),
            time: 1_700_000_000,
            status: ZSTD,
            block: 65536,
            sub_blocks: 2,
            bitmap_blocks: 4,
            max_mapnr: 77,
            nr_cpus: 3,
        };
        let bytes = header.encode();
        assert_eq!(Header::parse(&bytes), Ok(header.clone()));
        let odd = Header {
            block: 8192,
            ..header
        };
        let why = Header::parse(&odd.encode()).unwrap_err().to_string();
        assert!(why.contains("4096"), "{why}");
        let short = Header::parse(&bytes[..450]);
        assert_eq!(short, Err(FormatError::CutOff("the kdump header")));
        let sub = SubHeader {
            phys_base: 0u64.wrapping_sub(4096),
            dump_level: Some(31),
            split: true,
            start_pfn: 5,
            end_pfn: 9,
            vmcoreinfo: (1, 2),
            notes: (3, 4),
            max_mapnr: 1 << 33,
        };
        assert_eq!(SubHeader::parse(&sub.encode(), 6, Order::Little), Some(sub));
        let first = SubHeader::parse(&sub.encode(), 0, Order::Little).unwrap();
        assert_eq!(
            (first.dump_level, first.split, first.notes),
            (None, false, (0, 0))
        );
        let desc = PageDesc {
            offset: 1 << 40,
            size: 12,
            flags: LZO,
        };
        assert_eq!(PageDesc::parse(&desc.encode(), Order::Little), Some(desc));
        assert_eq!(methods(ZLIB | ZSTD | INCOMPLETE), "zlib, zstd");
    }
}
