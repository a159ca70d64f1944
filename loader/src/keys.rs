//! Keys of dm-crypt that the kernel hands over to the capture kernel.
//!
//! Facts: kernel/crash_dump_dm_crypt.c, Linux 6.16 to 7.2. A directory made in configfs registers one key by its
//! description. kexec_file_load copies each registered key out of the caller's keyrings (a `logon` key) into the
//! reserved memory, or, after `reuse` was set, takes those of the image that is loaded. Writing to `reuse` fails
//! while no loaded image holds keys, which tells whether the kernel took them: an architecture may not.

use std::fs;
use std::path::{Path, PathBuf};

use initramfs::read::Contents;
use plan::{Layer, Plan, TargetKind};

use crate::kernel::{Kernel, Slot, Syscall};
use crate::probe;
use crate::refusal::Refusal;
use crate::root;

/// Where keys are registered.
const DIR: &str = "/sys/kernel/config/crash_dm_crypt_keys";
/// How the names of our entries begin; others' are left alone.
const OURS: &str = "afterpanic-";

/// The keys of one image.
pub(crate) struct Keys<'a> {
    root: &'a Path,
    /// Their descriptions.
    wanted: Vec<String>,
}

impl<'a> Keys<'a> {
    /// Those that the targets in the plan of a capture image need; none where it is not ours.
    pub(crate) fn of_image(root: &'a Path, image: &[u8]) -> Self {
        let plan = || {
            let contents = Contents::new(image).ok()?;
            Plan::parse(&contents.file(plan::PATH).ok()?).ok()
        };
        let wanted = plan().map(|plan| of_plan(&plan)).unwrap_or_default();
        Self { root, wanted }
    }

    /// Whether kexec_load would lose them: only kexec_file_load hands keys over.
    pub(crate) fn need_file_load(&self) -> Result<(), Refusal> {
        match self.wanted.first() {
            Some(key) => Err(Refusal::KeyNeedsFileLoad { key: key.clone() }),
            None => Ok(()),
        }
    }

    /// Registers them for the load that follows, and nothing of ours besides.
    ///
    /// # Errors
    /// A key is neither in a keyring nor in the image that is loaded, or the kernel does not take it.
    pub(crate) fn register(&self, kernel: &dyn Kernel) -> Result<(), Refusal> {
        let dir = root::under(self.root, DIR);
        let there = ours(&dir);
        if there.is_empty() && self.wanted.is_empty() {
            return Ok(());
        }
        let refused = |source| Refusal::Keys {
            path: dir.clone(),
            source,
        };
        let same = there.len() == self.wanted.len()
            && there
                .iter()
                .all(|(_, key)| key.as_ref().is_some_and(|key| self.wanted.contains(key)));
        let keyring = initramfs::resolve::keys_in_keyring(self.root);
        let missing = self.wanted.iter().find(|key| !keyring.contains(key));
        if let Some(key) = missing {
            // A key may expire. The image that is loaded still has it.
            let reused = same && fs::write(dir.join("reuse"), "1").is_ok();
            return match reused {
                true => Ok(()),
                false => Err(Refusal::NoKey { key: key.clone() }),
            };
        }
        // It fails while nothing is loaded, and then nothing is reused.
        let _ = fs::write(dir.join("reuse"), "0");
        if !same {
            for (path, _) in there {
                fs::remove_dir(path).map_err(refused)?;
            }
            for key in &self.wanted {
                let entry = dir.join(entry(key));
                fs::create_dir(&entry)
                    .and_then(|()| fs::write(entry.join("description"), key))
                    .map_err(refused)?;
            }
        }
        // The kernel searches the caller's keyrings. A session's own may not lead to root's keyring (sudo), a
        // unit's does (KeyringMode=shared), where this call is not allowed.
        let _ = kernel.reach_user_keyring();
        Ok(())
    }

    /// Whether the image that was just loaded has the keys; takes it out where it does not.
    ///
    /// # Errors
    /// The kernel did not hand them over.
    pub(crate) fn verify(&self, kernel: &dyn Kernel) -> Result<(), Refusal> {
        let Some(key) = self.wanted.first() else {
            return Ok(());
        };
        if fs::write(root::under(self.root, DIR).join("reuse"), "0").is_ok() {
            return Ok(());
        }
        let _ = kernel.unload(Slot::Crash, Syscall::File);
        Err(Refusal::KeyNotTaken {
            key: key.clone(),
            release: probe::running_release(self.root).unwrap_or_default(),
        })
    }
}

/// The descriptions of the keys that a plan's targets need, each once.
fn of_plan(plan: &Plan) -> Vec<String> {
    let mut keys = Vec::new();
    for target in &plan.targets {
        let TargetKind::Filesystem(fs) = &target.kind else {
            continue;
        };
        for layer in &fs.stack {
            let Layer::Dm(volume) = layer else { continue };
            if let Some(key) = volume.key().filter(|key| !keys.iter().any(|k| k == key)) {
                keys.push(key.to_owned());
            }
        }
    }
    keys
}

/// The name of a key's entry.
fn entry(key: &str) -> String {
    let volume = key.rsplit(':').next().unwrap_or(key);
    format!("{OURS}{volume}")
}

/// Our entries, each with its description.
fn ours(dir: &Path) -> Vec<(PathBuf, Option<String>)> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(OURS))
        .map(|entry| {
            let text = fs::read_to_string(entry.path().join("description")).ok();
            (entry.path(), text.map(|text| text.trim().to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests;
