//! A module: one unit with the types of its own BTF, its functions and its variables.
//!
//! Its BTF continues the kernel's (Documentation/bpf/btf.rst, "split BTF"): numbers of types and offsets of
//! strings go on where the kernel's end. What it shares with the kernel it refers to in the kernel's unit.

use super::abbrev::Shape;
use super::place::{Place, Range};
use super::{Named, Unit};
use crate::error::Error;
use vmcore::kernel::Types;

/// A module that has types.
pub(crate) struct ModuleUnit<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its types, on top of the kernel's.
    pub types: &'a Types,
    /// Its code, as the ELF has it.
    pub code: Range,
}

impl<'a> Unit<'a> {
    /// Writes a module's types and functions after those of the kernel; `place` answers where a function is.
    /// Variables may follow, up to [`Self::end_module`], which takes the answer.
    pub(crate) fn begin_module(
        &mut self,
        module: &ModuleUnit<'a>,
        place: &dyn Fn(Named<'_>) -> Option<Place>,
    ) -> Result<u32, Error> {
        let types = module.types;
        let blob = types.blob().map_err(Error::Types)?;
        let strings = types.strings();
        let here = u32::try_from(self.strings.len()).map_err(|_| Error::TooLarge)?;
        self.strings
            .extend(blob.get(strings.range).unwrap_or_default());
        // A damaged blob may lack the last NUL.
        self.strings.push(0);
        self.own_strings = Some((strings.first, here));
        self.types = types;
        self.offsets.truncate(types.own_ids().start as usize);
        self.offsets.resize(types.own_ids().end as usize, 0);
        let at = self.begin()?;
        self.head(Shape::CodeUnit, module.name)?;
        self.u64(module.code.start);
        self.u64(module.code.len());
        self.all_types(place)?;
        let mut functions = std::mem::take(&mut self.functions);
        // Stable: of several names of one function the order of BTF is kept.
        functions.sort_by_key(|function| function.place.address);
        for function in &functions {
            self.entry_of_code(function)?;
        }
        self.range(at, module.code)?;
        Ok(at)
    }

    /// Ends the unit that begins at `at`.
    pub(crate) fn end_module(&mut self, at: u32) -> Result<(), Error> {
        self.shaped_arrays()?;
        self.end();
        self.close(at, self.shapes)?;
        self.settle();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::ModuleUnit;
    use crate::CType;
    use crate::dwarf::{Named, Place, Range, Unit, parsed};
    use gimli::AttributeValue;
    use std::sync::Arc;
    use synth::btf::Btf;
    use vmcore::kernel::Types;
    use vmcore::order::Order;

    const CODE: Range = Range {
        start: 0xffff_ffff_c000_0000,
        end: 0xffff_ffff_c000_1000,
    };

    #[test]
    fn a_module_refers_to_its_own_types_and_to_the_kernels() {
        let mut kernel = Btf::new();
        let int = kernel.int("int", 4, true);
        kernel.compound("shared", 4, 8, &[("a", int, 0, 0), ("b", int, 32, 0)]);
        let mut module = Btf::on(&kernel);
        // Numbered behind the kernel's two.
        let own = module.compound("own", 4, 16, &[("first", 2, 0, 0), ("last", int, 64, 0)]);
        let pointer = module.add("", 2, 0, false, own, &[]);
        let argument = module.string("argument");
        let prototype = module.add("", 13, 1, false, int, &[argument, pointer]);
        module.add("own_function", 12, 0, false, prototype, &[]);
        let kernel = Arc::new(Types::parse(kernel.build(None), None).unwrap());
        let module = Types::parse(module.build(None), Some(Arc::clone(&kernel))).unwrap();

        let strings = kernel.blob().unwrap()[kernel.strings().range].to_vec();
        let mut unit = Unit::new(Order::Little, &kernel, strings).unwrap();
        let nowhere = |_: Named<'_>| None;
        unit.all_types(&nowhere).unwrap();
        unit.end_kernel().unwrap();
        let place = |named: Named<'_>| {
            assert_eq!(named, Named::Function("own_function"));
            Some(Place {
                address: CODE.start + 0x10,
                size: 12,
                external: false,
            })
        };
        // Twice: the second of two modules has types of the same numbers.
        for name in ["one", "two"] {
            let of = ModuleUnit {
                name,
                types: &module,
                code: CODE,
            };
            let begun = unit.begin_module(&of, &place).unwrap();
            let array = CType::Array(Box::new(CType::Btf(own)), Some(3));
            unit.variable("devices", false, CODE.end, &array).unwrap();
            unit.end_module(begun).unwrap();
        }
        let made = unit.finish();

        let dwarf = parsed(&made, Order::Little);
        let mut headers = Vec::new();
        let mut units = dwarf.units();
        while let Some(header) = units.next().unwrap() {
            headers.push(header);
        }
        assert_eq!(headers.len(), 3);
        // Where an entry is, for references from any unit: the unit's number and the name.
        let named = |at: AttributeValue<_>| {
            let AttributeValue::DebugInfoRef(at) = at else {
                panic!("{at:?}");
            };
            let number = headers
                .iter()
                .rposition(|header| at.to_unit_offset(header).is_some());
            let header = headers[number.unwrap()];
            let unit = dwarf.unit(header).unwrap();
            let entry = unit.entry(at.to_unit_offset(&header).unwrap()).unwrap();
            let name = entry.attr_value(gimli::DW_AT_name).map(|name| {
                let name = dwarf.attr_string(&unit, name).unwrap();
                name.to_string().unwrap().to_owned()
            });
            (number.unwrap(), name.unwrap_or_default())
        };
        for (number, module) in [(1, "one"), (2, "two")] {
            let unit = dwarf.unit(headers[number]).unwrap();
            let mut entries = unit.entries();
            let mut seen = Vec::new();
            while let Some(entry) = entries.next_dfs().unwrap() {
                let name = entry.attr_value(gimli::DW_AT_name).map(|name| {
                    let name = dwarf.attr_string(&unit, name).unwrap();
                    name.to_string().unwrap().to_owned()
                });
                let ty = entry.attr_value(gimli::DW_AT_type).map(named);
                seen.push((name.unwrap_or_default(), ty));
            }
            let own = |name: &str| Some((number, name.to_owned()));
            let kernels = |name: &str| Some((0, name.to_owned()));
            let expected = [
                (module, None),
                ("own", None),
                ("first", kernels("shared")),
                ("last", kernels("int")),
                ("", own("own")),
                ("", kernels("int")),
                ("argument", own("")),
                ("own_function", kernels("int")),
                ("argument", own("")),
                ("", own("own")),
                ("", None),
                ("devices", own("")),
            ];
            let expected = expected.map(|(name, ty)| (name.to_owned(), ty));
            assert_eq!(seen, expected);
        }
        let mut ranges = dwarf.debug_aranges.headers();
        let mut found = Vec::new();
        while let Some(set) = ranges.next().unwrap() {
            found.push(set.entries().next().unwrap().unwrap().range());
        }
        assert_eq!(found.len(), 2);
        assert!(
            found
                .iter()
                .all(|range| (range.begin, range.end) == (CODE.start, CODE.end))
        );
    }
}
