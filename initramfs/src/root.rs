//! The machine's files under a prefix: `/` on a real one, a fixture tree in tests.
//!
//! Symbolic links are followed inside the prefix, so that `/sys` of a fixture never leads to the
//! real one.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, ErrorKind, Read};
use std::path::{Component, Path, PathBuf};

/// No file of a machine that is looked at is longer, in bytes.
const LARGEST: u64 = 1 << 30;

/// As many links as the kernel follows.
const MAX_LINKS: usize = 40;

/// The prefix before every absolute path.
#[derive(Clone, Debug)]
pub struct Root(PathBuf);

impl Root {
    /// A machine whose files stand below `prefix`.
    #[must_use]
    pub fn new(prefix: &Path) -> Self {
        Self(prefix.to_owned())
    }

    /// Where `inside` stands here, as it is written.
    #[must_use]
    pub fn host(&self, inside: impl AsRef<Path>) -> PathBuf {
        let inside = inside.as_ref();
        self.0.join(inside.strip_prefix("/").unwrap_or(inside))
    }

    /// Whether something is there.
    #[must_use]
    pub fn exists(&self, inside: impl AsRef<Path>) -> bool {
        self.resolve(inside.as_ref()).is_ok()
    }

    /// The same place without links, `.` and `..`, still as seen from inside.
    pub fn resolve(&self, inside: impl AsRef<Path>) -> io::Result<PathBuf> {
        let mut todo: VecDeque<OsString> = parts(inside.as_ref());
        let mut done = PathBuf::from("/");
        let mut links = 0;
        while let Some(part) = todo.pop_front() {
            if part == ".." {
                done.pop();
                continue;
            }
            let next = done.join(&part);
            let here = self.host(&next);
            let meta = std::fs::symlink_metadata(&here)?;
            let target = match meta.is_symlink() {
                true => Some(std::fs::read_link(&here)?),
                false => self.flattened(&next, &meta),
            };
            let Some(target) = target else {
                done = next;
                continue;
            };
            links += 1;
            if links > MAX_LINKS {
                return Err(io::Error::new(ErrorKind::InvalidInput, "too many links"));
            }
            if target.is_absolute() {
                done = PathBuf::from("/");
            }
            for part in parts(&target).into_iter().rev() {
                todo.push_front(part);
            }
        }
        Ok(done)
    }

    /// Where a file of a copied tree leads that is a link in every /sys: what keeps no links (some version
    /// control, archives and shares) leaves their text.
    fn flattened(&self, inside: &Path, meta: &std::fs::Metadata) -> Option<PathBuf> {
        let folder = inside.parent()?;
        let only_links = ["/sys/dev/block", "/sys/class/block"]
            .map(Path::new)
            .contains(&folder)
            || folder.starts_with("/sys")
                && (folder.ends_with("slaves") || folder.ends_with("holders"));
        if !only_links || !meta.is_file() || meta.len() > 4096 || self.0 == Path::new("/") {
            return None;
        }
        let text = std::fs::read_to_string(self.host(inside)).ok()?;
        Some(PathBuf::from(text.trim_end())).filter(|target| !target.as_os_str().is_empty())
    }

    /// Where a file really stands here, links followed.
    pub fn open_path(&self, inside: impl AsRef<Path>) -> io::Result<PathBuf> {
        self.resolve(inside).map(|inside| self.host(inside))
    }

    /// The bytes of a regular file: a link may lead to a device without an end, or to a pipe.
    pub fn bytes(&self, inside: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        let file = vmcore::dump::open_regular(&self.open_path(inside)?)?;
        let mut bytes = Vec::new();
        file.take(LARGEST.saturating_add(1))
            .read_to_end(&mut bytes)?;
        match bytes.len() as u64 > LARGEST {
            true => Err(ErrorKind::FileTooLarge.into()),
            false => Ok(bytes),
        }
    }

    /// The text of a small file without the white space around it, if it can be read and says
    /// something.
    #[must_use]
    pub fn text(&self, inside: impl AsRef<Path>) -> Option<String> {
        let bytes = self.bytes(inside).ok()?;
        let text = String::from_utf8_lossy(&bytes).trim().to_owned();
        (!text.is_empty()).then_some(text)
    }

    /// The number in a small file.
    #[must_use]
    pub fn number(&self, inside: impl AsRef<Path>) -> Option<u64> {
        self.text(inside)?.parse().ok()
    }

    /// The names in a folder, sorted; none if it is not there.
    #[must_use]
    pub fn names(&self, inside: impl AsRef<Path>) -> Vec<String> {
        let Ok(entries) = self.open_path(inside).and_then(std::fs::read_dir) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    /// The last part of where a link leads.
    #[must_use]
    pub fn link_name(&self, inside: impl AsRef<Path>) -> Option<String> {
        let target = self.resolve(inside).ok()?;
        Some(target.file_name()?.to_str()?.to_owned())
    }
}

fn parts(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_stay_inside_the_prefix() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        std::fs::create_dir_all(dir.path().join("sys/devices/a/b")).unwrap();
        std::fs::create_dir_all(dir.path().join("sys/class")).unwrap();
        std::fs::write(dir.path().join("sys/devices/a/name"), " vda \n").unwrap();
        symlink("../devices/a/b", dir.path().join("sys/class/rel")).unwrap();
        symlink("/sys/devices/a", dir.path().join("sys/class/abs")).unwrap();
        symlink("loop", dir.path().join("sys/class/loop")).unwrap();
        symlink("../../../../../../etc", dir.path().join("sys/class/out")).unwrap();
        assert_eq!(
            root.resolve("/sys/class/rel").unwrap(),
            Path::new("/sys/devices/a/b")
        );
        assert_eq!(
            root.resolve("/sys/class/rel/..").unwrap(),
            Path::new("/sys/devices/a")
        );
        assert_eq!(root.text("/sys/class/abs/name").as_deref(), Some("vda"));
        assert_eq!(root.link_name("/sys/class/rel").as_deref(), Some("b"));
        assert!(root.resolve("/sys/class/loop").is_err());
        assert_eq!(
            root.resolve("/sys/class/out").unwrap_err().kind(),
            ErrorKind::NotFound
        );
        assert_eq!(root.names("/sys/class"), ["abs", "loop", "out", "rel"]);
    }

    #[test]
    fn a_copy_that_keeps_the_text_of_links_is_followed_where_only_links_are() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        let put = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        put("sys/devices/a/size", "1");
        put("sys/dev/block/8:0", "../../devices/a\n");
        put("sys/kernel/note", "/sys/devices/a");
        let to = |path: &str| root.resolve(path).unwrap();
        assert_eq!(
            to("/sys/dev/block/8:0/size"),
            Path::new("/sys/devices/a/size")
        );
        assert_eq!(to("/sys/kernel/note"), Path::new("/sys/kernel/note"));
    }
}
