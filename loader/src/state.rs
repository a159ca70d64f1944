//! What was loaded last, kept in `/var/lib/afterpanic`: `state.json`, and under `images/` the kernel
//! and the image themselves, so that they can be loaded again after the kernel's package is gone.
//!
//! The file is changed by `load`, `collect` and whoever proves a dump (`rehearse`, `crash-test`), which
//! may run at the same time: [`State::change`] holds a lock from reading to writing. The file is replaced
//! as a whole (write, fsync, rename). Everything here is 0600 in a 0700 directory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use crate::bootloader::record::Reserved;
pub use crate::inputs::Input;
use crate::kernel::Syscall;
pub use crate::proof::{Proof, Proven};
use crate::root;
use crate::sending::Sending;

const FILE: &str = "/var/lib/afterpanic/state.json";
/// Locked while the state is changed. A file of its own: the state itself is replaced.
const LOCK: &str = "state.lock";
/// Where a damaged state goes.
const ASIDE: &str = "state.json.damaged";
/// How long a change waits for another one, each of which takes milliseconds.
const WAIT: Duration = Duration::from_secs(10);

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// What `load` loaded last.
    pub loaded: Option<LoadedState>,
    /// What was proved last.
    pub proof: Option<Proof>,
    /// Whether the filter fits a kernel, for the one that was checked last.
    pub filter: Option<Filter>,
    /// The last panic that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crash_test: Option<CrashTest>,
    /// What `reserve --apply` changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserved: Option<Reserved>,
    /// Crash directories, by path, that the journal was told about.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub announced: BTreeSet<String>,
    /// Crash directories, by path, that nobody has acknowledged: the message at login names them.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub unacknowledged: BTreeSet<String>,
    /// Crashes that were collected, by signature.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub collected: BTreeMap<String, u64>,
    /// Records of pstore that belong to no saved crash and that were reported, by name and time.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub unclaimed: BTreeSet<String>,
    /// What was sent to the targets with `at_boot`, by [`config::Target::place`].
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sent: BTreeMap<String, Sending>,
    /// Keys that a later version wrote: kept when the file is written again.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
}

/// One successful load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadedState {
    /// The capture kernel's release, from its image.
    pub release: String,
    /// The kernel file that was named.
    pub kernel: PathBuf,
    /// The kept copy of the kernel.
    pub kept_kernel: Option<PathBuf>,
    /// The kept copy of the image.
    pub image: PathBuf,
    /// Bytes of the image.
    pub image_bytes: u64,
    /// The capture kernel's command line.
    pub cmdline: String,
    /// Which call loaded it.
    pub syscall: Syscall,
    /// With kexec_load: purgatory halts instead of resetting when a segment was overwritten.
    #[serde(default)]
    pub halts: bool,
    /// Seconds since 1970 when it was loaded.
    pub at: i64,
    /// `/proc/sys/kernel/random/boot_id` of the boot it was loaded in.
    pub boot_id: String,
    /// The files that the image was made from: when one changes, the image is stale.
    pub inputs: Vec<Input>,
    /// The servers of its plan: when the way to one changes, the image is stale.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<plan::Server>,
}

/// How the check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Every check made agrees.
    Fits,
    /// A key is missing or a number is wrong: a dump keeps more than asked, and says so.
    DoesNotFit,
    /// Nothing could be looked at.
    NotChecked,
}

/// What was found, for one kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// The kernel's build id, or its version where it has none.
    pub build_id: String,
    /// The answer.
    pub outcome: Outcome,
    /// Each reason in a few words, when it does not fit or was not checked.
    pub why: Vec<String>,
    /// Free pages found in the zones that were checked …
    pub free_counted: u64,
    /// … and by the kernel's own account.
    pub free_expected: u64,
    /// Pages of RAM in the zones that were checked whole.
    pub covered_pages: u64,
    /// Pages of RAM in all zones.
    pub ram_pages: u64,
    /// Whether all of RAM was asked for.
    pub deep: bool,
    /// Seconds since 1970.
    pub at: i64,
}

/// A real panic that was asked for, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrashTest {
    /// Names it: the crashed kernel's log says it, too.
    pub id: String,
    /// `sysrq` or `oops`.
    pub how: String,
    /// Seconds since 1970 when it was asked for.
    pub at: i64,
    /// The boot that was to end.
    pub boot_id: String,
    /// The kernel release that was to panic.
    pub release: String,
    /// Where its core will be looked for.
    pub stores: Vec<PathBuf>,
    /// What it was armed with.
    pub with: Vec<Proven>,
    /// What was found at a later boot.
    pub found: Option<TestFound>,
}

/// What a crash test left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestFound {
    /// A complete core arrived and the report names the cause.
    pub passed: bool,
    /// The crash directory.
    pub dir: Option<PathBuf>,
    /// One line for the reader.
    pub summary: String,
    /// What speaks against it, in sentences.
    pub wrong: Vec<String>,
}

/// Why the state could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The file system said no.
    #[error(
        "cannot {what} {path}. Run this as root, and check that the disk is neither full nor read-only"
    )]
    Io {
        /// "read", "write", "remove" or "lock".
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file was not what this program writes, and is out of the way now.
    #[error(
        "{path} was damaged and is now {aside}. Run `afterpanic load`, and prove the dump again"
    )]
    MovedAside {
        /// Which file.
        path: PathBuf,
        /// Its new name.
        aside: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The file is not what this program writes.
    #[error("{path} is damaged. Remove it and run `afterpanic load`")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
}

impl State {
    /// Reads the state under `root`; none at all is an empty one.
    ///
    /// # Errors
    /// When there is one that cannot be read.
    pub fn read(root: &Path) -> Result<Self, StateError> {
        let path = root::under(root, FILE);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|source| StateError::Damaged { path, source }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(StateError::Io {
                what: "read",
                path,
                source,
            }),
        }
    }

    /// [`State::read`] for those who would replace a damaged state: it is moved aside, as by
    /// [`State::change`]. Reading a sound one takes no lock, so it needs no right to write.
    ///
    /// # Errors
    /// When it cannot be read, or was damaged.
    pub fn read_or_mend(root: &Path) -> Result<Self, StateError> {
        match Self::read(root) {
            Err(StateError::Damaged { .. }) => Self::change(root, |state| state.clone()),
            other => other,
        }
    }

    /// Changes the state under `root`. No other change comes between reading and writing it. Nothing is
    /// written when nothing changed.
    ///
    /// # Errors
    /// When it cannot be locked, read or written. A damaged one is moved aside, and the next change begins
    /// with an empty one.
    pub fn change<T>(root: &Path, edit: impl FnOnce(&mut Self) -> T) -> Result<T, StateError> {
        let path = root::under(root, FILE);
        let _lock = lock(&path)?;
        let mut state = match Self::read(root) {
            Err(StateError::Damaged { path, source }) => {
                let aside = path.with_file_name(ASIDE);
                fs::rename(&path, &aside).map_err(failed("write", &aside))?;
                return Err(StateError::MovedAside {
                    path,
                    aside,
                    source,
                });
            }
            other => other?,
        };
        let before = state.clone();
        let answer = edit(&mut state);
        if state != before {
            state.write(root)?;
        }
        Ok(answer)
    }

    /// Replaces the state under `root`, whatever it was; see [`State::change`].
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, root: &Path) -> Result<(), StateError> {
        let path = root::under(root, FILE);
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|source| StateError::Damaged {
            path: path.clone(),
            source,
        })?;
        bytes.push(b'\n');
        replace(&path, &bytes)
    }
}

fn failed(what: &'static str, path: &Path) -> impl Fn(io::Error) -> StateError {
    let path = path.to_owned();
    move |source| StateError::Io {
        what,
        path: path.clone(),
        source,
    }
}

/// Makes our directory where it is missing.
fn make_directory(directory: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
}

/// Locks the state at `path` until the answer is dropped.
fn lock(path: &Path) -> Result<Flock<fs::File>, StateError> {
    let path = path.with_file_name(LOCK);
    let failed = failed("lock", &path);
    make_directory(path.parent().unwrap_or(Path::new("/"))).map_err(&failed)?;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(&failed)?;
    let end = Instant::now() + WAIT;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((again, Errno::EWOULDBLOCK | Errno::EINTR)) if Instant::now() < end => {
                file = again;
                std::thread::sleep(Duration::from_millis(20));
            }
            Err((_, errno)) => return Err(failed(errno.into())),
        }
    }
}

/// A name beside `path` that no other writer uses, in this process or another.
fn temporary(path: &Path) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    name.push(format!(".{}-{n}.new", std::process::id()));
    path.with_file_name(name)
}

/// Keeps a file that tells a unit of ours what it is there for, a line each; without lines there is no file.
///
/// # Errors
/// The file cannot be written or removed.
pub(crate) fn mark(path: &Path, lines: &str) -> Result<(), StateError> {
    if !lines.is_empty() {
        return replace(path, lines.as_bytes());
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Writes a file of ours as a whole, or leaves the old one.
///
/// # Errors
/// When it cannot be written.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), StateError> {
    let failed = failed("write", path);
    let directory = path.parent().unwrap_or(Path::new("/"));
    make_directory(directory).map_err(&failed)?;
    let temporary = temporary(path);
    let write = || -> io::Result<()> {
        let _ = fs::remove_file(&temporary);
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        fs::File::open(directory)?.sync_all()
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&temporary);
        failed(error)
    })
}

/// Gives the file at `from`, which holds `bytes`, a second name; a copy where the filesystem has no
/// links.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn link(from: &Path, to: &Path, bytes: &[u8]) -> Result<(), StateError> {
    let temporary = temporary(to);
    let _ = fs::remove_file(&temporary);
    if fs::hard_link(from, &temporary).is_err() {
        return replace(to, bytes);
    }
    let renamed = fs::rename(&temporary, to);
    // Two names of one file: rename(2) does nothing and leaves both.
    let _ = fs::remove_file(&temporary);
    renamed.map_err(|source| StateError::Io {
        what: "write",
        path: to.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests;
