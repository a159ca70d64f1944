//! A long log: the report takes little time and memory, whatever the length. The time counts in an
//! optimised build alone: `cargo test --release -p analysis --test big_log`.

// Clippy frees tests from these, but not the functions beside them.
#![allow(clippy::unwrap_used)]

use analysis::report::{self, Options};
use std::io::{self, BufReader, Read};
use std::time::Duration;

/// Bytes of the log.
const LENGTH: usize = if cfg!(debug_assertions) {
    2 << 20
} else {
    10 << 20
};
/// KiB that the report may take.
const MOST_KIB: u64 = 10 << 10;

const OOPS: &str = "\
[  100.000000] BUG: kernel NULL pointer dereference, address: 0000000000000018
[  100.000001] Oops: Oops: 0000 [#1] PREEMPT SMP NOPTI
[  100.000002] CPU: 2 UID: 0 PID: 212 Comm: x Not tainted 6.12.1-x #7
[  100.000003] RIP: 0010:acme_poll+0x41/0x50 [acme]
[  100.000004] Call Trace:
[  100.000005]  <TASK>
[  100.000006]  acme_work+0x174/0x330 [acme]
[  100.000007]  </TASK>
[  100.000008] Kernel panic - not syncing: Fatal exception
";

/// Makes lines of a log as they are asked for: drivers, processes that crash, warnings with a stack; the
/// end is an oops.
struct Log {
    line: usize,
    left: usize,
    rest: Vec<u8>,
    ended: bool,
}

impl Log {
    fn next_line(&mut self) -> String {
        self.line += 1;
        let n = self.line;
        let text = match n % 50 {
            0 => format!("WARNING: CPU: 1 PID: 7 at drivers/acme/a.c:{n} acme_{n}+0x1/0x2"),
            1..8 => format!(" acme_{}+0x{:x}/0x4000 [acme]", n % 977, n % 4096),
            8 => format!("traps: acmed[{n}] general protection fault ip:7f sp:7f error:0 in x"),
            9 => format!(
                "acme 0000:00:{:02x}.0: [Hardware Error]: corrected, {n}",
                n % 256
            ),
            _ => format!("acme 0000:00:03.0: ring {n} is full: {n} of 1024 buffers are in use"),
        };
        format!("[{:5}.{:06}] {text}\n", n / 1000, n % 1_000_000)
    }
}

impl Read for Log {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() && self.left > 0 {
            self.rest = self.next_line().into_bytes();
            self.left = self.left.saturating_sub(self.rest.len());
        } else if self.rest.is_empty() && !self.ended {
            self.ended = true;
            self.rest = OOPS.as_bytes().to_vec();
        }
        let n = self.rest.as_slice().read(buf)?;
        self.rest.drain(..n);
        Ok(n)
    }
}

/// The most memory that this process has had, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The processor time that this process has had: other programs do not count. In units of 10 ms.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, behind) = stat.rsplit_once(") ").unwrap();
    let ticks = behind.split(' ').skip(11).take(2);
    let ticks: u64 = ticks.map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

#[test]
fn a_long_log_takes_little_time_and_memory() {
    let log = Log {
        line: 0,
        left: LENGTH,
        rest: Vec::new(),
        ended: false,
    };
    let (before, begun) = (peak_kib(), processor_time());
    let report = report::from_text(&mut BufReader::new(log), "log", Options::default()).unwrap();
    let (took, grown) = (processor_time() - begun, peak_kib() - before);
    eprintln!("{LENGTH} bytes: {took:?}, {grown} KiB");
    assert_eq!(report.reason.culprit.unwrap().function, "acme_poll");
    assert!(report.log_lines > (LENGTH / 100) as u64);
    assert!(grown <= MOST_KIB, "{grown} KiB");
    if !cfg!(debug_assertions) {
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
}
