//! A value that may be left to afterpanic: `"auto"`.

use serde::{Deserialize, Serialize};

use crate::error::ValueError;
use crate::scalar::Scalar;
use crate::units::Size;

/// A number, or the choice left to afterpanic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Scalar", into = "Scalar")]
#[serde(bound(
    serialize = "T: Clone, Scalar: From<Auto<T>>",
    deserialize = "Auto<T>: TryFrom<Scalar, Error = ValueError>"
))]
pub enum Auto<T> {
    /// `"auto"`
    Auto,
    /// The value given.
    Set(T),
}

impl TryFrom<Scalar> for Auto<u32> {
    type Error = ValueError;

    fn try_from(value: Scalar) -> Result<Self, ValueError> {
        let number = match &value {
            Scalar::Word(word) if word == "auto" => return Ok(Self::Auto),
            Scalar::Word(word) => word.parse().ok(),
            Scalar::Number(n) => u32::try_from(*n).ok(),
        };
        match number {
            Some(n @ 1..=4096) => Ok(Self::Set(n)),
            _ => Err(ValueError::NotTaken {
                value: value.to_string(),
                choices: "\"auto\" or a number from 1 to 4096",
            }),
        }
    }
}

impl From<Auto<u32>> for Scalar {
    fn from(value: Auto<u32>) -> Self {
        match value {
            Auto::Auto => Self::Word("auto".into()),
            Auto::Set(n) => Self::Number(i64::from(n)),
        }
    }
}

impl TryFrom<Scalar> for Auto<String> {
    type Error = ValueError;

    fn try_from(value: Scalar) -> Result<Self, ValueError> {
        match value {
            Scalar::Word(word) if word == "auto" => Ok(Self::Auto),
            Scalar::Word(word) if !word.trim().is_empty() => Ok(Self::Set(word)),
            other => Err(ValueError::NotTaken {
                value: other.to_string(),
                choices: "\"auto\" or a value like \"192M\"",
            }),
        }
    }
}

impl From<Auto<String>> for Scalar {
    fn from(value: Auto<String>) -> Self {
        match value {
            Auto::Auto => Self::Word("auto".into()),
            Auto::Set(word) => Self::Word(word),
        }
    }
}

impl TryFrom<Scalar> for Auto<Size> {
    type Error = ValueError;

    fn try_from(value: Scalar) -> Result<Self, ValueError> {
        match value {
            Scalar::Word(word) if word == "auto" => Ok(Self::Auto),
            other => Size::try_from(other).map(Self::Set),
        }
    }
}

impl From<Auto<Size>> for Scalar {
    fn from(value: Auto<Size>) -> Self {
        match value {
            Auto::Auto => Self::Word("auto".into()),
            Auto::Set(size) => size.into(),
        }
    }
}

impl<T> From<Option<T>> for Auto<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Auto, Self::Set)
    }
}

impl<T> Auto<T> {
    /// The value given, if one was.
    #[must_use]
    pub fn set(self) -> Option<T> {
        match self {
            Self::Auto => None,
            Self::Set(value) => Some(value),
        }
    }
}
