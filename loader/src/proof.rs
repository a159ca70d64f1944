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
mod tests {
    use super::*;
    use std::fs;
    use std::time::{Duration, SystemTime};

    fn put(root: &Path, path: &str, text: &str) {
        let path = root::under(root, path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn machine() -> (tempfile::TempDir, Proof) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        put(root, "/proc/sys/kernel/osrelease", "6.12\n");
        put(root, "/boot/vmlinuz-6.12", "kernel");
        let image = image_path("6.12");
        let with = vec![
            Proven::file(root, "kernel", Path::new("/boot/vmlinuz-6.12")).unwrap(),
            Proven::bytes("image", &image, b"image"),
            Proven::file(root, "config", Path::new("/etc/afterpanic.toml")).unwrap(),
        ];
        let proof = Proof {
            by: "rehearse".into(),
            at: 5,
            release: "6.12".into(),
            passed: true,
            summary: String::new(),
            peak: None,
            with,
        };
        (dir, proof)
    }

    #[test]
    fn it_holds_until_kernel_image_or_config_change() {
        let (dir, proof) = machine();
        let root = dir.path();
        let void = || proof.void_because(root);
        assert_eq!(void(), [""; 0]);
        // Loaded as it was proved.
        put(root, "/var/lib/afterpanic/images/6.12.img", "image");
        assert_eq!(void(), [""; 0]);
        put(root, "/var/lib/afterpanic/images/6.12.img", "imagE");
        assert_eq!(
            void(),
            ["/var/lib/afterpanic/images/6.12.img is not the image that was proved"]
        );
        put(root, "/var/lib/afterpanic/images/6.12.img", "image");
        put(root, "/etc/afterpanic.toml", "");
        assert_eq!(void(), ["/etc/afterpanic.toml changed since"]);
        fs::remove_file(root.join("etc/afterpanic.toml")).unwrap();
        fs::remove_file(root.join("boot/vmlinuz-6.12")).unwrap();
        assert_eq!(void(), ["/boot/vmlinuz-6.12 was removed since"]);
        put(root, "/boot/vmlinuz-6.12", "kernel, but newer");
        put(root, "/proc/sys/kernel/osrelease", "6.13\n");
        assert_eq!(
            void(),
            ["this is Linux 6.13", "/boot/vmlinuz-6.12 changed since"]
        );
    }

    #[test]
    fn a_file_that_was_only_touched_voids_nothing() {
        let (dir, proof) = machine();
        let kernel = fs::File::options()
            .append(true)
            .open(dir.path().join("boot/vmlinuz-6.12"))
            .unwrap();
        kernel
            .set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(99))
            .unwrap();
        assert_eq!(proof.void_because(dir.path()), [""; 0]);
    }

    #[test]
    fn a_proof_of_an_earlier_version_is_still_read() {
        let text =
            r#"{"by":"rehearse","at":5,"release":"6.12","passed":true,"summary":"s","peak":null}"#;
        let proof: Proof = serde_json::from_str(text).unwrap();
        assert!(proof.with.is_empty());
    }
}
