//! The log of a core, read once and record by record. A ring of 64 MiB costs no more memory than one of
//! 64 KiB: of the lines only the end is kept, and what [`Collector`] keeps of reports.

use super::Line;
use crate::reason::{Collector, Reason};
use std::collections::VecDeque;
use vmcore::kernel::Kernel;
use vmcore::printk::{self, LogError, Record};

/// Lines of the end that are kept.
const LINES: usize = 4000;
/// Bytes of their text.
const BYTES: usize = 1 << 20;

/// What the log of a core says, with its end.
#[derive(Debug)]
pub struct Log {
    /// Why the kernel died, as far as the log tells.
    pub reason: Reason,
    /// The last lines, oldest first.
    pub tail: Vec<Line>,
    /// Lines before the tail.
    pub skipped: usize,
    /// Whether the log holds the line with which panic() ends when nothing took over.
    pub ended: bool,
    /// What of the log was lost.
    pub warnings: Vec<String>,
}

impl Log {
    /// A log without lines: one that could not be read.
    #[must_use]
    pub fn empty() -> Self {
        Taker::default().finish(Vec::new())
    }

    /// Reads the log of a core.
    ///
    /// # Errors
    /// When the ring buffer cannot be found or read.
    pub fn read(kernel: &Kernel) -> Result<Self, LogError> {
        let mut taker = Taker::default();
        let warnings = printk::for_each(kernel, &mut |record| {
            for line in lines(&record) {
                taker.take(line);
            }
            Ok(())
        })?;
        Ok(taker.finish(warnings))
    }

    /// All of a log that is at hand.
    #[must_use]
    pub fn of(lines: Vec<Line>) -> Self {
        let mut taker = Taker::default();
        for line in lines {
            taker.take(line);
        }
        taker.finish(Vec::new())
    }

    /// Lines in the whole log.
    #[must_use]
    pub fn len(&self) -> usize {
        self.skipped.saturating_add(self.tail.len())
    }

    /// Whether there is no line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The lines of a record.
fn lines(record: &Record) -> Vec<Line> {
    let text = String::from_utf8_lossy(&record.text);
    let line = |text: &str| Line {
        ts_nsec: record.ts_nsec,
        caller: record.caller,
        level: Some(record.level),
        text: text.to_string(),
        untimed: false,
    };
    text.lines().map(line).collect()
}

struct Taker {
    collector: Collector,
    tail: VecDeque<Line>,
    bytes: usize,
    skipped: usize,
    ended: bool,
}

impl Default for Taker {
    fn default() -> Self {
        Self {
            collector: Collector::of_core(),
            tail: VecDeque::new(),
            bytes: 0,
            skipped: 0,
            ended: false,
        }
    }
}

impl Taker {
    fn take(&mut self, line: Line) {
        self.ended |= line.text.contains("end Kernel panic - not syncing");
        self.bytes = self.bytes.saturating_add(line.text.len());
        self.tail.push_back(line.clone());
        while self.tail.len() > LINES || self.bytes > BYTES {
            let Some(gone) = self.tail.pop_front() else {
                break;
            };
            self.bytes = self.bytes.saturating_sub(gone.text.len());
            self.skipped = self.skipped.saturating_add(1);
        }
        self.collector.push(line);
    }

    fn finish(self, warnings: Vec<String>) -> Log {
        Log {
            reason: self.collector.finish(),
            tail: self.tail.into(),
            skipped: self.skipped,
            ended: self.ended,
            warnings,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn many(count: usize) -> Vec<Line> {
        let text = |i: usize| match i {
            10 => "Kernel panic - not syncing: acme: gone".to_string(),
            _ => format!("line {i} {}", "x".repeat(500)),
        };
        let line = |i| Line {
            text: text(i),
            ..Line::default()
        };
        (0..count).map(line).collect()
    }

    #[test]
    fn of_a_long_log_the_end_and_the_reason_stay() {
        let log = Log::of(many(5_000));
        assert_eq!(log.len(), 5_000);
        assert!(log.tail.iter().map(|line| line.text.len()).sum::<usize>() <= BYTES);
        assert_eq!(log.reason.message.as_deref(), Some("acme: gone"));
        assert_eq!(log.reason.first_line, 10);
    }

    #[test]
    fn of_a_short_log_all_stays() {
        let log = Log::of(many(20));
        assert_eq!((log.skipped, log.tail.len()), (0, 20));
        assert!(Log::empty().is_empty());
    }
}
