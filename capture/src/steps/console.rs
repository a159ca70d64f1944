//! Nothing else worked: the end of the crashed kernel's log goes to the console.
//!
//! In the capture kernel this child writes to the console itself, as fast as the console takes it, and
//! tells PID 1 after each line that it is alive.

use super::source;
use crate::protocol::{self, Event, say};
use crate::screen::{self, Screen};
use plan::Plan;
use std::collections::VecDeque;
use std::io::{self, Write};
use vmcore::kernel::chain;
use vmcore::printk;

/// Lines printed: a slow serial line takes a second for every ten kilobytes.
const LINES: usize = 400;

pub(super) fn run(plan: &Plan, init: bool) -> Result<(), String> {
    let kernel = source::kernel(plan)?;
    let mut tail = Tail::default();
    let read = printk::write_dmesg(&kernel, &mut tail).map_err(|error| chain(&error));
    let mut screen = init.then(Screen::open);
    for line in tail.lines() {
        let line = screen::plain(&format!(
            "crashed kernel: {}",
            String::from_utf8_lossy(&line)
        ));
        match screen.as_mut() {
            Some(screen) => {
                screen.show(&line);
                say(&Event::Alive);
            }
            None => protocol::log(line),
        }
    }
    read.map(|_| ())
}

/// Keeps the last lines of what is written to it: [`LINES`] of [`screen::MAX_LINE`] bytes.
#[derive(Default)]
struct Tail {
    done: VecDeque<Vec<u8>>,
    /// The line that has not ended yet.
    line: Vec<u8>,
}

impl Tail {
    fn end_line(&mut self) {
        if self.done.len() == LINES {
            self.done.pop_front();
        }
        self.done.push_back(std::mem::take(&mut self.line));
    }

    /// The last lines, the oldest first.
    fn lines(mut self) -> VecDeque<Vec<u8>> {
        if !self.line.is_empty() {
            self.end_line();
        }
        self.done
    }
}

impl Write for Tail {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = part.strip_suffix(b"\n");
            let room = screen::MAX_LINE.saturating_sub(self.line.len());
            let kept = text.unwrap_or(part);
            self.line
                .extend_from_slice(kept.get(..room).unwrap_or(kept));
            if text.is_some() {
                self.end_line();
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_bounded_whatever_is_written() {
        let mut tail = Tail::default();
        for n in 0..100_000 {
            write!(tail, "line ").unwrap();
            writeln!(tail, "{n}").unwrap();
        }
        for _ in 0..5000 {
            tail.write_all(&[b'x'; 1000]).unwrap();
        }
        assert!(tail.line.len() <= screen::MAX_LINE);
        let lines = tail.lines();
        assert_eq!(lines.len(), LINES);
        assert_eq!(lines[LINES - 2], b"line 99999");
        assert_eq!(lines[LINES - 1], vec![b'x'; screen::MAX_LINE]);
    }
}
