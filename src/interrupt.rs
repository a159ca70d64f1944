//! Ctrl-C: what is to be done before the program ends.

use anyhow::Context as _;
use nix::sys::signal::{SigSet, Signal, raise};
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, thread};

/// The signals that end a program from a terminal or a service manager, held back.
pub(crate) struct Interrupts(SigSet);

impl Interrupts {
    /// Holds them back in this thread and those that it starts from now on.
    pub(crate) fn hold() -> anyhow::Result<Self> {
        let mut signals = SigSet::empty();
        // What whoever started us has ignored stays so: nohup, and a shell's jobs in the background.
        let ignored = ignored();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            if ignored & (1 << (signal as u32 - 1)) == 0 {
                signals.add(signal);
            }
        }
        signals.thread_block().context("Cannot block signals")?;
        Ok(Self(signals))
    }

    /// Waits for one.
    pub(crate) fn wait(&self) -> anyhow::Result<Signal> {
        self.0.wait().context("Cannot wait for signals")
    }

    /// When one comes, removes a directory with all that is in it, and ends as the signal would have.
    pub(crate) fn remove(self, dir: PathBuf) {
        thread::spawn(move || {
            let Ok(signal) = self.wait() else { return };
            // Whoever still writes there may put a file into it once more.
            for _ in 0..10 {
                let _ = fs::remove_dir_all(&dir);
                if fs::symlink_metadata(&dir).is_err() {
                    break;
                }
            }
            let _ = self.0.thread_unblock();
            let _ = raise(signal);
            // Only where something made it harmless in between.
            std::process::exit(128 + signal as i32);
        });
    }
}

/// The signals held back while a program runs in the foreground.
pub(crate) struct Foreground {
    signals: SigSet,
    runs: Arc<AtomicBool>,
}

impl Interrupts {
    /// As [`Self::remove`], until a program is run: the terminal sends it the signals, too, and what they
    /// mean is its business.
    pub(crate) fn remove_until_run(self, dir: PathBuf) -> Foreground {
        let runs = Arc::new(AtomicBool::new(false));
        let foreground = Foreground {
            signals: self.0,
            runs: Arc::clone(&runs),
        };
        thread::spawn(move || {
            while let Ok(signal) = self.wait() {
                if !runs.load(Ordering::SeqCst) {
                    let _ = fs::remove_dir_all(&dir);
                    let _ = self.0.thread_unblock();
                    let _ = raise(signal);
                    std::process::exit(128 + signal as i32);
                }
            }
        });
        foreground
    }
}

impl Foreground {
    /// Runs a program, which gets the signals as usual, and waits for its end.
    pub(crate) fn run(&self, command: &mut Command) -> std::io::Result<ExitStatus> {
        self.runs.store(true, Ordering::SeqCst);
        // A program inherits what is held back.
        let _ = self.signals.thread_unblock();
        let child = command.spawn();
        let _ = self.signals.thread_block();
        child?.wait()
    }
}

/// The signals that this process ignores, a bit each from signal 1 on (proc(5), `SigIgn`).
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}
