//! A crash directory's making: its name, and files that nobody else can have put there.
//!
//! Nothing follows a symbolic link below the base, nothing is written into what existed before, and
//! everything is 0700 and 0600 from the first byte.

use crate::names::State;
use dump::files::sync;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};

/// The longest node name in a directory's name.
const MAX_NODE: usize = 64;

/// A node name reduced to what a directory's name may hold.
#[must_use]
pub fn reduce(nodename: &[u8]) -> String {
    let name: String = nodename
        .iter()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' => char::from(*byte),
            _ => '_',
        })
        .take(MAX_NODE)
        .collect();
    // A leading dot would hide it, and "." is no name.
    let name = name.trim_start_matches('.');
    if name.is_empty() {
        "unknown".into()
    } else {
        name.into()
    }
}

/// Seconds since 1970 as `20261121T231500Z`.
#[must_use]
pub fn stamp(seconds: u64) -> String {
    vmcore::time::Utc::of(seconds)
        .map_or_else(|| "00000000T000000Z".into(), vmcore::time::Utc::stamp)
}

/// Opens `path` below `root`, making directories that are not there and following no link.
///
/// # Errors
/// What the system said, with the component that it said it of.
pub fn ensure(root: &Path, path: &str) -> io::Result<PathBuf> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut at: OwnedFd = File::open(root)?.into();
    let mut walked = root.to_path_buf();
    for part in Path::new(path).components() {
        let name = match part {
            Component::Normal(name) => name,
            Component::RootDir | Component::CurDir => continue,
            Component::ParentDir | Component::Prefix(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("{path} climbs with .."),
                ));
            }
        };
        walked.push(name);
        let said = |errno: Errno| {
            let error = io::Error::from(errno);
            io::Error::new(error.kind(), format!("{}: {error}", walked.display()))
        };
        at = match openat(&at, name, flags, Mode::empty()) {
            Err(Errno::ENOENT) => {
                mkdirat(&at, name, Mode::S_IRWXU).map_err(said)?;
                openat(&at, name, flags, Mode::empty()).map_err(said)?
            }
            other => other.map_err(said)?,
        };
    }
    Ok(walked)
}

/// Makes the crash directory, `.partial` as yet, with the first free number.
///
/// # Errors
/// What the system said.
pub fn create(base: &Path, node: &str, stamp: &str) -> io::Result<PathBuf> {
    for serial in 1..1000_u32 {
        let name = if serial == 1 {
            format!("{node}-{stamp}")
        } else {
            format!("{node}-{stamp}-{serial}")
        };
        let taken = [State::Done, State::Incomplete]
            .into_iter()
            .any(|state| exists(&base.join(format!("{name}{}", state.suffix()))));
        if taken {
            continue;
        }
        let path = base.join(format!("{name}{}", State::Partial.suffix()));
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(
        io::ErrorKind::AlreadyExists,
        format!("1000 crashes of {node} at {stamp}"),
    ))
}

fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Gives a `.partial` directory its final name, and makes sure of it.
///
/// # Errors
/// What the system said.
pub fn settle(dir: &Path, state: State) -> io::Result<PathBuf> {
    let name = dir.to_string_lossy();
    let stem = name
        .strip_suffix(State::Partial.suffix())
        .unwrap_or(&name)
        .to_owned();
    let settled = PathBuf::from(format!("{stem}{}", state.suffix()));
    if exists(&settled) {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!("{} is there already", settled.display()),
        ));
    }
    sync(dir)?;
    fs::rename(dir, &settled)?;
    if let Some(base) = settled.parent() {
        sync(base)?;
    }
    Ok(settled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dump::files::create_file;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn node_names_are_reduced() {
        assert_eq!(reduce(b"web-03"), "web-03");
        assert_eq!(reduce(b"../../etc"), "_.._etc");
        assert_eq!(reduce(b"a b/\xff"), "a_b__");
        assert_eq!(reduce(b".."), "unknown");
        assert_eq!(reduce(&[b'x'; 300]).len(), 64);
    }

    #[test]
    fn stamps_are_utc() {
        assert_eq!(stamp(1_795_302_900), "20261121T231500Z");
        assert_eq!(stamp(0), "19700101T000000Z");
        assert_eq!(stamp(u64::MAX), "00000000T000000Z");
    }

    #[test]
    fn directories_are_made_once_and_private() {
        let base = tempfile::tempdir().unwrap();
        let first = create(base.path(), "n", "S").unwrap();
        assert!(first.ends_with("n-S.partial"));
        let mode = fs::metadata(&first).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let file = create_file(&first, "f").unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(create_file(&first, "f").is_err());
        let done = settle(&first, State::Done).unwrap();
        assert!(done.ends_with("n-S"));
        let second = create(base.path(), "n", "S").unwrap();
        assert!(second.ends_with("n-S-2.partial"));
        let incomplete = settle(&second, State::Incomplete).unwrap();
        assert!(incomplete.ends_with("n-S-2.incomplete"));
        assert!(
            create(base.path(), "n", "S")
                .unwrap()
                .ends_with("n-S-3.partial")
        );
    }

    #[test]
    fn no_link_is_followed() {
        let root = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        symlink(elsewhere.path(), root.path().join("var")).unwrap();
        assert!(ensure(root.path(), "/var/crash").is_err());
        assert!(fs::read_dir(elsewhere.path()).unwrap().next().is_none());
        let made = ensure(root.path(), "/srv/crash").unwrap();
        assert!(made.is_dir());
        symlink(elsewhere.path().join("x"), made.join("f")).unwrap();
        assert!(create_file(&made, "f").is_err());
    }
}
