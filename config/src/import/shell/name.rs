//! Names of variables.

/// Whether a word is the name of an upper-case variable.
pub(crate) fn is_name(word: &str) -> bool {
    is_identifier(word) && !word.bytes().any(|b| b.is_ascii_lowercase())
}

/// Whether a word is the name of a variable (POSIX XCU 3.231).
pub(crate) fn is_identifier(word: &str) -> bool {
    let letters = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    word.bytes().all(letters) && !word.is_empty() && !word.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_a_shell() {
        assert!(is_name("KDUMP_CPUS") && is_name("_A1"));
        for word in ["", "1A", "a", "A-B"] {
            assert!(!is_name(word), "{word}");
        }
        assert!(is_identifier("dir") && !is_identifier("a.b"));
    }
}
