//! The table of globals' types that ships with afterpanic, made from the debug information of some
//! kernels by `cargo run -p lab -- globals`.
//!
//! A text, compressed by xz. The first line is `afterpanic globals 1`, the second `kernels` with their
//! releases. Then for each type a line `:` with its words, and below it for each set of kernels a line with
//! the set (a bit for each kernel, in hex) and the names of that type in them. A name with a dot at
//! its end is that of variables inside functions, whose symbols end in a dot and a number. Where several
//! variables of one kernel have a name, `#` and their number in the order of addresses are behind it: in
//! that very kernel it tells them apart.

use super::GlobalsError;
use super::length::{Place, settle};
use crate::CType;
use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Read;
use vmcore::kernel::Types;

/// What it unpacks to is a few MiB.
const MAX_TEXT: u64 = 64 << 20;
/// Kernels that a set has bits for.
const MAX_KERNELS: usize = 16;
/// gcc puts no object at a larger multiple because of its size alone.
const ALIGN: u64 = 32;

static SHIPPED: &[u8] = include_bytes!("table.txt.xz");

/// Names with their types in several kernels.
#[derive(Clone, Debug)]
pub struct Table {
    /// Releases, in the order of the sets' bits.
    kernels: Vec<String>,
    types: Vec<String>,
    names: HashMap<String, Vec<Known>>,
}

/// A type that a name has in a set of kernels.
#[derive(Clone, Copy, Debug)]
struct Known {
    set: u16,
    /// The number of the type.
    number: u32,
    /// Which of several variables of that name, in the order of addresses.
    rank: Option<u32>,
}

/// What the table says of a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    /// Its type.
    One(CType),
    /// Several variables have that name; those of these types fit.
    Several(Vec<CType>),
    /// Nothing that fits.
    None,
}

impl Table {
    /// The one that ships.
    ///
    /// # Errors
    /// [`GlobalsError::Table`] when this program is damaged.
    pub fn shipped() -> Result<Self, GlobalsError> {
        let damaged = |why| GlobalsError::Table { why };
        let mut text = String::new();
        let unpacked = lzma_rust2::XzReader::new(SHIPPED, false)
            .take(MAX_TEXT)
            .read_to_string(&mut text);
        unpacked.map_err(|_| damaged("it cannot be unpacked"))?;
        Self::parse(&text)
    }

    /// Reads the text.
    ///
    /// # Errors
    /// [`GlobalsError::Table`]
    pub fn parse(text: &str) -> Result<Self, GlobalsError> {
        let damaged = |why| GlobalsError::Table { why };
        let mut lines = text.lines();
        if lines.next() != Some("afterpanic globals 1") {
            return Err(damaged("its first line is another"));
        }
        let kernels = lines
            .next()
            .and_then(|line| line.strip_prefix("kernels "))
            .ok_or_else(|| damaged("it names no kernels"))?;
        let kernels: Vec<String> = kernels.split(' ').map(ToOwned::to_owned).collect();
        if kernels.len() > MAX_KERNELS {
            return Err(damaged("it has too many kernels"));
        }
        let mut this = Self {
            kernels,
            types: Vec::new(),
            names: HashMap::new(),
        };
        for line in lines {
            if let Some(words) = line.strip_prefix(':') {
                this.types.push(words.to_owned());
                continue;
            }
            let mut words = line.split(' ');
            let set = words
                .next()
                .and_then(|set| u16::from_str_radix(set, 16).ok());
            let set = set.ok_or_else(|| damaged("a set of kernels is no number"))?;
            let number = this.types.len().checked_sub(1);
            let number = number.and_then(|number| u32::try_from(number).ok());
            let number = number.ok_or_else(|| damaged("names come before their type"))?;
            for name in words {
                let (name, rank) = match name.split_once('#') {
                    Some((name, rank)) => {
                        let rank = rank.parse();
                        (
                            name,
                            Some(rank.map_err(|_| damaged("a rank is no number"))?),
                        )
                    }
                    None => (name, None),
                };
                let known = this.names.entry(name.to_owned()).or_default();
                known.push(Known { set, number, rank });
            }
        }
        Ok(this)
    }

    /// The name under which it has a symbol.
    #[must_use]
    pub fn key(symbol: &str) -> Cow<'_, str> {
        key(symbol)
    }

    /// The releases of the kernels in it.
    pub fn kernels(&self) -> impl Iterator<Item = &str> {
        self.kernels.iter().map(String::as_str)
    }

    /// The same without one kernel.
    #[must_use]
    pub fn without(mut self, release: &str) -> Self {
        let at = self.kernels.iter().position(|kernel| kernel == release);
        let mask = at.map_or(0, |at| 1_u16 << at);
        for known in self.names.values_mut() {
            known.iter_mut().for_each(|known| known.set &= !mask);
            known.retain(|known| known.set != 0);
        }
        self
    }

    /// The type of a variable in this very kernel, if the table has it: `rank` as in [`Known::rank`].
    fn own(&self, asked: &Asked<'_>) -> Option<CType> {
        let row = self
            .kernels
            .iter()
            .position(|kernel| kernel == asked.release)?;
        let known = self.names.get(key(asked.name).as_ref())?;
        let mut all = known.iter().filter(|known| known.set >> row & 1 == 1);
        let rank = |known: &&Known| {
            known
                .rank
                .is_some_and(|rank| usize::try_from(rank) == Ok(asked.rank))
        };
        let is_one = all.clone().nth(1).is_none() && all.clone().all(|known| known.rank.is_none());
        let found = if is_one { all.next() } else { all.find(rank) };
        let ty = (asked.parse)(self.words(found?)?)?;
        match ty.size(asked.types) {
            Some(size) => asked.place.holds(size).then_some(ty),
            None => settle(ty, &asked.place, asked.types),
        }
    }

    fn words(&self, known: &Known) -> Option<&str> {
        let words = self.types.get(usize::try_from(known.number).ok()?);
        words.map(String::as_str)
    }

    /// The type of a symbol: as in this very kernel, or as in the nearest one that has a variable of that
    /// name whose type this kernel has and that fits.
    pub(super) fn of(&self, asked: &Asked<'_>) -> Answer {
        if let Some(ty) = self.own(asked) {
            return Answer::One(ty);
        }
        let types = asked.types;
        let Some(all) = self.names.get(key(asked.name).as_ref()) else {
            return Answer::None;
        };
        for row in self.nearest(asked.release) {
            let mut fitting: Vec<CType> = Vec::new();
            for known in all.iter().filter(|known| known.set >> row & 1 == 1) {
                let words = self.words(known);
                let ty = words.and_then(asked.parse);
                let ty = ty.and_then(|ty| settle(ty, &asked.place, types));
                fitting.extend(ty.filter(|ty| !fitting.contains(ty)));
            }
            match fitting.as_slice() {
                [] => continue,
                [ty] => return Answer::One(ty.clone()),
                _ => {}
            }
            let fills = |ty: &&CType| {
                let size = ty.size(types);
                let room = asked.place.room;
                room.zip(size)
                    .is_some_and(|(room, size)| room.saturating_sub(size) < ALIGN)
            };
            let filling: Vec<&CType> = fitting.iter().filter(fills).collect();
            return match filling.as_slice() {
                [ty] => Answer::One((*ty).clone()),
                _ => Answer::Several(fitting),
            };
        }
        Answer::None
    }

    /// The type in words that a variable has in the nearest kernel which has one of that name, and no more.
    pub(super) fn near(&self, name: &str, release: &str) -> Option<&str> {
        let all = self.names.get(key(name).as_ref())?;
        let of = |row: usize| all.iter().filter(move |known| known.set >> row & 1 == 1);
        let rows = self.nearest(release).into_iter();
        let row = rows.into_iter().find(|row| of(*row).next().is_some())?;
        let mut known = of(row);
        match (known.next(), known.next()) {
            (Some(known), None) => self.words(known),
            _ => None,
        }
    }

    /// The kernels' numbers, nearest first.
    fn nearest(&self, release: &str) -> Vec<usize> {
        let own = ordinal(release);
        let mut rows: Vec<(bool, u32, usize)> = (0..)
            .zip(&self.kernels)
            .map(|(row, kernel)| (kernel != release, ordinal(kernel).abs_diff(own), row))
            .collect();
        rows.sort_unstable();
        rows.into_iter().map(|(.., row)| row).collect()
    }
}

/// What is asked of the table.
pub(super) struct Asked<'a> {
    /// The symbol.
    pub(super) name: &'a str,
    /// How many symbols of that name lie before it.
    pub(super) rank: usize,
    /// Where it is.
    pub(super) place: Place<'a>,
    /// The kernel's release.
    pub(super) release: &'a str,
    /// Reads a type in words.
    pub(super) parse: &'a dyn Fn(&str) -> Option<CType>,
    pub(super) types: &'a Types,
}

/// The name under which a symbol is in the table: numbers behind a dot are the compiler's, as are those of
/// `__UNIQUE_ID`.
#[must_use]
pub(super) fn key(name: &str) -> Cow<'_, str> {
    if name.starts_with("__UNIQUE_ID") {
        let base = name.trim_end_matches(|c: char| c == '.' || c.is_ascii_digit());
        return format!("{base}.").into();
    }
    let mut base = name;
    while let Some((head, tail)) = base.rsplit_once('.') {
        if head.is_empty() || tail.is_empty() || !tail.bytes().all(|byte| byte.is_ascii_digit()) {
            break;
        }
        base = head;
    }
    match base.len() == name.len() {
        true => name.into(),
        false => format!("{base}.").into(),
    }
}

/// Releases counted: 5.0 to 5.19, 6.0 to 6.19, 7.0 on (the last minor number has been 19 or 20 since 3.x).
fn ordinal(release: &str) -> u32 {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next().and_then(|number| number.parse::<u32>().ok());
    let (major, minor) = (next().unwrap_or(0), next().unwrap_or(0));
    major.saturating_mul(20).saturating_add(minor)
}

#[cfg(test)]
mod tests;
