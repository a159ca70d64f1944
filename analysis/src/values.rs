//! A structure's layout and the values in it, line by line, as pahole and crash's `struct` show them, and
//! as one typed value for programs ([`data`]).
//!
//! Everything about types comes from BTF (`vmcore::kernel::Types`). What is behind a pointer is read
//! only when a path asks for it with `->`, and for the text that a `char *` points to.

pub mod data;
mod path;

pub use path::{bare, find, follow};

use serde::Serialize;
use std::cell::{Cell, RefCell};
use vmcore::addr::VirtAddr;
use vmcore::kernel::{Kernel, Member, TypeKind, Types, chain};

/// Structs inside structs that are opened.
const DEPTH: usize = 8;
/// Elements of an array that are shown.
const ELEMENTS: u32 = 8;
/// Lines in one answer; the largest structures of a kernel have some thousands.
const MAX_ROWS: usize = 1 << 16;
/// Longest text taken from an array of characters.
const TEXT: u64 = 256;
/// Longest text shown of what a pointer points to.
const POINTED: usize = 64;

/// One line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Row {
    /// Bytes from the start of the outermost structure.
    pub offset: u64,
    /// Bits: where a bitfield begins in its byte, and how many it has.
    pub bits: Option<(u32, u32)>,
    /// Bytes that the member takes.
    pub size: u64,
    /// How deep it is nested.
    pub depth: usize,
    /// `struct list_head tasks`, as C declares it.
    pub declaration: String,
    /// What is in it, when an address was given and it is no structure.
    pub value: Option<String>,
}

/// A structure, or whatever a path led to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The type.
    pub type_id: u32,
    /// Where it is, when an address was given.
    pub address: Option<VirtAddr>,
    /// The member itself, for a bitfield or a scalar at the end of a path.
    pub member: Option<Member>,
}

/// The lines of a place, and how much of it could be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Values {
    /// The lines.
    pub rows: Vec<Row>,
    /// Values that could be read.
    pub read: usize,
    /// Values that could not: `<unreadable>` in their lines.
    pub unreadable: usize,
    /// Why the first of those could not.
    pub why: Option<String>,
}

/// How integers are written. Pointers are always hex, enumerators names.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Radix {
    /// Unsigned ones above 0xffff in hex, all others in decimal.
    #[default]
    BySize,
    /// All in decimal.
    Decimal,
    /// All in hex; negative ones as many digits as their size has.
    Hex,
}

/// The lines of a place: its members if it is a structure, else itself.
#[must_use]
pub fn rows(kernel: &Kernel, types: &Types, place: Place, radix: Radix) -> Values {
    let mut rows = Vec::new();
    let printer = Printer::new(kernel, types, radix);
    if types.fields(place.type_id).next().is_some() {
        printer.members(place.type_id, place.address, 0, 0, &mut rows);
    } else {
        let member = own_member(types, place);
        rows.push(Row {
            offset: 0,
            bits: member.bits.map(|bits| (member.bit, bits)),
            size: types.size(place.type_id).unwrap_or(0),
            depth: 0,
            declaration: types.declare(place.type_id, ""),
            value: place.address.map(|at| printer.value(at, &member)),
        });
    }
    Values {
        rows,
        read: printer.read.get(),
        unreadable: printer.unreadable.get(),
        why: printer.why.into_inner(),
    }
}

/// The names and values of an enum; none for what is not one.
pub fn enumerators(types: &Types, id: u32) -> Vec<(String, i64)> {
    let id = types.strip(id).unwrap_or(id);
    types
        .enumerators(id)
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// What stands at a place that is no structure.
fn own_member(types: &Types, place: Place) -> Member {
    place.member.unwrap_or(Member {
        offset: 0,
        bit: 0,
        bits: None,
        size: types.size(place.type_id).unwrap_or(0),
        type_id: place.type_id,
    })
}

/// Bits of 64 that a bitfield or an integer does not have.
fn unused_bits(member: &Member) -> u32 {
    let bits = u64::from(member.bits.unwrap_or(64)).min(member.size.saturating_mul(8).max(1));
    u32::try_from(64_u64.saturating_sub(bits)).unwrap_or(0)
}

/// A bitfield's or integer's bits with its sign carried on to 64 bits.
fn sign_extended(member: &Member, number: u64) -> i64 {
    let shift = unused_bits(member);
    number.wrapping_shl(shift).cast_signed() >> shift
}

/// Its bits alone.
fn low_bits(member: &Member, number: u64) -> u64 {
    let shift = unused_bits(member);
    number.wrapping_shl(shift) >> shift
}

/// The name of an enum's value.
fn enumerator_of(types: &Types, id: u32, value: i64) -> Option<&str> {
    let mut all = types.enumerators(id);
    all.find(|(_, is)| *is == value).map(|(name, _)| name)
}

/// Text that a person can read: printable ASCII alone.
fn readable(text: &[u8]) -> Option<String> {
    let plain = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    text.iter()
        .all(plain)
        .then(|| String::from_utf8_lossy(text).into_owned())
}

struct Printer<'k> {
    kernel: &'k Kernel,
    types: &'k Types,
    radix: Radix,
    read: Cell<usize>,
    unreadable: Cell<usize>,
    why: RefCell<Option<String>>,
}

impl<'k> Printer<'k> {
    fn new(kernel: &'k Kernel, types: &'k Types, radix: Radix) -> Self {
        Self {
            kernel,
            types,
            radix,
            read: Cell::new(0),
            unreadable: Cell::new(0),
            why: RefCell::new(None),
        }
    }

    /// Counts what was read and what was not.
    fn counted<T, E: std::error::Error>(&self, result: Result<T, E>) -> Option<T> {
        let count = match &result {
            Ok(_) => &self.read,
            Err(why) => {
                self.why.borrow_mut().get_or_insert_with(|| chain(why));
                &self.unreadable
            }
        };
        count.set(count.get().saturating_add(1));
        result.ok()
    }

    fn members(&self, id: u32, at: Option<VirtAddr>, base: u64, depth: usize, rows: &mut Vec<Row>) {
        for field in self.types.fields(id) {
            if rows.len() >= MAX_ROWS {
                return;
            }
            let member = field.member;
            let record = self.types.fields(member.type_id).next().is_some();
            let opened = record && depth < DEPTH;
            rows.push(Row {
                offset: base.saturating_add(member.offset),
                bits: member.bits.map(|bits| (member.bit, bits)),
                size: member.size,
                depth,
                declaration: self.types.declare(member.type_id, &field.name),
                value: at.filter(|_| !record).map(|at| self.value(at, &member)),
            });
            if opened {
                let base = base.saturating_add(member.offset);
                let at = at.map(|at| at.wrapping_add(member.offset));
                self.members(member.type_id, at, base, depth + 1, rows);
            }
        }
    }

    fn value(&self, at: VirtAddr, member: &Member) -> String {
        if let Some((element, count)) = self.types.array(member.type_id) {
            return self.array(at.wrapping_add(member.offset), element, count);
        }
        // A structure without members: there is nothing to read.
        if member.size == 0 {
            return "{}".to_owned();
        }
        match self.counted(self.kernel.read_member(at, member)) {
            Some(number) => self.scalar(member, number),
            None => UNREADABLE.to_owned(),
        }
    }

    fn array(&self, at: VirtAddr, element: u32, count: u32) -> String {
        let size = self.types.size(element).unwrap_or(0);
        if size == 1 && count > 1 {
            let longest = usize::try_from(TEXT.min(u64::from(count))).unwrap_or(0);
            return match self.counted(self.kernel.read_cstr(at, longest)) {
                Some(text) => match readable(&text) {
                    Some(text) => format!("{text:?}"),
                    None => self.elements(at, element, size, count),
                },
                None => UNREADABLE.to_owned(),
            };
        }
        self.elements(at, element, size, count)
    }

    fn elements(&self, at: VirtAddr, element: u32, size: u64, count: u32) -> String {
        if self.types.fields(element).next().is_some() || size == 0 {
            return "{…}".to_string();
        }
        let member = Member {
            offset: 0,
            bit: 0,
            bits: None,
            size,
            type_id: element,
        };
        let mut parts: Vec<String> = (0..count.min(ELEMENTS))
            .map(|i| self.value(at.wrapping_add(u64::from(i).saturating_mul(size)), &member))
            .collect();
        if count > ELEMENTS {
            parts.push(format!("… {count} in all"));
        }
        format!("{{{}}}", parts.join(", "))
    }

    /// A number as its type reads it.
    fn scalar(&self, member: &Member, number: u64) -> String {
        let Some(id) = self.types.strip(member.type_id) else {
            return format!("{number:#x}");
        };
        let signed = sign_extended(member, number);
        match self.types.kind(id) {
            Some(TypeKind::Ptr) => self.pointer(id, number),
            Some(TypeKind::Enum | TypeKind::Enum64) => enumerator_of(self.types, id, signed)
                .map_or_else(|| signed.to_string(), ToOwned::to_owned),
            _ if self.radix == Radix::Hex => format!("{:#x}", low_bits(member, number)),
            _ if self.types.is_signed(id) => signed.to_string(),
            _ if self.radix == Radix::BySize && number > 0xffff => format!("{number:#x}"),
            _ => number.to_string(),
        }
    }

    fn pointer(&self, id: u32, number: u64) -> String {
        if number == 0 {
            return "NULL".into();
        }
        if let Some(text) = self.pointed_text(id, number) {
            return format!("{number:#x} {text:?}");
        }
        let symbols = self.kernel.symbols().ok();
        match symbols.and_then(|symbols| symbols.resolve(VirtAddr(number))) {
            Some(found) if found.offset == 0 => format!("{number:#x} <{}>", found.name),
            Some(found) => format!("{number:#x} <{}+{:#x}>", found.name, found.offset),
            None => format!("{number:#x}"),
        }
    }

    /// What a `char *` points to, if that is text.
    fn pointed_text(&self, id: u32, number: u64) -> Option<String> {
        let target = self.types.strip(self.types.pointee(id)?)?;
        if self.types.name(target) != "char" {
            return None;
        }
        let text = self.kernel.read_cstr(VirtAddr(number), POINTED).ok()?;
        readable(&text).filter(|text| !text.is_empty())
    }
}

/// What stands for a value in memory that is not there; the first reason is told once.
const UNREADABLE: &str = "<unreadable>";

#[cfg(test)]
mod tests {
    use super::{Place, Radix, low_bits, rows, sign_extended};
    use crate::toy::kernel;
    use synth::btf::Btf;
    use synth::machine::Machine;
    use vmcore::addr::VirtAddr;
    use vmcore::kernel::{Member, Types};

    #[test]
    fn what_takes_no_room_was_not_read() {
        let machine = Machine::new(1, true);
        let kernel = kernel(&machine.ram);
        let mut btf = Btf::new();
        let int = btf.int("int", 4, true);
        let empty = btf.compound("empty", 4, 0, &[]);
        let whole = btf.compound("whole", 4, 4, &[("a", int, 0, 0), ("b", empty, 32, 0)]);
        let types = Types::parse(btf.build(None), None).unwrap();
        let place = Place {
            type_id: whole,
            address: Some(VirtAddr(0xffff_9999_0000_0000)),
            member: None,
        };
        let found = rows(&kernel, &types, place, Radix::BySize);
        assert_eq!((found.read, found.unreadable), (0, 1));
        let values: Vec<_> = found.rows.iter().map(|row| row.value.as_deref()).collect();
        assert_eq!(values, [Some("<unreadable>"), Some("{}")]);
    }

    #[test]
    fn a_negative_number_in_hex_has_the_digits_of_its_size() {
        let member = |size, bits| Member {
            offset: 0,
            bit: 0,
            bits,
            size,
            type_id: 0,
        };
        assert_eq!(low_bits(&member(4, None), u64::MAX), 0xffff_ffff);
        assert_eq!(low_bits(&member(8, None), u64::MAX), u64::MAX);
        assert_eq!(low_bits(&member(4, Some(3)), 0xff), 7);
        assert_eq!(sign_extended(&member(4, Some(3)), 0xff), -1);
    }
}
