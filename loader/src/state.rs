//! What was loaded last, kept in `/var/lib/afterpanic`: `state.json`, and under `images/` the kernel
//! and the image themselves, so that they can be loaded again after the kernel's package is gone.
//!
//! The file is written by `load` and by whoever proves a dump (`rehearse`, `crash-test`); it is
//! replaced as a whole (write, fsync, rename). Everything here is 0600 in a 0700 directory.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use crate::inputs::Input;
use crate::kernel::Syscall;
pub use crate::proof::{Proof, Proven};
use crate::root;

const FILE: &str = "/var/lib/afterpanic/state.json";

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
    /// Crash directories, by name, that the journal was told about.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub announced: BTreeSet<String>,
    /// Records of pstore that belong to no saved crash and that were reported, by name and time.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub unclaimed: BTreeSet<String>,
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
        /// "read" or "write".
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
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

    /// Replaces the state under `root`.
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

/// Writes a file of ours as a whole, or leaves the old one.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), StateError> {
    let failed = |source| StateError::Io {
        what: "write",
        path: path.to_owned(),
        source,
    };
    let directory = path.parent().unwrap_or(Path::new("/"));
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(failed)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = directory.join(name);
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
    write().map_err(failed)
}

/// Gives the file at `from`, which holds `bytes`, a second name; a copy where the filesystem has no
/// links.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn link(from: &Path, to: &Path, bytes: &[u8]) -> Result<(), StateError> {
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = to.with_file_name(name);
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
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn none_is_empty_and_what_is_written_is_read_with_unknown_keys_kept() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(State::read(dir.path()).unwrap(), State::default());
        let text = r#"{"proof":{"by":"rehearse","at":5,"release":"6.12","passed":true,"summary":"s","peak":null},"later":7}"#;
        let mut state: State = serde_json::from_str(text).unwrap();
        state.write(dir.path()).unwrap();
        state = State::read(dir.path()).unwrap();
        assert_eq!(state.other["later"], 7);
        assert!(state.proof.unwrap().passed);
        let meta = fs::metadata(root::under(dir.path(), FILE)).unwrap();
        assert_eq!(meta.mode() & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_file_is_said_with_its_path() {
        let dir = tempfile::tempdir().unwrap();
        replace(&root::under(dir.path(), FILE), b"{").unwrap();
        let said = State::read(dir.path()).unwrap_err().to_string();
        assert!(said.contains("state.json is damaged"), "{said}");
    }
}
