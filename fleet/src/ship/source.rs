//! What `ship` reads: a store, a store that machines share, or one crash directory.
//!
//! In a store only directories count that this user or root owns and nobody else may write to. A shared
//! store holds a directory a machine, named with 32 hex digits.

use crate::layout::is_machine;
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::Path;
use store::manifest::FILE;
use store::{Crash, CrashDir, Store};

/// Keeps the machine id itself from being shown: machine-id(5) asks for a hash with a key of the
/// application's. The same key as the capture image's, so that a machine has one name everywhere.
const KEY: &str = "afterpanic store";
/// Machines of one shared store.
const MOST_MACHINES: usize = 100_000;

/// A directory with crash directories of one machine.
pub(super) enum Source {
    /// A store, whose entries are checked for their owner.
    Store(Store),
    /// A directory that the user named.
    Dir(CrashDir),
}

/// Crash directories of one machine, oldest first.
pub(super) struct Batch {
    /// Where they are.
    pub source: Source,
    /// The machine, 32 hex digits.
    pub machine: String,
    /// The crashes.
    pub crashes: Vec<Crash>,
}

impl Source {
    /// The regular files of a crash, with their sizes in bytes, by name.
    pub(super) fn files(&self, crash: &Crash) -> Result<Vec<(String, u64)>> {
        let files = match self {
            Self::Store(store) => store.place().files(&crash.name()),
            Self::Dir(dir) => dir.files(),
        };
        let mut files = files.with_context(|| format!("cannot list {}", crash.path.display()))?;
        files.sort();
        Ok(files)
    }

    /// A file of a crash.
    pub(super) fn open(&self, crash: &Crash, name: &str) -> Result<Box<dyn Read>> {
        let opened = match self {
            Self::Store(store) => store
                .place()
                .open(&crash.name(), name)
                .map(|(file, _)| file),
            Self::Dir(dir) => dir.file(name).map(|file| Box::new(file) as Box<dyn Read>),
        };
        opened.with_context(|| format!("cannot read {}", crash.path.join(name).display()))
    }

    /// A whole file of at most `max` bytes.
    pub(super) fn read(&self, crash: &Crash, name: &str, max: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = self.open(crash, name)?;
        let read = file.take(max.saturating_add(1)).read_to_end(&mut bytes);
        read.with_context(|| format!("cannot read {}", crash.path.join(name).display()))?;
        if bytes.len() as u64 > max {
            bail!(
                "{} is larger than {max} bytes",
                crash.path.join(name).display()
            );
        }
        Ok(bytes)
    }
}

/// What is in a directory. `problems` gets what was skipped, a sentence each.
pub(super) fn open(
    path: &Path,
    machine: Option<&str>,
    problems: &mut Vec<String>,
) -> Result<Vec<Batch>> {
    let at = path.display();
    let shown = || format!("cannot open {at}");
    let own = || match machine {
        Some(machine) => Ok(machine.to_owned()),
        None => this_machine(),
    };
    if path.join(FILE).is_file() {
        let full = std::fs::canonicalize(path).with_context(shown)?;
        let crash = Crash::parse(&full)
            .with_context(|| format!("{at} has no name of a crash directory, NODE-TIME"))?;
        return Ok(vec![Batch {
            source: Source::Dir(CrashDir::open(path).with_context(shown)?),
            machine: own()?,
            crashes: vec![crash],
        }]);
    }
    let store = Store::open(path).with_context(shown)?;
    let listing = store.list().with_context(|| format!("cannot list {at}"))?;
    problems.extend(listing.warning());
    let mut batches = Vec::new();
    let mut machines = Vec::new();
    let listed = store.place().list(&mut |entry| {
        if entry.ours && is_machine(&entry.name) && machines.len() < MOST_MACHINES {
            machines.push(entry.name);
        }
    });
    listed.with_context(|| format!("cannot list {at}"))?;
    machines.sort();
    for machine in machines {
        let store = Store::open(&path.join(&machine)).with_context(shown)?;
        let listing = store
            .list()
            .with_context(|| format!("cannot list {at}/{machine}"))?;
        problems.extend(listing.warning());
        batches.push(Batch {
            source: Source::Store(store),
            machine,
            crashes: listing.crashes,
        });
    }
    if !listing.crashes.is_empty() {
        batches.push(Batch {
            machine: own()?,
            source: Source::Store(store),
            crashes: listing.crashes,
        });
    }
    Ok(batches)
}

/// The name of this machine in the bucket.
fn this_machine() -> Result<String> {
    let text = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    name_of(&text).context(
        "this machine has no id in /etc/machine-id. Make one with systemd-machine-id-setup, or name the \
         machine with --machine",
    )
}

/// 32 hex digits made from a machine id.
fn name_of(id: &str) -> Option<String> {
    let id = id.trim();
    if id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let hash = Sha256::digest(format!("{KEY}\n{}", id.to_ascii_lowercase()));
    Some(
        hash.iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_machine_has_the_name_that_the_capture_image_gives_it() {
        // SHA-256 of "afterpanic store\n" and the id, by sha256sum(1).
        let name = name_of("0123456789abcdef0123456789abcdef\n");
        assert_eq!(name.as_deref(), Some("0ee8c10a871d6ce2beeaf6afb97f75b1"));
        assert_eq!(name_of("uninitialized"), None);
    }

    #[test]
    fn a_shared_store_has_a_directory_a_machine() {
        let dir = tempfile::tempdir().unwrap();
        let machine = "00112233445566778899aabbccddeeff";
        for name in [
            &format!("{machine}/a-20261129T010203Z"),
            "b-20261129T010203Z",
            "lost+found",
        ] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        let other = "f".repeat(32);
        let found = open(dir.path(), Some(&other), &mut Vec::new()).unwrap();
        let names: Vec<(String, String)> = found
            .iter()
            .map(|b| (b.machine.clone(), b.crashes[0].name()))
            .collect();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            names,
            [
                pair(machine, "a-20261129T010203Z"),
                pair(&other, "b-20261129T010203Z")
            ]
        );
    }
}
