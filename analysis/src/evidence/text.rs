//! A text as kernel messages, one at a time: nothing is held but the line at hand, and the parts of a
//! pstore record that must be put in order.

use super::Line;
use super::journal;
use super::prefix::{self, Form};
use super::pstore::{self, Parts};
use std::io::{self, BufRead, Read};

/// Bytes of a line that are looked at; the rest of a longer one is passed over.
const LONGEST: u64 = 4096;

/// What a text was found to be.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Facts {
    /// Lines read, empty ones included.
    pub lines: u64,
    /// Lines of each form, in the order of [`FORMS`].
    forms: [u64; 6],
    /// Whether `PART` headers of pstore stood in it.
    pub pstore: bool,
    /// Whether the text is what DRM's panic screen shows.
    pub drm_panic: bool,
    /// Whether the next line of the panic screen is the reason.
    screen: bool,
    /// Whether frames have files and lines: decode_stacktrace.sh went over it.
    pub decoded: bool,
    /// A running digest of the text.
    hash: u64,
    /// The last time in it, nanoseconds since boot.
    pub last_nsec: Option<u64>,
}

/// The first lines of DRM's panic screen (drivers/gpu/drm/drm_panic.c, 6.10 and newer).
const SCREEN: [&str; 2] = ["KERNEL PANIC!", "Please reboot your computer."];

const FORMS: [Form; 6] = [
    Form::Plain,
    Form::Printk,
    Form::Level,
    Form::Syslog,
    Form::Extended,
    Form::WallClock,
];

impl Facts {
    fn count(&mut self, form: Form) {
        let slot = FORMS.iter().position(|known| *known == form);
        if let Some(count) = slot.and_then(|i| self.forms.get_mut(i)) {
            *count = count.saturating_add(1);
        }
    }

    /// The form of most of its lines.
    #[must_use]
    pub fn form(&self) -> Form {
        let known = FORMS.iter().zip(self.forms);
        // On a serial console kernel lines stand among others.
        let kernel = known.clone().filter(|(form, _)| **form != Form::Plain);
        let best = kernel.max_by_key(|(_, count)| *count);
        best.filter(|(_, count)| *count > 0)
            .map_or(Form::Plain, |(form, _)| *form)
    }

    /// What differs from text to text, as a word.
    #[must_use]
    pub fn digest(&self) -> String {
        format!("{:x}", self.hash)
    }

    fn take(&mut self, text: &str) {
        // FNV-1a: this tells texts apart, it protects nothing.
        for byte in text.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        let decoded = text.ends_with(" [inline]") || text.contains(".c:") && text.contains("+0x");
        self.decoded |=
            decoded || text.contains(" (") && text.contains(".c:") && text.starts_with(' ');
    }

    /// Whether its lines have times since boot.
    #[must_use]
    pub fn has_times(&self) -> bool {
        self.last_nsec.is_some()
    }
}

/// Reads a text and hands each kernel message to `sink`, oldest first.
///
/// # Errors
/// Those of `input`. Bytes that are no UTF-8 are replaced.
pub fn read(input: &mut dyn BufRead, sink: &mut dyn FnMut(Line)) -> io::Result<Facts> {
    let mut facts = Facts::default();
    let mut parts = Parts::default();
    let mut bytes = Vec::new();
    let mut last = 0;
    while next_line(input, &mut bytes)? {
        facts.lines = facts.lines.saturating_add(1);
        let text = clean(&String::from_utf8_lossy(&bytes));
        let Some(text) = journal::message(&text) else {
            continue;
        };
        if let Some(part) = pstore::part_header(&text) {
            facts.pstore = true;
            parts.begin(part);
            continue;
        }
        if parts.takes(&text) {
            continue;
        }
        message(&text, &mut facts, &mut last, sink);
    }
    for text in parts.in_order() {
        message(text, &mut facts, &mut last, sink);
    }
    Ok(facts)
}

fn message(text: &str, facts: &mut Facts, last: &mut u64, sink: &mut dyn FnMut(Line)) {
    let found = prefix::strip(text);
    facts.count(found.form);
    if !found.before.trim().is_empty() {
        sink(Line {
            ts_nsec: *last,
            text: found.before.to_string(),
            ..Line::default()
        });
    }
    if let Some(nsec) = found.ts_nsec {
        *last = nsec;
        facts.last_nsec = Some(nsec);
    }
    // The reason follows on a line of its own.
    let trimmed = found.text.trim();
    let reason = facts.drm_panic && facts.screen && !trimmed.is_empty() && trimmed != SCREEN[1];
    facts.drm_panic |= trimmed == SCREEN[0];
    facts.screen = facts.drm_panic && !reason && (facts.screen || trimmed == SCREEN[0]);
    facts.take(found.text);
    let text = match reason {
        true => format!("Kernel panic - not syncing: {trimmed}"),
        false => found.text.to_string(),
    };
    sink(Line {
        ts_nsec: *last,
        caller: found.caller,
        level: found.level,
        text,
        untimed: found.ts_nsec.is_none() && facts.has_times(),
    });
}

/// Reads one line into `bytes`, without its end; false at the end of the input.
fn next_line(input: &mut dyn BufRead, bytes: &mut Vec<u8>) -> io::Result<bool> {
    bytes.clear();
    let read = input.take(LONGEST).read_until(b'\n', bytes)?;
    if read == 0 {
        return Ok(false);
    }
    if bytes.last() == Some(&b'\n') || (bytes.len() as u64) < LONGEST {
        return Ok(true);
    }
    loop {
        // The rest of a line that no kernel prints.
        let (used, end) = {
            let buffer = input.fill_buf()?;
            match buffer.iter().position(|byte| *byte == b'\n') {
                Some(at) => (at.saturating_add(1), true),
                None => (buffer.len(), buffer.is_empty()),
            }
        };
        input.consume(used);
        if end {
            break;
        }
    }
    Ok(true)
}

/// Without the colours and cursor movements of a terminal, NULs and the line's end.
fn clean(text: &str) -> String {
    let text = text.trim_end_matches(['\r', '\n', '\0']);
    if !text.contains(['\u{1b}', '\0']) {
        return text.to_string();
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => {
                if chars.next_if_eq(&'[').is_some() {
                    // Parameters, then one final letter.
                    while chars.next().is_some_and(|c| !c.is_ascii_alphabetic()) {}
                }
            }
            '\0' => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> (Facts, Vec<String>) {
        let mut lines = Vec::new();
        let facts = read(&mut text.as_bytes(), &mut |line| lines.push(line.text)).unwrap();
        (facts, lines)
    }

    #[test]
    fn colours_and_long_lines_do_no_harm() {
        let long = format!(
            "\u{1b}[31m[    1.000000] a\u{1b}[0m\n{}\nend\n",
            "x".repeat(100_000)
        );
        let (facts, lines) = lines(&long);
        assert_eq!(lines.len(), 3);
        assert_eq!((lines[0].as_str(), lines[2].as_str()), ("a", "end"));
        assert_eq!(facts.form(), Form::Printk);
    }

    #[test]
    fn a_panic_screen_tells_its_reason() {
        let (facts, lines) = lines("KERNEL PANIC!\n\nPlease reboot your computer.\n\nacme: gone\n");
        assert!(facts.drm_panic);
        assert_eq!(
            lines.last().map(String::as_str),
            Some("Kernel panic - not syncing: acme: gone")
        );
    }

    #[test]
    fn the_form_is_that_of_the_kernels_lines() {
        let text = "login:\nhello\nMay  5 12:38:12 box kernel: [    1.000000] x\n";
        assert_eq!(lines(text).0.form(), Form::Syslog);
        assert_eq!(lines("x\n").0.form(), Form::Plain);
    }
}
