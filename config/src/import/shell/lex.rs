//! A script as commands of words (POSIX XCU 2.2 and 2.3; bash's `$'…'` counts as computed).

use super::name::is_identifier;
use super::value::Value;

/// Looks a variable up for `$NAME`.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<Value>;

/// A word as it was written, and what it says.
#[derive(Clone, Debug, Default)]
pub(super) struct Word {
    /// As in the file.
    pub raw: String,
    /// Expanded.
    pub value: Value,
    /// The variable and the operator before the value: `NAME=`, `NAME+=`.
    pub assigns: Option<(String, bool)>,
}

/// A command: its words, and where it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Command {
    /// The first and last line, from 1.
    pub lines: (usize, usize),
    /// As in the file.
    pub raw: String,
    pub words: Vec<Word>,
    /// Whether a quote in it is never closed.
    pub open: bool,
    /// Whether a text follows (`<<`), which is not understood.
    pub here_document: bool,
    /// Whether it only runs if the command before did, or did not (`&&`, `||`, `|`).
    pub depends: bool,
}

/// Cuts a script into commands, one after the other.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    /// Lines of the text.
    lines: usize,
    depends: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            rest: text,
            line: 1,
            lines: text.lines().count(),
            depends: false,
        }
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next()?;
        self.rest = chars.as_str();
        self.line += usize::from(c == '\n');
        Some(c)
    }

    /// The next command that has a word, or `None` at the end.
    pub(super) fn next(&mut self, lookup: Lookup<'_>) -> Option<Command> {
        loop {
            let command = self.command(lookup)?;
            if !command.words.is_empty() {
                return Some(command);
            }
        }
    }

    fn command(&mut self, lookup: Lookup<'_>) -> Option<Command> {
        self.blanks();
        self.peek()?;
        let start = self.rest;
        let mut command = Command {
            lines: (self.line, self.line),
            depends: std::mem::take(&mut self.depends),
            ..Command::default()
        };
        loop {
            self.blanks();
            let end = self.rest;
            let done = |command: &mut Command| {
                let length = start.len().saturating_sub(end.len());
                command.raw = start.get(..length).unwrap_or_default().trim().to_owned();
            };
            match self.peek() {
                None => {
                    done(&mut command);
                    return Some(command);
                }
                Some('#') => {
                    done(&mut command);
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.bump();
                    }
                    return Some(command);
                }
                Some('\n' | ';') => {
                    done(&mut command);
                    self.bump();
                    return Some(command);
                }
                Some(c @ ('&' | '|')) => {
                    done(&mut command);
                    self.bump();
                    let twice = self.peek() == Some(c);
                    if twice {
                        self.bump();
                    }
                    self.depends = twice || c == '|';
                    return Some(command);
                }
                Some(_) => {
                    let word = self.word(lookup, &mut command);
                    command.here_document |= word.raw.contains("<<");
                    command.words.push(word);
                    // A quote that is never closed also takes the newline at the end.
                    command.lines.1 = self.line.min(self.lines);
                }
            }
        }
    }

    /// Skips blanks and lines that go on.
    fn blanks(&mut self) {
        loop {
            match self.peek() {
                Some(' ' | '\t' | '\r') => {
                    self.bump();
                }
                Some('\\') if self.rest.starts_with("\\\n") => {
                    self.bump();
                    self.bump();
                }
                _ => return,
            }
        }
    }

    fn word(&mut self, lookup: Lookup<'_>, command: &mut Command) -> Word {
        let start = self.rest;
        let mut word = Word::default();
        let mut quoted = false;
        while let Some(c) = self.peek() {
            match c {
                '"' => quoted = !quoted,
                '\\' => {
                    self.escaped(quoted, &mut word.value);
                    continue;
                }
                '\'' if !quoted => {
                    self.bump();
                    command.open |= !self.literal(&mut word.value);
                    continue;
                }
                '$' | '`' => {
                    command.open |= !self.expansion(quoted, lookup, &mut word.value);
                    continue;
                }
                _ if quoted => word.value.push_text(c.encode_utf8(&mut [0; 4])),
                ' ' | '\t' | '\r' | '\n' | ';' | '&' | '|' => break,
                // An array, a function, a pattern of case.
                '(' | ')' => word.value.push_computed(c),
                '~' if word.value.pieces().is_empty() => word.value.push_computed("~"),
                '=' if word.assigns.is_none() => {
                    let length = start.len().saturating_sub(self.rest.len());
                    let name = start.get(..length).unwrap_or_default();
                    let plus = name.ends_with('+');
                    let name = name.strip_suffix('+').unwrap_or(name);
                    match is_identifier(name) {
                        true => {
                            word.assigns = Some((name.to_owned(), plus));
                            word.value = Value::default();
                        }
                        false => word.value.push_text("="),
                    }
                }
                _ => word.value.push_text(c.encode_utf8(&mut [0; 4])),
            }
            self.bump();
        }
        command.open |= quoted;
        let length = start.len().saturating_sub(self.rest.len());
        word.raw = start.get(..length).unwrap_or_default().to_owned();
        word
    }

    /// A backslash: inside double quotes it is one itself before most characters.
    fn escaped(&mut self, quoted: bool, value: &mut Value) {
        self.bump();
        match self.bump() {
            None => value.push_text("\\"),
            Some('\n') => {}
            Some(c) => {
                if quoted && !matches!(c, '$' | '`' | '"' | '\\') {
                    value.push_text("\\");
                }
                value.push_text(c.encode_utf8(&mut [0; 4]));
            }
        }
    }

    /// Text up to a single quote. Answers whether there is one.
    fn literal(&mut self, value: &mut Value) -> bool {
        let (text, closed) = match self.rest.split_once('\'') {
            Some((text, _)) => (text, true),
            None => (self.rest, false),
        };
        value.push_text(text);
        self.skip(text.len() + usize::from(closed));
        closed
    }

    fn skip(&mut self, bytes: usize) {
        let (gone, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.line += gone.matches('\n').count();
        self.rest = rest;
    }

    /// `$…` or `` `…` ``. Answers whether it is closed.
    fn expansion(&mut self, quoted: bool, lookup: Lookup<'_>, value: &mut Value) -> bool {
        let start = self.rest;
        if start.starts_with('`') {
            let inner = start.get(1..).unwrap_or_default();
            return self.computed(closing(inner, '`').map(|n| n + 2), value);
        }
        let behind = start.get(1..).unwrap_or_default();
        match behind.chars().next() {
            Some('(') => {
                let length = matching(behind.get(1..).unwrap_or_default(), '(', ')');
                self.computed(length.map(|n| n + 3), value)
            }
            Some('{') => {
                let length = matching(behind.get(1..).unwrap_or_default(), '{', '}');
                let inner = length.and_then(|n| behind.get(1..=n));
                match inner.and_then(|inner| braced(inner, lookup)) {
                    Some(known) => {
                        value.extend(&known);
                        self.skip(length.map_or(0, |n| n + 3));
                        true
                    }
                    None => self.computed(length.map(|n| n + 3), value),
                }
            }
            Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                let length = behind
                    .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                    .unwrap_or(behind.len());
                let name = behind.get(..length).unwrap_or_default();
                match lookup(name) {
                    Some(known) => value.extend(&known),
                    None => value.push_computed(format!("${name}")),
                }
                self.skip(length + 1);
                true
            }
            Some('\'' | '"') if !quoted => {
                value.push_computed("$");
                self.skip(1);
                true
            }
            Some(c) if c.is_ascii_digit() || "@*#?!$-".contains(c) => self.computed(Some(2), value),
            _ => {
                value.push_text("$");
                self.skip(1);
                true
            }
        }
    }

    /// Takes `length` bytes as computed; all there is where the end is missing.
    fn computed(&mut self, length: Option<usize>, value: &mut Value) -> bool {
        let text = length.and_then(|n| self.rest.get(..n));
        value.push_computed(text.unwrap_or(self.rest));
        self.skip(text.map_or(self.rest.len(), str::len));
        text.is_some()
    }
}

/// `NAME`, `NAME:-word`, `NAME-word` inside `${}`, where it can be told.
fn braced(inner: &str, lookup: Lookup<'_>) -> Option<Value> {
    let length = inner.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let (name, operator) = inner.split_at_checked(length.unwrap_or(inner.len()))?;
    if !is_identifier(name) {
        return None;
    }
    let known = lookup(name);
    if operator.is_empty() {
        return known;
    }
    let known = known?;
    let word = operator
        .strip_prefix(":-")
        .or_else(|| operator.strip_prefix(":="))?;
    known.text()?;
    if !known.is_empty() {
        return Some(known);
    }
    let plain = !word.contains(['$', '`', '\\', '\'', '"']);
    plain.then(|| {
        let mut value = Value::default();
        value.push_text(word);
        value
    })
}

/// Where the closing character is, in bytes. A backslash keeps the next character.
fn closing(text: &str, close: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if c == close && !escaped {
            return Some(at);
        }
        escaped = c == '\\' && !escaped;
    }
    None
}

/// Where the bracket that is open closes, in bytes.
fn matching(text: &str, open: char, close: char) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        if c == close {
            if depth == 0 {
                return Some(at);
            }
            depth -= 1;
        }
        depth += usize::from(c == open);
    }
    None
}
