//! A child that shows PID 1's lines, so that PID 1 never waits for a console.
//!
//! A pipe carries the lines to the child, and is the queue: 64 KiB of lines, written without waiting.
//! A line that does not fit is dropped and counted. A second pipe carries one byte back for each line
//! shown, so that PID 1 can wait, for a bounded time, until everything is shown.

use super::child::do_not_wait;
use crate::screen::Screen;
use crate::sys;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, BufRead, BufReader, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// PID 1's end.
#[derive(Debug)]
pub(super) struct Relay {
    lines: PipeWriter,
    shown: PipeReader,
    /// Lines sent and not shown yet.
    waiting: usize,
    /// Lines dropped since the last that was sent.
    dropped: usize,
}

impl Relay {
    /// Starts the child.
    ///
    /// # Errors
    /// What the system said.
    pub(super) fn start() -> io::Result<Self> {
        let (input, lines) = io::pipe()?;
        let (shown, output) = io::pipe()?;
        sys::fork(Some(input.as_fd()), output.as_fd(), || {
            let mut screen = Screen::open();
            let input = io::stdin().lock();
            show_all(input, io::stdout(), &mut |line| screen.show(line));
            0
        })?;
        Self::new(lines, shown)
    }

    fn new(lines: PipeWriter, shown: PipeReader) -> io::Result<Self> {
        do_not_wait(&lines)?;
        do_not_wait(&shown)?;
        Ok(Self {
            lines,
            shown,
            waiting: 0,
            dropped: 0,
        })
    }

    /// Sends a line of at most [`crate::screen::MAX_LINE`] bytes; one that does not fit is dropped.
    ///
    /// # Errors
    /// The child is gone.
    pub(super) fn send(&mut self, line: &str) -> io::Result<()> {
        self.count()?;
        // One write, so that the note never takes the last room alone.
        let (text, lines) = match self.dropped {
            0 => (format!("{line}\n"), 1),
            n => (
                format!("({n} lines dropped: the console is too slow)\n{line}\n"),
                2,
            ),
        };
        // Whole or not at all: pipe(7), up to PIPE_BUF, 4096 bytes.
        match self.lines.write(text.as_bytes()) {
            Ok(_) => {
                self.waiting = self.waiting.saturating_add(lines);
                self.dropped = 0;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.dropped = self.dropped.saturating_add(1);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Reads how many lines were shown by now.
    fn count(&mut self) -> io::Result<()> {
        let mut bytes = [0; 512];
        // As many as the pipe holds.
        for _ in 0..128 {
            match self.shown.read(&mut bytes) {
                Ok(0) => return Err(io::ErrorKind::BrokenPipe.into()),
                Ok(n) => self.waiting = self.waiting.saturating_sub(n),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits until every line is shown, at most so long.
    pub(super) fn drain(&mut self, limit: Duration) {
        let begun = Instant::now();
        while self.count().is_ok() && self.waiting > 0 && begun.elapsed() < limit {
            let mut fds = [PollFd::new(self.shown.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut fds, PollTimeout::from(20_u8));
        }
    }
}

/// The child's side: shows each line and says so by a byte.
fn show_all(input: impl Read, mut output: impl Write, show: &mut dyn FnMut(&str)) {
    let mut input = BufReader::with_capacity(4096, input);
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
        show(String::from_utf8_lossy(&line).trim_end());
        line.clear();
        let _ = output.write_all(b".").and_then(|()| output.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_console_that_blocks_costs_lines_and_no_time() {
        let (input, lines) = io::pipe().unwrap();
        let (shown, output) = io::pipe().unwrap();
        let mut relay = Relay::new(lines, shown).unwrap();
        let (go, wait) = mpsc::channel::<()>();
        let child = std::thread::spawn(move || {
            let mut seen = Vec::new();
            // The first line hangs, as on a serial line whose other end says stop.
            wait.recv().unwrap();
            show_all(input, output, &mut |line| seen.push(line.to_owned()));
            seen
        });
        let begun = Instant::now();
        let line = |n: usize| format!("{n:07}{}", "x".repeat(500));
        for n in 0..10_000 {
            relay.send(&line(n)).unwrap();
        }
        relay.drain(Duration::from_millis(100));
        assert!(begun.elapsed() < Duration::from_secs(5));
        let (waiting, dropped) = (relay.waiting, relay.dropped);
        assert!((100..200).contains(&waiting), "{waiting}");
        assert_eq!(waiting + dropped, 10_000);
        go.send(()).unwrap();
        relay.drain(Duration::from_secs(10));
        assert_eq!(relay.waiting, 0);
        relay.send("the last").unwrap();
        drop(relay);
        let seen = child.join().unwrap();
        assert_eq!(seen.len(), waiting + 2);
        assert_eq!(seen[0], line(0));
        assert!(seen[waiting].starts_with(&format!("({dropped} lines dropped")));
        assert_eq!(seen[waiting + 1], "the last");
    }

    #[test]
    fn a_child_that_is_gone_is_an_error() {
        let (input, lines) = io::pipe().unwrap();
        let (shown, output) = io::pipe().unwrap();
        let mut relay = Relay::new(lines, shown).unwrap();
        drop((input, output));
        assert!(relay.send("line").is_err());
        relay.drain(Duration::from_secs(10));
    }
}
