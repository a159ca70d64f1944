//! A type of DWARF in C's words, as [`crate::CType::parse`] reads them.
//!
//! Facts: DWARF 5, chapter 5. gcc puts `const` of an array on its elements. A structure without a name is
//! known by its members ([`unnamed`]).

use crate::globals::unnamed;
use gimli::{
    AttributeValue, DebuggingInformationEntry as Entry, Dwarf, EndianSlice, RunTimeEndian, Unit,
    UnitOffset, constants as dw,
};

/// Nothing in a kernel is declared deeper.
const MAX_DEPTH: u32 = 32;
/// Longer than any type's words in a kernel.
const MAX_TEXT: usize = 1024;

pub(super) type Slice<'a> = EndianSlice<'a, RunTimeEndian>;

/// One unit of a file.
pub(super) struct Words<'u, 'a> {
    pub(super) dwarf: &'u Dwarf<Slice<'a>>,
    pub(super) unit: &'u Unit<Slice<'a>>,
}

impl<'a> Words<'_, 'a> {
    /// The name of an entry.
    pub(super) fn name(&self, entry: &Entry<Slice<'a>>) -> Option<String> {
        let value = entry.attr_value(dw::DW_AT_name)?;
        let text = self.dwarf.attr_string(self.unit, value).ok()?;
        Some(text.to_string_lossy().into_owned())
    }

    /// The entry that an attribute of another names, in the same unit.
    pub(super) fn target(
        &self,
        entry: &Entry<Slice<'a>>,
        attribute: gimli::DwAt,
    ) -> Option<UnitOffset> {
        match entry.attr_value(attribute)? {
            AttributeValue::UnitRef(offset) => Some(offset),
            AttributeValue::DebugInfoRef(offset) => offset.to_unit_offset(&self.unit.header),
            _ => None,
        }
    }

    /// The type at `offset` (`None`: `void`) in words.
    pub(super) fn of(&self, offset: Option<UnitOffset>) -> gimli::Result<String> {
        self.declare(offset, String::new(), MAX_DEPTH)
    }

    /// The size of the type at `offset` in bytes.
    pub(super) fn size(&self, mut offset: UnitOffset) -> Option<u64> {
        let mut count = 1_u64;
        for _ in 0..MAX_DEPTH {
            let entry = self.unit.entry(offset).ok()?;
            if let Some(size) = entry.attr_value(dw::DW_AT_byte_size) {
                return size.udata_value()?.checked_mul(count);
            }
            match entry.tag() {
                dw::DW_TAG_pointer_type => return count.checked_mul(8),
                dw::DW_TAG_array_type => {
                    for dimension in self.dimensions(offset).ok()? {
                        count = count.checked_mul(dimension?)?;
                    }
                }
                _ => {}
            }
            offset = self.target(&entry, dw::DW_AT_type)?;
        }
        None
    }

    fn declare(
        &self,
        offset: Option<UnitOffset>,
        name: String,
        depth: u32,
    ) -> gimli::Result<String> {
        let join = |words: &str| match name.is_empty() {
            true => words.to_owned(),
            false => format!("{words} {name}"),
        };
        let Some(offset) = offset else {
            return Ok(join("void"));
        };
        let Some(depth) = depth.checked_sub(1).filter(|_| name.len() < MAX_TEXT) else {
            return Ok(join("{…}"));
        };
        let entry = self.unit.entry(offset)?;
        let inner = self.target(&entry, dw::DW_AT_type);
        let own = self.name(&entry);
        let tagged = |word: &str| -> gimli::Result<String> {
            Ok(join(&match &own {
                Some(own) => format!("{word} {own}"),
                None => unnamed::words(word, &self.members(offset)?),
            }))
        };
        Ok(match entry.tag() {
            dw::DW_TAG_structure_type => tagged("struct")?,
            dw::DW_TAG_union_type => tagged("union")?,
            dw::DW_TAG_enumeration_type => match own {
                Some(own) => join(&format!("enum {own}")),
                None => join("enum {}"),
            },
            dw::DW_TAG_pointer_type => {
                let target = inner.map(|inner| self.unit.entry(inner)).transpose()?;
                let around = matches!(
                    target.map(|target| target.tag()),
                    Some(dw::DW_TAG_array_type | dw::DW_TAG_subroutine_type)
                );
                let name = match around {
                    true => format!("(*{name})"),
                    false => format!("*{name}"),
                };
                self.declare(inner, name, depth)?
            }
            dw::DW_TAG_const_type => self.qualified("const", inner, name, depth)?,
            dw::DW_TAG_volatile_type => self.qualified("volatile", inner, name, depth)?,
            dw::DW_TAG_restrict_type | dw::DW_TAG_atomic_type => {
                self.declare(inner, name, depth)?
            }
            dw::DW_TAG_array_type => {
                let mut name = name;
                for dimension in self.dimensions(offset)? {
                    let count = dimension.map(|count| count.to_string());
                    name.push_str(&format!("[{}]", count.unwrap_or_default()));
                }
                self.declare(inner, name, depth)?
            }
            dw::DW_TAG_subroutine_type => {
                let parameters = self.parameters(offset, depth)?;
                self.declare(inner, format!("{name}({parameters})"), depth)?
            }
            _ => join(own.as_deref().unwrap_or("{…}")),
        })
    }

    fn qualified(
        &self,
        word: &str,
        inner: Option<UnitOffset>,
        name: String,
        depth: u32,
    ) -> gimli::Result<String> {
        let target = inner.map(|inner| self.unit.entry(inner)).transpose()?;
        match target.map(|target| target.tag()) {
            Some(dw::DW_TAG_pointer_type) => {
                let name = format!("{word} {name}");
                self.declare(inner, name.trim_end().to_owned(), depth)
            }
            Some(dw::DW_TAG_array_type | dw::DW_TAG_subroutine_type) => {
                self.declare(inner, name, depth)
            }
            _ => Ok(format!("{word} {}", self.declare(inner, name, depth)?)),
        }
    }

    /// The lengths of an array, outermost first; `None` for one that the declaration leaves open.
    fn dimensions(&self, array: UnitOffset) -> gimli::Result<Vec<Option<u64>>> {
        let mut all = Vec::new();
        self.children(array, |entry| {
            if entry.tag() == dw::DW_TAG_subrange_type {
                let value = |name| entry.attr_value(name).and_then(|value| value.udata_value());
                let last = || value(dw::DW_AT_upper_bound).and_then(|last| last.checked_add(1));
                all.push(value(dw::DW_AT_count).or_else(last));
            }
            Ok(())
        })?;
        Ok(all)
    }

    /// The names of a structure's members; empty for those that have none.
    fn members(&self, structure: UnitOffset) -> gimli::Result<Vec<String>> {
        let mut all = Vec::new();
        self.children(structure, |entry| {
            if entry.tag() == dw::DW_TAG_member {
                all.push(self.name(entry).unwrap_or_default());
            }
            Ok(())
        })?;
        Ok(all)
    }

    fn parameters(&self, function: UnitOffset, depth: u32) -> gimli::Result<String> {
        let mut all = Vec::new();
        self.children(function, |entry| {
            match entry.tag() {
                dw::DW_TAG_formal_parameter => {
                    let ty = self.target(entry, dw::DW_AT_type);
                    all.push(self.declare(ty, String::new(), depth)?);
                }
                dw::DW_TAG_unspecified_parameters => all.push("...".to_owned()),
                _ => {}
            }
            Ok(())
        })?;
        Ok(match all.is_empty() {
            true => "void".to_owned(),
            false => all.join(", "),
        })
    }

    /// Visits the entries right below one.
    pub(super) fn children(
        &self,
        of: UnitOffset,
        mut visit: impl FnMut(&Entry<Slice<'a>>) -> gimli::Result<()>,
    ) -> gimli::Result<()> {
        let mut cursor = self.unit.entries_at_offset(of)?;
        if cursor.next_dfs()?.is_none_or(|entry| !entry.has_children()) {
            return Ok(());
        }
        let mut next = cursor.next_dfs()?;
        while let Some(entry) = next {
            visit(entry)?;
            next = cursor.next_sibling()?;
        }
        Ok(())
    }
}
