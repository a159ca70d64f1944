//! Runs apt and waits while another process holds one of its locks.
//!
//! Source of the facts: apt 2.6. `DPkg::Lock::Timeout` makes apt wait for dpkg's locks only
//! (apt-pkg/deb/debsystem.cc). For the locks of the package lists and of the archive cache apt fails
//! at once (apt-pkg/acquire.cc). All of them fail with `E: Could not get lock PATH. It is held by
//! process N (NAME)`, so one loop here serves all of them.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long another installation may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30 * 60);
/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(1);
/// How apt begins to say that a lock is taken, in the C locale.
const LOCKED: &str = "Could not get lock ";

/// How a run of apt ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// apt did it.
    Done,
    /// apt failed for a reason of its own, which it said on stderr.
    Failed,
    /// The lock was still taken when the patience ended: apt's own words.
    Locked(String),
}

/// Runs the command that `make` makes, again and again while a lock is taken.
///
/// What apt says on stderr is passed on, except that a lock is taken: `say` hears that once.
pub(crate) fn run(
    make: &dyn Fn() -> Command,
    patience: Duration,
    say: &mut dyn FnMut(&str),
) -> End {
    let start = Instant::now();
    let mut told = false;
    loop {
        let Some((good, locked)) = once(&mut make()) else {
            return End::Failed;
        };
        match locked {
            _ if good => return End::Done,
            None => return End::Failed,
            Some(lock) if start.elapsed() >= patience => return End::Locked(lock),
            Some(lock) => {
                if !told {
                    say(&format!("waiting until apt is free: {lock}"));
                    told = true;
                }
                sleep(PAUSE);
            }
        }
    }
}

/// One attempt: whether it succeeded, and what apt said of a lock; nothing if it cannot be run.
fn once(command: &mut Command) -> Option<(bool, Option<String>)> {
    command
        .env("LC_ALL", "C")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        // apt's stdout is progress, not an answer.
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .inspect_err(|error| {
            let program = command.get_program().display();
            eprintln!("xtask: cannot run {program}: {error}");
        })
        .ok()?;
    let mut locked = None;
    let stderr = child.stderr.take().map(BufReader::new);
    for line in stderr
        .into_iter()
        .flat_map(BufRead::lines)
        .map_while(Result::ok)
    {
        match line.split_once(LOCKED) {
            Some((_, rest)) => locked = Some(format!("{LOCKED}{rest}")),
            // The second line that apt says of the same lock.
            None if locked.is_some() => {}
            None => eprintln!("{line}"),
        }
    }
    let status = child.wait().ok()?;
    Some((status.success(), locked))
}

#[cfg(test)]
mod tests;
