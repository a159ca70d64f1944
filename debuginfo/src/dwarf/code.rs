//! The functions that BTF has prototypes of, in units of their own.
//!
//! drgn looks for an address in a unit from its first entry on, once for every frame of a stack: one unit
//! with all types and functions costs it 16 ms a frame, units of some hundred functions and
//! `.debug_aranges` nothing that shows.

use super::Unit;
use super::abbrev::Shape;
use super::place::{Function, Range};
use crate::error::Error;
use vmcore::kernel::TypeKind;

/// Functions of a unit.
const FUNCTIONS: usize = 256;
/// `.debug_aranges` is of this version in DWARF 2 to 5.
const VERSION: u16 = 2;

impl Unit<'_> {
    /// Writes the units of code.
    pub(super) fn code(&mut self) -> Result<(), Error> {
        let mut functions = std::mem::take(&mut self.functions);
        // Stable: of several names of one function the order of BTF is kept.
        functions.sort_by_key(|function| function.place.address);
        let mut rest = functions.as_slice();
        while !rest.is_empty() {
            let mut count = FUNCTIONS.min(rest.len());
            // Names of one address are in one unit.
            let end = |count: usize| rest.get(..count)?.iter().map(Function::end).max();
            while let Some(next) = rest.get(count)
                && end(count).is_some_and(|end| next.place.address < end)
            {
                count += 1;
            }
            let (these, others) = rest.split_at_checked(count).unwrap_or((rest, &[]));
            rest = others;
            let start = these.first().map_or(0, |first| first.place.address);
            let end = these.iter().map(Function::end).max().unwrap_or(start);
            self.unit_of_code(Range { start, end }, these)?;
        }
        Ok(())
    }

    fn unit_of_code(&mut self, code: Range, functions: &[Function]) -> Result<(), Error> {
        let at = self.begin()?;
        self.head(Shape::CodeUnit, "vmlinux")?;
        self.u64(code.start);
        self.u64(code.len());
        for function in functions {
            self.entry_of_code(function)?;
        }
        self.end();
        self.close(at, self.shapes)?;
        self.range(at, code)
    }

    /// Says in `.debug_aranges` that the unit at `at` has this code.
    pub(super) fn range(&mut self, at: u32, code: Range) -> Result<(), Error> {
        let order = self.order;
        let mut set = order.of_u16(VERSION).to_vec();
        set.extend(order.of_u32(at));
        // Bytes of an address, of a segment, and up to a multiple of two addresses.
        set.extend([8, 0, 0, 0, 0, 0]);
        for word in [code.start, code.len(), 0, 0] {
            set.extend(order.of_u64(word));
        }
        let len = u32::try_from(set.len()).map_err(|_| Error::TooLarge)?;
        self.ranges.extend(order.of_u32(len));
        self.ranges.append(&mut set);
        Ok(())
    }

    pub(super) fn entry_of_code(&mut self, function: &Function) -> Result<(), Error> {
        let prototype = self.types.record(function.prototype);
        let prototype = prototype.filter(|prototype| prototype.kind == TypeKind::FuncProto);
        let Some(prototype) = prototype else {
            return Ok(());
        };
        let target = self.target(prototype.value);
        self.shape(match (function.place.external, target.is_some()) {
            (true, true) => Shape::Function,
            (true, false) => Shape::FunctionOfVoid,
            (false, true) => Shape::StaticFunction,
            (false, false) => Shape::StaticFunctionOfVoid,
        });
        self.name(function.name);
        self.u64(function.place.address);
        self.u64(function.place.size);
        self.refer(target)?;
        self.parameters(function.prototype, &prototype)
    }
}

#[cfg(test)]
mod tests {
    use crate::dwarf::{Named, Place, Unit, parsed};
    use gimli::AttributeValue;
    use synth::btf::Btf;
    use vmcore::kernel::Types;
    use vmcore::order::Order;

    /// 600 functions in wrong order, the first two of which are one.
    fn place(named: Named<'_>) -> Option<Place> {
        let Named::Function(name) = named else {
            return None;
        };
        let n: u64 = name.strip_prefix("f_").unwrap().parse().unwrap();
        Some(Place {
            address: 0x1000 + (599 - n.max(1)) * 16,
            size: 12,
            external: n.is_multiple_of(2),
        })
    }

    #[test]
    fn functions_are_found_by_address_and_have_their_types() {
        for order in [Order::Little, Order::Big] {
            found_in(order);
        }
    }

    fn found_in(order: Order) {
        let mut btf = Btf::new();
        let int = btf.int("int", 4, true);
        let argument = btf.string("argument");
        let prototype = btf.add("", 13, 1, false, int, &[argument, int]);
        for n in 0..600 {
            btf.add(&format!("f_{n}"), 12, 0, false, prototype, &[]);
        }
        let types = Types::parse(btf.build(None), None).unwrap();
        let strings = types.blob().unwrap()[types.strings().range].to_vec();
        let mut unit = Unit::new(order, &types, strings).unwrap();
        unit.all_types(&place).unwrap();
        unit.end_kernel().unwrap();
        let made = unit.finish();

        let dwarf = parsed(&made, order);
        let mut sets = dwarf.debug_aranges.headers();
        let mut functions = 0;
        let mut last = 0;
        while let Some(set) = sets.next().unwrap() {
            let header = set.debug_info_offset();
            let header = dwarf.debug_info.header_from_offset(header).unwrap();
            let unit = dwarf.unit(header).unwrap();
            let range = set.entries().next().unwrap().unwrap().range();
            assert!(last <= range.begin && range.begin < range.end);
            last = range.end;
            let mut entries = unit.entries();
            while let Some(entry) = entries.next_dfs().unwrap() {
                if entry.tag() != gimli::DW_TAG_subprogram {
                    continue;
                }
                functions += 1;
                let Some(AttributeValue::Addr(at)) = entry.attr_value(gimli::DW_AT_low_pc) else {
                    panic!("no address");
                };
                assert!(range.begin <= at && at + 12 <= range.end);
                let ty = entry.attr_value(gimli::DW_AT_type);
                let Some(AttributeValue::DebugInfoRef(ty)) = ty else {
                    panic!("{ty:?}");
                };
                // The type is in the first unit.
                let first = dwarf.units().next().unwrap().unwrap();
                let ty = ty.to_unit_offset(&first).unwrap();
                let first = dwarf.unit(first).unwrap();
                let name = first.entry(ty).unwrap();
                let name = name.attr_value(gimli::DW_AT_name).unwrap();
                let name = dwarf.attr_string(&first, name).unwrap();
                assert_eq!(name.to_string().unwrap(), "int");
            }
        }
        assert_eq!((functions, last), (600, 0x1000 + 598 * 16 + 12));
    }
}
