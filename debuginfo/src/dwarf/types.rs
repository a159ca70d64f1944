//! Each record of BTF as an entry.
//!
//! Facts: include/uapi/linux/btf.h (what follows each record), 5.10 to 7.2. Enums have signed values by
//! their flag since 6.0; before, no enum has the flag and all values are signed words.

use super::abbrev::Shape;
use super::dimensions::Dimensions;
use super::place::{Function, Place};
use super::{Unit, sleb};
use crate::error::Error;
use std::collections::HashMap;
use vmcore::kernel::{TypeKind, TypeRecord, Types};

/// DW_ATE_*
mod encoding {
    pub(super) const BOOLEAN: u8 = 2;
    pub(super) const FLOAT: u8 = 4;
    pub(super) const SIGNED: u8 = 5;
    pub(super) const SIGNED_CHAR: u8 = 6;
    pub(super) const UNSIGNED: u8 = 7;
    pub(super) const UNSIGNED_CHAR: u8 = 8;
}

/// Kinds of qualifiers by BTF's number.
const VOLATILE: u8 = 9;
const CONST: u8 = 10;

/// Something that BTF has a name and a type of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Named<'n> {
    /// A function.
    Function(&'n str),
    /// A per-CPU variable, and how far it is behind the first where BTF says it.
    PerCpu(&'n str, Option<u64>),
}

/// What surrounds the types of one blob.
struct Context<'f> {
    place: &'f dyn Fn(Named<'_>) -> Option<Place>,
    /// Variables with their offsets in the section of per-CPU variables.
    per_cpu: HashMap<u32, u64>,
    /// The integer types that enums are made of, by size and sign.
    integers: Vec<(u64, bool, u32)>,
}

impl Unit<'_> {
    /// Writes all types, functions and variables of the blob. `place` answers where one is.
    pub(crate) fn all_types(
        &mut self,
        place: &dyn Fn(Named<'_>) -> Option<Place>,
    ) -> Result<(), Error> {
        let types = self.types;
        let ids = types.own_ids();
        let context = Context {
            place,
            per_cpu: per_cpu(types),
            integers: integers(types),
        };
        self.dimensions = Dimensions::of(types);
        self.enums_have_signs |= ids.clone().any(|id| {
            types.record(id).is_some_and(|record| {
                record.kind == TypeKind::Enum64 || (record.kind == TypeKind::Enum && record.kflag)
            })
        });
        for id in ids {
            let Some(record) = types.record(id) else {
                continue;
            };
            let at = self.here()?;
            if self.entry(&context, id, &record)?
                && let Some(offset) = self.offsets.get_mut(id as usize)
            {
                *offset = at;
            }
        }
        Ok(())
    }

    /// One record; whether it is one that others refer to.
    fn entry(
        &mut self,
        context: &Context<'_>,
        id: u32,
        record: &TypeRecord,
    ) -> Result<bool, Error> {
        match record.kind {
            TypeKind::Int => self.base(record, int_encoding(self.types, id, record)),
            TypeKind::Float => self.base(record, encoding::FLOAT),
            TypeKind::Ptr => {
                let target = self.target(record.value);
                self.shape(match target {
                    Some(_) => Shape::Pointer,
                    None => Shape::PointerToVoid,
                });
                self.uleb(8);
                self.refer(target)?;
            }
            TypeKind::Qualifier => return self.qualifier(record),
            TypeKind::Typedef => {
                let target = self.target(record.value);
                self.shape(match target {
                    Some(_) => Shape::Typedef,
                    None => Shape::TypedefOfVoid,
                });
                self.name(record.name);
                self.refer(target)?;
            }
            TypeKind::Array => self.array(id, record)?,
            TypeKind::Struct | TypeKind::Union => self.members(id, record)?,
            TypeKind::Fwd => {
                self.shape(if record.kflag {
                    Shape::UnionAhead
                } else {
                    Shape::StructAhead
                });
                self.name(record.name);
            }
            TypeKind::Enum | TypeKind::Enum64 => self.enumeration(context, id, record)?,
            TypeKind::FuncProto => {
                let target = self.target(record.value);
                self.shape(match target {
                    Some(_) => Shape::Prototype,
                    None => Shape::PrototypeOfVoid,
                });
                self.refer(target)?;
                self.parameters(id, record)?;
            }
            TypeKind::Func => {
                self.function(context, record);
                return Ok(false);
            }
            TypeKind::Var => {
                self.btf_variable(context, id, record)?;
                return Ok(false);
            }
            TypeKind::DataSec | TypeKind::DeclTag | TypeKind::Unknown(_) => return Ok(false),
        }
        Ok(true)
    }

    pub(super) fn refer(&mut self, target: Option<u32>) -> Result<(), Error> {
        target.map_or(Ok(()), |target| self.reference(target))
    }

    fn base(&mut self, record: &TypeRecord, encoding: u8) {
        self.shape(Shape::Base);
        self.name(record.name);
        self.uleb(u64::from(record.value));
        self.info.push(encoding);
    }

    fn qualifier(&mut self, record: &TypeRecord) -> Result<bool, Error> {
        let target = self.target(record.value);
        self.shape(match (record.number, target.is_some()) {
            (VOLATILE, true) => Shape::Volatile,
            (VOLATILE, false) => Shape::VolatileVoid,
            (CONST, true) => Shape::Const,
            (CONST, false) => Shape::ConstVoid,
            (11, true) => Shape::Restrict,
            (11, false) => Shape::RestrictVoid,
            // A tag has no entry: who refers to it refers to what is behind it.
            _ => return Ok(false),
        });
        self.refer(target)?;
        Ok(true)
    }

    fn array(&mut self, id: u32, record: &TypeRecord) -> Result<(), Error> {
        let word = |n| self.types.word(id, record, n).unwrap_or(0);
        let (element, index, count) = (word(0), word(1), word(2));
        let (element, index) = (self.target(element), self.target(index));
        self.shape(Shape::Array);
        match element {
            Some(element) => self.reference(element)?,
            None => self.u32(0),
        }
        // A flexible array; one of length zero cannot be told from it.
        match (count, index) {
            (0, Some(_)) => self.shape(Shape::NoLength),
            (0, None) => self.shape(Shape::PlainNoLength),
            (_, Some(_)) => self.shape(Shape::Length),
            (_, None) => self.shape(Shape::PlainLength),
        }
        if count > 0 {
            self.uleb(u64::from(count));
        }
        self.refer(index)?;
        self.end();
        Ok(())
    }

    fn members(&mut self, id: u32, record: &TypeRecord) -> Result<(), Error> {
        let named = record.name != 0;
        self.shape(match (record.kind, named) {
            (TypeKind::Union, true) => Shape::Union,
            (TypeKind::Union, false) => Shape::UnnamedUnion,
            (_, true) => Shape::Struct,
            (_, false) => Shape::UnnamedStruct,
        });
        if named {
            self.name(record.name);
        }
        self.uleb(u64::from(record.value));
        for n in 0..record.vlen {
            let Some((name, ty, offset)) = self.three(id, record, n) else {
                break;
            };
            let Some(target) = self.target(ty) else {
                continue;
            };
            let (bits, offset) = match record.kflag {
                true => (offset >> 24, offset & 0x00ff_ffff),
                false => (0, offset),
            };
            self.shape(match (bits, name) {
                (0, 0) => Shape::UnnamedMember,
                (0, _) => Shape::Member,
                (_, 0) => Shape::UnnamedBitMember,
                (_, _) => Shape::BitMember,
            });
            if name != 0 {
                self.name(name);
            }
            if bits == 0 {
                self.uleb(u64::from(offset / 8));
            } else {
                self.uleb(u64::from(bits));
                self.uleb(u64::from(offset));
            }
            match self.other_dimensions(id, record, n, target) {
                Some(counts) => self.reference_to_shaped(target, &counts)?,
                None => self.reference(target)?,
            }
        }
        self.end();
        Ok(())
    }

    /// The dimensions of a member that is an array, where BTF has other ones.
    fn other_dimensions(
        &self,
        id: u32,
        record: &TypeRecord,
        member: usize,
        ty: u32,
    ) -> Option<Vec<u32>> {
        if self.types.kind(ty) != Some(TypeKind::Array) {
            return None;
        }
        let (_, count) = self.types.array(ty)?;
        // C allows a flexible array as the last member of a structure alone: elsewhere it is `[0]`.
        let flexible = member + 1 == record.vlen && record.kind == TypeKind::Struct;
        match count {
            0 if flexible => None,
            0 => Some(vec![0]),
            _ => self.dimensions.get(id, member).map(<[u32]>::to_vec),
        }
    }

    fn three(&self, id: u32, record: &TypeRecord, n: usize) -> Option<(u32, u32, u32)> {
        let at = n.checked_mul(3)?;
        let word = |n| self.types.word(id, record, n);
        Some((word(at)?, word(at + 1)?, word(at + 2)?))
    }

    fn enumeration(
        &mut self,
        context: &Context<'_>,
        id: u32,
        record: &TypeRecord,
    ) -> Result<(), Error> {
        let wide = record.kind == TypeKind::Enum64;
        let each = if wide { 3 } else { 2 };
        let mut values = Vec::with_capacity(record.vlen);
        for n in 0..record.vlen {
            let word = |of: usize| {
                self.types
                    .word(id, record, n.checked_mul(each)?.checked_add(of)?)
            };
            let (Some(name), Some(low)) = (word(0), word(1)) else {
                break;
            };
            let high = if wide { word(2).unwrap_or(0) } else { 0 };
            values.push((name, low, high));
        }
        // A small negative number, or a set of flags up to the highest: without signs the values tell.
        let looks_signed = !wide && values.iter().any(|(_, low, _)| *low >= 0xffff_0000);
        let signed = record.kflag || (!self.enums_have_signs && looks_signed);
        let size = u64::from(record.value);
        let integer = context
            .integers
            .iter()
            .find_map(|&(is, sign, id)| (is == size && sign == signed).then_some(id));
        let named = record.name != 0;
        self.shape(match (named, integer.is_some()) {
            (true, true) => Shape::Enum,
            (false, true) => Shape::UnnamedEnum,
            (true, false) => Shape::PlainEnum,
            (false, false) => Shape::PlainUnnamedEnum,
        });
        if named {
            self.name(record.name);
        }
        self.uleb(size);
        self.refer(integer)?;
        for (name, low, high) in values {
            let value = u64::from(high) << 32 | u64::from(low);
            if signed {
                let value = match wide {
                    true => value.cast_signed(),
                    false => i64::from(low.cast_signed()),
                };
                self.shape(Shape::SignedEnumerator);
                self.name(name);
                sleb(&mut self.info, value);
            } else {
                self.shape(Shape::Enumerator);
                self.name(name);
                self.uleb(value);
            }
        }
        self.end();
        Ok(())
    }

    /// The parameters of a prototype. One without a type is the `...` at the end.
    pub(super) fn parameters(&mut self, id: u32, record: &TypeRecord) -> Result<(), Error> {
        for n in 0..record.vlen {
            let word = |of: usize| {
                self.types
                    .word(id, record, n.checked_mul(2)?.checked_add(of)?)
            };
            let (Some(name), Some(ty)) = (word(0), word(1)) else {
                break;
            };
            let Some(target) = self.target(ty) else {
                self.shape(Shape::MoreParameters);
                break;
            };
            match name {
                0 => self.shape(Shape::UnnamedParameter),
                name => {
                    self.shape(Shape::Parameter);
                    self.name(name);
                }
            }
            self.reference(target)?;
        }
        self.end();
        Ok(())
    }

    /// Keeps a function for the units of code, which come after the types.
    fn function(&mut self, context: &Context<'_>, record: &TypeRecord) {
        // What the linker dropped or moved elsewhere has no address, and is of no use.
        let name = self.types.string(record.name);
        if let Some(place) = (context.place)(Named::Function(name)) {
            self.functions.push(Function {
                place,
                name: record.name,
                prototype: record.value,
            });
        }
    }

    fn btf_variable(
        &mut self,
        context: &Context<'_>,
        id: u32,
        record: &TypeRecord,
    ) -> Result<(), Error> {
        let Some(target) = self.target(record.value) else {
            return Ok(());
        };
        let name = self.types.string(record.name);
        let offset = context.per_cpu.get(&id).copied();
        let Some(place) = (context.place)(Named::PerCpu(name, offset)) else {
            return Ok(());
        };
        self.shape(if place.external {
            Shape::Variable
        } else {
            Shape::StaticVariable
        });
        self.name(record.name);
        self.location(place.address);
        self.reference(target)
    }
}

/// Where BTF says that per-CPU variables are.
fn per_cpu(types: &Types) -> HashMap<u32, u64> {
    let mut found = HashMap::new();
    for id in types.own_ids() {
        let Some(record) = types.record(id) else {
            continue;
        };
        if record.kind != TypeKind::DataSec || types.string(record.name) != ".data..percpu" {
            continue;
        }
        for n in 0..record.vlen {
            let word = |of: usize| types.word(id, &record, n.checked_mul(3)?.checked_add(of)?);
            if let (Some(variable), Some(offset)) = (word(0), word(1)) {
                found.insert(variable, u64::from(offset));
            }
        }
    }
    found
}

/// The encoding of an integer: BTF's own bits say signed and `_Bool`; characters show by their names.
fn int_encoding(types: &Types, id: u32, record: &TypeRecord) -> u8 {
    let bits = types.word(id, record, 0).unwrap_or(0) >> 24;
    let (signed, bool) = (bits & 1 != 0, bits & 4 != 0);
    match types.string(record.name) {
        "_Bool" => encoding::BOOLEAN,
        _ if bool => encoding::BOOLEAN,
        "char" | "signed char" if signed => encoding::SIGNED_CHAR,
        "char" | "unsigned char" => encoding::UNSIGNED_CHAR,
        _ if signed => encoding::SIGNED,
        _ => encoding::UNSIGNED,
    }
}

/// What compilers take for enums, by size and sign.
fn integers(types: &Types) -> Vec<(u64, bool, u32)> {
    let names = [
        "unsigned char",
        "signed char",
        "short unsigned int",
        "short int",
        "unsigned int",
        "int",
        "long unsigned int",
        "long int",
    ];
    names
        .iter()
        .filter_map(|name| {
            let id = types.find_type(name)?;
            Some((types.size(id)?, types.is_signed(id), id))
        })
        .collect()
}
