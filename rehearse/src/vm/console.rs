//! The serial console: bytes to a file, lines to whoever listens.

use std::fs::File;
use std::io::{Read, Write};

/// Longer lines are cut into pieces, so that a guest that never ends a line costs no memory.
const LONGEST: usize = 8192;

/// Collects bytes into lines, leaving out carriage returns and terminal escape sequences.
///
/// Firmware paints with escape sequences (ESC \[ … letter); kernels send none.
#[derive(Debug, Default)]
pub struct Lines {
    current: Vec<u8>,
    escape: Escape,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    Started,
    Inside,
}

impl Lines {
    /// Takes bytes, gives each finished line to `line`.
    pub fn push(&mut self, bytes: &[u8], line: &mut dyn FnMut(String)) {
        for &byte in bytes {
            match (self.escape, byte) {
                (Escape::None, 0x1b) => self.escape = Escape::Started,
                (Escape::Started, b'[') => self.escape = Escape::Inside,
                (Escape::Started, _) => self.escape = Escape::None,
                (Escape::Inside, 0x40..=0x7e) => self.escape = Escape::None,
                (Escape::Inside, _) | (Escape::None, b'\r' | 0) => {}
                (Escape::None, b'\n') => self.end(line),
                (Escape::None, _) => {
                    self.current.push(byte);
                    if self.current.len() >= LONGEST {
                        self.end(line);
                    }
                }
            }
        }
    }

    /// Gives what stands after the last line end, if anything.
    pub fn finish(&mut self, line: &mut dyn FnMut(String)) {
        if !self.current.is_empty() {
            self.end(line);
        }
    }

    fn end(&mut self, line: &mut dyn FnMut(String)) {
        line(String::from_utf8_lossy(&self.current).into_owned());
        self.current.clear();
    }
}

/// Copies `from` to `log` and its lines to `line` until `from` ends.
pub(crate) fn pump(mut from: impl Read, mut log: File, line: &mut dyn FnMut(String)) {
    let mut lines = Lines::default();
    let mut buffer = vec![0u8; 16 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                let bytes = buffer.get(..n).unwrap_or_default();
                // A full disk must not stop the run: the lines still reach the caller.
                let _ = log.write_all(bytes);
                lines.push(bytes, line);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    lines.finish(line);
    let _ = log.flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(pieces: &[&[u8]]) -> Vec<String> {
        let mut got = Vec::new();
        let mut lines = Lines::default();
        for piece in pieces {
            lines.push(piece, &mut |l| got.push(l));
        }
        lines.finish(&mut |l| got.push(l));
        got
    }

    #[test]
    fn lines_survive_being_cut_anywhere() {
        let whole: &[u8] = b"\x1b[2J\x1b[01;01Hone\r\ntwo\n\nthr\xffee";
        let expected = ["one", "two", "", "thr\u{fffd}ee"];
        for at in 0..=whole.len() {
            assert_eq!(
                lines_of(&[&whole[..at], &whole[at..]]),
                expected,
                "cut at {at}"
            );
        }
    }

    #[test]
    fn an_endless_line_is_cut() {
        let long = vec![b'a'; LONGEST * 2 + 5];
        let got = lines_of(&[&long]);
        assert_eq!(
            got.iter().map(String::len).collect::<Vec<_>>(),
            [LONGEST, LONGEST, 5]
        );
    }
}
