//! Files made from cores, kept for the next time: `~/.cache/afterpanic`.
//!
//! A debugger believes what is in such a file. So the directory must be the user's own, no other user may
//! be able to write to it or to rename anything above it, and a file counts only where its owner is the
//! user. A file has its name only when it is whole. The oldest go when all are larger than the limit.
//!
//! A file's name has the build id of the kernel and a hash of what it was made from and by what. The build
//! id alone would not do: a core that only claims it would decide what is believed of another one.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// All files together, in bytes: some 35 kernels.
const LIMIT: u64 = 1 << 30;
/// What is being written begins so; what a killed process left of it goes after a day.
const PARTIAL: &str = ".new-";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const ENDING: &str = "vmlinux";
/// Files that are looked at.
const MAX_FILES: usize = 10_000;
/// S_IWGRP and S_IWOTH, S_ISVTX.
const OTHERS_WRITE: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// A directory of such files.
#[derive(Debug)]
pub struct Cache {
    dir: PathBuf,
    limit: u64,
}

impl Cache {
    /// Opens it, and makes it where it is missing.
    ///
    /// # Errors
    /// It cannot be made, or another user may change what is in it.
    pub fn open(dir: &Path) -> io::Result<Self> {
        Self::with_limit(dir, LIMIT)
    }

    fn with_limit(dir: &Path, limit: u64) -> io::Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)?;
        let dir = dir.canonicalize()?;
        let ours = fs::symlink_metadata(&dir)?;
        if ours.uid() != user() || ours.mode() & OTHERS_WRITE != 0 {
            return Err(refused(&dir));
        }
        for above in dir.ancestors().skip(1) {
            let data = fs::symlink_metadata(above)?;
            let safe = data.mode() & OTHERS_WRITE == 0 || data.mode() & STICKY != 0;
            if !safe || ![0, user()].contains(&data.uid()) {
                return Err(refused(above));
            }
        }
        Ok(Self { dir, limit })
    }

    /// The file of a name that [`Self::put`] gave, if it is there; now the newest of all.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<PathBuf> {
        let path = self.path(name);
        let data = fs::symlink_metadata(&path).ok()?;
        if !is_ours(&data) {
            return None;
        }
        let now = fs::FileTimes::new().set_modified(SystemTime::now());
        let _ = File::open(&path).and_then(|file| file.set_times(now));
        Some(path)
    }

    /// Writes a file. Whoever reads it sees all of it or nothing.
    ///
    /// # Errors
    /// What the system or `write` said; nothing is left then.
    pub fn put(
        &self,
        name: &str,
        write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<PathBuf> {
        let path = self.path(name);
        let mut file = tempfile::Builder::new()
            .prefix(PARTIAL)
            .tempfile_in(&self.dir)?;
        write(file.as_file_mut())?;
        file.persist(&path).map_err(|error| error.error)?;
        self.trim(&path);
        Ok(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        // A build id is out of a core: nothing but letters and digits becomes a file's name.
        let plain = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
        let name: String = name.chars().filter(plain).take(128).collect();
        self.dir.join(name).with_extension(ENDING)
    }

    /// Removes the oldest until all are within the limit; `new` stays.
    fn trim(&self, new: &Path) {
        let Ok(entries) = fs::read_dir(&self.dir) else {
            return;
        };
        let mut files = Vec::new();
        for entry in entries.flatten().take(MAX_FILES) {
            let Ok(data) = entry.metadata() else { continue };
            let path = entry.path();
            let used = data.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            let partial = entry.file_name().to_string_lossy().starts_with(PARTIAL);
            let old = used.elapsed().is_ok_and(|age| age > DAY);
            if partial && old && data.is_file() {
                let _ = fs::remove_file(&path);
            } else if path.extension() == Some(OsStr::new(ENDING)) && data.is_file() {
                files.push((used, data.len(), path));
            }
        }
        files.sort();
        let mut total = files
            .iter()
            .fold(0_u64, |sum, (_, len, _)| sum.saturating_add(*len));
        for (_, len, path) in files {
            if total <= self.limit {
                break;
            }
            if path != new && fs::remove_file(&path).is_ok() {
                total = total.saturating_sub(len);
            }
        }
    }
}

fn user() -> u32 {
    nix::unistd::geteuid().as_raw()
}

fn is_ours(data: &Metadata) -> bool {
    data.is_file() && data.uid() == user() && data.mode() & OTHERS_WRITE == 0 && data.nlink() == 1
}

fn refused(dir: &Path) -> io::Error {
    let text = format!(
        "another user can change what is in {}, so nothing is kept there",
        dir.display()
    );
    io::Error::new(io::ErrorKind::PermissionDenied, text)
}

#[cfg(test)]
mod tests {
    use super::{Cache, PARTIAL};
    use std::fs::{self, FileTimes, Permissions};
    use std::io;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::time::{Duration, SystemTime};

    fn put(cache: &Cache, name: &str, len: usize) -> io::Result<std::path::PathBuf> {
        cache.put(name, &mut |out| out.write_all(&vec![7; len]))
    }

    fn age(path: &std::path::Path, hours: u64) {
        let then = SystemTime::now() - Duration::from_secs(hours * 3600);
        let file = fs::File::open(path).unwrap();
        file.set_times(FileTimes::new().set_modified(then)).unwrap();
    }

    #[test]
    fn what_was_put_is_got_and_the_oldest_goes() {
        let home = tempfile::tempdir().unwrap();
        let cache = Cache::with_limit(&home.path().join("a/b"), 250).unwrap();
        assert_eq!(cache.get("one"), None);
        let one = put(&cache, "one", 100).unwrap();
        let two = put(&cache, "two", 100).unwrap();
        let mode = fs::metadata(&one).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        age(&one, 3);
        age(&two, 2);
        // Asked for, it is the newest again.
        assert_eq!(cache.get("one"), Some(one.clone()));
        put(&cache, "three", 100).unwrap();
        assert!(one.exists() && !two.exists());
        // One that is too large by itself stays while it is new, alone.
        put(&cache, "large", 300).unwrap();
        assert_eq!(cache.get("one"), None);
        assert!(cache.get("large").is_some());
    }

    #[test]
    fn what_could_not_be_written_leaves_nothing() {
        let home = tempfile::tempdir().unwrap();
        let cache = Cache::open(home.path()).unwrap();
        let failed = cache.put("name", &mut |out| {
            out.write_all(b"half")?;
            Err(io::Error::other("no"))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
        // What a killed process left goes with the next file, but not what another one writes just now.
        let [old, new] = ["x", "y"].map(|name| home.path().join(format!("{PARTIAL}{name}")));
        fs::write(&old, "").unwrap();
        fs::write(&new, "").unwrap();
        age(&old, 30);
        put(&cache, "name", 1).unwrap();
        assert!(!old.exists() && new.exists());
    }

    #[test]
    fn what_others_may_change_is_not_used() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("cache");
        let cache = Cache::open(&dir).unwrap();
        let path = put(&cache, "name", 1).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        assert_eq!(cache.get("name"), None);
        fs::remove_file(&path).unwrap();
        fs::write(home.path().join("else"), "").unwrap();
        symlink(home.path().join("else"), &path).unwrap();
        assert_eq!(cache.get("name"), None);
        // The link is replaced, not followed.
        put(&cache, "name", 1).unwrap();
        assert_eq!(fs::read(home.path().join("else")).unwrap(), b"");
        assert!(cache.get("name").is_some());

        fs::set_permissions(&dir, Permissions::from_mode(0o770)).unwrap();
        assert!(Cache::open(&dir).is_err());
        fs::set_permissions(&dir, Permissions::from_mode(0o700)).unwrap();
        fs::set_permissions(home.path(), Permissions::from_mode(0o777)).unwrap();
        assert!(Cache::open(&dir).is_err(), "its parent is everybody's");
        fs::set_permissions(home.path(), Permissions::from_mode(0o700)).unwrap();
        assert!(Cache::open(&dir).is_ok());
    }

    #[test]
    fn a_name_out_of_a_core_leads_nowhere_else() {
        let home = tempfile::tempdir().unwrap();
        let cache = Cache::open(home.path()).unwrap();
        let path = put(&cache, "../../etc/\n\u{e9}x", 1).unwrap();
        assert_eq!(path.file_name().unwrap(), "etcx.vmlinux");
        assert_eq!(path.parent().unwrap(), home.path().canonicalize().unwrap());
    }
}
