//! A type of another kernel in the room that a symbol has in this one.
//!
//! Kernels differ in lengths of arrays more than in anything else, so that another kernel's length is never
//! believed by itself. kallsyms has no sizes: behind an object may be padding, which is zeros, and less of it
//! than what the next object is aligned to. The room and the memory bound the length from both sides. Another
//! kernel's only chooses among the lengths that are possible. Else the array ends with what is no zeros, or where a
//! number begins that needs no padding; where neither is known, it has no length.
//!
//! Facts: gcc and the linker fill data up with zeros; objects are aligned to a cache line at most, what begins a
//! page to a page.

use super::Read;
use crate::CType;
use vmcore::kernel::Types;

/// A page.
const PAGE: u64 = 4096;
/// A cache line.
const LINE: u64 = 64;
/// Bytes of an element that is looked at.
const MAX_ELEMENT: u64 = 1 << 16;

/// Where an object is, and how much room it has.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) address: Option<u64>,
    /// Bytes to the next symbol.
    pub(super) room: Option<u64>,
    /// Whether it is among the constants. The compiler has some there that have no symbols.
    pub(super) constant: bool,
    /// What the next object is aligned to by its type, where that is known of a number or a pointer.
    pub(super) next: &'a dyn Fn() -> Option<u64>,
    pub(super) read: &'a Read<'a>,
}

impl Place<'_> {
    /// Whether it has room for so many bytes.
    pub(super) fn holds(&self, size: u64) -> bool {
        self.room.is_none_or(|room| size <= room)
    }

    /// The least number of bytes that is too much for padding behind the object.
    fn too_much(&self) -> u64 {
        let next = self
            .address
            .zip(self.room)
            .and_then(|(at, room)| at.checked_add(room));
        match next {
            Some(next) if next.is_multiple_of(PAGE) => PAGE,
            Some(next) if !next.is_multiple_of(LINE) => 1 << next.trailing_zeros(),
            _ => LINE,
        }
    }

    /// How many of `most` elements there are, up to the last one that is not zeros; `from` where none is. The
    /// first `from` are not looked at.
    fn filled(&self, from: u64, most: u64, each: u64) -> Option<u64> {
        let len = most.checked_sub(from)?.checked_mul(each)?;
        let at = self.address?.checked_add(from.checked_mul(each)?)?;
        let mut bytes = vec![0; usize::try_from(len).ok()?];
        if !(self.read)(at, &mut bytes) {
            return None;
        }
        let last = bytes.iter().rposition(|byte| *byte != 0);
        let last = last.and_then(|last| u64::try_from(last).ok());
        Some(last.map_or(from, |last| from + last / each + 1))
    }
}

/// The type as this kernel may have it; `None` where it has no room.
pub(super) fn settle(ty: CType, place: &Place<'_>, types: &Types) -> Option<CType> {
    match ty {
        CType::Array(element, count) => {
            let each = element.size(types).filter(|&each| each > 0)?;
            let Some(room) = place.room else {
                return Some(CType::Array(element, None));
            };
            let most = room / each;
            let count = length(count, each, most, is_text(&element, types), place);
            (most > 0).then_some(CType::Array(element, count))
        }
        CType::Const(inner) => Some(CType::Const(Box::new(settle(*inner, place, types)?))),
        CType::Volatile(inner) => Some(CType::Volatile(Box::new(settle(*inner, place, types)?))),
        other => {
            let size = other.size(types)?;
            place.holds(size).then_some(other)
        }
    }
}

/// The length of an array of at most `most` elements that another kernel has with `theirs`.
fn length(
    theirs: Option<u64>,
    each: u64,
    most: u64,
    is_text: bool,
    place: &Place<'_>,
) -> Option<u64> {
    let room = place.room?;
    // A constant that seems to have grown by a page lies before what has no symbols: the texts of the code.
    let grown = theirs.map_or(0, |theirs| most.saturating_sub(theirs).saturating_mul(each));
    if place.constant && grown >= PAGE {
        return None;
    }
    let least = room.saturating_sub(place.too_much() - 1);
    let least_by_room = least.div_ceil(each).clamp(1, most.max(1));
    if least_by_room == most {
        return Some(most);
    }
    // With the last element of a text that ends before all that may be padding.
    let from = least_by_room.saturating_sub(2);
    let filled = match each <= MAX_ELEMENT {
        true => place.filled(from, most, each),
        false => None,
    };
    let least = filled.map_or(least_by_room, |filled| filled.max(least_by_room));
    if least == most {
        return Some(most);
    }
    // A text ends with a NUL; where nothing but zeros was seen, it ended before.
    let text = filled.filter(|filled| is_text && (*filled > from || from == 0));
    let text = text.map(|filled| filled + 1);
    // What holds something is no padding; what follows may be.
    let filled = filled.filter(|filled| *filled >= least_by_room);
    let possible = least..=most;
    let chosen = [text, theirs, filled].into_iter().flatten();
    let chosen = chosen.into_iter().find(|count| possible.contains(count));
    // Nothing is in it. What needs no padding in front of it has none, unless the source asks for it.
    let is_next = || (place.next)().is_some_and(|align| room % each < align && align <= each);
    chosen.or_else(|| is_next().then_some(most))
}

/// Whether it is a `const char`: an array of these is a text, and no buffer for one.
fn is_text(element: &CType, types: &Types) -> bool {
    let (CType::Const(_), CType::Btf(id)) = (element, element.unqualified()) else {
        return false;
    };
    types.strip(*id).is_some_and(|id| types.name(id) == "char")
}

#[cfg(test)]
mod tests {
    use super::{Place, settle};
    use crate::CType;
    use synth::btf::Btf;
    use vmcore::kernel::Types;

    const AT: u64 = 0x1_0000;

    fn types() -> Types {
        let mut btf = Btf::new();
        let long = btf.int("long", 8, true);
        btf.int("char", 1, true);
        btf.compound("key", 4, 64, &[("a", long, 0, 0)]);
        Types::parse(btf.build(None), None).unwrap()
    }

    /// What another kernel's type is in so much room, where so many bytes are not zeros.
    fn settled(words: &str, room: u64, filled: usize) -> Option<String> {
        settled_before(words, room, filled, None)
    }

    /// The same before an object of this alignment.
    fn settled_before(words: &str, room: u64, filled: usize, next: Option<u64>) -> Option<String> {
        let types = types();
        let read = |at: u64, bytes: &mut [u8]| {
            let from = usize::try_from(at - AT).unwrap();
            for (n, byte) in bytes.iter_mut().enumerate() {
                *byte = u8::from(from + n < filled);
            }
            true
        };
        let place = Place {
            address: Some(AT),
            room: Some(room),
            constant: true,
            next: &|| next,
            read: &read,
        };
        let ty = settle(CType::parse(words, &types)?, &place, &types)?;
        Some(ty.declare(&types, "x"))
    }

    #[test]
    fn the_room_says_the_length_where_nothing_can_be_padding() {
        // 463 system calls in 6.12, 472 in 7.2.
        let calls = settled("long [463]", 472 * 8, 472 * 8);
        assert_eq!(calls.unwrap(), "long x[472]");
        // Zeros, but padding before the next symbol would be less than an element.
        assert_eq!(settled("long [4]", 72, 0).unwrap(), "long x[9]");
        assert_eq!(settled("long []", 72, 0).unwrap(), "long x[9]");
        let keys = settled("const struct key [9]", 128, 0);
        assert_eq!(keys.unwrap(), "const struct key x[2]");
    }

    #[test]
    fn another_kernels_length_only_chooses_among_those_that_are_possible() {
        // What is zeros may be padding.
        assert_eq!(settled("long [15]", 0x80, 14 * 8).unwrap(), "long x[15]");
        assert_eq!(settled("long [15]", 0x80, 16 * 8).unwrap(), "long x[16]");
        for other in ["long [13]", "long [27]", "long []"] {
            assert_eq!(settled(other, 0x80, 14 * 8).unwrap(), "long x[14]");
        }
        // Nothing but zeros: 8 to 16.
        assert_eq!(settled("long [12]", 0x80, 0).unwrap(), "long x[12]");
        assert_eq!(settled("long [27]", 0x80, 0).unwrap(), "long x[]");
        for (next, is) in [(1, "long x[16]"), (8, "long x[16]"), (16, "long x[]")] {
            let found = settled_before("long [27]", 0x80, 0, Some(next));
            assert_eq!(found.unwrap(), is);
        }
    }

    #[test]
    fn what_follows_without_a_symbol_is_not_taken_for_elements() {
        // An array of 256 before the texts of the code.
        assert_eq!(
            settled("long [256]", 0x8_0008, 0x8_0000).unwrap(),
            "long x[]"
        );
        assert_eq!(
            settled("long [256]", 0x1000, 0x1000).unwrap(),
            "long x[512]"
        );
    }

    #[test]
    fn a_text_ends_with_its_nul() {
        assert_eq!(
            settled("const char [57]", 64, 62).unwrap(),
            "const char x[63]"
        );
        assert_eq!(
            settled("const char [57]", 64, 64).unwrap(),
            "const char x[64]"
        );
        // All that may be padding is.
        assert_eq!(
            settled("const char []", 56, 48).unwrap(),
            "const char x[49]"
        );
        assert_eq!(settled("const char []", 8, 0).unwrap(), "const char x[1]");
        // A buffer, of which little was used.
        assert_eq!(settled("char [100]", 0x80, 3).unwrap(), "char x[100]");
        assert_eq!(settled("char []", 0x80, 3).unwrap(), "char x[]");
    }

    #[test]
    fn what_has_no_room_is_not_there() {
        assert_eq!(settled("struct key", 64, 0).unwrap(), "struct key x");
        assert_eq!(settled("struct key", 63, 0), None);
        assert_eq!(settled("struct key [1]", 63, 0), None);
        assert_eq!(settled("void", 8, 0), None);
    }

    #[test]
    fn without_room_or_memory_no_length_is_made_up() {
        let types = types();
        let place = |room| Place {
            address: None,
            room,
            constant: false,
            next: &|| None,
            read: &|_, _| false,
        };
        let settled = |words: &str, room| {
            let ty = CType::parse(words, &types).unwrap();
            let ty = settle(ty, &place(room), &types).unwrap();
            ty.declare(&types, "x")
        };
        assert_eq!(settled("long [5]", None), "long x[]");
        assert_eq!(settled("long [12]", Some(0x80)), "long x[12]");
        assert_eq!(settled("long [7]", Some(0x80)), "long x[]");
    }
}
