//! A structure's layout and the values in it, line by line, as pahole and crash's `struct` show them.
//!
//! Everything about types comes from BTF (`vmcore::kernel::Types`). What is behind a pointer is read
//! only when a path asks for it with `->`.

use serde::Serialize;
use vmcore::addr::VirtAddr;
use vmcore::kernel::{Kernel, KernelError, Member, TypeKind, Types, chain};

/// Structs inside structs that are opened.
const DEPTH: usize = 8;
/// Elements of an array that are shown.
const ELEMENTS: u32 = 8;
/// Longest text taken from an array of characters.
const TEXT: u64 = 256;

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

/// A type by name (`task_struct`, `struct task_struct`, `pid_t`), at an address or nowhere.
///
/// # Errors
/// When the kernel has no such type.
pub fn find(types: &Types, name: &str, address: Option<VirtAddr>) -> Result<Place, KernelError> {
    let words = ["struct ", "union ", "enum "];
    let bare = words
        .iter()
        .find_map(|word| name.strip_prefix(word))
        .unwrap_or(name)
        .trim();
    let type_id = types.find_type(bare).ok_or_else(|| KernelError::NoType {
        name: bare.to_string(),
    })?;
    Ok(Place {
        type_id,
        address,
        member: None,
    })
}

/// Follows `a.b->c`: members by dots, pointers by arrows. A leading `->` follows the place itself.
///
/// # Errors
/// When a member is not there, a pointer is not one, or its target cannot be read.
pub fn follow(
    kernel: &Kernel,
    types: &Types,
    from: Place,
    path: &str,
) -> Result<Place, KernelError> {
    let mut place = from;
    for (i, part) in path.split("->").enumerate() {
        if i > 0 {
            place = through(kernel, types, place)?;
        }
        if part.is_empty() {
            continue;
        }
        let member = types
            .member_of(place.type_id, part)
            .ok_or_else(|| KernelError::NoMember {
                ty: types.declare(place.type_id, ""),
                member: part.to_string(),
            })?;
        place = Place {
            type_id: member.type_id,
            address: place.address.map(|at| at.wrapping_add(member.offset)),
            member: Some(Member {
                offset: 0,
                ..member
            }),
        };
    }
    Ok(place)
}

/// What the pointer at `place` points to.
fn through(kernel: &Kernel, types: &Types, place: Place) -> Result<Place, KernelError> {
    let corrupt = |why: String| KernelError::Corrupt {
        what: "The path",
        why,
    };
    let declared = types.declare(place.type_id, "");
    let target = types
        .pointee(place.type_id)
        .ok_or_else(|| corrupt(format!("{declared} is no pointer; write . instead of ->")))?;
    let at = place
        .address
        .ok_or_else(|| corrupt("-> needs an address".to_string()))?;
    let to = kernel.read_u64(at).map_err(|source| KernelError::Memory {
        what: format!("{declared} at {at}"),
        source,
    })?;
    Ok(Place {
        type_id: target,
        address: Some(VirtAddr(to)),
        member: None,
    })
}

/// The lines of a place: its members if it is a structure, else itself.
#[must_use]
pub fn rows(kernel: &Kernel, types: &Types, place: Place) -> Vec<Row> {
    let mut rows = Vec::new();
    let printer = Printer { kernel, types };
    if types.fields(place.type_id).next().is_some() {
        printer.members(place.type_id, place.address, 0, 0, &mut rows);
    } else {
        let size = types.size(place.type_id).unwrap_or(0);
        let member = place.member.unwrap_or(Member {
            offset: 0,
            bit: 0,
            bits: None,
            size,
            type_id: place.type_id,
        });
        rows.push(Row {
            offset: 0,
            bits: member.bits.map(|bits| (member.bit, bits)),
            size,
            depth: 0,
            declaration: types.declare(place.type_id, ""),
            value: place.address.map(|at| printer.value(at, &member)),
        });
    }
    rows
}

struct Printer<'k> {
    kernel: &'k Kernel,
    types: &'k Types,
}

impl Printer<'_> {
    fn members(&self, id: u32, at: Option<VirtAddr>, base: u64, depth: usize, rows: &mut Vec<Row>) {
        for field in self.types.fields(id) {
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
        match self.kernel.read_member(at, member) {
            Ok(number) => self.scalar(member, number),
            Err(why) => format!("<unreadable: {}>", chain(&why)),
        }
    }

    fn array(&self, at: VirtAddr, element: u32, count: u32) -> String {
        let size = self.types.size(element).unwrap_or(0);
        if size == 1 && count > 1 {
            return match self
                .kernel
                .read_cstr(at, usize::try_from(TEXT.min(u64::from(count))).unwrap_or(0))
            {
                Ok(text)
                    if text
                        .iter()
                        .all(|byte| byte.is_ascii_graphic() || *byte == b' ') =>
                {
                    format!("{:?}", String::from_utf8_lossy(&text))
                }
                Ok(_) => self.elements(at, element, size, count),
                Err(why) => format!("<unreadable: {}>", chain(&why)),
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
        let bits = u64::from(member.bits.unwrap_or(64)).min(member.size.saturating_mul(8).max(1));
        let signed = {
            let shift = u32::try_from(64_u64.saturating_sub(bits)).unwrap_or(0);
            number.wrapping_shl(shift).cast_signed() >> shift
        };
        match self.types.kind(id) {
            Some(TypeKind::Ptr) => self.pointer(number),
            Some(TypeKind::Enum | TypeKind::Enum64) => {
                let found = self
                    .types
                    .enumerators(id)
                    .find(|(_, value)| *value == signed);
                found.map_or_else(|| signed.to_string(), |(name, _)| name.to_string())
            }
            _ if self.types.is_signed(id) => signed.to_string(),
            _ if number > 0xffff => format!("{number:#x}"),
            _ => number.to_string(),
        }
    }

    fn pointer(&self, number: u64) -> String {
        if number == 0 {
            return "NULL".into();
        }
        let symbols = self.kernel.symbols().ok();
        match symbols.and_then(|symbols| symbols.resolve(VirtAddr(number))) {
            Some(found) if found.offset == 0 => format!("{number:#x} <{}>", found.name),
            Some(found) => format!("{number:#x} <{}+{:#x}>", found.name, found.offset),
            None => format!("{number:#x}"),
        }
    }
}
