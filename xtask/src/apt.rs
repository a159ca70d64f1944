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
mod tests {
    use super::*;
    use nix::fcntl::{FcntlArg, fcntl};
    use nix::libc;
    use std::fs::{self, File};
    use std::path::Path;

    /// apt with every directory of its own and no source, so that it needs neither root nor network.
    fn update(dir: &Path) -> Command {
        let d = dir.display();
        let mut command = Command::new("apt-get");
        command.args(["-q", "update"]);
        for option in [
            format!("Dir::Etc::sourcelist={d}/sources.list"),
            "Dir::Etc::sourceparts=-".into(),
            format!("Dir::State={d}"),
            format!("Dir::State::Lists={d}/lists"),
            format!("Dir::State::status={d}/status"),
            format!("Dir::Cache={d}/cache"),
            "APT::Sandbox::User=root".into(),
        ] {
            command.args(["-o", &option]);
        }
        command
    }

    fn prepared() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for sub in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(dir.path().join(sub)).unwrap();
        }
        for file in ["sources.list", "status"] {
            fs::write(dir.path().join(file), "").unwrap();
        }
        dir
    }

    /// The lock that apt and dpkg take: fcntl, on the whole file. Closing the file gives it back.
    fn hold(path: &Path) -> File {
        let file = File::create(path).unwrap();
        let whole = libc::flock {
            l_type: libc::F_WRLCK as i16,
            l_whence: libc::SEEK_SET as i16,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        fcntl(&file, FcntlArg::F_SETLK(&whole)).unwrap();
        file
    }

    fn has_apt() -> bool {
        Path::new("/usr/bin/apt-get").exists()
    }

    #[test]
    fn a_lock_that_is_given_back_is_waited_for() {
        if !has_apt() {
            return;
        }
        let dir = prepared();
        let lock = hold(&dir.path().join("lists/lock"));
        let holder = std::thread::spawn(move || {
            sleep(Duration::from_millis(1500));
            drop(lock);
        });
        let mut said = Vec::new();
        let end = run(&|| update(dir.path()), PATIENCE, &mut |line| {
            said.push(line.to_owned());
        });
        holder.join().unwrap();
        assert_eq!(end, End::Done);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains("lists/lock"), "{said:?}");
    }

    #[test]
    fn patience_ends_and_names_the_lock() {
        if !has_apt() {
            return;
        }
        let dir = prepared();
        let _lock = hold(&dir.path().join("lists/lock"));
        let end = run(&|| update(dir.path()), Duration::ZERO, &mut |_| {});
        assert!(
            matches!(&end, End::Locked(why) if why.contains("lists/lock")),
            "{end:?}"
        );
    }

    #[test]
    fn a_failure_of_its_own_is_not_waited_for() {
        let mut said = 0;
        let end = run(&|| Command::new("false"), PATIENCE, &mut |_| said += 1);
        assert_eq!((end, said), (End::Failed, 0));
        let none = run(&|| Command::new("/no/such/program"), PATIENCE, &mut |_| {});
        assert_eq!(none, End::Failed);
    }
}
