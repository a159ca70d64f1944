//! `crashkernel=` in full, as the kernel reads it, and in words.
//!
//! Facts: kernel/crash_reserve.c (6.9 on) and kernel/crash_core.c (before), arch/x86/kernel/setup.c,
//! Linux 5.10 to 7.2; `,cma` is known from 6.17 on. The kernel takes the last occurrence of each
//! form; a plain form switches `,high` and `,low` off.

use std::fmt;

use serde::Serialize;

/// One `crashkernel=` value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Value {
    /// `size[@offset]`.
    Size {
        /// Bytes.
        size: u64,
        /// The exact place, if one is asked for.
        offset: Option<u64>,
    },
    /// `start-[end]:size[,…][@offset]`.
    Ranges {
        /// In the order written; the first that matches counts.
        ranges: Vec<SizeRange>,
        /// The exact place, if one is asked for.
        offset: Option<u64>,
    },
    /// `size,high`.
    High(u64),
    /// `size,low`.
    Low(u64),
    /// `size,cma`.
    Cma(u64),
}

/// One rule of the range form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SizeRange {
    /// RAM from here on.
    pub start: u64,
    /// RAM below here; `None`: no limit.
    pub end: Option<u64>,
    /// Bytes to reserve.
    pub size: u64,
}

/// Why a value is not one that the kernel takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "crashkernel={value}: {why} at character {at}; write SIZE[@OFFSET], START-[END]:SIZE,…, SIZE,high, SIZE,low or SIZE,cma with K, M or G"
)]
pub struct ParseError {
    value: String,
    why: &'static str,
    at: usize,
}

/// The words of a kernel command line that are `crashkernel=` values, in order. Those after `--`
/// belong to init.
#[must_use]
pub fn parameters(cmdline: &str) -> Vec<String> {
    (crate::words::words(cmdline).iter())
        .take_while(|w| *w != "--")
        .filter_map(|w| w.strip_prefix("crashkernel="))
        .map(|v| v.trim_matches('"').to_owned())
        .collect()
}

struct Cursor<'a> {
    value: &'a str,
    at: usize,
}

impl Cursor<'_> {
    fn rest(&self) -> &str {
        self.value.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, what: char) -> bool {
        let found = self.rest().starts_with(what);
        if found {
            self.at += what.len_utf8();
        }
        found
    }

    fn fail<T>(&self, why: &'static str) -> Result<T, ParseError> {
        Err(ParseError {
            value: self.value.to_owned(),
            why,
            at: self.at + 1,
        })
    }

    /// The kernel's memparse(): decimal, 0x hexadecimal or 0 octal, and a suffix.
    fn memory(&mut self) -> Result<u64, ParseError> {
        let rest = self.rest();
        let (radix, digits) = match rest.strip_prefix("0x").or_else(|| rest.strip_prefix("0X")) {
            Some(hex) => (16, hex),
            None if rest.len() > 1
                && rest.starts_with('0')
                && rest
                    .get(1..)
                    .is_some_and(|r| r.starts_with(|c: char| c.is_digit(8))) =>
            {
                (8, rest)
            }
            None => (10, rest),
        };
        let prefix = rest.len() - digits.len();
        let len = digits
            .find(|c: char| !c.is_digit(radix))
            .unwrap_or(digits.len());
        if len == 0 {
            return self.fail("a number is missing");
        }
        let number = digits.get(..len).unwrap_or_default();
        let Ok(number) = u64::from_str_radix(number, radix) else {
            return self.fail("the number is too large");
        };
        let (shift, suffix) = match digits.get(len..).and_then(|s| s.chars().next()) {
            Some('K' | 'k') => (10, 1),
            Some('M' | 'm') => (20, 1),
            Some('G' | 'g') => (30, 1),
            Some('T' | 't') => (40, 1),
            Some('P' | 'p') => (50, 1),
            Some('E' | 'e') => (60, 1),
            _ => (0, 0),
        };
        let Some(value) = number.checked_mul(1 << shift) else {
            return self.fail("the number is too large");
        };
        self.at += prefix + len + suffix;
        Ok(value)
    }
}

impl Value {
    /// Reads one value, what stands after `crashkernel=`.
    ///
    /// # Errors
    /// With the place where the kernel would stop reading.
    pub fn parse(value: &str) -> Result<Self, ParseError> {
        let mut c = Cursor { value, at: 0 };
        let out = if value.contains(':') {
            ranges(&mut c)?
        } else {
            simple(&mut c)?
        };
        if c.rest().is_empty() {
            Ok(out)
        } else {
            c.fail("something is left over")
        }
    }

    /// What it reserves in the main region on a machine with `ram` bytes: `None` when it says
    /// nothing about that region, 0 when no rule matches. The kernel rounds the RAM up to 128 MiB.
    #[must_use]
    pub fn size_for(&self, ram: u64) -> Option<u64> {
        match self {
            Self::Size { size, .. } | Self::High(size) => Some(*size),
            Self::Ranges { ranges, .. } => {
                let ram = ram.checked_next_multiple_of(128 << 20).unwrap_or(u64::MAX);
                let hit = ranges
                    .iter()
                    .find(|r| r.start <= ram && r.end.is_none_or(|end| ram < end));
                Some(hit.map_or(0, |r| r.size))
            }
            Self::Low(_) | Self::Cma(_) => None,
        }
    }

    /// In words.
    #[must_use]
    pub fn explain(&self) -> String {
        match self {
            // Offset 0 is what the kernel has without one: it looks for a place.
            Self::Size { size, offset: None | Some(0) } => {
                format!("{}, below 4 GiB if there is room, otherwise above with a small part below", Memory(*size))
            }
            Self::Size { size, offset: Some(at) } => {
                format!("{} at exactly {at:#x}, or nothing", Memory(*size))
            }
            Self::Ranges { ranges, offset } => {
                let mut words: Vec<String> = ranges
                    .iter()
                    .map(|r| match r.end {
                        Some(end) => format!("{} with RAM from {} to below {}", Memory(r.size), Memory(r.start), Memory(end)),
                        None => format!("{} with RAM of {} or more", Memory(r.size), Memory(r.start)),
                    })
                    .collect();
                if let Some(at) = offset.filter(|at| *at != 0) {
                    words.push(format!("at exactly {at:#x}, or nothing"));
                }
                words.join("; ")
            }
            Self::High(size) => format!("{} from the top of memory, usually above 4 GiB", Memory(*size)),
            Self::Low(0) => "no part below 4 GiB beside the high region: devices that need 32-bit DMA will not work in the capture kernel".to_owned(),
            Self::Low(size) => format!("{} below 4 GiB beside the high region, for 32-bit DMA", Memory(*size)),
            Self::Cma(size) => format!("{} more, which programs may use until the panic; their pages there are missing from the core, and the kernel waits 10 s before it starts the capture kernel", Memory(*size)),
        }
    }
}

fn simple(c: &mut Cursor<'_>) -> Result<Value, ParseError> {
    let size = c.memory()?;
    for (suffix, make) in [
        (",high", Value::High as fn(u64) -> Value),
        (",low", Value::Low),
        (",cma", Value::Cma),
    ] {
        if c.rest() == suffix {
            c.at += suffix.len();
            return Ok(make(size));
        }
    }
    let offset = if c.take('@') { Some(c.memory()?) } else { None };
    Ok(Value::Size { size, offset })
}

fn ranges(c: &mut Cursor<'_>) -> Result<Value, ParseError> {
    let mut ranges = Vec::new();
    loop {
        let start = c.memory()?;
        if !c.take('-') {
            return c.fail("'-' is missing");
        }
        let end = if c.rest().starts_with(':') {
            None
        } else {
            Some(c.memory()?)
        };
        if end.is_some_and(|end| end <= start) {
            return c.fail("the range ends before it starts");
        }
        if !c.take(':') {
            return c.fail("':' is missing");
        }
        let size = c.memory()?;
        ranges.push(SizeRange { start, end, size });
        if !c.take(',') {
            break;
        }
    }
    let offset = if c.take('@') { Some(c.memory()?) } else { None };
    Ok(Value::Ranges { ranges, offset })
}

/// A size as `crashkernel=` writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory(pub u64);

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (shift, suffix) in [(40, "T"), (30, "G"), (20, "M"), (10, "K")] {
            if self.0 != 0 && self.0.trailing_zeros() >= shift {
                return write!(f, "{}{suffix}", self.0 >> shift);
            }
        }
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |f: &mut fmt::Formatter<'_>, offset: &Option<u64>| match offset {
            Some(offset) => write!(f, "@{}", Memory(*offset)),
            None => Ok(()),
        };
        match self {
            Self::Size { size, offset } => {
                write!(f, "{}", Memory(*size))?;
                at(f, offset)
            }
            Self::Ranges { ranges, offset } => {
                for (n, r) in ranges.iter().enumerate() {
                    let comma = if n == 0 { "" } else { "," };
                    write!(f, "{comma}{}-", Memory(r.start))?;
                    if let Some(end) = r.end {
                        write!(f, "{}", Memory(end))?;
                    }
                    write!(f, ":{}", Memory(r.size))?;
                }
                at(f, offset)
            }
            Self::High(size) => write!(f, "{},high", Memory(*size)),
            Self::Low(size) => write!(f, "{},low", Memory(*size)),
            Self::Cma(size) => write!(f, "{},cma", Memory(*size)),
        }
    }
}

#[cfg(test)]
#[path = "crashkernel/tests.rs"]
mod tests;
