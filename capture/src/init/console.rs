//! What PID 1 says. In the capture kernel a child shows it ([`super::relay`]), by hand it goes to
//! standard error. The last lines are kept for `capture.log`.
//!
//! The kernel's rate limit for /dev/kmsg is switched off.

use super::relay::Relay;
use crate::screen;
use std::collections::VecDeque;
use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};

/// Lines kept for `capture.log`, where the kernel log does not have them.
const KEPT_LINES: usize = 500;

/// The child that shows the lines is started so many times at most.
const STARTS: u32 = 5;

/// Where lines go.
#[derive(Debug)]
pub(super) struct Console {
    relay: Option<Relay>,
    /// How many times the relay may still be started: never by hand.
    starts: u32,
    by_hand: bool,
    begun: Instant,
    lines: VecDeque<String>,
}

impl Console {
    /// PID 1's console.
    #[must_use]
    pub(super) fn for_init() -> Self {
        Self {
            relay: None,
            starts: STARTS,
            by_hand: false,
            begun: Instant::now(),
            lines: VecDeque::new(),
        }
    }

    /// Standard error, by hand.
    #[must_use]
    pub(super) fn for_hand() -> Self {
        Self {
            starts: 0,
            by_hand: true,
            ..Self::for_init()
        }
    }

    /// Makes the kernel show and keep every line. This takes a moment, so it is done while a child is
    /// at work.
    pub(super) fn unlimited(&self) {
        // The first wants its newline (devkmsg_sysctl_set_loglvl, kernel/printk/printk.c). Without
        // them lines may be dropped or not shown, no more.
        let _ = fs::write("/proc/sys/kernel/printk_devkmsg", "on\n");
        let _ = fs::write("/proc/sys/kernel/printk", "7");
    }

    /// Says one line. Never waits for a console in the capture kernel.
    pub(super) fn say(&mut self, line: &str) {
        let line = screen::plain(line);
        let seconds = self.begun.elapsed().as_secs_f64();
        if self.lines.len() >= KEPT_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(format!("[{seconds:10.3}] {line}"));
        if self.by_hand {
            let _ = writeln!(std::io::stderr(), "{line}");
            return;
        }
        if self
            .relay
            .as_mut()
            .is_some_and(|relay| relay.send(&line).is_ok())
        {
            return;
        }
        self.relay = None;
        if self.starts > 0 {
            self.starts -= 1;
            self.relay = Relay::start().ok();
        }
        if let Some(relay) = self.relay.as_mut() {
            let _ = relay.send(&line);
        }
    }

    /// Waits until every line is shown, at most so long.
    pub(super) fn drain(&mut self, limit: Duration) {
        if let Some(relay) = self.relay.as_mut() {
            relay.drain(limit);
        }
    }

    /// The last lines said, with the seconds since PID 1 began.
    #[must_use]
    pub(super) fn lines(&self) -> Vec<String> {
        self.lines.iter().cloned().collect()
    }
}
