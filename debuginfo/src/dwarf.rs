//! DWARF 4 made from BTF: a unit with every type and the globals whose types are known, units with the
//! functions that BTF has prototypes of, and a unit for each module.
//!
//! Facts: DWARF 4 (sections 7.5 to 7.7), Documentation/bpf/btf.rst. Names are not copied: `.debug_str`
//! begins with BTF's own strings, so that an offset into these is an offset into it.
//!
//! The writer is our own and not `gimli::write`. That one keeps a tree of every entry and attribute in
//! memory, and strings of its own; here an entry is bytes as soon as it is known, and only the
//! references to entries that come later are kept.
//!
//! What BTF does not have is not in the DWARF: lines, inlined functions, places of parameters and of
//! local variables. Arrays of more than one dimension are flat in BTF, see `dimensions`.

mod abbrev;
mod code;
mod dimensions;
mod frame;
mod module;
mod place;
mod types;
mod unit;

pub(crate) use frame::Frames;
pub(crate) use module::ModuleUnit;
pub(crate) use place::{Place, Range};
pub(crate) use types::Named;
pub(crate) use unit::Unit;

/// The sections.
pub(crate) struct Dwarf {
    /// `.debug_info`
    pub info: Vec<u8>,
    /// `.debug_abbrev`
    pub abbrev: Vec<u8>,
    /// `.debug_str`
    pub strings: Vec<u8>,
    /// `.debug_aranges`
    pub ranges: Vec<u8>,
}

/// An unsigned number, seven bits a byte, the low ones first.
pub(crate) fn uleb(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A signed number, seven bits a byte.
pub(crate) fn sleb(out: &mut Vec<u8>, mut value: i64) {
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        let sign = byte & 0x40 != 0;
        if (value == 0 && !sign) || (value == -1 && sign) {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}

/// What was made, as gimli reads it.
#[cfg(test)]
fn parsed(
    made: &Dwarf,
    order: vmcore::order::Order,
) -> gimli::Dwarf<gimli::EndianSlice<'_, gimli::RunTimeEndian>> {
    use gimli::{RunTimeEndian, SectionId};
    let order = match order {
        vmcore::order::Order::Little => RunTimeEndian::Little,
        vmcore::order::Order::Big => RunTimeEndian::Big,
    };
    let section = |id| match id {
        SectionId::DebugInfo => made.info.as_slice(),
        SectionId::DebugAbbrev => &made.abbrev,
        SectionId::DebugStr => &made.strings,
        SectionId::DebugAranges => &made.ranges,
        _ => &[],
    };
    let load = |id| Ok::<_, gimli::Error>(gimli::EndianSlice::new(section(id), order));
    gimli::Dwarf::load(load).unwrap()
}

#[cfg(test)]
mod tests {
    use super::{sleb, uleb};

    #[test]
    fn numbers_are_those_of_the_standard() {
        let u = |value| {
            let mut out = Vec::new();
            uleb(&mut out, value);
            out
        };
        let s = |value| {
            let mut out = Vec::new();
            sleb(&mut out, value);
            out
        };
        // DWARF 4, figures 22 and 23.
        assert_eq!(u(2), [2]);
        assert_eq!(u(127), [127]);
        assert_eq!(u(128), [0x80, 1]);
        assert_eq!(u(12857), [57 + 0x80, 100]);
        assert_eq!(s(2), [2]);
        assert_eq!(s(-2), [0x7e]);
        assert_eq!(s(127), [127 + 0x80, 0]);
        assert_eq!(s(-127), [1 + 0x80, 0x7f]);
        assert_eq!(s(128), [0x80, 1]);
        assert_eq!(s(-128), [0x80, 0x7f]);
        assert_eq!(s(-129), [0x7f + 0x80, 0x7e]);
    }
}
