//! The disks of a rehearsal's machines: how the target is attached, what else is there, what is put
//! together from them, and what happens to them while the capture kernel runs.
//!
//! It knows no scenario; everything here has a default, which is one virtio disk with a filesystem.

use crate::disk::{self, DiskError};
use crate::guest::Step;
use crate::vm::Bus;
use initramfs::files::Taken;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Everything about the disks.
#[derive(Debug, Clone, Default)]
pub struct Storage {
    /// How the target's disk is attached while the machine dies.
    pub bus: Bus,
    /// More of QEMU's `-drive` options for it: `throttling.bps-write=1000000`.
    pub drive: String,
    /// Disks beside it.
    pub more: Vec<MoreDisk>,
    /// Modules beyond those of the bus and the filesystem.
    pub modules: Vec<String>,
    /// Programs for the steps, with their libraries.
    pub tools: Vec<Taken>,
    /// The target's disk begins empty and this makes what is mounted from the disks.
    pub make: Vec<Step>,
    /// This puts it together again in the machine that hands the files out.
    pub again: Vec<Step>,
    /// The disk that the files are fetched from, if not the target's: its serial number.
    pub saved_on: Option<String>,
    /// What the host does when a line comes after the panic.
    pub cues: Vec<Cue>,
}

/// A disk beside the target's.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MoreDisk {
    /// Its serial number.
    pub serial: String,
    /// Its size in MiB.
    pub mib: u64,
    /// What is on it.
    #[serde(default)]
    pub holds: Holds,
    /// The kind of its filesystem, if not the target's.
    #[serde(default)]
    pub fs: Option<disk::Fs>,
    /// Whether it must come out as it went in.
    #[serde(default)]
    pub untouched: bool,
}

/// What is on a disk at first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holds {
    /// Nothing.
    #[default]
    Nothing,
    /// What the target's disk holds, the UUID too.
    Copy,
    /// A filesystem with this UUID.
    Filesystem(String),
    /// What the target's disk holds, because it is that disk: another path to it.
    Path,
}

/// What the host does when the console says something after the panic.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cue {
    /// Part of the line.
    pub when: String,
    /// The QMP commands with their arguments, in order.
    pub then: Vec<(String, Value)>,
}

/// A disk that had to stay as it was.
#[derive(Debug, Clone)]
pub struct Untouched {
    /// Its serial number.
    pub serial: String,
    /// Its image.
    pub path: PathBuf,
    /// SHA-256 before the first machine started.
    pub before: [u8; 32],
}

impl Untouched {
    /// Whether it is as it was.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn holds(&self) -> Result<bool, DiskError> {
        Ok(hash(&self.path)? == self.before)
    }
}

/// SHA-256 of a file.
fn hash(path: &Path) -> Result<[u8; 32], DiskError> {
    let failed = |source| DiskError::Io {
        what: "read",
        path: path.to_owned(),
        source,
    };
    let mut sum = Sha256::new();
    let mut file = File::open(path).map_err(failed)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = file.read(&mut buffer).map_err(failed)?;
        if n == 0 {
            return Ok(sum.finalize().into());
        }
        sum.update(buffer.get(..n).unwrap_or_default());
    }
}

impl Storage {
    /// The image of a further disk in a run's directory.
    #[must_use]
    pub fn path(&self, dir: &Path, serial: &str) -> PathBuf {
        dir.join(format!("{serial}.img"))
    }

    /// Whether the target's disk has several paths.
    #[must_use]
    pub(crate) fn has_paths(&self) -> bool {
        self.more.iter().any(|disk| disk.holds == Holds::Path)
    }

    /// Makes the further disks; those that must stay as they are.
    ///
    /// # Errors
    /// A tool is missing or fails.
    pub fn prepare(
        &self,
        dir: &Path,
        target: &Path,
        fs: disk::Fs,
    ) -> Result<Vec<Untouched>, DiskError> {
        let mut untouched = Vec::new();
        for one in &self.more {
            let path = self.path(dir, &one.serial);
            let bytes = one.mib << 20;
            match &one.holds {
                Holds::Nothing => disk::blank(&path, bytes)?,
                Holds::Copy => disk::copy(target, &path)?,
                Holds::Path => {}
                Holds::Filesystem(uuid) => {
                    disk::make(&path, bytes, one.fs.unwrap_or(fs), uuid)?;
                }
            }
            if one.untouched {
                untouched.push(Untouched {
                    serial: one.serial.clone(),
                    before: hash(&path)?,
                    path,
                });
            }
        }
        Ok(untouched)
    }
}
