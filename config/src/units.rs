//! Sizes ("64MiB") and times ("30s"). A bare number is refused: nobody remembers its unit.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::ValueError;
use crate::scalar::Scalar;

/// The units of size, largest first.
const SIZE_UNITS: [(&str, u64); 5] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// The units of time, largest first; the first spelling of each length is the one that is written.
const TIME_UNITS: [(&str, u64); 7] = [
    ("h", 3600),
    ("min", 60),
    ("m", 60),
    ("s", 1),
    ("hours", 3600),
    ("minutes", 60),
    ("seconds", 1),
];

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Scalar", into = "Scalar")]
pub struct Size(pub u64);

impl Size {
    /// So many bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, factor) in SIZE_UNITS {
            if self.0 >= factor && self.0.is_multiple_of(factor) {
                return write!(f, "{}{unit}", self.0 / factor);
            }
        }
        f.write_str("0B")
    }
}

impl FromStr for Size {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (number, unit) = split_number(text);
        let number: u64 = number.parse().map_err(|_| ValueError::Unreadable {
            value: format!("\"{text}\""),
            what: "is no size",
            example: "it like \"64MiB\" or \"2GiB\"",
        })?;
        let factor = match unit {
            "" if number == 0 => 1,
            "" => {
                return Err(no_unit(text, "MiB"));
            }
            _ => SIZE_UNITS
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(unit))
                .map(|(_, factor)| *factor)
                .ok_or_else(|| ValueError::UnknownUnit {
                    unit: unit.to_owned(),
                    quantity: "size",
                    known: "B, KiB, MiB, GiB, TiB",
                })?,
        };
        number
            .checked_mul(factor)
            .map(Size)
            .ok_or_else(|| ValueError::TooLarge {
                value: text.to_owned(),
                what: "more than 16 EiB",
            })
    }
}

impl TryFrom<Scalar> for Size {
    type Error = ValueError;

    fn try_from(value: Scalar) -> Result<Self, ValueError> {
        match value {
            Scalar::Word(word) => word.parse(),
            Scalar::Number(0) => Ok(Size(0)),
            Scalar::Number(n) => Err(ValueError::NoUnit {
                value: n.to_string(),
                example: "a size like \"64MiB\" or \"2GiB\"".into(),
            }),
        }
    }
}

impl From<Size> for Scalar {
    fn from(size: Size) -> Self {
        Scalar::Word(size.to_string())
    }
}

/// A length of time in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Scalar", into = "Scalar")]
pub struct Time(pub u64);

impl Time {
    /// The length in seconds.
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.0
    }

    /// The length as the standard library's type.
    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, factor) in TIME_UNITS {
            if self.0 >= factor && self.0.is_multiple_of(factor) {
                return write!(f, "{}{unit}", self.0 / factor);
            }
        }
        f.write_str("0s")
    }
}

impl FromStr for Time {
    type Err = ValueError;

    /// One or more numbers with units: "30s", "10min", "1h30min".
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let no_time = |value: String| ValueError::Unreadable {
            value,
            what: "is no time",
            example: "it like \"30s\" or \"10min\"",
        };
        let mut rest = text.trim();
        let mut total: u64 = 0;
        if rest.is_empty() {
            return Err(no_time("an empty string".into()));
        }
        while !rest.is_empty() {
            let (number, tail) = split_number(rest);
            let end = tail
                .find(|c: char| c.is_ascii_digit() || c.is_whitespace())
                .unwrap_or(tail.len());
            let (unit, next) = tail.split_at(end);
            let number: u64 = number.parse().map_err(|_| no_time(format!("\"{text}\"")))?;
            if unit.is_empty() {
                return Err(no_unit(text, "s"));
            }
            let factor = TIME_UNITS
                .iter()
                .find(|(name, _)| *name == unit)
                .map(|(_, factor)| *factor)
                .ok_or_else(|| ValueError::UnknownUnit {
                    unit: unit.to_owned(),
                    quantity: "time",
                    known: "s, min, h",
                })?;
            total = number
                .checked_mul(factor)
                .and_then(|seconds| total.checked_add(seconds))
                .ok_or_else(|| ValueError::TooLarge {
                    value: text.to_owned(),
                    what: "too long",
                })?;
            rest = next.trim_start();
        }
        Ok(Time(total))
    }
}

impl TryFrom<Scalar> for Time {
    type Error = ValueError;

    fn try_from(value: Scalar) -> Result<Self, ValueError> {
        match value {
            Scalar::Word(word) => word.parse(),
            Scalar::Number(n) => Err(ValueError::NoUnit {
                value: n.to_string(),
                example: "a time like \"30s\" or \"10min\"".into(),
            }),
        }
    }
}

impl From<Time> for Scalar {
    fn from(time: Time) -> Self {
        Scalar::Word(time.to_string())
    }
}

fn no_unit(text: &str, unit: &str) -> ValueError {
    ValueError::NoUnit {
        value: format!("\"{text}\""),
        example: format!("it like \"{text}{unit}\""),
    }
}

/// Splits "64MiB" into "64" and "MiB"; blanks between are allowed.
fn split_number(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_unit() {
        assert_eq!("64MiB".parse(), Ok(Size(67_108_864)));
        assert_eq!("2 GiB".parse(), Ok(Size(2_147_483_648)));
        assert_eq!("0".parse(), Ok(Size(0)));
        let why = |text: &str| text.parse::<Size>().unwrap_err().to_string();
        assert!(why("64").contains("write it like \"64MiB\""));
        assert!(why("64MB").contains("\"MB\""));
        assert!(why("16777216TiB").contains("16 EiB"));
        assert!("-1GiB".parse::<Size>().is_err());
    }

    #[test]
    fn times_are_read_with_their_unit() {
        assert_eq!("30s".parse(), Ok(Time(30)));
        assert_eq!("10min".parse(), Ok(Time(600)));
        assert_eq!("1h30min".parse(), Ok(Time(5400)));
        assert_eq!("1h 5s".parse(), Ok(Time(3605)));
        for bad in ["", "30", "min", "5 days", "99999999999999999999h"] {
            assert!(bad.parse::<Time>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for bytes in [0, 1, 1023, 1024, 3 << 20, 5 << 30, (1 << 30) + 1, u64::MAX] {
            assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)));
        }
        for seconds in [0, 1, 59, 60, 61, 1800, 3600, 5400, 86_399] {
            assert_eq!(Time(seconds).to_string().parse(), Ok(Time(seconds)));
        }
    }
}
