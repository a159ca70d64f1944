//! BTF as bytes: the header, the type records, the strings.
//!
//! Facts: include/uapi/linux/btf.h, kernel/bpf/btf.c, 5.10 to 7.2. 7.2 widened `vlen` to 24 bits and
//! `kind` to 7; the bits were zero before, so one decoding serves all. The blob is kept as it came,
//! with the offset of every sixteenth type; no string is copied. Offsets are believed only after a
//! bounds check, and type numbers may form cycles, which callers bound.

use super::blob::{Blob, NAME, Pass, WINDOW};
use crate::kernel::KernelError;
use crate::order::Order;
use std::sync::Arc;

const MAGIC: u16 = 0xeb9f;
/// Header bytes that every version has.
const HEADER: usize = 24;
/// Bytes of a record that every kind has.
const RECORD: usize = 12;
/// Types of one blob: BTF_MAX_TYPE, the kernel takes no more itself.
const MAX_TYPES: usize = 0xfffff;
/// One offset is kept for so many types.
const EVERY: usize = 16;

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
pub struct Record {
    /// Offset of its name in the strings; 0: none.
    pub name: u32,
    /// What it describes.
    pub kind: TypeKind,
    /// The kind as BTF numbers it: [`TypeKind::Qualifier`] is several.
    pub number: u8,
    /// Number of members, values, parameters.
    pub vlen: usize,
    /// `kind_flag`: bit-fields, a union declared ahead, signed values, as the kind has it.
    pub kflag: bool,
    /// `size` or `type`, as the kind has it.
    pub value: u32,
    /// Where the trailing data begins in the blob.
    pub(super) body: usize,
}

impl Record {
    /// The record at `at`, whose first [`RECORD`] bytes these are.
    fn parse(bytes: &[u8], at: usize, order: Order) -> Option<Self> {
        let [name, info, value] = bytes.first_chunk::<RECORD>()?.as_chunks::<4>().0 else {
            return None;
        };
        let info = order.u32(*info);
        let number = u8::try_from(info >> 24 & 0x7f).ok()?;
        Some(Self {
            name: order.u32(*name),
            kind: TypeKind::from_number(number),
            number,
            vlen: (info & 0x00ff_ffff) as usize,
            kflag: info >> 31 == 1,
            value: order.u32(*value),
            body: at.checked_add(RECORD)?,
        })
    }

    /// Whether its name is one to look it up by: functions and variables are not.
    fn is_named_type(&self) -> bool {
        self.name != 0
            && matches!(
                self.kind,
                TypeKind::Struct
                    | TypeKind::Union
                    | TypeKind::Enum
                    | TypeKind::Enum64
                    | TypeKind::Typedef
                    | TypeKind::Int
                    | TypeKind::Float
            )
    }
}

/// A blob of BTF, on top of another one for a module.
pub(super) struct Btf {
    blob: Blob,
    types: usize,
    types_end: usize,
    strings: usize,
    strings_len: u32,
    /// 7.2's section on how long the kinds are: start and end.
    layout: (usize, usize),
    /// Offsets from `types` of every [`EVERY`]th record.
    index: Vec<u32>,
    count: usize,
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

/// What a pass says that ended early: that it could not read, or `otherwise`.
fn ended(pass: &mut Pass<'_>, otherwise: impl Into<String>) -> KernelError {
    match pass.error.take() {
        Some(source) => KernelError::reading("the type information (BTF)")(source),
        None => corrupt(otherwise),
    }
}

impl Btf {
    /// Takes a blob, and the one it continues. Answers the hash of each type's name and its number,
    /// sorted, beside it.
    pub(super) fn parse(
        blob: Blob,
        base: Option<Arc<Self>>,
        hash: fn(&[u8]) -> u32,
    ) -> Result<(Self, Vec<(u32, u32)>), KernelError> {
        let mut pass = blob.pass();
        let mut word = |at: usize| {
            pass.word(at)
                .ok_or_else(|| ended(&mut pass, "its header is cut off"))
        };
        let magic = word(0)?;
        let first = match blob.order {
            Order::Little => magic & 0xffff,
            Order::Big => magic >> 16,
        };
        if first != u32::from(MAGIC) {
            return Err(corrupt(format!("it begins with {magic:#x}")));
        }
        let header = word(4)? as usize;
        let section = |offset: u32, len: u32| -> Result<(usize, usize), KernelError> {
            let start = header.checked_add(offset as usize);
            let end = start.and_then(|start| start.checked_add(len as usize));
            match (start, end) {
                (Some(start), Some(end)) if header >= HEADER && end <= blob.len() => {
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
            types_end,
            strings,
            strings_len,
            layout,
            index: Vec::new(),
            count: 0,
            first_id,
            first_string,
            base,
            blob,
        };
        let mut names = this.build_index()?;
        this.hash_names(&mut names, hash)?;
        Ok((this, names))
    }

    /// Goes over all types once. Answers the named ones: where the name stands, and the number.
    fn build_index(&mut self) -> Result<Vec<(u32, u32)>, KernelError> {
        let (mut index, mut names) = (Vec::new(), Vec::new());
        let mut pass = self.blob.pass();
        let (mut count, mut at) = (0_usize, self.types);
        while at < self.types_end {
            let record = pass
                .from(at, self.types_end, RECORD)
                .and_then(|bytes| Record::parse(bytes, at, self.blob.order))
                .ok_or_else(|| ended(&mut pass, format!("type {count} is cut off")))?;
            if count.is_multiple_of(EVERY) {
                let offset = u32::try_from(at - self.types)
                    .map_err(|_| corrupt("it is larger than 4 GiB"))?;
                index.push(offset);
            }
            if record.is_named_type() {
                let id = u32::try_from(count).ok();
                let id = id.and_then(|n| self.first_id.checked_add(n));
                names.push((
                    record.name,
                    id.ok_or_else(|| corrupt("it has too many types"))?,
                ));
            }
            at = self.after(&record).ok_or_else(|| {
                corrupt(format!("type {count} is of unknown kind {:?}", record.kind))
            })?;
            count += 1;
            if count > MAX_TYPES {
                return Err(corrupt(format!("it has more than {MAX_TYPES} types")));
            }
        }
        if at != self.types_end {
            return Err(corrupt("its last type is cut off"));
        }
        (self.index, self.count) = (index, count);
        names.shrink_to_fit();
        Ok(names)
    }

    /// Puts the hashes of the names where their places were. Names lie in order then, so that one
    /// pass over them does.
    fn hash_names(
        &self,
        names: &mut [(u32, u32)],
        hash: fn(&[u8]) -> u32,
    ) -> Result<(), KernelError> {
        names.sort_unstable();
        let mut open: Option<(u32, Pass<'_>)> = None;
        for (name, _) in names.iter_mut() {
            let owner = self.string_owner(*name);
            let (at, end) = owner.place(*name);
            let pass = match &mut open {
                Some((first, pass)) if *first == owner.first_string => pass,
                _ => &mut open.insert((owner.first_string, owner.blob.pass())).1,
            };
            let bytes = match pass.from(at, end, NAME) {
                Some(bytes) => until_nul(bytes),
                None => return Err(ended(pass, "a name lies behind its end")),
            };
            *name = hash(bytes);
        }
        names.sort_unstable();
        Ok(())
    }

    /// Where the record behind this one begins.
    fn after(&self, record: &Record) -> Option<usize> {
        let (fixed, each) = record
            .kind
            .trailing()
            .or_else(|| self.layout_of(record.kind))?;
        let length = each.checked_mul(record.vlen)?.checked_add(fixed)?;
        record.body.checked_add(length)
    }

    /// How long a kind is that this reader does not know (7.2's layout section).
    fn layout_of(&self, kind: TypeKind) -> Option<(usize, usize)> {
        let TypeKind::Unknown(number) = kind else {
            return None;
        };
        let (start, end) = self.layout;
        let at = start.checked_add(usize::from(number) * 4)?;
        match self.blob.from(at, end).first_chunk::<4>()? {
            [info, element, ..] => Some((usize::from(*info), usize::from(*element))),
        }
    }

    fn record_at(&self, at: usize) -> Option<Record> {
        Record::parse(self.blob.from(at, self.types_end), at, self.blob.order)
    }

    /// Every byte of this blob itself, as it lies in memory.
    pub(super) fn copy(&self) -> Result<Vec<u8>, KernelError> {
        let len = self.blob.len();
        let mut bytes = Vec::new();
        let mut pass = self.blob.pass();
        while bytes.len() < len {
            let window = pass.from(bytes.len(), len, (len - bytes.len()).min(WINDOW));
            match window.filter(|window| !window.is_empty()) {
                Some(window) => bytes.extend_from_slice(window),
                None => return Err(ended(&mut pass, "it is cut off")),
            }
        }
        Ok(bytes)
    }

    /// Where the strings of this blob itself begin in it, their length, and the offset that the first
    /// of them is known by.
    pub(super) fn strings(&self) -> (usize, usize, u32) {
        (self.strings, self.strings_len as usize, self.first_string)
    }

    /// The number of the first type of this blob itself.
    pub(super) fn first_id(&self) -> u32 {
        self.first_id
    }

    /// The number after the last type's.
    pub(super) fn next_id(&self) -> Option<u32> {
        self.first_id.checked_add(u32::try_from(self.count).ok()?)
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
        let number = (id - owner.first_id) as usize;
        if number >= owner.count {
            return None;
        }
        let at = *owner.index.get(number / EVERY)? as usize;
        let mut record = owner.record_at(owner.types.checked_add(at)?)?;
        for _ in 0..number % EVERY {
            record = owner.record_at(owner.after(&record)?)?;
        }
        Some(record)
    }

    /// Word `n` of the trailing data of type `id`.
    pub(super) fn word(&self, id: u32, record: &Record, n: usize) -> Option<u32> {
        let owner = self.owner(id)?;
        let at = record.body.checked_add(n.checked_mul(4)?)?;
        owner.blob.word(at)
    }

    /// The string at `offset`, without its NUL. Not UTF-8 or out of range: empty.
    pub(super) fn string(&self, offset: u32) -> &str {
        std::str::from_utf8(self.bytes(offset)).unwrap_or_default()
    }

    pub(super) fn bytes(&self, offset: u32) -> &[u8] {
        let owner = self.string_owner(offset);
        let (at, end) = owner.place(offset);
        until_nul(owner.blob.from(at, end))
    }

    /// The blob that holds the string at `offset`, which may be the base.
    fn string_owner(&self, offset: u32) -> &Self {
        match &self.base {
            Some(base) if offset < self.first_string => base.string_owner(offset),
            _ => self,
        }
    }

    /// Where a string of this blob's own begins, and where it ends at most; nowhere if out of range.
    fn place(&self, offset: u32) -> (usize, usize) {
        let end = self.strings.saturating_add(self.strings_len as usize);
        let start = offset.saturating_sub(self.first_string) as usize;
        (self.strings.saturating_add(start).min(end), end)
    }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}
