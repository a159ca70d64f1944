//! Where lines show: the kernel log, which reaches every console and is the time-stamped part of
//! `capture.log`; or the console itself where there is no /dev/kmsg.
//!
//! Writing here blocks for as long as the slowest console takes: a serial line with flow control and
//! no reader at its other end takes minutes. So PID 1 never calls this; only its children do.

use std::fs::{File, OpenOptions};
use std::io::Write;

/// Longest line in bytes; /dev/kmsg refuses records of more than 992 (LOG_LINE_MAX of
/// kernel/printk/printk.c, 5.10 and newer).
pub(crate) const MAX_LINE: usize = 900;

/// Priority 6 (info) of facility user (1): 1 * 8 + 6.
const PRIORITY: &str = "<14>";

/// The beginning of each of our lines.
pub(crate) const PREFIX: &str = "afterpanic: ";

/// The kernel log or the console, opened.
#[derive(Debug)]
pub(crate) struct Screen {
    kmsg: Option<File>,
    tty: Option<File>,
}

impl Screen {
    /// Opens the kernel log.
    #[must_use]
    pub(crate) fn open() -> Self {
        Self {
            kmsg: OpenOptions::new().write(true).open("/dev/kmsg").ok(),
            tty: None,
        }
    }

    /// Shows one line.
    pub(crate) fn show(&mut self, line: &str) {
        let record = format!("{PRIORITY}{PREFIX}{line}\n");
        if let Some(kmsg) = self.kmsg.as_mut()
            && kmsg.write_all(record.as_bytes()).is_ok()
        {
            return;
        }
        if self.tty.is_none() {
            self.tty = OpenOptions::new().write(true).open("/dev/console").ok();
        }
        if let Some(tty) = self.tty.as_mut() {
            let _ = tty.write_all(format!("{PREFIX}{line}\r\n").as_bytes());
        }
    }
}

/// A line as it may be shown: at most [`MAX_LINE`] bytes, without control characters.
#[must_use]
pub(crate) fn plain(line: &str) -> String {
    let mut plain = String::new();
    for c in line.chars() {
        let c = if c.is_control() { ' ' } else { c };
        if plain.len() + c.len_utf8() > MAX_LINE {
            break;
        }
        plain.push(c);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_short_and_plain() {
        assert_eq!(plain("a\x1b[2Jb\nc"), "a [2Jb c");
        let long = plain(&"ä".repeat(1000));
        assert_eq!(long.len(), MAX_LINE);
    }
}
