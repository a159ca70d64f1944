//! Crash directories that the capture kernel saved here, sent to the targets with `at_boot`.
//!
//! A directory is `.partial` on the server until all of it is there, manifest last, and has one final name
//! after that. The record in the state says what was begun and what arrived. Where a run ended between
//! the two, the manifest on the server tells, so that nothing is sent twice. Each run begins what did not
//! arrive anew.

use crate::under;
use config::Config;
use loader::remote;
use loader::shipping::{self, Arrived, Here, Sending, Sent};
use loader::state::{State as Record, StateError};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use store::manifest::{FILE, MAX_MANIFEST};
use store::{Crash, State, Store};

/// Held while crash directories are sent.
const LOCK: &str = "/var/lib/afterpanic/ship.lock";

/// Left free on the server, in bytes: it counts blocks, we count lengths.
const SPARE: u64 = 1 << 20;

/// What a run did.
#[derive(Debug, Default)]
pub struct Shipped {
    /// What arrived: its place there.
    pub arrived: Vec<String>,
    /// Crash directories that were removed from this machine.
    pub removed: Vec<PathBuf>,
    /// What could not be done, a sentence each.
    pub problems: Vec<String>,
}

/// Why nothing was tried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShipError {
    /// Another run holds the lock.
    #[error("another `afterpanic collect --ship` is at work")]
    Busy,
    /// The lock.
    #[error("cannot lock {}", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The record of what was sent.
    #[error(transparent)]
    Record(#[from] StateError),
}

/// Sends every finished crash directory of this machine's disks that did not arrive yet, the newest first.
///
/// # Errors
/// Another run is at work, or the record cannot be read or written.
pub fn ship(root: &Path, config: &Config) -> Result<Shipped, ShipError> {
    let _lock = lock(root)?;
    let mut done = Shipped::default();
    let here = shipping::here(root, config);
    done.problems.extend(here.problems.iter().cloned());
    for (name, target) in shipping::targets(config) {
        let known = Record::read_or_mend(root)?.sent.remove(&name);
        let known = known.unwrap_or_default();
        let waiting = here.crashes.iter().rev().filter(|(_, one)| !known.has(one));
        let waiting: Vec<&(usize, Crash)> = waiting.collect();
        let mut problem = None;
        if !waiting.is_empty() {
            let tried = match remote::open(root, target) {
                Ok(opened) => to(
                    root,
                    &name,
                    &here,
                    &waiting,
                    &known,
                    &opened.store,
                    &mut done,
                ),
                Err(why) => Err(vmcore::kernel::chain(&why)),
            };
            problem = tried.err();
        }
        done.problems
            .extend(problem.iter().map(|why| format!("{name}: {why}")));
        note(root, &name, |sending| {
            sending.problem = problem;
            if here.problems.is_empty() {
                let path = |(_, crash): &(usize, Crash)| crash.path.display().to_string();
                let paths: BTreeSet<String> = here.crashes.iter().map(path).collect();
                sending.crashes.retain(|path, _| paths.contains(path));
            }
        })?;
    }
    remove(root, config, &here, &mut done)?;
    shipping::mark(root, config)?;
    Ok(done)
}

/// Sends what waits to one store. One crash directory that fails keeps no other from being sent, as long as the
/// server answers.
fn to(
    root: &Path,
    target: &str,
    here: &Here,
    waiting: &[&(usize, Crash)],
    known: &Sending,
    there: &Store,
    done: &mut Shipped,
) -> Result<(), String> {
    let mut problem = None;
    for (at, crash) in waiting {
        let Some(from) = here.stores.get(*at) else {
            continue;
        };
        let path = crash.path.display().to_string();
        let mut begun = |sent: &Sent| {
            let noted = note(root, target, |sending| {
                sending.crashes.insert(path.clone(), sent.clone());
                if sent.arrived {
                    sending.last = Some(Arrived {
                        name: sent.name.clone(),
                        at: now(),
                    });
                }
            });
            noted.map_err(|error| io::Error::other(error.to_string()))
        };
        match one(from, crash, there, known.crashes.get(&path), &mut begun) {
            Ok(name) => {
                let path = there.path_of(&name);
                let own = path.parent().and_then(Path::file_name).unwrap_or_default();
                let own = own.to_string_lossy();
                done.arrived.push(format!("{target}/{own}/{name}"));
            }
            Err(error) => {
                problem.get_or_insert(format!("cannot send {path}: {error}"));
                if there.place().room().is_err() {
                    break;
                }
            }
        }
    }
    problem.map_or(Ok(()), Err)
}

/// Sends one crash directory; its name there. `note` keeps how far it is.
fn one(
    from: &Store,
    crash: &Crash,
    there: &Store,
    before: Option<&Sent>,
    note: &mut dyn FnMut(&Sent) -> io::Result<()>,
) -> io::Result<String> {
    let name = crash.name();
    let stem = name.strip_suffix(crash.state.suffix()).unwrap_or(&name);
    let mut found = BTreeSet::new();
    there.place().list(&mut |entry| {
        found.insert(entry.name);
    })?;
    // Begun, or there since a run whose record is lost.
    let begun = before.map_or(stem, |sent| sent.name.as_str());
    let settled = format!("{begun}{}", crash.state.suffix());
    if found.contains(&settled)
        && let Some(manifest) = manifest(from, &name)?
        && manifest_there(there, &settled)? == Some(manifest)
    {
        note(&Sent {
            name: begun.to_owned(),
            arrived: true,
        })?;
        return Ok(settled);
    }
    if let Some(sent) = before {
        let partial = format!("{}{}", sent.name, State::Partial.suffix());
        if found.contains(&partial) {
            there.place().remove(&partial)?;
        }
    }
    let files = files(from, &name)?;
    let bytes: u64 = files.iter().map(|(_, size)| size).sum();
    let free = there.place().room()?;
    if free < bytes.saturating_add(SPARE) {
        return Err(io::Error::new(
            io::ErrorKind::StorageFull,
            format!("it has {bytes} bytes, and {free} are free there"),
        ));
    }
    let partial = there.begin(&crash.node, &crash.stamp)?;
    let begun = partial.strip_suffix(State::Partial.suffix());
    let mut sent = Sent {
        name: begun.unwrap_or(&partial).to_owned(),
        arrived: false,
    };
    note(&sent)?;
    let copied = copy(from, &name, there, &partial, &files);
    if let Err(error) = copied {
        // Where that fails, too, the next run does it.
        let _ = there.place().remove(&partial);
        return Err(error);
    }
    there.place().sync(&partial)?;
    let settled = there.settle(&partial, crash.state)?;
    sent.arrived = true;
    note(&sent)?;
    Ok(settled)
}

/// Copies files, and compares what is there then.
fn copy(
    from: &Store,
    name: &str,
    there: &Store,
    partial: &str,
    files: &[(String, u64)],
) -> io::Result<()> {
    for (file, size) in files {
        let (content, now) = from.place().open(name, file)?;
        if now != *size {
            return Err(io::Error::other(format!("{file} changed meanwhile")));
        }
        let mut content = content.take(*size);
        there
            .place()
            .write(partial, file, &mut content)
            .map_err(|error| io::Error::new(error.kind(), format!("{file}: {error}")))?;
    }
    let mut wanted: Vec<&(String, u64)> = files.iter().collect();
    wanted.sort();
    let mut arrived = self::files(there, partial)?;
    arrived.sort();
    match arrived.iter().eq(wanted) {
        true => Ok(()),
        false => Err(io::Error::other(
            "the files on the server do not have the lengths of those here",
        )),
    }
}

/// The files of a crash directory with those in its subdirectories: small ones first, the manifest last.
fn files(store: &Store, name: &str) -> io::Result<Vec<(String, u64)>> {
    let mut files = store.place().files(name)?;
    files.extend(store.place().files_below(name)?);
    files.sort_by_key(|(file, size)| (file == FILE, *size));
    Ok(files)
}

/// The bytes of a crash directory's manifest; `None` if it has no manifest.
fn manifest(store: &Store, name: &str) -> io::Result<Option<Vec<u8>>> {
    let mut text = Vec::new();
    match store.place().open(name, FILE) {
        Ok((file, _)) => file.take(MAX_MANIFEST).read_to_end(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(text))
}

/// The manifest of a directory on the server. A directory that we may not read belongs to somebody else: `None`.
fn manifest_there(store: &Store, name: &str) -> io::Result<Option<Vec<u8>>> {
    match manifest(store, name) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        other => other,
    }
}

/// Removes what arrived at every target with `at_boot`, where one of them asks for that. A crash test that
/// has no verdict yet still needs its core.
fn remove(root: &Path, config: &Config, here: &Here, done: &mut Shipped) -> Result<(), ShipError> {
    if !shipping::targets(config).any(|(_, target)| target.remove_local) {
        return Ok(());
    }
    let record = Record::read_or_mend(root)?;
    if record.crash_test.is_some_and(|test| test.found.is_none()) {
        return Ok(());
    }
    for (at, crash) in &here.crashes {
        let everywhere = shipping::targets(config).all(|(name, _)| {
            let sending = record.sent.get(&name);
            sending.is_some_and(|sending| sending.has(crash))
        });
        let Some(store) = here.stores.get(*at).filter(|_| everywhere) else {
            continue;
        };
        match store.place().remove(&crash.name()) {
            Ok(()) => done.removed.push(crash.path.clone()),
            Err(error) => done
                .problems
                .push(format!("cannot remove {}: {error}", crash.path.display())),
        }
    }
    Ok(())
}

fn note(root: &Path, target: &str, edit: impl FnOnce(&mut Sending)) -> Result<(), StateError> {
    Record::change(root, |state| {
        let sending = state.sent.entry(target.to_owned()).or_default();
        edit(sending);
        if *sending == Sending::default() {
            state.sent.remove(target);
        }
    })
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(0))
}

/// Locks until the answer is dropped.
fn lock(root: &Path) -> Result<Flock<fs::File>, ShipError> {
    let path = under(root, LOCK);
    let failed = |source| ShipError::Lock {
        path: path.clone(),
        source,
    };
    let parent = path.parent().unwrap_or(root);
    let mut made = fs::DirBuilder::new();
    made.recursive(true)
        .mode(0o700)
        .create(parent)
        .map_err(failed)?;
    let file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((_, Errno::EWOULDBLOCK)) => Err(ShipError::Busy),
        Err((_, errno)) => Err(failed(errno.into())),
    }
}

#[cfg(test)]
mod tests;
