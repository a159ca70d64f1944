//! What PID 1 says, everywhere it can be heard: the kernel log (which reaches every console and
//! is the time-stamped part of `capture.log`), or the console itself when there is no /dev/kmsg.
//!
//! Writing to a console can block on a stopped terminal, so it is opened non-blocking and a line
//! that does not fit is dropped. The kernel's rate limit for /dev/kmsg is switched off.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Instant;

/// Lines kept for `capture.log` in case the kernel log is not to be had.
const KEPT_LINES: usize = 500;

/// Longest line; the kernel cuts records at about 1000 bytes.
const MAX_LINE: usize = 900;

/// Where lines go.
#[derive(Debug)]
pub struct Console {
    kmsg: Option<File>,
    tty: Option<File>,
    by_hand: bool,
    begun: Instant,
    lines: VecDeque<String>,
}

impl Console {
    /// PID 1's console.
    #[must_use]
    pub fn for_init() -> Self {
        let kmsg = OpenOptions::new().write(true).open("/dev/kmsg").ok();
        Self {
            kmsg,
            tty: None,
            by_hand: false,
            begun: Instant::now(),
            lines: VecDeque::new(),
        }
    }

    /// Has the kernel show and keep every line, for which there is time once a child is at work.
    pub fn unlimited(&self) {
        // The first wants its newline (devkmsg_sysctl_set_loglvl, kernel/printk/printk.c). Without
        // them lines may be dropped or not shown, no more.
        let _ = fs::write("/proc/sys/kernel/printk_devkmsg", "on\n");
        let _ = fs::write("/proc/sys/kernel/printk", "7");
    }

    /// Standard error, by hand.
    #[must_use]
    pub fn for_hand() -> Self {
        Self {
            kmsg: None,
            tty: None,
            by_hand: true,
            begun: Instant::now(),
            lines: VecDeque::new(),
        }
    }

    /// Says one line.
    pub fn say(&mut self, line: &str) {
        let line: String = line
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(MAX_LINE)
            .collect();
        let seconds = self.begun.elapsed().as_secs_f64();
        if self.lines.len() >= KEPT_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(format!("[{seconds:10.3}] {line}"));
        if self.by_hand {
            let _ = writeln!(std::io::stderr(), "{line}");
            return;
        }
        // Priority 6 (info) of facility user (1): 1 * 8 + 6.
        let record = format!("<14>afterpanic: {line}\n");
        let heard = self
            .kmsg
            .as_mut()
            .is_some_and(|kmsg| kmsg.write_all(record.as_bytes()).is_ok());
        if heard {
            return;
        }
        if self.tty.is_none() {
            self.tty = OpenOptions::new()
                .write(true)
                .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
                .open("/dev/console")
                .ok();
        }
        if let Some(tty) = self.tty.as_mut() {
            let _ = tty.write_all(format!("afterpanic: {line}\r\n").as_bytes());
        }
    }

    /// The last lines said, with the seconds since PID 1 began.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lines.iter().cloned().collect()
    }
}
