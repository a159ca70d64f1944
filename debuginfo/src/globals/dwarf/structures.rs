//! The layouts of the structures that a file's debug information defines.
//!
//! Facts: DWARF 4 and 5, section 5.7: a member without a place is at 0; a bitfield's place counts bits. DWARF 3,
//! section 5.6.6, which gcc up to 10 follows: a bitfield's place counts bits from the highest of its storage.
//! Units of Linux may be Rust's.

use super::words::{Slice, Words};
use gimli::{
    AttributeValue, DebuggingInformationEntry as Entry, Dwarf, UnitOffset, constants as dw,
};
use std::collections::HashSet;

/// Structures in structures without a name that are opened.
const MAX_DEPTH: u32 = 32;

/// A structure or union that has a name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Structure {
    /// With its keyword: `struct page`.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// A member without a name is replaced by its own members.
    pub members: Vec<Field>,
}

/// A member.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Field {
    /// Its name; empty for a structure without members that has none.
    pub name: String,
    /// Bits from the start of the structure.
    pub bit: u64,
    /// How many bits a bitfield has.
    pub bits: Option<u64>,
    /// Its size in bytes, where its type has one.
    pub size: Option<u64>,
    /// Its type in C's words.
    pub words: String,
}

/// Calls `visit` with every structure of C defined outside functions. Units repeat each other: one of the same
/// name, size and line of the source is taken once.
pub(super) fn for_each(
    dwarf: &Dwarf<Slice<'_>>,
    visit: &mut impl FnMut(Structure),
) -> gimli::Result<()> {
    let mut seen = HashSet::new();
    let mut headers = dwarf.units();
    while let Some(header) = headers.next()? {
        let unit = dwarf.unit(header)?;
        let words = Words { dwarf, unit: &unit };
        let mut cursor = unit.entries();
        let root = cursor.next_dfs()?;
        if root.is_none_or(|root| !root.has_children() || is_rust(root)) {
            continue;
        }
        let mut next = cursor.next_dfs()?;
        while let Some(entry) = next {
            if let Some(keyword) = keyword(entry)
                && let Some((name, size)) = defined(&words, entry)
                && is_new(entry, &name, size, &mut seen)
            {
                let mut members = Vec::new();
                fields(&words, entry.offset(), 0, MAX_DEPTH, &mut members)?;
                visit(Structure {
                    name: format!("{keyword} {name}"),
                    size,
                    members,
                });
            }
            next = cursor.next_sibling()?;
        }
    }
    Ok(())
}

fn is_rust(unit: &Entry<Slice<'_>>) -> bool {
    let language = unit.attr_value(dw::DW_AT_language);
    matches!(language, Some(AttributeValue::Language(dw::DW_LANG_Rust)))
}

fn keyword(entry: &Entry<Slice<'_>>) -> Option<&'static str> {
    match entry.tag() {
        dw::DW_TAG_structure_type => Some("struct"),
        dw::DW_TAG_union_type => Some("union"),
        _ => None,
    }
}

/// Its name and size; `None` for what is only declared or has no name.
fn defined<'a>(words: &Words<'_, 'a>, entry: &Entry<Slice<'a>>) -> Option<(String, u64)> {
    let is_declared = matches!(
        entry.attr_value(dw::DW_AT_declaration),
        Some(AttributeValue::Flag(true))
    );
    let size = number(entry, dw::DW_AT_byte_size).filter(|_| !is_declared)?;
    Some((words.name(entry)?, size))
}

/// Whether no unit before had it; what has no line of the source is never taken for another.
fn is_new(
    entry: &Entry<Slice<'_>>,
    name: &str,
    size: u64,
    seen: &mut HashSet<(String, u64, u64)>,
) -> bool {
    let line = number(entry, dw::DW_AT_decl_line);
    line.is_none_or(|line| seen.insert((name.to_owned(), size, line)))
}

fn number(entry: &Entry<Slice<'_>>, name: gimli::DwAt) -> Option<u64> {
    entry.attr_value(name)?.udata_value()
}

/// Where a bitfield begins in its storage, by DWARF 3.
fn from_highest<'a>(words: &Words<'_, 'a>, entry: &Entry<Slice<'a>>) -> Option<u64> {
    let of_type = || words.size(words.target(entry, dw::DW_AT_type)?);
    let storage = number(entry, dw::DW_AT_byte_size).or_else(of_type)?;
    let below =
        number(entry, dw::DW_AT_bit_offset)?.checked_add(number(entry, dw::DW_AT_bit_size)?)?;
    storage.checked_mul(8)?.checked_sub(below)
}

/// Adds the members of the structure at `of`, which itself is `base` bits behind the outermost one's start.
fn fields(
    words: &Words<'_, '_>,
    of: UnitOffset,
    base: u64,
    depth: u32,
    all: &mut Vec<Field>,
) -> gimli::Result<()> {
    words.children(of, |entry| {
        if entry.tag() != dw::DW_TAG_member {
            return Ok(());
        }
        let bytes = number(entry, dw::DW_AT_data_member_location).unwrap_or(0);
        let bits = number(entry, dw::DW_AT_bit_size);
        let bit = number(entry, dw::DW_AT_data_bit_offset);
        let bit = bit.or_else(|| from_highest(words, entry)).unwrap_or(0);
        let bit = base.wrapping_add(bytes.wrapping_mul(8)).wrapping_add(bit);
        let ty = words.target(entry, dw::DW_AT_type);
        let name = words.name(entry);
        if let (None, Some(ty), Some(depth)) = (&name, ty, depth.checked_sub(1)) {
            let before = all.len();
            fields(words, ty, bit, depth, all)?;
            if all.len() > before {
                return Ok(());
            }
        }
        all.push(Field {
            name: name.unwrap_or_default(),
            bit,
            bits,
            size: ty.and_then(|ty| words.size(ty)),
            words: words.of(ty)?,
        });
        Ok(())
    })
}
