//! A program that is given a text and a time.
//!
//! It leads a process group of its own, so that at the deadline its children end with it.

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Between two looks at whether it has ended.
const PAUSE: Duration = Duration::from_millis(20);

/// Why it did not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ChildError {
    /// It did not start.
    #[error("cannot run {program}")]
    Start {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It failed.
    #[error("{program} failed: {status}")]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// It took too long.
    #[error("{program} was killed: it had not ended within {seconds} s")]
    Late {
        /// The program.
        program: String,
        /// The time that it had.
        seconds: u64,
    },
}

/// Runs it with `input` on stdin. A program may read only a part of it.
///
/// # Errors
/// It cannot be started, fails, or is killed at its deadline.
pub(crate) fn run(
    mut command: Command,
    input: Vec<u8>,
    deadline: Duration,
) -> Result<(), ChildError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let started = |source| ChildError::Start {
        program: program.clone(),
        source,
    };
    let mut child = command
        .stdin(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(started)?;
    if let Some(mut stdin) = child.stdin.take() {
        // Not waited for: whoever holds the other end may never read.
        std::thread::spawn(move || {
            let _ = stdin.write_all(&input);
        });
    }
    let status = match wait(&mut child, deadline) {
        Ok(Some(status)) => status,
        Ok(None) => {
            kill(&mut child);
            return Err(ChildError::Late {
                program,
                seconds: deadline.as_secs(),
            });
        }
        Err(source) => {
            kill(&mut child);
            return Err(started(source));
        }
    };
    match status.success() {
        true => Ok(()),
        false => Err(ChildError::Failed { program, status }),
    }
}

fn wait(child: &mut Child, deadline: Duration) -> io::Result<Option<ExitStatus>> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if begun.elapsed() >= deadline {
            return Ok(None);
        }
        std::thread::sleep(PAUSE);
    }
}

/// Ends its whole group. It was not waited for, so its number is still its own.
fn kill(child: &mut Child) {
    if let Ok(pid) = i32::try_from(child.id()) {
        let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
    }
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn it_reads_all_a_part_or_nothing() {
        let input = vec![b'x'; 1 << 20];
        let second = Duration::from_secs(30);
        for script in ["test $(wc -c) = 1048576", "head -c 1 >/dev/null", "exit 0"] {
            run(shell(script), input.clone(), second).unwrap();
        }
        let failed = run(shell("exit 7"), input, second).unwrap_err();
        assert!(failed.to_string().contains("exit status: 7"), "{failed}");
        let missing = run(Command::new("/no/such"), Vec::new(), second);
        assert!(matches!(missing, Err(ChildError::Start { .. })));
    }

    #[test]
    fn at_the_deadline_its_children_end_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let pid = dir.path().join("pid");
        let script = format!("sleep 600 & echo $! >{}; wait", pid.display());
        let begun = Instant::now();
        let late = run(shell(&script), Vec::new(), Duration::from_secs(2));
        assert!(matches!(late, Err(ChildError::Late { .. })), "{late:?}");
        assert!(begun.elapsed() < Duration::from_secs(20));
        let pid = std::fs::read_to_string(pid).unwrap();
        // Ended, or a zombie that nobody has waited for yet.
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
            if stat.is_err() || stat.is_ok_and(|text| text.contains(") Z ")) {
                break;
            }
            assert!(Instant::now() < end, "the child lives");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
