//! The table's text, out of the variables of some kernels.

use super::vmlinux::Vmlinux;
use debuginfo::{Structure, Table, Variable};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Names by type and by the set of kernels in which they have it.
#[derive(Default)]
pub(super) struct Maker {
    kernels: Vec<String>,
    /// By name and type: the set of kernels, a bit for each.
    names: BTreeMap<(String, String), u16>,
    /// By structure and member: the dimensions of an array that has several, of all kernels.
    dimensions: BTreeMap<(String, String), BTreeSet<Vec<u32>>>,
}

impl Maker {
    /// Adds the variables of a kernel, those that its BTF tells, too: another kernel's need not.
    pub(super) fn add(&mut self, kernel: &Vmlinux) {
        let bit = 1 << self.kernels.len();
        self.kernels.push(kernel.release.clone());
        let mut found: BTreeMap<String, Vec<(Option<usize>, &str)>> = BTreeMap::new();
        let globals = kernel.globals(None);
        // A weak definition's array has no length, the strong one at its address has.
        let sized = |of: &&(u64, Variable)| of.1.size.is_some();
        let sized = kernel.variables.iter().filter(sized);
        let sized: HashSet<u64> = sized.map(|(address, _)| *address).collect();
        for (address, variable) in &kernel.variables {
            let Some(symbol) = kernel.symbol_of(*address, variable) else {
                continue;
            };
            let is_known = variable.size.is_some() || !sized.contains(address);
            let is_typed = is_known && globals.parse(&variable.words).is_some();
            if !is_typed {
                continue;
            }
            let name = Table::key(symbol).into_owned();
            let rank = match name == symbol {
                true => kernel.names.rank(symbol, *address),
                false => None,
            };
            found.entry(name).or_default().push((rank, &variable.words));
        }
        for (name, all) in found {
            let types: BTreeSet<&str> = all.iter().map(|(_, words)| *words).collect();
            for (rank, words) in all {
                let name = match rank.filter(|_| types.len() > 1) {
                    Some(rank) => format!("{name}#{rank}"),
                    None => name.clone(),
                };
                *self.names.entry((name, words.to_owned())).or_default() |= bit;
            }
        }
    }

    /// Adds the members of a structure that are arrays of several dimensions.
    pub(super) fn add_structure(&mut self, structure: &Structure) {
        for field in &structure.members {
            if let Some(counts) = dimensions(&field.words) {
                let key = (structure.name.clone(), field.name.clone());
                self.dimensions.entry(key).or_default().insert(counts);
            }
        }
    }

    /// The dimensions, as the writer of DWARF in `debuginfo` reads them. Where two have one product, neither is
    /// certain.
    pub(super) fn dimensions(&self) -> String {
        let mut text = String::new();
        for ((structure, member), all) in &self.dimensions {
            let product = |counts: &[u32]| {
                counts
                    .iter()
                    .map(|count| u64::from(*count))
                    .product::<u64>()
            };
            let is_one = |counts: &Vec<u32>| {
                let same = |other: &&Vec<u32>| product(other) == product(counts);
                all.iter().filter(same).count() == 1
            };
            for counts in all.iter().filter(|counts| is_one(counts)) {
                let counts: Vec<String> = counts.iter().map(u32::to_string).collect();
                text.push_str(&format!("{structure} {member} {}\n", counts.join(" ")));
            }
        }
        text
    }

    /// How many names there are.
    pub(super) fn len(&self) -> usize {
        let names: BTreeSet<&str> = self
            .names
            .keys()
            .filter_map(|(name, _)| name.split('#').next())
            .collect();
        names.len()
    }

    /// The text, as `debuginfo::Table` reads it.
    pub(super) fn text(&self) -> String {
        let mut types: BTreeMap<&str, BTreeMap<u16, Vec<&str>>> = BTreeMap::new();
        for ((name, words), set) in &self.names {
            let sets = types.entry(words).or_default();
            sets.entry(*set).or_default().push(name);
        }
        let mut text = format!("afterpanic globals 1\nkernels {}\n", self.kernels.join(" "));
        for (words, sets) in types {
            text.push_str(&format!(":{words}\n"));
            for (set, names) in sets {
                text.push_str(&format!("{set:x} {}\n", names.join(" ")));
            }
        }
        text
    }
}

/// The dimensions of a type in words, if it is an array of several: `int [2][3]`, `int (*[2][3])(void)`.
fn dimensions(words: &str) -> Option<Vec<u32>> {
    let (before, mut rest) = words.split_at(words.find('[')?);
    // Of a pointer to an array.
    if before.ends_with(')') {
        return None;
    }
    let mut counts = Vec::new();
    while let Some((count, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        counts.push(count.parse().ok().filter(|count| *count > 0)?);
        rest = after;
    }
    let is_whole = rest.is_empty() || rest.starts_with(")(");
    (is_whole && counts.len() > 1).then_some(counts)
}

#[cfg(test)]
mod tests {
    use super::{Maker, dimensions};
    use debuginfo::{Field, Structure};

    #[test]
    fn arrays_of_several_dimensions_are_found() {
        assert_eq!(dimensions("int [2][3]"), Some(vec![2, 3]));
        assert_eq!(dimensions("int (*[2][3])(void)"), Some(vec![2, 3]));
        for words in ["int", "int [2]", "int [2][0]", "int (*)[2][3]"] {
            assert_eq!(dimensions(words), None, "{words}");
        }
    }

    #[test]
    fn dimensions_with_one_product_are_left_out() {
        let of = |name: &str, words: &str| {
            let field = Field {
                name: name.to_owned(),
                bit: 0,
                bits: None,
                size: None,
                words: words.to_owned(),
            };
            Structure {
                name: "struct s".to_owned(),
                size: 0,
                members: vec![field],
            }
        };
        let mut maker = Maker::default();
        for (name, words) in [
            ("a", "int [2][3]"),
            ("a", "int [2][4]"),
            ("b", "int [2][3]"),
            ("b", "int [3][2]"),
        ] {
            maker.add_structure(&of(name, words));
        }
        assert_eq!(maker.dimensions(), "struct s a 2 3\nstruct s a 2 4\n");
    }
}
