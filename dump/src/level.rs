//! How much is dumped: makedumpfile's `-d` bits, or only the essential pages.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// makedumpfile's level bits.
pub mod bits {
    /// Pages of zeros.
    pub const ZERO: u8 = 1;
    /// Page cache without private data.
    pub const CACHE: u8 = 2;
    /// Page cache, with private data too.
    pub const CACHE_PRIVATE: u8 = 4;
    /// Memory of processes.
    pub const USER: u8 = 8;
    /// Free pages.
    pub const FREE: u8 = 16;
    /// All of them.
    pub const ALL: u8 = 31;
}

/// How much is dumped.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Level {
    /// makedumpfile's bits: what is left out.
    Bits(u8),
    /// Only what report, bt and ps need, found without a scan of the memory map.
    Essential,
}

impl Level {
    /// Everything that may be read.
    pub const ALL: Self = Self::Bits(0);
    /// No free, zero, cache or user pages.
    pub const STANDARD: Self = Self::Bits(bits::ALL);

    /// A name or a number from 0 to 31.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "all" => Some(Self::ALL),
            "standard" => Some(Self::STANDARD),
            "essential" => Some(Self::Essential),
            number => number
                .parse()
                .ok()
                .filter(|n| *n <= bits::ALL)
                .map(Self::Bits),
        }
    }
}

impl Default for Level {
    fn default() -> Self {
        Self::STANDARD
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ALL => f.write_str("all"),
            Self::STANDARD => f.write_str("standard"),
            Self::Essential => f.write_str("essential"),
            Self::Bits(n) => write!(f, "{n}"),
        }
    }
}

impl Serialize for Level {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Level {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "\"{text}\" is no level: all, standard, essential, or 0 to 31"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_by_name_and_number() {
        for text in ["all", "standard", "essential", "5"] {
            assert_eq!(Level::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Level::parse("31"), Some(Level::STANDARD));
        assert_eq!(Level::parse("32"), None);
    }
}
