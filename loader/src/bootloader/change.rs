//! A change of the boot configuration: computed first, shown as a diff, applied as a whole.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::kind::BootLoader;
use crate::root;
use crate::words::words;

/// One file that would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Files to write; with `by_hand`: what the operator would write.
    pub edits: Vec<Edit>,
    /// Commands to run after the files are written, each as its words.
    pub commands: Vec<Vec<String>>,
    /// What the operator must do, where this program changes nothing itself.
    pub by_hand: Option<String>,
    /// What the operator should know.
    pub notes: Vec<String>,
}

impl Change {
    pub(super) fn new(boot_loader: BootLoader) -> Self {
        Self {
            boot_loader,
            edits: Vec::new(),
            commands: Vec::new(),
            by_hand: None,
            notes: Vec::new(),
        }
    }

    /// The same with steps for the operator; nothing is written then.
    pub(super) fn by_hand(mut self, steps: impl Into<String>) -> Self {
        self.by_hand = Some(steps.into());
        self.commands.clear();
        self
    }

    /// Adds a file, unless it stays as it is.
    pub(super) fn edit(&mut self, path: &Path, before: Option<String>, after: Option<String>) {
        if before != after {
            self.edits.push(Edit {
                path: path.to_owned(),
                before,
                after,
            });
        }
    }

    /// Adds a command.
    pub(super) fn run(&mut self, words: &[&str]) {
        self.commands
            .push(words.iter().map(|word| (*word).to_owned()).collect());
    }

    /// Whether nothing is left to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty() && self.commands.is_empty() && self.by_hand.is_none()
    }

    /// The commands as a shell takes them, joined by `&&`; `None`: there are none.
    #[must_use]
    pub fn command_line(&self) -> Option<String> {
        let lines: Vec<String> = self.commands.iter().map(|words| shell(words)).collect();
        (!lines.is_empty()).then(|| lines.join(" && "))
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

/// A command's words as one line for a shell.
fn shell(words: &[String]) -> String {
    let plain = |word: &String| {
        let safe = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@+%".contains(c);
        !word.is_empty() && word.chars().all(safe)
    };
    let quoted = |word: &String| match plain(word) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// Why the boot configuration cannot be changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BootLoaderError {
    /// A file that cannot be read or written.
    #[error("cannot {what} {path}; {next}", next = advice(source))]
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
    /// Everything is written, but the boot loader does not see the value.
    #[error("the new value did not take effect: {why}. Correct it, then run this again")]
    NotTaken {
        /// What it sees instead.
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
    /// The commands belong to another machine.
    #[error("nothing was changed: run on that machine: {command}")]
    Elsewhere {
        /// Which.
        command: String,
    },
    /// It is for the operator.
    #[error("afterpanic does not change this boot configuration. Do it by hand: {command}")]
    ByHand {
        /// The command.
        command: String,
    },
}

/// What to do about a file that cannot be read or written.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => {
            "the filesystem is mounted read-only: mount it for writing, then run this again"
        }
        io::ErrorKind::StorageFull => "the filesystem is full: free some space",
        _ => "run this as root",
    }
}

/// Writes the files under `root` and, on the real root, runs the commands.
///
/// # Errors
/// When a file cannot be written or a command fails.
pub fn apply(root: &Path, change: &Change) -> Result<(), BootLoaderError> {
    if let Some(command) = &change.by_hand {
        return Err(BootLoaderError::ByHand {
            command: command.clone(),
        });
    }
    let elsewhere = root != Path::new("/");
    if elsewhere
        && change.edits.is_empty()
        && let Some(command) = change.command_line()
    {
        return Err(BootLoaderError::Elsewhere { command });
    }
    for edit in &change.edits {
        let path = root::under(root, &edit.path);
        write(root, &path, edit.after.as_deref()).map_err(|source| BootLoaderError::Io {
            what: "write",
            path: edit.path.clone(),
            source,
        })?;
    }
    if elsewhere {
        return Ok(());
    }
    for words in &change.commands {
        let Some((program, arguments)) = words.split_first() else {
            continue;
        };
        let why = match std::process::Command::new(program).args(arguments).status() {
            Ok(status) if status.success() => continue,
            Ok(status) => status.to_string(),
            Err(e) => e.to_string(),
        };
        let command = shell(words);
        return Err(BootLoaderError::Command { command, why });
    }
    Ok(())
}

/// Replaces a file as a whole, with the mode it had. A link that stays under the root is followed: its target
/// is replaced.
fn write(root: &Path, path: &Path, text: Option<&str>) -> io::Result<()> {
    let Some(text) = text else {
        return fs::remove_file(path);
    };
    let inside = fs::canonicalize(root)?;
    let real = fs::canonicalize(path).ok();
    let real = real.filter(|real| real.starts_with(inside));
    let path = real.as_deref().unwrap_or(path);
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
    let text = root::bytes(root, path, root::TEXT)
        .and_then(|bytes| String::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData.into()));
    match text {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(BootLoaderError::Io {
            what: "read",
            path: path.to_owned(),
            source,
        }),
    }
}

/// A command line with `crashkernel=value` as its only `crashkernel=`, or with none at all.
pub(super) fn with_value(cmdline: &str, value: Option<&str>) -> String {
    let wanted = value.map(|value| format!("crashkernel={value}"));
    let words = words(cmdline);
    let present: Vec<&String> = (words.iter())
        .filter(|w| w.starts_with("crashkernel="))
        .collect();
    if present == wanted.iter().collect::<Vec<_>>() {
        return cmdline.to_owned();
    }
    let mut left = wanted.as_deref();
    let mut out: Vec<&str> = Vec::new();
    for word in &words {
        // What follows `--` is for init.
        if word == "--" {
            out.extend(left.take());
        }
        if word.starts_with("crashkernel=") {
            out.extend(left.take());
        } else {
            out.push(word);
        }
    }
    // A quote that is never closed takes all that follows: the value goes before it.
    let open = out
        .last()
        .is_some_and(|word| word.matches('"').count() % 2 == 1);
    let end = out.len().saturating_sub(usize::from(open));
    if let Some(wanted) = left {
        out.insert(end, wanted);
    }
    out.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_stays_in_its_place() {
        let set = |cmdline| with_value(cmdline, Some("96M"));
        assert_eq!(set("root=x quiet"), "root=x quiet crashkernel=96M");
        assert_eq!(
            set("a crashkernel=1M,high b crashkernel=2M,low"),
            "a crashkernel=96M b"
        );
        assert_eq!(set("  a  crashkernel=96M "), "  a  crashkernel=96M ");
        assert_eq!(set("a -- b"), "a crashkernel=96M -- b");
        let open = set("a b=\"c d");
        assert_eq!(open, "a crashkernel=96M b=\"c d");
        assert_eq!(set(&open), open);
        assert_eq!(with_value("a crashkernel=1M b", None), "a b");
        assert_eq!(with_value(" a ", None), " a ");
    }

    #[test]
    fn a_link_stays_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        write(dir.path(), &link, Some("new")).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        // One that leaves the root is replaced, and what it points at stays.
        let (other, away) = (tempfile::tempdir().unwrap(), dir.path().join("away"));
        let outside = other.path().join("file");
        fs::write(&outside, "old").unwrap();
        std::os::unix::fs::symlink(&outside, &away).unwrap();
        write(dir.path(), &away, Some("new")).unwrap();
        assert_eq!(fs::read_to_string(&outside).unwrap(), "old");
        assert!(!fs::symlink_metadata(&away).unwrap().is_symlink());
    }

    #[test]
    fn words_that_a_shell_would_split_are_quoted() {
        let words = ["ukify", "--output=/efi/a b.efi", "it's"].map(str::to_owned);
        assert_eq!(shell(&words), "ukify '--output=/efi/a b.efi' 'it'\\''s'");
    }
}
