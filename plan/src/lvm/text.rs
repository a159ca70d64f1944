//! LVM's configuration text: sections in braces, keys with numbers, strings and lists of them.
//!
//! Facts: what vgcfgbackup prints, LVM2 2.02 to 2.03. It knows no key.

/// Sections nested deeper than this are no metadata.
const MAX_DEPTH: usize = 16;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A whole number; others are read as strings.
    Number(u64),
    /// A string.
    Text(String),
    /// A list of either.
    List(Vec<Value>),
}

/// A section: what is between braces, or the whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    values: Vec<(String, Value)>,
    sections: Vec<(String, Section)>,
}

impl Section {
    /// The number of a key.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<u64> {
        match self.value(key)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The string of a key.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.value(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A list of name and number by turns.
    #[must_use]
    pub fn pairs(&self, key: &str) -> Vec<(&str, u64)> {
        let Some(Value::List(list)) = self.value(key) else {
            return Vec::new();
        };
        list.chunks_exact(2)
            .filter_map(|pair| match pair {
                [Value::Text(name), Value::Number(number)] => Some((name.as_str(), *number)),
                _ => None,
            })
            .collect()
    }

    /// A section by name.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, section)| section)
    }

    /// Every section with its name.
    pub fn sections(&self) -> impl Iterator<Item = (&str, &Section)> {
        self.sections
            .iter()
            .map(|(name, section)| (name.as_str(), section))
    }

    fn value(&self, key: &str) -> Option<&Value> {
        self.values
            .iter()
            .find(|(known, _)| known == key)
            .map(|(_, value)| value)
    }
}

/// Reads a text; nothing if it makes no sense.
#[must_use]
pub fn parse(text: &str) -> Option<Section> {
    let mut tokens = tokens(text)?.into_iter().peekable();
    let section = section(&mut tokens, 0)?;
    tokens.peek().is_none().then_some(section)
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Sign(char),
}

type Tokens = std::iter::Peekable<std::vec::IntoIter<Token>>;

fn section(tokens: &mut Tokens, depth: usize) -> Option<Section> {
    let mut out = Section::default();
    while let Some(token) = tokens.peek() {
        if *token == Token::Sign('}') {
            break;
        }
        let Some(Token::Word(name)) = tokens.next() else {
            return None;
        };
        match tokens.next()? {
            Token::Sign('{') if depth < MAX_DEPTH => {
                let inner = section(tokens, depth + 1)?;
                if tokens.next()? != Token::Sign('}') {
                    return None;
                }
                out.sections.push((name, inner));
            }
            Token::Sign('=') => out.values.push((name, value(tokens)?)),
            _ => return None,
        }
    }
    Some(out)
}

fn value(tokens: &mut Tokens) -> Option<Value> {
    match tokens.next()? {
        Token::Sign('[') => {
            let mut list = Vec::new();
            loop {
                match tokens.next()? {
                    Token::Sign(']') => return Some(Value::List(list)),
                    Token::Sign(',') => {}
                    token => list.push(scalar(token)?),
                }
            }
        }
        token => scalar(token),
    }
}

fn scalar(token: Token) -> Option<Value> {
    match token {
        Token::Text(text) => Some(Value::Text(text)),
        Token::Word(word) => Some(word.parse().map_or(Value::Text(word), Value::Number)),
        Token::Sign(_) => None,
    }
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut out = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '#' => while chars.next_if(|c| *c != '\n').is_some() {},
            '{' | '}' | '[' | ']' | '=' | ',' => out.push(Token::Sign(c)),
            '"' => {
                let mut string = String::new();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => string.push(chars.next()?),
                        c => string.push(c),
                    }
                }
                out.push(Token::Text(string));
            }
            c if c.is_whitespace() => {}
            c => {
                let mut word = String::from(c);
                while let Some(c) = chars.next_if(|c| {
                    !c.is_whitespace() && !matches!(c, '{' | '}' | '[' | ']' | '=' | ',' | '#')
                }) {
                    word.push(c);
                }
                out.push(Token::Word(word));
            }
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_as_vgcfgbackup_writes_it() {
        let text = "vg0 {\n# comment {\nid = \"a\\\"b\"\nseqno = 7\nstatus = [\"READ\", \"WRITE\"]\nflags = []\n\
                    inner {\nstripes = [\n\"pv0\", 0,\n\"pv1\", 25\n]\n}\n}\ncontents = \"x\"\nversion = 1\n";
        let file = parse(text).unwrap();
        let vg = file.section("vg0").unwrap();
        assert_eq!(vg.text("id"), Some("a\"b"));
        assert_eq!(vg.number("seqno"), Some(7));
        assert_eq!(
            vg.section("inner").unwrap().pairs("stripes"),
            [("pv0", 0), ("pv1", 25)]
        );
        assert_eq!(file.number("version"), Some(1));
    }

    #[test]
    fn nonsense_is_refused_without_a_panic() {
        for text in [
            "{",
            "}",
            "a",
            "a =",
            "a = [",
            "a = \"x",
            "a { b = 1",
            "a = }",
            "= 1",
            "a { } }",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse(&"a {".repeat(100_000)), None);
    }
}
