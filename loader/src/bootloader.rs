//! The boot configuration: who keeps it, and how `crashkernel=` gets into it.
//!
//! Debian's GRUB and Boot Loader Specification entries are edited; where a tool of the distribution
//! owns the configuration (grubby, SUSE's pbl, zipl) its exact command is shown and nothing is
//! touched. A change is computed first, shown as a diff, and applied as a whole.

mod bls;
mod grub;

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::root;

/// Who keeps the boot configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BootLoader {
    /// Debian's and Ubuntu's GRUB with /etc/default/grub.d.
    Grub,
    /// Boot Loader Specification entries without a tool that owns them (systemd-boot).
    Bls,
    /// Fedora and its relatives.
    Grubby,
    /// SUSE.
    Pbl,
    /// s390x.
    Zipl,
    /// Nothing that is known.
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
    /// Who keeps the configuration.
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
    fn new(boot_loader: BootLoader) -> Self {
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
    #[error("Cannot {what} {path}; run it as root")]
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
        "{path} sets crashkernel= after ours and would win: {line}; remove that line (or the package it belongs to), then run this again"
    )]
    Conflict {
        /// The file.
        path: PathBuf,
        /// The line.
        line: String,
    },
    /// The command failed.
    #[error("{command} failed ({why}); the files are written, run it yourself")]
    Command {
        /// Which.
        command: String,
        /// How.
        why: String,
    },
    /// It is for the operator.
    #[error(
        "This program does not change this boot configuration itself; do it by hand: {command}"
    )]
    ByHand {
        /// The command.
        command: String,
    },
}

/// Finds out who keeps the boot configuration of the machine under `root`.
#[must_use]
pub fn detect(root: &Path) -> BootLoader {
    let has = |path: &str| root::under(root, path).exists();
    let tool = |name: &str| {
        ["/usr/sbin", "/sbin", "/usr/bin", "/bin"]
            .iter()
            .any(|d| has(&format!("{d}/{name}")))
    };
    if tool("grubby") {
        BootLoader::Grubby
    } else if tool("pbl")
        || has("/usr/lib/bootloader/bootloader_entry")
        || tool("update-bootloader")
    {
        BootLoader::Pbl
    } else if tool("zipl") && has("/etc/zipl.conf") {
        BootLoader::Zipl
    } else if has("/etc/default/grub") || has("/etc/default/grub.d") {
        BootLoader::Grub
    } else if !bls::entries(root).is_empty() {
        BootLoader::Bls
    } else {
        BootLoader::Unknown
    }
}

/// The change that makes the next boot reserve `value`; an empty one when it already does.
///
/// # Errors
/// When the configuration cannot be read, is nobody's known, or says otherwise later.
pub fn propose(root: &Path, value: &str) -> Result<Change, BootLoaderError> {
    let by_hand = |boot_loader, command: String| {
        let mut change = Change::new(boot_loader);
        change.by_hand = Some(command);
        Ok(change)
    };
    match detect(root) {
        BootLoader::Grub => grub::propose(root, value),
        BootLoader::Bls => bls::propose(root, value),
        BootLoader::Grubby => by_hand(
            BootLoader::Grubby,
            format!("grubby --update-kernel=ALL --args=crashkernel={value}"),
        ),
        BootLoader::Pbl => by_hand(
            BootLoader::Pbl,
            format!(
                "pbl --del-option crashkernel; pbl --add-option crashkernel={value}; pbl --config"
            ),
        ),
        BootLoader::Zipl => by_hand(
            BootLoader::Zipl,
            format!("add crashkernel={value} to parameters= in /etc/zipl.conf, then run zipl"),
        ),
        BootLoader::Unknown => by_hand(
            BootLoader::Unknown,
            format!(
                "add crashkernel={value} to the kernel's command line, wherever this machine keeps it"
            ),
        ),
    }
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

fn read(root: &Path, path: &Path) -> Result<Option<String>, BootLoaderError> {
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
fn with_value(cmdline: &str, value: &str) -> String {
    let wanted = format!("crashkernel={value}");
    let words = crate::words::words(cmdline);
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

    #[test]
    fn tools_that_own_the_configuration_are_named_and_nothing_is_written() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("usr/sbin")).unwrap();
        std::fs::create_dir_all(dir.path().join("etc/default/grub.d")).unwrap();
        std::fs::write(dir.path().join("usr/sbin/grubby"), "").unwrap();
        let change = propose(dir.path(), "256M").unwrap();
        assert_eq!(
            change.by_hand.as_deref(),
            Some("grubby --update-kernel=ALL --args=crashkernel=256M")
        );
        assert!(
            apply(dir.path(), &change)
                .unwrap_err()
                .to_string()
                .contains("grubby")
        );
        std::fs::rename(
            dir.path().join("usr/sbin/grubby"),
            dir.path().join("usr/sbin/pbl"),
        )
        .unwrap();
        assert_eq!(detect(dir.path()), BootLoader::Pbl);
        let said = |dir: &Path| propose(dir, "256M").unwrap().by_hand.unwrap();
        assert_eq!(
            said(dir.path()),
            "pbl --del-option crashkernel; pbl --add-option crashkernel=256M; pbl --config"
        );
        std::fs::rename(
            dir.path().join("usr/sbin/pbl"),
            dir.path().join("usr/sbin/zipl"),
        )
        .unwrap();
        std::fs::write(dir.path().join("etc/zipl.conf"), "parameters=quiet\n").unwrap();
        assert!(said(dir.path()).ends_with("in /etc/zipl.conf, then run zipl"));
    }

    #[test]
    fn nothing_known_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let change = propose(dir.path(), "96M").unwrap();
        assert!(change.by_hand.unwrap().contains("add crashkernel=96M"));
    }
}
