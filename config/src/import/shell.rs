//! Shell words and scripts of assignments, as far as config files of kdump suites use them. Nothing is
//! executed: what only a shell can compute stays a [`Piece::Computed`].

mod lex;
mod name;
mod script;
mod value;

pub(super) use name::is_name;
pub(super) use script::{Script, Shell, Statement, What};
pub(super) use value::{Piece, Value};

/// The words of a line: white space separates, quotes of either kind keep it inside a word, a backslash
/// keeps the character behind it.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match quote {
            Some(open) if c == open => quote = None,
            Some('"') | None if c == '\\' => {
                word.get_or_insert_default().extend(chars.next());
            }
            Some(_) => word.get_or_insert_default().push(c),
            None if c == '"' || c == '\'' => {
                word.get_or_insert_default();
                quote = Some(c);
            }
            None if c.is_whitespace() => out.extend(word.take()),
            None => word.get_or_insert_default().push(c),
        }
    }
    out.extend(word);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_keep_words_together() {
        assert_eq!(
            words("a \"b c\" 'd  e'f \"\" g\\ h"),
            ["a", "b c", "d  ef", "", "g h"]
        );
        assert_eq!(words("  "), [""; 0]);
    }
}
