//! The table's text, out of the variables of some kernels.

use super::vmlinux::Vmlinux;
use debuginfo::{Table, Variable};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Names by type and by the set of kernels in which they have it.
#[derive(Default)]
pub(super) struct Maker {
    kernels: Vec<String>,
    /// By name and type: the set of kernels, a bit for each.
    names: BTreeMap<(String, String), u16>,
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
