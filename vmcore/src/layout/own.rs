//! What afterpanic adds to a core: its note, its trailer, the pattern of a page that was not read.
//!
//! The format is ours. The note (owner [`OWNER`], type [`TYPE`]) is text, lines of `KEY=VALUE`:
//! `LEVEL=` the filter level as makedumpfile's bits (no line: unknown), `KEEPS=essential` where the
//! pages were chosen by walking structures instead of filtered by these bits, `AFTERPANIC=` the version
//! that wrote the core, then the addresses that arming recorded (`BUILD-ID=`, `RELATIVE(name)=`). Readers skip other
//! lines. The trailer is one JSON object in a skippable frame behind the pages.

use super::elf::Note;

/// The owner of our note.
pub const OWNER: &[u8] = b"AFTERPANIC";
/// The n_type of our note: "APN1".
pub(crate) const TYPE: u32 = 0x4150_4e31;
/// The line that says so of a core of level essential.
const ESSENTIAL: &str = "KEEPS=essential";
/// What a page holds, word for word, that could not be read from the crashed kernel's memory.
pub const MISSING_WORD: u64 = 0xdead_feed_dead_feed;

/// The text of our note. `recorded` are whole lines, each with its newline.
#[must_use]
pub fn text(level: u32, version: &str, recorded: &str) -> String {
    format!("LEVEL={level}\nAFTERPANIC={version}\n{recorded}")
}

/// Puts another level into the text of our note.
pub fn set_level(text: &mut String, level: u32, essential: bool) {
    unknown_level(text);
    let keeps = if essential { ESSENTIAL } else { "" };
    let end = if essential { "\n" } else { "" };
    *text = format!("LEVEL={level}\n{keeps}{end}{text}");
}

/// Takes the level out of the text of our note.
pub fn unknown_level(text: &mut String) {
    let others = |line: &&str| !line.starts_with("LEVEL=") && line.trim_end() != ESSENTIAL;
    *text = text.split_inclusive('\n').filter(others).collect();
}

/// Whether the notes say that only the essential pages are in the core.
#[must_use]
pub fn is_essential(notes: &[Note]) -> bool {
    texts(notes).any(|text| text.lines().any(|line| line == ESSENTIAL))
}

/// A note with this text.
pub(crate) fn note(text: &str) -> Note {
    Note {
        name: OWNER.to_vec(),
        n_type: TYPE,
        desc: text.as_bytes().to_vec(),
    }
}

/// The texts of our notes among `notes`; a core made out of several has more than one.
pub(crate) fn texts(notes: &[Note]) -> impl Iterator<Item = &str> {
    notes
        .iter()
        .filter(|note| note.name == OWNER && note.n_type == TYPE)
        .filter_map(|note| std::str::from_utf8(&note.desc).ok())
}

/// The level that our note says.
pub(crate) fn level(notes: &[Note]) -> Option<u32> {
    texts(notes)
        .next()?
        .lines()
        .find_map(|line| line.strip_prefix("LEVEL="))?
        .trim()
        .parse()
        .ok()
}

/// The trailer: pages written, pages of zeros among them, pages that could not be read, and the
/// first of these.
#[must_use]
pub fn trailer(pages: u64, zero: u64, missing: u64, missing_first: &[u64]) -> Vec<u8> {
    let first: Vec<String> = missing_first
        .iter()
        .map(|pfn| format!("\"{pfn:#x}\""))
        .collect();
    format!(
        "{{\"missing\":{missing},\"missing_first\":[{}],\"pages\":{pages},\"zero\":{zero}}}",
        first.join(",")
    )
    .into_bytes()
}

/// Whether a trailer says that every page could be read.
pub(crate) fn says_all_read(trailer: &str) -> bool {
    trailer.contains("\"missing\":0,")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_put_in_the_place_of_another_or_taken_out() {
        let mut own = text(0, "9.9", "BUILD-ID=ab\n");
        set_level(&mut own, 31, true);
        assert_eq!(
            own,
            "LEVEL=31\nKEEPS=essential\nAFTERPANIC=9.9\nBUILD-ID=ab\n"
        );
        assert!(is_essential(&[note(&own)]));
        set_level(&mut own, 16, false);
        assert_eq!(own, text(16, "9.9", "BUILD-ID=ab\n"));
        assert!(!is_essential(&[note(&own)]));
        unknown_level(&mut own);
        assert_eq!(own, "AFTERPANIC=9.9\nBUILD-ID=ab\n");
        assert_eq!(level(&[note(&own)]), None);
    }

    #[test]
    fn the_note_and_the_trailer_are_the_documented_bytes() {
        let ours = Note {
            name: b"AFTERPANIC".to_vec(),
            n_type: 0x4150_4e31,
            desc: b"LEVEL=31\nAFTERPANIC=9.9\nBUILD-ID=ab\n".to_vec(),
        };
        assert_eq!(note(&text(31, "9.9", "BUILD-ID=ab\n")), ours);
        let stranger = Note {
            n_type: 1,
            ..ours.clone()
        };
        assert_eq!(level(&[stranger.clone(), ours]), Some(31));
        assert_eq!(level(&[stranger]), None);
        let all = String::from_utf8(trailer(7, 1, 0, &[])).unwrap();
        assert_eq!(
            all,
            r#"{"missing":0,"missing_first":[],"pages":7,"zero":1}"#
        );
        assert!(says_all_read(&all));
        let some = String::from_utf8(trailer(7, 1, 2, &[0x10, 0x11])).unwrap();
        assert_eq!(
            some,
            r#"{"missing":2,"missing_first":["0x10","0x11"],"pages":7,"zero":1}"#
        );
        assert!(!says_all_read(&some));
    }
}
