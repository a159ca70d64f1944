//! Members that are arrays of more than one dimension. The BTF of kernels up to 6.12 has them flat: the product
//! alone. That of 7.2 has arrays of arrays.
//!
//! `dimensions.txt` has the dimensions of some kernels, made from their debug information by
//! `cargo run -p lab -- globals`: on each line a structure, a member and its dimensions,
//! `struct kvm_irq_routing_table chip 3 24`. They are believed where their product is the length that this
//! kernel's BTF has; where two kernels have other dimensions with one product, neither is there.

use std::collections::HashMap;
use vmcore::kernel::{TypeKind, Types};

static SHIPPED: &str = include_str!("dimensions.txt");
/// Structures in structures without a name that are opened.
const MAX_DEPTH: u32 = 32;

/// The dimensions of a blob's members, by the number of the structure and the place of the member in it.
#[derive(Default, Debug)]
pub(super) struct Dimensions(HashMap<(u32, usize), Vec<u32>>);

/// A member and the lengths of its dimensions.
type Row<'t> = (&'t str, Vec<u32>);

impl Dimensions {
    /// Those of the blob's own structures.
    pub(super) fn of(types: &Types) -> Self {
        Self::by(SHIPPED, types)
    }

    fn by(text: &str, types: &Types) -> Self {
        let mut rows: HashMap<(&str, &str), Vec<Row<'_>>> = HashMap::new();
        for line in text.lines() {
            let mut words = line.split(' ');
            let (Some(keyword), Some(name), Some(member)) =
                (words.next(), words.next(), words.next())
            else {
                continue;
            };
            let counts = words.map_while(|word| word.parse().ok()).collect();
            rows.entry((keyword, name))
                .or_default()
                .push((member, counts));
        }
        let mut this = Self::default();
        for id in types.own_ids() {
            let keyword = match types.kind(id) {
                Some(TypeKind::Struct) => "struct",
                Some(TypeKind::Union) => "union",
                _ => continue,
            };
            if let Some(rows) = rows.get(&(keyword, types.name(id))) {
                this.add(types, id, rows, MAX_DEPTH);
            }
        }
        this
    }

    fn add(&mut self, types: &Types, id: u32, rows: &[Row<'_>], depth: u32) {
        let Some(depth) = depth.checked_sub(1) else {
            return;
        };
        for (n, field) in types.fields(id).enumerate() {
            let ty = field.member.type_id;
            if field.name.is_empty() {
                let inner = types
                    .strip(ty)
                    .filter(|inner| types.name(*inner).is_empty());
                if let Some(inner) = inner {
                    self.add(types, inner, rows, depth);
                }
                continue;
            }
            // Newer BTF keeps the dimensions: its arrays are of arrays.
            let flat = |of: &(u32, u32)| types.array(of.0).is_none();
            let Some((_, length)) = types.array(ty).filter(flat) else {
                continue;
            };
            let product = |counts: &[u32]| counts.iter().try_fold(1_u32, |a, b| a.checked_mul(*b));
            let mut of = rows.iter().filter(|(member, _)| *member == field.name);
            let found = of.find(|(_, counts)| product(counts) == Some(length));
            if let Some((_, counts)) = found {
                self.0.insert((id, n), counts.clone());
            }
        }
    }

    /// Those of a member.
    pub(super) fn get(&self, structure: u32, member: usize) -> Option<&[u32]> {
        self.0.get(&(structure, member)).map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::Dimensions;
    use synth::btf::Btf;
    use vmcore::kernel::Types;

    #[test]
    fn dimensions_are_believed_where_their_product_is_the_length() {
        let mut btf = Btf::new();
        let int = btf.int("int", 4, true);
        let array = |btf: &mut Btf, count| btf.add("", 3, 0, false, 0, &[int, int, count]);
        let (six, ten) = (array(&mut btf, 6), array(&mut btf, 10));
        let nested = btf.add("", 3, 0, false, 0, &[six, int, 1]);
        let inner = btf.compound("", 5, 24, &[("b", six, 0, 0)]);
        let members = [
            ("a", six, 0, 0),
            ("c", ten, 192, 0),
            ("", inner, 512, 0),
            ("d", nested, 704, 0),
        ];
        let outer = btf.compound("outer", 4, 112, &members);
        let types = Types::parse(btf.build(None), None).unwrap();
        let text = "struct outer a 2 4\nstruct outer a 2 3\nstruct outer b 3 2\n\
                    struct outer c 3 3\nstruct outer d 1 1\nunion outer a 6 1\nstruct other a 1 6\n";
        let found = Dimensions::by(text, &types);
        assert_eq!(found.get(outer, 0), Some(&[2, 3][..]));
        assert_eq!(found.get(outer, 1), None, "it has another length here");
        assert_eq!(found.get(inner, 0), Some(&[3, 2][..]));
        assert_eq!(found.get(outer, 3), None, "it is an array of arrays");
        assert_eq!(found.0.len(), 2);
    }
}
