//! What is wrong with a config file: where, what, and what was probably meant.

use std::path::{Path, PathBuf};

/// Why a config could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("Cannot read the config {}; create it or leave --config out", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file does not say what it may.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What is wrong there and, where it can be guessed, what was meant.
        message: String,
    },
}

/// A value that its key does not take. Values are shown as the file has them.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// Not one of those that the key takes.
    #[error("{value} must be {choices}")]
    NotTaken {
        /// The value.
        value: String,
        /// What the key takes.
        choices: &'static str,
    },
    /// It cannot be read as what the key wants.
    #[error("{value} {what}; write {example}")]
    Unreadable {
        /// The value.
        value: String,
        /// "is no size", "names no device".
        what: &'static str,
        /// How it is written.
        example: &'static str,
    },
    /// A number without a unit.
    #[error("{value} has no unit; write {example}")]
    NoUnit {
        /// The value.
        value: String,
        /// How it is written, with a unit.
        example: String,
    },
    /// A unit that is not known.
    #[error("\"{unit}\" is no unit of {quantity}; known: {known}")]
    UnknownUnit {
        /// The unit.
        unit: String,
        /// "size" or "time".
        quantity: &'static str,
        /// The units that are known.
        known: &'static str,
    },
    /// A number that is too large.
    #[error("\"{value}\" is {what}")]
    TooLarge {
        /// The value.
        value: String,
        /// "more than 16 EiB", "too long".
        what: &'static str,
    },
}

impl ConfigError {
    /// The line, if it is known.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        match self {
            Self::Parse { line, .. } => Some(*line),
            Self::Read { .. } => None,
        }
    }

    /// The column, if it is known.
    #[must_use]
    pub fn column(&self) -> Option<usize> {
        match self {
            Self::Parse { column, .. } => Some(*column),
            Self::Read { .. } => None,
        }
    }

    pub(crate) fn from_toml(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let offset = error.span().map_or(0, |span| span.start);
        let (line, column) = position(text, offset);
        Self::Parse {
            path: path.to_owned(),
            line,
            column,
            message: explain(error.message()),
        }
    }
}

/// Line and column, from 1, of a byte offset.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = text.get(..offset).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(start..).unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// serde's "unknown field `x`, expected one of `a`, `b`" shortened to the nearest name.
fn explain(message: &str) -> String {
    let first = message.lines().next().unwrap_or_default();
    let (what, noun) = if let Some(rest) = first.strip_prefix("unknown field ") {
        (rest, "key")
    } else if let Some(rest) = first.strip_prefix("unknown variant ") {
        (rest, "value")
    } else if let Some(rest) = first.strip_prefix("unknown page kind ") {
        (rest, "page kind")
    } else if first == "duplicate field `capture_kernel`" {
        return "[panic_kernel] is the old name of [capture_kernel]; keep only one of the two"
            .into();
    } else {
        return first.to_owned();
    };
    let mut names = what.split('`').skip(1).step_by(2);
    let Some(unknown) = names.next() else {
        return first.to_owned();
    };
    let known: Vec<&str> = names.collect();
    match nearest(unknown, &known) {
        Some(guess) => {
            format!("Unknown {noun} \"{unknown}\"; \"{guess}\" is the nearest known one")
        }
        None => format!(
            "Unknown {noun} \"{unknown}\"; known here: {}",
            known.join(", ")
        ),
    }
}

/// The known name that is the fewest edits away, if that is few enough to be a slip.
pub(crate) fn nearest<'a>(unknown: &str, known: &[&'a str]) -> Option<&'a str> {
    let unknown = unknown.to_ascii_lowercase().replace('-', "_");
    // The distance is at least the difference in length, which is cheap to tell.
    let near =
        |name: &&&str| name.len().abs_diff(unknown.len()) <= name.len().max(unknown.len()) / 2;
    known
        .iter()
        .filter(near)
        .map(|name| {
            let plain = name.to_ascii_lowercase().replace('-', "_");
            (distance(&unknown, &plain), *name)
        })
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, name)| *distance <= name.len().max(unknown.len()) / 2)
        .map(|(_, name)| name)
}

/// The known name of which `unknown` is a slip of the finger: one letter of four is wrong at most, and two
/// in all. `-` and `_` are the same, as are upper and lower case.
pub(crate) fn slip_of<'a>(unknown: &str, known: &[&'a str]) -> Option<&'a str> {
    let name = nearest(unknown, known)?;
    let unknown = unknown.to_ascii_lowercase().replace('-', "_");
    let far = distance(&unknown, &name.to_ascii_lowercase().replace('-', "_"));
    (far <= (name.len() / 4).min(2)).then_some(name)
}

/// Levenshtein's distance, over characters, with one row of memory.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(&b) {
            let cost = diagonal + usize::from(from != *to);
            diagonal = *cell;
            left = cost.min(*cell + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_the_textbook() {
        for (a, b, expected) in [
            ("kitten", "sitting", 3),
            ("", "abc", 3),
            ("same", "same", 0),
            ("flaw", "lawn", 2),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn positions_count_characters() {
        assert_eq!(position("a\nbä = 1", 2), (2, 1));
        assert_eq!(position("a\nbä = 1", 5), (2, 3));
        assert_eq!(position("", 10), (1, 1));
    }
}
