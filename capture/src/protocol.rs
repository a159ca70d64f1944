//! The messages between PID 1 and its children.
//!
//! A child is the same binary, started again with [`CHILD`] in its environment and an [`Order`] as
//! JSON on standard input (a memory file, so that neither side waits), or a fork of PID 1. It writes one
//! [`Event`] a line to standard output. PID 1 takes any other line as a log line. After a child's
//! deadline PID 1 reads nothing more from it.

use dump::Level;
use dump::facts::{CoreFacts, Verdict};
use plan::{FinalAction, Plan};
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use store::manifest::{CrashFacts, Step};

/// Set in a child's environment.
pub(crate) const CHILD: &str = "AFTERPANIC_CHILD";

/// A job with everything that the child needs for it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    /// The plan.
    pub plan: Plan,
    /// The job.
    pub job: Job,
    /// Seconds until it is killed, for its own planning.
    pub deadline_s: u64,
    /// Whether this is a capture kernel, not a plan followed by hand.
    pub init: bool,
}

/// The jobs of children. Each is small enough that losing it costs one step only.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Job {
    /// Load the modules that a target of the plan needs; find, prove and mount it.
    Mount {
        /// Its index.
        target: usize,
    },
    /// Make the crash directory below `base` and write the crashed kernel's log into it.
    Begin {
        /// Where crash directories lie.
        base: String,
    },
    /// Write `essential.elf.zst`.
    Essential {
        /// The crash directory.
        dir: String,
        /// The target's index, for rotation.
        target: usize,
    },
    /// Write `report.json`, `report.txt` and `panic.log`.
    Report {
        /// The crash directory.
        dir: String,
    },
    /// Estimate, make room, classify and write the core.
    Core {
        /// The crash directory.
        dir: String,
        /// Where crash directories lie, for rotation.
        base: String,
        /// The target's index.
        target: usize,
        /// The crash facts of the report.
        crash: Box<CrashFacts>,
        /// The level to try first.
        level: Level,
        /// Copy all RAM without classification: the last resort.
        unfiltered: bool,
    },
    /// Copy the records of pstore.
    Pstore {
        /// The crash directory.
        dir: String,
    },
    /// Write `capture.log` and `manifest.json`, sync and rename.
    Finish {
        /// The crash directory.
        dir: String,
        /// What happened so far.
        facts: Box<Facts>,
    },
    /// Leave the target clean.
    Umount {
        /// Where it is mounted.
        mount_point: String,
    },
    /// Print the crashed kernel's log on the console: nothing else worked.
    Console,
    /// Run a program of the operator.
    Hook {
        /// Its index in the plan.
        at: usize,
        /// The crash directory, where there is one.
        dir: Option<String>,
        /// How far the core is: `none`, or a verdict.
        core: String,
    },
    /// Open a shell on the console, after a failure.
    Rescue,
    /// Reboot, power off or halt.
    Last(FinalAction),
}

impl Job {
    /// Whether the step is held to a memory limit of its own.
    #[must_use]
    pub(crate) fn is_limited(&self) -> bool {
        matches!(
            self,
            Self::Essential { .. } | Self::Report { .. } | Self::Core { .. }
        )
    }

    /// Whether it runs another program, in a process group of its own.
    #[must_use]
    pub(crate) fn has_group(&self) -> bool {
        matches!(self, Self::Hook { .. } | Self::Rescue)
    }

    /// The name in the log.
    #[must_use]
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Mount { .. } => "target",
            Self::Begin { .. } => "log",
            Self::Essential { .. } => "essential",
            Self::Report { .. } => "report",
            Self::Core { .. } => "core",
            Self::Pstore { .. } => "pstore",
            Self::Finish { .. } => "finish",
            Self::Umount { .. } => "umount",
            Self::Console => "console",
            Self::Hook { .. } => "hook",
            Self::Rescue => "rescue",
            Self::Last(_) => "last",
        }
    }
}

/// What PID 1 collected over the steps, for the manifest.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// Soft errors, in order, bounded.
    pub soft_errors: Vec<String>,
    /// Steps and how they ended, with the seconds they took.
    pub steps: Vec<Step>,
    /// The core, if one was written.
    pub core: Option<CoreFacts>,
    /// Why no core was tried, where that was a decision and not a failure.
    #[serde(default)]
    pub skipped: Option<String>,
    /// Whether the report is there.
    pub report: bool,
    /// Whether the essential pages are there, all of them.
    #[serde(default)]
    pub essential: bool,
    /// The crash facts of the report.
    #[serde(default)]
    pub crash: CrashFacts,
    /// Where the dump is, once a target has it.
    #[serde(default)]
    pub dump: Option<DumpAt>,
    /// Whether this target takes the report only.
    #[serde(default)]
    pub report_only: bool,
    /// Our own log lines, for those that the kernel log does not have.
    pub log: Vec<String>,
}

/// The crash directory that a target took with the dump.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DumpAt {
    /// Its final name.
    pub name: String,
    /// Its verdict.
    pub verdict: Verdict,
}

/// A message of a child.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Event {
    /// A line for the log.
    Log(String),
    /// A soft error: the step goes on.
    Soft(String),
    /// It makes progress, and there is nothing to show.
    Alive,
    /// How far it is.
    Progress(Progress),
    /// The target is mounted; crash directories go below `base`.
    Mounted {
        /// Where the filesystem is mounted, or nothing to umount.
        mount_point: Option<String>,
        /// The directory for crashes.
        base: String,
    },
    /// The crash directory's path, from the moment it exists or has a new name.
    Directory(String),
    /// The report is written; its crash facts.
    Reported(Box<CrashFacts>),
    /// The core as written.
    Core(Box<CoreFacts>),
    /// No core is written, and why: the loop guard, or a core larger than allowed.
    Skipped(String),
    /// The verdict on the whole crash directory.
    Verdict(Verdict),
    /// A program runs in this process group, which goes with the job.
    Group(i32),
    /// The step could not be done, and why.
    Failed(String),
    /// The step is done.
    Done,
}

/// How far a long step is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// The phase: `classify`, `core`.
    pub phase: String,
    /// Pages done.
    pub done: u64,
    /// Pages in all; 0 where that is not known.
    pub total: u64,
    /// Plain bytes taken in since the phase began.
    pub bytes: u64,
    /// Seconds since the phase began.
    pub seconds: f64,
}

impl Progress {
    /// The line for the console: step, percent, MB/s, time left.
    #[must_use]
    pub(crate) fn line(&self) -> String {
        let percent = self
            .done
            .saturating_mul(100)
            .checked_div(self.total)
            .map_or_else(String::new, |p| format!(" {p}%"));
        #[allow(clippy::cast_precision_loss)]
        let (bytes, done, total) = (self.bytes as f64, self.done as f64, self.total as f64);
        let rate = if self.seconds > 0.0 && self.bytes > 0 {
            format!(" {:.0} MB/s", bytes / 1e6 / self.seconds)
        } else {
            String::new()
        };
        // Earlier values are guesses.
        let left = if self.seconds >= 2.0 && done > total / 50.0 && total > done {
            format!(", {:.0} s left", self.seconds * (total - done) / done)
        } else {
            String::new()
        };
        format!("{}{percent}{rate}{left}", self.phase)
    }
}

/// The child's side: reads the order from standard input.
///
/// # Errors
/// When it cannot be read or parsed.
pub(crate) fn read_order() -> io::Result<Order> {
    let mut text = Vec::new();
    io::stdin().lock().read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

/// The child's side: sends an event to PID 1. A failure to write is ignored: the job goes on.
pub(crate) fn say(event: &Event) {
    if let Ok(mut line) = serde_json::to_vec(event) {
        line.push(b'\n');
        let mut out = io::stdout().lock();
        let _ = out.write_all(&line);
        let _ = out.flush();
    }
}

/// [`say`] a log line.
pub(crate) fn log(line: impl Into<String>) {
    say(&Event::Log(line.into()));
}

/// [`say`] a soft error.
pub(crate) fn soft(line: impl Into<String>) {
    say(&Event::Soft(line.into()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_reads_well() {
        let progress = Progress {
            phase: "core".into(),
            done: 25,
            total: 100,
            bytes: 50_000_000,
            seconds: 2.0,
        };
        assert_eq!(progress.line(), "core 25% 25 MB/s, 6 s left");
        let unknown = Progress {
            phase: "classify".into(),
            done: 3,
            total: 0,
            bytes: 0,
            seconds: 0.0,
        };
        assert_eq!(unknown.line(), "classify");
    }
}
