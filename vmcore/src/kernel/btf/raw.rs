//! BTF as bytes: the header, the type records, the strings.
//!
//! Facts: include/uapi/linux/btf.h, kernel/bpf/btf.c, 5.10 to 7.2. 7.2 widened `vlen` to 24 bits and
//! `kind` to 7; the bits were zero before, so one decoding serves all. The blob is kept as it came,
//! with one 32-bit offset per type; no string is copied. Offsets are believed only after a bounds
//! check, and type numbers may form cycles, which callers bound.

use crate::kernel::KernelError;
use std::sync::Arc;

const MAGIC: u16 = 0xeb9f;
/// Header bytes that every version has.
const HEADER: usize = 24;

/// What a record describes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TypeKind {
    /// An integer, `_Bool` and `char` among them.
    Int,
    /// A pointer.
    Ptr,
    /// An array.
    Array,
    /// A struct.
    Struct,
    /// A union.
    Union,
    /// An enum of 32-bit values.
    Enum,
    /// An enum of 64-bit values.
    Enum64,
    /// A declaration without a definition.
    Fwd,
    /// A typedef.
    Typedef,
    /// `const`, `volatile`, `restrict` or a type tag: a type with something said of it.
    Qualifier,
    /// A function.
    Func,
    /// A function's type.
    FuncProto,
    /// A variable.
    Var,
    /// A section of variables.
    DataSec,
    /// A floating-point number.
    Float,
    /// A tag on a declaration.
    DeclTag,
    /// A kind newer than this reader.
    Unknown(u8),
}

impl TypeKind {
    fn from_number(kind: u8) -> Self {
        match kind {
            1 => Self::Int,
            2 => Self::Ptr,
            3 => Self::Array,
            4 => Self::Struct,
            5 => Self::Union,
            6 => Self::Enum,
            7 => Self::Fwd,
            8 => Self::Typedef,
            9..=11 | 18 => Self::Qualifier,
            12 => Self::Func,
            13 => Self::FuncProto,
            14 => Self::Var,
            15 => Self::DataSec,
            16 => Self::Float,
            17 => Self::DeclTag,
            19 => Self::Enum64,
            other => Self::Unknown(other),
        }
    }

    /// Bytes that follow the record's first twelve: fixed, and per element.
    fn trailing(self) -> Option<(usize, usize)> {
        Some(match self {
            Self::Int | Self::Var | Self::DeclTag => (4, 0),
            Self::Array => (12, 0),
            Self::Struct | Self::Union | Self::DataSec | Self::Enum64 => (0, 12),
            Self::Enum | Self::FuncProto => (0, 8),
            Self::Ptr | Self::Fwd | Self::Typedef | Self::Qualifier | Self::Func | Self::Float => {
                (0, 0)
            }
            Self::Unknown(_) => return None,
        })
    }
}

/// One record's fixed part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Record {
    pub name: u32,
    pub kind: TypeKind,
    /// Number of members, values, parameters.
    pub vlen: usize,
    pub kflag: bool,
    /// `size` or `type`, as the kind has it.
    pub value: u32,
    /// Where the trailing data begins in the blob.
    pub body: usize,
}

/// A blob of BTF, on top of another one for a module.
pub(super) struct Btf {
    data: Vec<u8>,
    types: usize,
    strings: usize,
    strings_len: u32,
    /// Offsets of the records from `types`.
    index: Vec<u32>,
    first_id: u32,
    first_string: u32,
    base: Option<Arc<Btf>>,
}

fn corrupt(why: impl Into<String>) -> KernelError {
    KernelError::Corrupt {
        what: "The type information (BTF)",
        why: why.into(),
    }
}

fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*bytes))
}

impl Btf {
    /// Takes a blob, and the one it continues.
    pub(super) fn parse(data: Vec<u8>, base: Option<Arc<Self>>) -> Result<Self, KernelError> {
        let word = |at: usize| u32_at(&data, at).ok_or_else(|| corrupt("its header is cut off"));
        let magic = word(0)?;
        if magic & 0xffff != u32::from(MAGIC) {
            return Err(corrupt(format!("it begins with {magic:#x}")));
        }
        let header = word(4)? as usize;
        let section = |offset: u32, len: u32| -> Result<(usize, usize), KernelError> {
            let start = header.checked_add(offset as usize);
            let end = start.and_then(|start| start.checked_add(len as usize));
            match (start, end) {
                (Some(start), Some(end)) if header >= HEADER && end <= data.len() => {
                    Ok((start, end))
                }
                _ => Err(corrupt("a section reaches past its end")),
            }
        };
        let (types, types_end) = section(word(8)?, word(12)?)?;
        let (strings, strings_end) = section(word(16)?, word(20)?)?;
        let layout = match header {
            32.. => section(word(24)?, word(28)?)?,
            _ => (0, 0),
        };
        let (first_id, first_string) = match &base {
            Some(base) => (
                base.next_id()
                    .ok_or_else(|| corrupt("it has too many types"))?,
                base.first_string
                    .checked_add(base.strings_len)
                    .ok_or_else(|| corrupt("its strings are too long"))?,
            ),
            None => (1, 0),
        };
        let strings_len = u32::try_from(strings_end - strings)
            .map_err(|_| corrupt("its strings are too long"))?;
        let mut this = Self {
            types,
            strings,
            strings_len,
            index: Vec::new(),
            first_id,
            first_string,
            base,
            data,
        };
        this.index = this.build_index(types_end, layout)?;
        Ok(this)
    }

    fn build_index(
        &self,
        types_end: usize,
        layout: (usize, usize),
    ) -> Result<Vec<u32>, KernelError> {
        // A first pass counts, so that the vector is no larger than it must be.
        let mut index = Vec::new();
        for pass in 0..2 {
            let mut count = 0;
            let mut at = self.types;
            while at < types_end {
                let record = self
                    .record_at(at)
                    .ok_or_else(|| corrupt(format!("type {count} is cut off")))?;
                let (fixed, each) = record
                    .kind
                    .trailing()
                    .or_else(|| self.layout_of(record.kind, layout))
                    .ok_or_else(|| {
                        corrupt(format!("type {count} is of unknown kind {:?}", record.kind))
                    })?;
                if pass == 1 {
                    let offset = u32::try_from(at - self.types)
                        .map_err(|_| corrupt("it is larger than 4 GiB"))?;
                    index.push(offset);
                }
                count += 1;
                at = record.body + fixed + each * record.vlen;
            }
            if at != types_end {
                return Err(corrupt("its last type is cut off"));
            }
            if pass == 0 {
                index.reserve_exact(count);
            }
        }
        Ok(index)
    }

    /// How long a kind is that this reader does not know (7.2's layout section).
    fn layout_of(&self, kind: TypeKind, (start, end): (usize, usize)) -> Option<(usize, usize)> {
        let TypeKind::Unknown(number) = kind else {
            return None;
        };
        let at = start.checked_add(usize::from(number) * 4)?;
        let entry = self
            .data
            .get(at..at.checked_add(4)?)
            .filter(|_| at + 4 <= end)?;
        match entry {
            [info, element, ..] => Some((usize::from(*info), usize::from(*element))),
            _ => None,
        }
    }

    fn record_at(&self, at: usize) -> Option<Record> {
        let info = u32_at(&self.data, at.checked_add(4)?)?;
        Some(Record {
            name: u32_at(&self.data, at)?,
            kind: TypeKind::from_number(u8::try_from(info >> 24 & 0x7f).ok()?),
            vlen: (info & 0x00ff_ffff) as usize,
            kflag: info >> 31 == 1,
            value: u32_at(&self.data, at.checked_add(8)?)?,
            body: at.checked_add(12)?,
        })
    }

    /// The number after the last type's.
    pub(super) fn next_id(&self) -> Option<u32> {
        self.first_id
            .checked_add(u32::try_from(self.index.len()).ok()?)
    }

    /// Numbers of this blob's own types.
    pub(super) fn own_ids(&self) -> std::ops::Range<u32> {
        self.first_id..self.next_id().unwrap_or(self.first_id)
    }

    /// The blob that holds type `id`, which may be the base.
    pub(super) fn owner(&self, id: u32) -> Option<&Self> {
        if id >= self.first_id {
            return Some(self);
        }
        self.base.as_deref()?.owner(id)
    }

    pub(super) fn record(&self, id: u32) -> Option<Record> {
        let owner = self.owner(id)?;
        let at = owner.index.get((id - owner.first_id) as usize)?;
        owner.record_at(owner.types.checked_add(*at as usize)?)
    }

    /// Word `n` of the trailing data of type `id`.
    pub(super) fn word(&self, id: u32, record: &Record, n: usize) -> Option<u32> {
        let owner = self.owner(id)?;
        u32_at(&owner.data, record.body.checked_add(n.checked_mul(4)?)?)
    }

    /// The string at `offset`, without its NUL. Not UTF-8 or out of range: empty.
    pub(super) fn string(&self, offset: u32) -> &str {
        std::str::from_utf8(self.bytes(offset)).unwrap_or_default()
    }

    pub(super) fn bytes(&self, offset: u32) -> &[u8] {
        if offset < self.first_string {
            return match &self.base {
                Some(base) => base.bytes(offset),
                None => &[],
            };
        }
        let offset = offset - self.first_string;
        if offset >= self.strings_len {
            return &[];
        }
        let start = self.strings.saturating_add(offset as usize);
        let end = self.strings.saturating_add(self.strings_len as usize);
        let rest = self.data.get(start..end).unwrap_or_default();
        let len = rest.iter().position(|&b| b == 0).unwrap_or(rest.len());
        rest.get(..len).unwrap_or_default()
    }

    /// Bytes held.
    pub(super) fn bytes_held(&self) -> usize {
        self.data.len() + self.index.len() * 4
    }
}
