//! A change of the boot configuration: computed first, shown as a diff, applied as a whole.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::root;
use crate::words::words;

/// The owner of the boot configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BootLoader {
    /// GRUB with Debian's update-grub, which reads /etc/default/grub.d.
    Grub,
    /// GRUB without it: Arch, openSUSE and others.
    GrubMkconfig,
    /// An ostree deployment: rpm-ostree or ostree owns the entries.
    Ostree,
    /// A unified kernel image, which has its command line inside.
    Uki,
    /// Boot Loader Specification entries without a tool that owns them (systemd-boot).
    Bls,
    /// Fedora and its relatives.
    Grubby,
    /// SUSE.
    Pbl,
    /// s390x.
    Zipl,
    /// Not recognised.
    Unknown,
}

/// One file that would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Edit {
    /// Its path, without the root prefix.
    pub path: PathBuf,
    /// What it holds; `None`: it is new.
    pub before: Option<String>,
    /// What it would hold; `None`: it is removed.
    pub after: Option<String>,
}

/// All that would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The owner of the configuration.
    pub boot_loader: BootLoader,
    /// Files to write.
    pub edits: Vec<Edit>,
    /// A command to run after the files are written.
    pub command: Option<Vec<String>>,
    /// A command for the operator, where this program changes nothing itself.
    pub by_hand: Option<String>,
    /// What the operator should know.
    pub notes: Vec<String>,
}

impl Change {
    pub(super) fn new(boot_loader: BootLoader) -> Self {
        Self {
            boot_loader,
            edits: Vec::new(),
            command: None,
            by_hand: None,
            notes: Vec::new(),
        }
    }

    /// Whether nothing is left to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty() && self.by_hand.is_none()
    }

    /// The changed lines of every file.
    #[must_use]
    pub fn diff(&self) -> String {
        let mut out = String::new();
        for edit in &self.edits {
            let _ = writeln!(out, "{}", edit.path.display());
            let before: Vec<&str> = edit.before.as_deref().unwrap_or_default().lines().collect();
            let after: Vec<&str> = edit.after.as_deref().unwrap_or_default().lines().collect();
            for line in before.iter().filter(|l| !after.contains(l)) {
                let _ = writeln!(out, "  - {line}");
            }
            for line in after.iter().filter(|l| !before.contains(l)) {
                let _ = writeln!(out, "  + {line}");
            }
        }
        out
    }
}

/// Why the boot configuration cannot be changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BootLoaderError {
    /// A file that cannot be read or written.
    #[error("cannot {what} {path}; run this as root")]
    Io {
        /// "read" or "write".
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another file sets it later.
    #[error(
        "{path} overrides our crashkernel=: {line}. Remove that line (or its package), then run this again"
    )]
    Conflict {
        /// The file.
        path: PathBuf,
        /// The line.
        line: String,
    },
    /// The files are written, but GRUB does not see the value.
    #[error("the new value did not take effect: {why}. Correct it, then run update-grub")]
    NotTaken {
        /// What GRUB sees instead.
        why: String,
    },
    /// The command failed.
    #[error("{command} failed ({why}). The files are written; run {command} yourself")]
    Command {
        /// Which.
        command: String,
        /// How.
        why: String,
    },
    /// It is for the operator.
    #[error("afterpanic does not change this boot configuration. Do it by hand: {command}")]
    ByHand {
        /// The command.
        command: String,
    },
}

/// Writes the files under `root` and, on the real root, runs the command.
///
/// # Errors
/// When a file cannot be written or the command fails.
pub fn apply(root: &Path, change: &Change) -> Result<(), BootLoaderError> {
    if let Some(command) = &change.by_hand {
        return Err(BootLoaderError::ByHand {
            command: command.clone(),
        });
    }
    for edit in &change.edits {
        let path = root::under(root, &edit.path);
        write(&path, edit.after.as_deref()).map_err(|source| BootLoaderError::Io {
            what: "write",
            path: edit.path.clone(),
            source,
        })?;
    }
    let Some([program, arguments @ ..]) = change.command.as_deref() else {
        return Ok(());
    };
    if root != Path::new("/") || change.edits.is_empty() {
        return Ok(());
    }
    let command = change
        .command
        .iter()
        .flatten()
        .cloned()
        .collect::<Vec<_>>()
        .join(" ");
    let why = match std::process::Command::new(program).args(arguments).status() {
        Ok(status) if status.success() => return Ok(()),
        Ok(status) => status.to_string(),
        Err(e) => e.to_string(),
    };
    Err(BootLoaderError::Command { command, why })
}

/// Replaces a file as a whole, with the mode it had.
fn write(path: &Path, text: Option<&str>) -> io::Result<()> {
    let Some(text) = text else {
        return fs::remove_file(path);
    };
    let directory = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".afterpanic-new");
    let temporary = directory.join(name);
    fs::write(&temporary, text)?;
    if let Ok(old) = fs::metadata(path) {
        fs::set_permissions(&temporary, old.permissions())?;
    }
    fs::File::open(&temporary)?.sync_all()?;
    fs::rename(&temporary, path)?;
    // vfat, where entries often live, has no directory sync on some kernels; the rename is done.
    let _ = fs::File::open(directory).and_then(|d| d.sync_all());
    Ok(())
}

pub(super) fn read(root: &Path, path: &Path) -> Result<Option<String>, BootLoaderError> {
    match fs::read_to_string(root::under(root, path)) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(BootLoaderError::Io {
            what: "read",
            path: path.to_owned(),
            source,
        }),
    }
}

/// A command line with `crashkernel=value` as its only `crashkernel=`.
pub(super) fn with_value(cmdline: &str, value: &str) -> String {
    let wanted = format!("crashkernel={value}");
    let words = words(cmdline);
    let present: Vec<&String> = words
        .iter()
        .filter(|w| w.starts_with("crashkernel="))
        .collect();
    if present == [&wanted] {
        return cmdline.to_owned();
    }
    let mut out: Vec<&str> = Vec::new();
    let mut done = false;
    for word in &words {
        if !word.starts_with("crashkernel=") {
            out.push(word);
        } else if !done {
            out.push(&wanted);
            done = true;
        }
    }
    if !done {
        out.push(&wanted);
    }
    out.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_stays_in_its_place() {
        assert_eq!(
            with_value("root=x quiet", "96M"),
            "root=x quiet crashkernel=96M"
        );
        assert_eq!(
            with_value("a crashkernel=1M,high b crashkernel=2M,low", "96M"),
            "a crashkernel=96M b"
        );
        assert_eq!(
            with_value("  a  crashkernel=96M ", "96M"),
            "  a  crashkernel=96M "
        );
    }
}
