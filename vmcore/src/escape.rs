//! What a dump says, made safe to print.
//!
//! A task's name, an argument, a log line or a release may hold anything: an ESC sequence that sets a
//! terminal's title or clipboard, a newline that forges a line, a CR or a bidirectional override that
//! hides one. Whatever writes text for people writes it through [`Lines`] or [`Printer`]: each call of
//! `writeln!` then gives one line, and controls in it appear as the kernel shows them (string_escape_mem,
//! lib/string_helpers.c: `\n`, `\r`, `\x1b`); controls beyond ASCII as in JSON (`\u202e`). Tabs and
//! all other UTF-8 stay.

use std::borrow::Cow;
use std::fmt;
use std::io;

/// Whether a character can do more than show itself: C0, DEL, C1, line and paragraph separators, and
/// the marks and overrides of the bidirectional algorithm (Unicode Standard Annex 9). Not the tab.
#[must_use]
pub fn is_control(c: char) -> bool {
    c != '\t'
        && (c.is_control()
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}')
            || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
}

/// Text as a part of one line: every control escaped, newlines among them.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_control) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    // Writing into a String cannot fail.
    let _ = push(text, Newline::Escape, &mut escaped);
    Cow::Owned(escaped)
}

/// What becomes of a newline.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Newline {
    Keep,
    Escape,
}

fn push(text: &str, newline: Newline, out: &mut dyn fmt::Write) -> fmt::Result {
    let mut rest = text;
    let controls = |c: char| is_control(c) && !(c == '\n' && newline == Newline::Keep);
    while let Some((at, c)) = rest.char_indices().find(|(_, c)| controls(*c)) {
        let (plain, from) = rest.split_at(at);
        out.write_str(plain)?;
        match c {
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            c if c.is_ascii() => write!(out, "\\x{:02x}", u32::from(c))?,
            c => write!(out, "\\u{:04x}", u32::from(c))?,
        }
        rest = from.get(c.len_utf8()..).unwrap_or_default();
    }
    out.write_str(rest)
}

/// One formatted line: only a newline at its very end is one.
struct OneLine<'a> {
    out: &'a mut dyn fmt::Write,
    /// A newline that is the end, unless something follows.
    held: bool,
}

impl OneLine<'_> {
    fn write(out: &mut dyn fmt::Write, args: fmt::Arguments<'_>) -> fmt::Result {
        let mut line = OneLine { out, held: false };
        fmt::write(&mut line, args)?;
        match line.held {
            true => line.out.write_char('\n'),
            false => Ok(()),
        }
    }
}

impl fmt::Write for OneLine<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.is_empty() {
            return Ok(());
        }
        if std::mem::take(&mut self.held) {
            self.out.write_str("\\n")?;
        }
        let body = text.strip_suffix('\n');
        self.held = body.is_some();
        push(body.unwrap_or(text), Newline::Escape, self.out)
    }
}

/// Escapes what is written to another [`fmt::Write`]. `writeln!` gives one line whatever its arguments
/// hold; `write_str` keeps newlines, for text that was escaped before. `write!` must not end in text of
/// a dump: pass that through [`line()`].
pub struct Lines<'a>(&'a mut dyn fmt::Write);

impl<'a> Lines<'a> {
    /// Escapes on the way to `out`.
    pub fn new(out: &'a mut dyn fmt::Write) -> Self {
        Self(out)
    }
}

impl fmt::Write for Lines<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        push(text, Newline::Keep, self.0)
    }

    fn write_fmt(&mut self, args: fmt::Arguments<'_>) -> fmt::Result {
        OneLine::write(self.0, args)
    }
}

/// The same for an [`io::Write`]. Bytes that are not UTF-8 appear as `\x` and hex.
pub struct Printer<W: io::Write> {
    out: W,
    json: bool,
    /// The text of one call.
    text: String,
    /// The first bytes of a character that is not complete, 3 at most.
    pending: Vec<u8>,
}

impl<W: io::Write> Printer<W> {
    /// Escapes on the way to `out`.
    pub fn new(out: W) -> Self {
        Self {
            out,
            json: false,
            text: String::new(),
            pending: Vec::new(),
        }
    }

    /// Escapes JSON on the way to `out`, without a loss: only inside strings can there be a control, and
    /// there `\u007f` means the character itself.
    pub fn json(out: W) -> Self {
        Self {
            json: true,
            ..Self::new(out)
        }
    }

    /// Writes a sequence of our own, such as a colour. Only a literal of the program can be one.
    ///
    /// # Errors
    /// Those of the writer below.
    pub fn sequence(&mut self, sequence: &'static str) -> io::Result<()> {
        self.out.write_all(sequence.as_bytes())
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.text.push_str(&format!("\\x{byte:02x}"));
        }
    }

    fn pass(&mut self) -> io::Result<()> {
        if self.json && self.text.contains('\u{7f}') {
            self.text = self.text.replace('\u{7f}', "\\u007f");
        }
        let done = self.out.write_all(self.text.as_bytes());
        self.text.clear();
        done
    }

    /// A character that never became complete.
    fn settle(&mut self) -> io::Result<()> {
        let pending = std::mem::take(&mut self.pending);
        self.bytes(&pending);
        self.pass()
    }

    fn chars(&mut self, text: &str) {
        // DEL is legal in JSON, and `\x` is not: `pass` escapes it there.
        let mut first = true;
        for part in text.split(|c| self.json && c == '\u{7f}') {
            if !std::mem::take(&mut first) {
                self.text.push('\u{7f}');
            }
            // Writing into a String cannot fail.
            let _ = push(part, Newline::Keep, &mut self.text);
        }
    }
}

impl<W: io::Write> io::Write for Printer<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let mut all = std::mem::take(&mut self.pending);
        all.extend_from_slice(buf);
        let mut rest = all.as_slice();
        while !rest.is_empty() {
            let error = match std::str::from_utf8(rest) {
                Ok(text) => {
                    self.chars(text);
                    break;
                }
                Err(error) => error,
            };
            let (valid, after) = rest.split_at(error.valid_up_to().min(rest.len()));
            self.chars(std::str::from_utf8(valid).unwrap_or_default());
            let Some(wrong) = error.error_len() else {
                self.pending = after.to_vec();
                break;
            };
            let (wrong, after) = after.split_at(wrong.min(after.len()));
            self.bytes(wrong);
            rest = after;
        }
        self.pass()?;
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.settle()?;
        self.out.flush()
    }

    fn write_fmt(&mut self, args: fmt::Arguments<'_>) -> io::Result<()> {
        self.settle()?;
        if self.json {
            return self.write_all(args.to_string().as_bytes());
        }
        OneLine::write(&mut self.text, args).map_err(io::Error::other)?;
        self.pass()
    }
}

#[cfg(test)]
mod tests;
