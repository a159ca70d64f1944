//! One crash directory that is read: opened once, its files by descriptor.
//!
//! The user may name any directory, whoever owns it. A FIFO, a link or a huge file in it is an error
//! and never a hang. Directories that are found in a store are asked for their owner first
//! ([`crate::Store`]).

use crate::local::{self, Writers};
use crate::manifest::{FILE, MAX_MANIFEST, Manifest};
use dump::seal::{Identities, SUFFIX, SealError, open_text};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

/// An open crash directory.
#[derive(Debug)]
pub struct CrashDir {
    dir: OwnedFd,
}

impl CrashDir {
    /// Opens a directory that the user named.
    ///
    /// # Errors
    /// What the system said.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        Ok(Self {
            dir: nix::fcntl::open(path, flags, Mode::empty())?,
        })
    }

    /// A regular file of it, by its plain name.
    ///
    /// # Errors
    /// The name is not plain, it is no regular file, or what the system said.
    pub fn file(&self, name: &str) -> io::Result<File> {
        local::open_file(&self.dir, name, Writers::All)
    }

    /// A whole file of at most `max` bytes.
    ///
    /// # Errors
    /// Those of [`CrashDir::file`]; the file is larger.
    pub fn read(&self, name: &str, max: u64) -> io::Result<Vec<u8>> {
        local::read_file(&self.dir, name, max, Writers::All)
    }

    /// The same of a file that may be sealed under its name with `.age` behind it; the content.
    ///
    /// # Errors
    /// Those of [`CrashDir::file`]; the content is larger; no identity opens it.
    pub fn read_sealed(
        &self,
        name: &str,
        max: u64,
        identities: &Identities,
    ) -> Result<Vec<u8>, SealError> {
        match self.read(name, max) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => return Ok(other?),
        }
        let text = open_text(self.file(&format!("{name}{SUFFIX}"))?, identities)?;
        let mut bytes = Vec::new();
        text.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
        match bytes.len() as u64 > max {
            true => Err(io::Error::from(io::ErrorKind::FileTooLarge).into()),
            false => Ok(bytes),
        }
    }

    /// The regular files, by name, with their length in bytes.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn files(&self) -> io::Result<Vec<(String, u64)>> {
        local::regular_files(&self.dir)
    }

    /// The manifest.
    ///
    /// # Errors
    /// There is none, or it is damaged.
    pub fn manifest(&self) -> io::Result<Manifest> {
        Ok(serde_json::from_slice(&self.read(FILE, MAX_MANIFEST)?)?)
    }
}
