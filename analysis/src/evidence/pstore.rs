//! Records of pstore: the parts of each dump of the log are put in order.
//!
//! Source: fs/pstore/platform.c (`pstore_dump`), 3.10 to 7.x: a dump is written in parts, each with a line
//! `Panic#2 Part1` before it. Part 1 holds the end of the log, and the count grows with each dump of a
//! boot: an oops and the panic that follows are two dumps.

use std::cmp::Reverse;

/// Bytes of parts that are put in order; more are taken as they stand.
const MOST_PARTS: usize = 4 << 20;

/// The header of a part.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Part {
    /// Why the log was dumped: `Panic`, `Oops`, `Emergency`, `Shutdown`, `Poweroff`.
    pub kind: String,
    /// The number of the dump in its boot.
    pub count: u32,
    /// The part of it; 1 is the end of the log.
    pub number: u32,
}

/// Reads `Panic#1 Part3`.
#[must_use]
pub fn part_header(text: &str) -> Option<Part> {
    let (kind, number) = text.trim().split_once(" Part")?;
    let (kind, count) = kind.split_once('#')?;
    let letters = !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_alphabetic());
    Some(Part {
        kind: letters.then(|| kind.to_string())?,
        count: count.parse().ok()?,
        number: number.parse().ok()?,
    })
}

/// What records hold together.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Joined {
    /// The lines, oldest first, without the headers of parts.
    pub text: String,
    /// Why the log was dumped, oldest dump first; empty where no record has a header.
    pub kinds: Vec<String>,
}

/// Joins the texts of the records of one boot: dumps by count, in each the highest part first. What has
/// no header comes first, in the order given.
#[must_use]
pub fn join<'t>(records: impl IntoIterator<Item = &'t str>) -> Joined {
    let mut parts = Parts::default();
    for record in records {
        parts.begin(Part::default());
        for line in record.lines() {
            match part_header(line) {
                Some(part) => parts.begin(part),
                None => {
                    parts.takes(line);
                }
            }
        }
    }
    let mut joined = Joined::default();
    parts.sort();
    for (part, lines) in &parts.parts {
        if !part.kind.is_empty() && joined.kinds.last() != Some(&part.kind) {
            joined.kinds.push(part.kind.clone());
        }
        for line in lines {
            joined.text.push_str(line);
            joined.text.push('\n');
        }
    }
    joined
}

/// The parts of a text.
#[derive(Default)]
pub(super) struct Parts {
    parts: Vec<(Part, Vec<String>)>,
    bytes: usize,
}

impl Parts {
    pub(super) fn begin(&mut self, part: Part) {
        self.parts.push((part, Vec::new()));
    }

    /// Adds a line to the current part. False when no part has begun, and when there are too many lines.
    pub(super) fn takes(&mut self, text: &str) -> bool {
        if self.bytes > MOST_PARTS {
            return false;
        }
        let Some((_, lines)) = self.parts.last_mut() else {
            return false;
        };
        self.bytes = self.bytes.saturating_add(text.len()).saturating_add(24);
        lines.push(text.to_string());
        true
    }

    fn sort(&mut self) {
        self.parts
            .sort_by_key(|(part, _)| (part.count, Reverse(part.number)));
    }

    pub(super) fn in_order(&mut self) -> impl Iterator<Item = &str> {
        self.sort();
        self.parts
            .iter()
            .flat_map(|(_, lines)| lines)
            .map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_several_dumps_are_put_in_order() {
        let text = "Panic#2 Part1\ne\nOops#1 Part1\nc\nPanic#2 Part2\nd\nOops#1 Part2\na\nb\n";
        let joined = join([text]);
        assert_eq!(joined.text, "a\nb\nc\nd\ne\n");
        assert_eq!(joined.kinds, ["Oops", "Panic"]);
        // The same in files of their own, in any order.
        let files = [
            "Oops#1 Part1\nc",
            "Panic#2 Part1\ne",
            "Panic#2 Part2\nd",
            "Oops#1 Part2\na\nb\n",
        ];
        assert_eq!(join(files), joined);
    }

    #[test]
    fn a_text_reads_them_in_order_too() {
        let text = "Panic#1 Part1\n<4>[    2.0] c\nPanic#1 Part2\n<4>[    1.000000] a\n<4>[    1.500000] b\n";
        let mut lines = Vec::new();
        let facts =
            super::super::read(&mut text.as_bytes(), &mut |line| lines.push(line.text)).unwrap();
        assert!(facts.pstore);
        assert_eq!(lines, ["a", "b", "[    2.0] c"]);
    }

    #[test]
    fn what_has_no_header_is_joined_as_it_stands() {
        let joined = join(["a\n", "b"]);
        assert_eq!((joined.text.as_str(), joined.kinds.len()), ("a\nb\n", 0));
    }

    #[test]
    fn other_lines_are_no_header() {
        for text in [
            "",
            "Part1",
            "#1 Part1",
            "Panic#x Part1",
            "P4nic#1 Part1",
            "Panic#1 Part",
        ] {
            assert_eq!(part_header(text), None, "{text}");
        }
    }
}
