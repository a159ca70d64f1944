//! The directory of a store, made where it is missing.

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn no_link_is_followed() {
        let root = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        symlink(elsewhere.path(), root.path().join("var")).unwrap();
        assert!(ensure(root.path(), "/var/crash").is_err());
        assert!(fs::read_dir(elsewhere.path()).unwrap().next().is_none());
        assert!(ensure(root.path(), "/srv/../crash").is_err());
        assert!(ensure(root.path(), "/srv/crash").unwrap().is_dir());
    }
}
