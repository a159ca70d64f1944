//! What was proved to arrive, on this machine, and what makes the proof void.
//!
//! A proof holds for one kernel, one image and one config: their digests are kept with it. A file
//! that looks as it did (size and time) is not read again; one that was only touched is, and its
//! proof stands. Nothing here proves anything: see the crate `rehearse`.

use std::io;
use std::path::{Path, PathBuf};

use dump::{facts::hex, files::sha256_of};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::inputs::Input;
use crate::root;

/// What proved that a dump arrives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// `rehearse` or `crash-test`.
    pub by: String,
    /// Seconds since 1970.
    pub at: i64,
    /// The kernel release it was proved for.
    pub release: String,
    /// Whether a complete core arrived.
    pub passed: bool,
    /// One line for the reader.
    pub summary: String,
    /// The most memory the capture kernel used, in bytes, where it was measured.
    pub peak: Option<u64>,
    /// What it was proved with.
    #[serde(default)]
    pub with: Vec<Proven>,
}

/// A file that a proof depends on, as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proven {
    /// `kernel`, `image` or `config`.
    pub what: String,
    /// Where it lies and how it looked.
    #[serde(flatten)]
    pub file: Input,
    /// SHA-256 of its bytes; none where there was no file.
    pub sha256: Option<String>,
}

impl Proven {
    /// A file as it is now.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn file(root: &Path, what: &str, path: &Path) -> io::Result<Self> {
        Ok(Self {
            what: what.to_owned(),
            file: Input::of(root, path),
            sha256: digest_of(root, path)?,
        })
    }

    /// Bytes that will lie at `path`, or lie there already.
    #[must_use]
    pub fn bytes(what: &str, path: &Path, bytes: &[u8]) -> Self {
        Self {
            what: what.to_owned(),
            file: Input {
                path: path.to_owned(),
                size: None,
                mtime: None,
            },
            sha256: Some(hex(&Sha256::digest(bytes))),
        }
    }

    /// In a few words what became of it, if it is not what it was.
    fn changed(&self, root: &Path) -> Option<String> {
        let path = &self.file.path;
        let now = Input::of(root, path);
        if now == self.file {
            return None;
        }
        let shown = path.display();
        // An image that was proved before it was ever loaded is not there yet.
        if now.size.is_none() {
            return (self.what != "image").then(|| format!("{shown} was removed since"));
        }
        match digest_of(root, path) {
            Ok(sha256) if sha256 == self.sha256 => None,
            // It may be older than the proof: an image for another config.
            Ok(_) if self.what == "image" => {
                Some(format!("{shown} is not the image that was proved"))
            }
            Ok(_) => Some(format!("{shown} changed since")),
            Err(error) => Some(format!("{shown} cannot be read: {error}")),
        }
    }
}

impl Proof {
    /// What makes it void now, each in a few words; nothing: it holds.
    #[must_use]
    pub fn void_because(&self, root: &Path) -> Vec<String> {
        let running = crate::probe::running_release(root);
        let other = running.filter(|release| *release != self.release);
        let other = other.map(|release| format!("this is Linux {release}"));
        let changed = self.with.iter().filter_map(|one| one.changed(root));
        other.into_iter().chain(changed).collect()
    }
}

fn digest_of(root: &Path, path: &Path) -> io::Result<Option<String>> {
    match sha256_of(&root::under(root, path)) {
        Ok(hash) => Ok(Some(hash)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where `load` keeps the image for a release.
#[must_use]
pub fn image_path(release: &str) -> PathBuf {
    initramfs::cache::path(Path::new("/"), release)
}

#[cfg(test)]
mod tests;
