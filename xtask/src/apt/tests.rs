//! Calls of apt while its locks are held.

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
