//! The one place that prints. What comes from a bucket, a report or an engine may hold any text; controls in
//! it are escaped on the way, as `vmcore::escape` does.

use std::io::{self, Write};
use vmcore::escape::{self, Printer};

/// Standard output.
pub(crate) fn out() -> Printer<io::BufWriter<io::StdoutLock<'static>>> {
    Printer::new(io::BufWriter::new(io::stdout().lock()))
}

/// Standard output for JSON.
pub(crate) fn json() -> Printer<io::BufWriter<io::StdoutLock<'static>>> {
    Printer::json(io::BufWriter::new(io::stdout().lock()))
}

/// One line on standard error, under the program's name.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "afterpanic-fleet: {}", escape::line(text));
}

/// Bytes for people.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [(&str, u64); 4] = [
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
        ("bytes", 1),
    ];
    for (unit, size) in UNITS {
        if n >= size && size > 1 {
            let (whole, rest) = (n / size, n % size);
            return format!("{whole}.{} {unit}", rest.saturating_mul(10) / size);
        }
    }
    format!("{n} bytes")
}

/// At most so many characters of a text.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    match text.char_indices().nth(most) {
        Some((at, _)) => text.get(..at).unwrap_or(text),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_for_people() {
        assert_eq!(bytes(17), "17 bytes");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(3 << 30), "3.0 GiB");
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut("añb", 2), "añ");
        assert_eq!(cut("añb", 9), "añb");
    }
}
