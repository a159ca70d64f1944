//! A place as one typed JSON value: numbers, texts, whole arrays and objects in objects.
//!
//! Integers are numbers, `_Bool` is true or false, enums are their enumerator's name, pointers are hex
//! strings, arrays of characters that hold text are strings. The members of an unnamed struct or union
//! are those of what holds it. What cannot be read is null.

use super::{DEPTH, Place, enumerator_of, own_member, readable, sign_extended};
use serde_json::{Map, Value};
use vmcore::addr::VirtAddr;
use vmcore::kernel::{Kernel, Member, TypeKind, Types};

/// Values in one answer; the rest are null. The largest structures of a kernel have some thousands.
const MAX_VALUES: u32 = 1 << 20;

/// The value of a place that has an address; null for one that has none.
#[must_use]
pub fn data(kernel: &Kernel, types: &Types, place: Place) -> Value {
    let Some(at) = place.address else {
        return Value::Null;
    };
    let mut reader = Reader {
        kernel,
        types,
        left: MAX_VALUES,
    };
    reader.value(at, &own_member(types, place), 0)
}

/// Longest text taken from an array of characters.
const MAX_TEXT: usize = 64 << 10;

struct Reader<'k> {
    kernel: &'k Kernel,
    types: &'k Types,
    left: u32,
}

impl Reader<'_> {
    fn value(&mut self, base: VirtAddr, member: &Member, depth: usize) -> Value {
        let Some(left) = self.left.checked_sub(1) else {
            return Value::Null;
        };
        self.left = left;
        let at = base.wrapping_add(member.offset);
        if self.types.fields(member.type_id).next().is_some() {
            let mut object = Map::new();
            self.members(at, member.type_id, depth, &mut object);
            return Value::Object(object);
        }
        if let Some((element, count)) = self.types.array(member.type_id) {
            return self.array(at, element, count, depth);
        }
        match self.kernel.read_member(base, member) {
            Ok(number) => self.scalar(member, number),
            Err(_) => Value::Null,
        }
    }

    fn members(&mut self, at: VirtAddr, id: u32, depth: usize, object: &mut Map<String, Value>) {
        // Arrays of structs count as a level, too.
        if depth > 2 * DEPTH {
            return;
        }
        let types = self.types;
        for field in types.fields(id) {
            let Some(left) = self.left.checked_sub(1) else {
                return;
            };
            self.left = left;
            let inner = field.member;
            if field.name.is_empty() && inner.bits.is_none() {
                let at = at.wrapping_add(inner.offset);
                self.members(at, inner.type_id, depth + 1, object);
            } else if !field.name.is_empty() {
                let value = self.value(at, &inner, depth + 1);
                object.insert(field.name, value);
            }
        }
    }

    fn array(&mut self, at: VirtAddr, element: u32, count: u32, depth: usize) -> Value {
        let size = self.types.size(element).unwrap_or(0);
        let name = self.types.strip(element).map(|id| self.types.name(id));
        if name == Some("char") {
            let longest = usize::try_from(count).unwrap_or(0).min(MAX_TEXT);
            let Ok(text) = self.kernel.read_cstr(at, longest) else {
                return Value::Null;
            };
            if let Some(text) = readable(&text) {
                return text.into();
            }
        }
        let mut values = Vec::new();
        for n in 0..count.min(self.left) {
            let member = Member {
                offset: u64::from(n).saturating_mul(size),
                bit: 0,
                bits: None,
                size,
                type_id: element,
            };
            values.push(self.value(at, &member, depth + 1));
        }
        values.into()
    }

    fn scalar(&self, member: &Member, number: u64) -> Value {
        let id = self.types.strip(member.type_id).unwrap_or(member.type_id);
        let signed = sign_extended(member, number);
        match self.types.kind(id) {
            Some(TypeKind::Ptr) => format!("{number:#x}").into(),
            Some(TypeKind::Enum | TypeKind::Enum64) => {
                enumerator_of(self.types, id, signed).map_or_else(|| signed.into(), Into::into)
            }
            _ if self.types.name(id) == "_Bool" => (number != 0).into(),
            _ if self.types.is_signed(id) => signed.into(),
            _ => number.into(),
        }
    }
}
