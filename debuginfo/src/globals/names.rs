//! Symbols in the order of their addresses: what lies where, and how much room it has.

use std::collections::HashMap;

/// Symbols by address and by name.
#[derive(Default, Debug)]
pub struct Names {
    /// Address and name, ascending.
    sorted: Vec<(u64, Box<str>)>,
    /// Of several symbols with one name the first global one, else the first.
    by_name: HashMap<Box<str>, (u64, bool)>,
    /// Where several symbols have one name: their addresses, ascending.
    twins: HashMap<Box<str>, Vec<u64>>,
}

impl Names {
    /// Takes address, nm's letter and name of each symbol, in the table's order.
    #[must_use]
    pub fn new(symbols: impl IntoIterator<Item = (u64, char, String)>) -> Self {
        let mut this = Self::default();
        for (address, kind, name) in symbols {
            let name: Box<str> = name.into();
            let global = kind.is_ascii_uppercase();
            let known = this.by_name.get(&name).copied();
            if let Some((first, _)) = known {
                let twins = this.twins.entry(name.clone());
                twins.or_insert_with(|| vec![first]).push(address);
            }
            if known.is_none_or(|(_, already)| global && !already) {
                this.by_name.insert(name.clone(), (address, global));
            }
            this.sorted.push((address, name));
        }
        this.twins.values_mut().for_each(|all| {
            all.sort_unstable();
            all.dedup();
        });
        // Stable: names of one address keep their order.
        this.sorted.sort_by_key(|(address, _)| *address);
        this
    }

    /// The address of a name.
    #[must_use]
    pub fn address(&self, name: &str) -> Option<u64> {
        self.by_name.get(name).map(|(address, _)| *address)
    }

    /// Of several symbols with one name: how many of them lie before `address`. `None` for a name that
    /// one symbol has.
    #[must_use]
    pub fn rank(&self, name: &str, address: u64) -> Option<usize> {
        let twins = self.twins.get(name).filter(|all| all.len() > 1)?;
        twins.binary_search(&address).ok()
    }

    /// Bytes from `address` to the next symbol that lies elsewhere.
    #[must_use]
    pub fn room(&self, address: u64) -> Option<u64> {
        let next = self.sorted.partition_point(|(at, _)| *at <= address);
        self.sorted.get(next)?.0.checked_sub(address)
    }

    /// The names at an address.
    pub fn at(&self, address: u64) -> impl Iterator<Item = &str> {
        let from = self.sorted.partition_point(|(at, _)| *at < address);
        let rest = self.sorted.get(from..).unwrap_or_default().iter();
        rest.take_while(move |(at, _)| *at == address)
            .map(|(_, name)| &**name)
    }

    /// Each address in `start..end` that has a symbol, once, with its room.
    pub(super) fn places(&self, start: u64, end: u64) -> impl Iterator<Item = (u64, u64)> {
        let from = self.sorted.partition_point(|(at, _)| *at < start);
        let rest = self.sorted.get(from..).unwrap_or_default();
        let pairs = rest.windows(2).map_while(move |pair| match pair {
            [(at, _), (next, _)] if *at < end => Some((*at, (*next).min(end) - *at)),
            _ => None,
        });
        pairs.filter(|(_, room)| *room > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::Names;

    #[test]
    fn room_is_up_to_the_next_place() {
        let symbols = [
            (0x100, 'd', "a"),
            (0x100, 'D', "alias"),
            (0x180, 'd', "b"),
            (0x200, 'D', "b"),
        ];
        let names = Names::new(symbols.map(|(at, kind, name)| (at, kind, name.to_owned())));
        assert_eq!(names.room(0x100), Some(0x80));
        assert_eq!(names.room(0x200), None);
        assert_eq!(names.rank("b", 0x200), Some(1));
        assert_eq!(names.rank("a", 0x100), None);
        assert_eq!(names.address("b"), Some(0x200), "a global one comes first");
        assert_eq!(names.at(0x100).collect::<Vec<_>>(), ["a", "alias"]);
        let places: Vec<_> = names.places(0x100, 0x1c0).collect();
        assert_eq!(places, [(0x100, 0x80), (0x180, 0x40)]);
    }
}
