//! `.debug_info` while it is written: entries, references to types by their number, strings.
//!
//! A reference is four bytes that are filled in when the types of a blob are all written: they refer to
//! each other in circles.

use super::abbrev::{self, Shape};
use super::dimensions::Dimensions;
use super::place::Function;
use super::{Dwarf, sleb, uleb};
use crate::ctype::CType;
use crate::error::Error;
use std::collections::HashMap;
use vmcore::kernel::{TypeKind, Types};
use vmcore::order::Order;

/// The header of a unit of DWARF 4: its length, version, place of the shapes, size of an address.
const HEADER: usize = 11;
/// `unit_length` does not count itself.
const LENGTH: u32 = 4;
/// DW_LANG_C99. C11 has no number in DWARF 4.
const LANGUAGE: u16 = 0x0c;
/// DW_OP_addr
const OP_ADDR: u8 = 0x03;
/// A type leads through as many tags at most.
const MAX_TAGS: u32 = 32;
/// Type tags, `__user` and the like: nothing that DWARF readers want.
const TYPE_TAG: u8 = 18;

/// The unit of the kernel's types, after it those of its code, then one for each module.
pub(crate) struct Unit<'a> {
    /// Of the words in all sections.
    pub(super) order: Order,
    /// The kernel's, then those of the module at hand.
    pub(super) types: &'a Types,
    pub(super) info: Vec<u8>,
    /// `.debug_aranges`
    pub(super) ranges: Vec<u8>,
    /// Where the shapes of all units but the first begin.
    pub(super) shapes: u32,
    /// Where the entry of each type is, by number; 0: it has none. The kernel's, then the module's.
    pub(super) offsets: Vec<u32>,
    /// Whether enums say themselves that they are signed.
    pub(super) enums_have_signs: bool,
    /// The offset by which a module's records know the first of its own strings, and where that is.
    pub(super) own_strings: Option<(u32, u32)>,
    /// Places of references and the types that they are to.
    references: Vec<(u32, Target)>,
    /// Types that BTF does not have, by what they are.
    pub(super) derived: HashMap<CType, u32>,
    /// Dimensions of members of the types at hand.
    pub(super) dimensions: Dimensions,
    /// Arrays that have other dimensions than BTF says.
    shaped: Vec<Shaped>,
    pub(super) strings: Vec<u8>,
    added: HashMap<String, u32>,
    /// Functions that are still to be written.
    pub(super) functions: Vec<Function>,
    abbrev: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Target {
    Type(u32),
    /// The array of that place in [`Unit::shaped`].
    Shaped(usize),
    Entry(u32),
}

/// An array of BTF with other dimensions.
#[derive(PartialEq, Eq)]
struct Shaped {
    /// Its number.
    array: u32,
    counts: Vec<u32>,
    /// Where its entry is; 0: not written yet.
    at: u32,
}

impl<'a> Unit<'a> {
    /// Begins the unit of the types. `strings` are those of BTF.
    pub(crate) fn new(order: Order, types: &'a Types, strings: Vec<u8>) -> Result<Self, Error> {
        let (abbrev, second) = abbrev::section();
        let mut unit = Self {
            order,
            types,
            info: Vec::new(),
            ranges: Vec::new(),
            abbrev,
            shapes: u32::try_from(second).map_err(|_| Error::TooLarge)?,
            enums_have_signs: false,
            own_strings: None,
            offsets: vec![0; types.own_ids().end as usize],
            references: Vec::new(),
            derived: HashMap::new(),
            dimensions: Dimensions::default(),
            shaped: Vec::new(),
            strings,
            added: HashMap::new(),
            functions: Vec::new(),
        };
        unit.begin()?;
        unit.head(Shape::TypesUnit, "vmlinux")?;
        Ok(unit)
    }

    /// Leaves room for a unit's header; where it begins.
    pub(super) fn begin(&mut self) -> Result<u32, Error> {
        let at = self.here()?;
        self.info.extend([0; HEADER]);
        Ok(at)
    }

    /// What every unit's first entry has.
    pub(super) fn head(&mut self, shape: Shape, name: &str) -> Result<(), Error> {
        let producer = concat!(
            "afterpanic ",
            env!("CARGO_PKG_VERSION"),
            ", from the kernel's BTF"
        );
        let (producer, name) = (self.string(producer)?, self.string(name)?);
        self.shape(shape);
        self.u32(producer);
        self.info.extend(self.order.of_u16(LANGUAGE));
        self.u32(name);
        Ok(())
    }

    /// Fills in the header of the unit that begins at `at` and ends here.
    pub(super) fn close(&mut self, at: u32, shapes: u32) -> Result<(), Error> {
        let end = self.here()?;
        let length = end.saturating_sub(at).saturating_sub(LENGTH);
        let mut header = self.order.of_u32(length).to_vec();
        header.extend(self.order.of_u16(4));
        header.extend(self.order.of_u32(shapes));
        header.push(8);
        put(&mut self.info, at as usize, &header);
        Ok(())
    }

    pub(super) fn shape(&mut self, shape: Shape) {
        uleb(&mut self.info, shape.number());
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.info.extend(self.order.of_u32(value));
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.info.extend(self.order.of_u64(value));
    }

    pub(super) fn uleb(&mut self, value: u64) {
        uleb(&mut self.info, value);
    }

    /// A name that a record has by its offset.
    pub(super) fn name(&mut self, offset: u32) {
        let own = self.own_strings.filter(|(first, _)| offset >= *first);
        self.u32(match own {
            Some((first, at)) => at.saturating_add(offset - first),
            None => offset,
        });
    }

    /// Ends a list of children.
    pub(super) fn end(&mut self) {
        self.info.push(0);
    }

    /// Where the next entry will be.
    pub(super) fn here(&self) -> Result<u32, Error> {
        u32::try_from(self.info.len()).map_err(|_| Error::TooLarge)
    }

    /// The type that `id` stands for in DWARF; `None`: void, or nothing that has an entry.
    pub(super) fn target(&self, id: u32) -> Option<u32> {
        let mut id = id;
        for _ in 0..MAX_TAGS {
            let record = self.types.record(id).filter(|_| id != 0)?;
            match record.kind {
                TypeKind::Qualifier if record.number == TYPE_TAG => id = record.value,
                TypeKind::Func
                | TypeKind::Var
                | TypeKind::DataSec
                | TypeKind::DeclTag
                | TypeKind::Unknown(_) => return None,
                _ => return Some(id),
            }
        }
        None
    }

    /// A reference to a type that [`Self::target`] gave.
    pub(super) fn reference(&mut self, id: u32) -> Result<(), Error> {
        self.references.push((self.here()?, Target::Type(id)));
        self.u32(0);
        Ok(())
    }

    /// A reference to an array of BTF, but with these dimensions.
    pub(super) fn reference_to_shaped(&mut self, array: u32, counts: &[u32]) -> Result<(), Error> {
        let is_this = |known: &Shaped| known.array == array && known.counts == counts;
        let known = self.shaped.iter().position(is_this);
        let place = known.unwrap_or(self.shaped.len());
        if known.is_none() {
            self.shaped.push(Shaped {
                array,
                counts: counts.to_vec(),
                at: 0,
            });
        }
        self.references.push((self.here()?, Target::Shaped(place)));
        self.u32(0);
        Ok(())
    }

    pub(super) fn shaped_arrays(&mut self) -> Result<(), Error> {
        for mut shaped in std::mem::take(&mut self.shaped) {
            let element = self.types.array(shaped.array).map(|(element, _)| element);
            let element = element.and_then(|element| self.target(element));
            shaped.at = self.here()?;
            self.shape(Shape::Array);
            self.points_to(element.map(Target::Type))?;
            for count in &shaped.counts {
                self.shape(Shape::PlainLength);
                self.uleb(u64::from(*count));
            }
            self.end();
            self.shaped.push(shaped);
        }
        Ok(())
    }

    /// The offset of a string that BTF does not have.
    pub(super) fn string(&mut self, text: &str) -> Result<u32, Error> {
        if let Some(at) = self.added.get(text) {
            return Ok(*at);
        }
        let at = u32::try_from(self.strings.len()).map_err(|_| Error::TooLarge)?;
        self.strings.extend(text.as_bytes());
        self.strings.push(0);
        self.added.insert(text.to_owned(), at);
        Ok(at)
    }

    /// A variable.
    pub(crate) fn variable(
        &mut self,
        name: &str,
        external: bool,
        address: u64,
        ty: &CType,
    ) -> Result<(), Error> {
        let Some(target) = self.of(ty)? else {
            return Ok(());
        };
        let name = self.string(name)?;
        self.shape(if external {
            Shape::Variable
        } else {
            Shape::StaticVariable
        });
        self.u32(name);
        self.location(address);
        self.references.push((self.here()?, target));
        self.u32(0);
        Ok(())
    }

    /// A `static const` that compilers put into the code, and nowhere else.
    pub(crate) fn constant(&mut self, name: &str, value: i64, ty: &CType) -> Result<(), Error> {
        let Some(target) = self.of(ty)? else {
            return Ok(());
        };
        let name = self.string(name)?;
        self.shape(Shape::Constant);
        self.u32(name);
        sleb(&mut self.info, value);
        self.references.push((self.here()?, target));
        self.u32(0);
        Ok(())
    }

    /// An expression that is an address.
    pub(super) fn location(&mut self, address: u64) {
        self.info.extend([9, OP_ADDR]);
        self.u64(address);
    }

    /// The entry of a type, written now if it is missing; `None`: void.
    fn of(&mut self, ty: &CType) -> Result<Option<Target>, Error> {
        if let CType::Btf(id) = ty {
            return Ok(self.target(*id).map(Target::Type));
        }
        if let Some(at) = self.derived.get(ty) {
            return Ok(Some(Target::Entry(*at)));
        }
        let inner = match ty {
            CType::Btf(_) => None,
            CType::Pointer(inner)
            | CType::Array(inner, _)
            | CType::Const(inner)
            | CType::Volatile(inner)
            | CType::Function(inner, ..) => self.of(inner)?,
        };
        let mut parameters = Vec::new();
        if let CType::Function(_, all, _) = ty {
            for parameter in all {
                parameters.push(self.of(parameter)?);
            }
        }
        let at = self.here()?;
        self.derived.insert(ty.clone(), at);
        let typed = inner.is_some();
        self.shape(match (ty, typed) {
            (CType::Const(_), true) => Shape::Const,
            (CType::Const(_), false) => Shape::ConstVoid,
            (CType::Volatile(_), true) => Shape::Volatile,
            (CType::Volatile(_), false) => Shape::VolatileVoid,
            (CType::Array(..), _) => Shape::Array,
            (CType::Function(..), true) => Shape::Prototype,
            (CType::Function(..), false) => Shape::PrototypeOfVoid,
            (_, true) => Shape::Pointer,
            (_, false) => Shape::PointerToVoid,
        });
        if let CType::Pointer(_) = ty {
            self.uleb(8);
        }
        if inner.is_some() || matches!(ty, CType::Array(..)) {
            self.points_to(inner)?;
        }
        match ty {
            CType::Array(_, Some(count)) => {
                self.shape(Shape::PlainLength);
                self.uleb(*count);
                self.end();
            }
            CType::Array(_, None) => {
                self.shape(Shape::PlainNoLength);
                self.end();
            }
            CType::Function(_, _, more) => {
                for parameter in parameters {
                    self.shape(Shape::UnnamedParameter);
                    self.points_to(parameter)?;
                }
                if *more {
                    self.shape(Shape::MoreParameters);
                }
                self.end();
            }
            _ => {}
        }
        Ok(Some(Target::Entry(at)))
    }

    fn points_to(&mut self, target: Option<Target>) -> Result<(), Error> {
        if let Some(target) = target {
            self.references.push((self.here()?, target));
        }
        self.u32(0);
        Ok(())
    }

    /// Ends the unit of the kernel's types and writes those of its code.
    pub(crate) fn end_kernel(&mut self) -> Result<(), Error> {
        self.shaped_arrays()?;
        self.end();
        self.close(0, 0)?;
        self.code()?;
        self.settle();
        Ok(())
    }

    /// Fills in the references to types that are all written.
    pub(super) fn settle(&mut self) {
        // The kernel's types are at the beginning of the section: their offsets in the unit are those in
        // it, which all other units refer to them by.
        for (at, target) in std::mem::take(&mut self.references) {
            let offset = match target {
                Target::Entry(offset) => offset,
                Target::Shaped(place) => self.shaped.get(place).map_or(0, |shaped| shaped.at),
                Target::Type(id) => self.offsets.get(id as usize).copied().unwrap_or(0),
            };
            put(&mut self.info, at as usize, &self.order.of_u32(offset));
        }
        self.shaped.clear();
        self.derived.clear();
    }

    /// The sections.
    pub(crate) fn finish(self) -> Dwarf {
        Dwarf {
            info: self.info,
            abbrev: self.abbrev,
            strings: self.strings,
            ranges: self.ranges,
        }
    }
}

fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    let end = at.saturating_add(bytes.len());
    if let Some(place) = out.get_mut(at..end) {
        place.copy_from_slice(bytes);
    }
}
