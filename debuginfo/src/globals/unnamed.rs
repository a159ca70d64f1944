//! Structures without a name: `static struct { … } x`. They are known by the names of their members.
//!
//! pahole puts every type of a kernel's DWARF into BTF, the unnamed ones among them. In words they are
//! `struct {lock, list}`, with nothing for a member that has no name itself.

use crate::CType;
use std::collections::HashMap;
use vmcore::kernel::{TypeKind, Types};

/// The unnamed structures of some types, by their words.
#[derive(Default, Debug)]
pub(super) struct Unnamed(HashMap<String, Vec<u32>>);

impl Unnamed {
    /// Those of `types`.
    pub(super) fn of(types: &Types) -> Self {
        let mut this = Self::default();
        for id in 1..=types.len() {
            let word = match types.kind(id) {
                Some(TypeKind::Struct) => "struct",
                Some(TypeKind::Union) => "union",
                _ => continue,
            };
            if types.name(id).is_empty() {
                let names: Vec<String> = types.fields(id).map(|field| field.name).collect();
                let words = words(word, &names);
                this.0.entry(words).or_default().push(id);
            }
        }
        this
    }

    /// Reads a type in words as [`CType::parse`] does, unnamed structures too. `None` where several have
    /// the same members.
    pub(super) fn parse(&self, text: &str, types: &Types) -> Option<CType> {
        let (Some(open), Some(close)) = (text.find('{'), text.rfind('}')) else {
            return CType::parse(text, types);
        };
        let (before, after) = (text.get(..open)?.trim_end(), text.get(close..)?.get(1..)?);
        let (qualifiers, word) = before.rsplit_once(' ').unwrap_or(("", before));
        let words = format!("{word} {}", text.get(open..=close)?);
        let [id] = self.0.get(&words)?.as_slice() else {
            return None;
        };
        // `void` stands where the structure does.
        let around = CType::parse(&format!("{qualifiers} void{after}"), types)?;
        based_on(around, *id)
    }
}

/// The words of an unnamed structure with these members.
pub(super) fn words(word: &str, members: &[String]) -> String {
    format!("{word} {{{}}}", members.join(", "))
}

/// The type with `id` for the `void` that it is made of.
fn based_on(ty: CType, id: u32) -> Option<CType> {
    let inside = |ty: Box<CType>| Some(Box::new(based_on(*ty, id)?));
    Some(match ty {
        CType::Btf(0) => CType::Btf(id),
        CType::Pointer(ty) => CType::Pointer(inside(ty)?),
        CType::Array(ty, count) => CType::Array(inside(ty)?, count),
        CType::Const(ty) => CType::Const(inside(ty)?),
        CType::Volatile(ty) => CType::Volatile(inside(ty)?),
        CType::Btf(_) | CType::Function(..) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::Unnamed;
    use synth::btf::Btf;
    use vmcore::kernel::Types;

    #[test]
    fn members_name_a_structure() {
        let mut btf = Btf::new();
        let long = btf.int("long unsigned int", 8, false);
        btf.compound("", 4, 16, &[("a", long, 0, 0), ("b", long, 64, 0)]);
        btf.compound("", 4, 8, &[("twin", long, 0, 0)]);
        btf.compound("", 4, 8, &[("twin", long, 0, 0)]);
        let types = Types::parse(btf.build(None), None).unwrap();
        let unnamed = Unnamed::of(&types);
        let size = |text: &str| unnamed.parse(text, &types)?.size(&types);
        assert_eq!(size("struct {a, b}"), Some(16));
        assert_eq!(size("const struct {a, b}"), Some(16));
        assert_eq!(size("struct {a, b} [3]"), Some(48));
        assert_eq!(size("struct {a, b} *"), Some(8));
        assert_eq!(size("struct {a}"), None);
        assert_eq!(size("union {a, b}"), None);
        assert_eq!(size("struct {twin}"), None, "there are two");
        assert_eq!(size("long unsigned int"), Some(8));
        assert_eq!(size("}{"), None);
    }
}
