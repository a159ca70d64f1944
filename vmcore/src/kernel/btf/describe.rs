//! Types in C's words, and a structure's members in order: what a layout listing needs.

use super::raw::TypeKind;
use super::{MAX_DEPTH, Member, Types};

/// One line of a structure's layout.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Field {
    /// Its name; empty for an unnamed struct or union.
    pub name: String,
    /// Where it is.
    pub member: Member,
}

impl Types {
    /// The members of a struct or union in order, unnamed ones not descended into.
    pub fn fields(&self, id: u32) -> impl Iterator<Item = Field> + '_ {
        let id = self.strip(id);
        let record = id.and_then(|id| self.btf.record(id));
        let count = record.map_or(0, |record| match record.kind {
            TypeKind::Struct | TypeKind::Union => record.vlen,
            _ => 0,
        });
        (0..count).filter_map(move |n| {
            let raw = self.raw_member(id?, &record?, n)?;
            Some(Field {
                name: self.btf.string(raw.name).to_owned(),
                member: Member {
                    offset: raw.bit_offset / 8,
                    bit: u32::try_from(raw.bit_offset % 8).ok()?,
                    bits: raw.bits,
                    size: self.size(raw.type_id).unwrap_or(0),
                    type_id: raw.type_id,
                },
            })
        })
    }

    /// The name of type `id` itself; empty for an unnamed one.
    #[must_use]
    pub fn name(&self, id: u32) -> &str {
        self.btf
            .record(id)
            .map_or("", |record| self.btf.string(record.name))
    }

    /// Whether an integer type is signed.
    #[must_use]
    pub fn is_signed(&self, id: u32) -> bool {
        let Some(id) = self.strip(id) else {
            return false;
        };
        let Some(record) = self.btf.record(id) else {
            return false;
        };
        match record.kind {
            TypeKind::Int => self
                .btf
                .word(id, &record, 0)
                .is_some_and(|word| word >> 24 & 1 == 1),
            TypeKind::Enum | TypeKind::Enum64 => record.kflag,
            _ => false,
        }
    }

    /// A declaration of `name` (which may be empty) with type `id`, as C writes it:
    /// `struct list_head *next`, `char comm[16]`, `int (*fn)(…)`.
    #[must_use]
    pub fn declare(&self, id: u32, name: &str) -> String {
        self.declare_within(id, name.to_owned(), MAX_DEPTH)
    }

    fn declare_within(&self, id: u32, name: String, depth: u32) -> String {
        let join = |ty: &str| {
            if name.is_empty() || name.starts_with('[') {
                format!("{ty}{name}")
            } else {
                format!("{ty} {name}")
            }
        };
        if id == 0 {
            return join("void");
        }
        let (Some(record), Some(depth)) = (self.btf.record(id), depth.checked_sub(1)) else {
            return join("?");
        };
        let own = self.btf.string(record.name);
        let tagged = |keyword: &str| match own {
            "" => join(&format!("{keyword} {{…}}")),
            own => join(&format!("{keyword} {own}")),
        };
        match record.kind {
            TypeKind::Struct => tagged("struct"),
            TypeKind::Union => tagged("union"),
            TypeKind::Enum | TypeKind::Enum64 => tagged("enum"),
            TypeKind::Fwd if record.kflag => tagged("union"),
            TypeKind::Fwd => tagged("struct"),
            TypeKind::Ptr => {
                let target = self.btf.record(record.value).map(|target| target.kind);
                match target {
                    Some(TypeKind::FuncProto | TypeKind::Array) => {
                        self.declare_within(record.value, format!("(*{name})"), depth)
                    }
                    _ => self.declare_within(record.value, format!("*{name}"), depth),
                }
            }
            TypeKind::Array => {
                let (element, count) = self.array(id).unwrap_or((0, 0));
                self.declare_within(element, format!("{name}[{count}]"), depth)
            }
            TypeKind::Qualifier => self.declare_within(record.value, name, depth),
            TypeKind::FuncProto => self.declare_within(record.value, format!("{name}(…)"), depth),
            _ => join(own),
        }
    }
}
