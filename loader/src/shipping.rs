//! What waits to be sent to the targets with `at_boot`, and what arrived there.
//!
//! The capture kernel saves on a disk of this machine. `afterpanic collect --ship` sends it from the next
//! system and keeps the record here.

use crate::root;
pub use crate::sending::{Arrived, Sending, Sent};
use crate::state::{self, State as Record, StateError};
use crate::stores;
use config::{Config, Target};
use serde::Serialize;
use std::io;
use std::path::Path;
use store::{Crash, State, Store};

/// The file that tells afterpanic-ship.service that something waits.
const MARK: &str = "/var/lib/afterpanic/ship";

/// What `status` says of one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shipping {
    /// The target: `dumps@backup.example.org:/srv/dumps`.
    pub target: String,
    /// Crash directories of this machine that are there, too.
    pub arrived: usize,
    /// Those that are not.
    pub waiting: usize,
    /// The one that arrived last.
    pub last: Option<Arrived>,
    /// Why the last attempt failed.
    pub problem: Option<String>,
}

/// The crash directories on this machine's disks.
#[derive(Default)]
pub struct Here {
    /// Finished ones, oldest first, with their place in `stores`.
    pub crashes: Vec<(usize, Crash)>,
    /// The stores.
    pub stores: Vec<Store>,
    /// What could not be listed, a sentence each: then `crashes` may not be all.
    pub problems: Vec<String>,
}

/// The targets with `at_boot`, with their names.
pub fn targets(config: &Config) -> impl Iterator<Item = (String, &Target)> {
    let later = config.target.iter().filter(|target| target.at_boot);
    later.filter_map(|target| Some((target.place()?, target)))
}

/// The finished crash directories that are to be sent.
#[must_use]
pub fn here(root: &Path, config: &Config) -> Here {
    let mut here = Here::default();
    let (paths, missing) = stores::local(config, root);
    here.problems = missing;
    for path in paths {
        let listed = Store::open(&path).and_then(|store| Ok((store.list()?, store)));
        match listed {
            Ok((listing, store)) => {
                let at = here.stores.len();
                here.stores.push(store);
                let done = listing.crashes.into_iter();
                let done = done.filter(|crash| crash.state != State::Partial);
                here.crashes.extend(done.map(|crash| (at, crash)));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => here
                .problems
                .push(format!("cannot list {}: {error}", path.display())),
        }
    }
    here.crashes.sort_by(|(_, a), (_, b)| Crash::order(a, b));
    here
}

/// What arrived at each target and what waits.
#[must_use]
pub fn shipping(root: &Path, config: &Config, record: &Record) -> Vec<Shipping> {
    let mut targets = targets(config).peekable();
    if targets.peek().is_none() {
        return Vec::new();
    }
    let here = here(root, config);
    targets
        .map(|(target, _)| {
            let sending = record.sent.get(&target).cloned().unwrap_or_default();
            let there = here.crashes.iter().filter(|(_, one)| sending.has(one));
            let arrived = there.count();
            Shipping {
                target,
                arrived,
                waiting: here.crashes.len().saturating_sub(arrived),
                last: sending.last,
                problem: sending.problem,
            }
        })
        .collect()
}

/// Notes for afterpanic-ship.service whether something waits.
///
/// # Errors
/// The file cannot be written or removed.
pub fn mark(root: &Path, config: &Config) -> Result<(), StateError> {
    let path = root::under(root, MARK);
    let waiting = match targets(config).next() {
        None => Vec::new(),
        Some(_) => shipping(root, config, &Record::read_or_mend(root)?),
    };
    let waiting = waiting.iter().filter(|one| one.waiting > 0);
    let text: String = waiting.map(|one| format!("{}\n", one.target)).collect();
    state::mark(&path, &text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const TEXT: &str =
        "[[target]]\npath = \"/var/crash\"\n[[target]]\nnfs = \"nas:/srv\"\nat_boot = true\n";

    #[test]
    fn what_is_not_there_yet_waits() {
        let root = tempfile::tempdir().unwrap();
        let config = Config::parse(TEXT).unwrap();
        let store = root.path().join("var/crash");
        for name in ["n-20261121T231500Z", "n-20261122T231500Z.partial"] {
            fs::create_dir_all(store.join(name)).unwrap();
        }
        let mark_of = root::under(root.path(), MARK);
        mark(root.path(), &config).unwrap();
        assert_eq!(
            fs::read_to_string(&mark_of).unwrap(),
            "nas:/srv/var/crash\n"
        );
        let path = store.join("n-20261121T231500Z").display().to_string();
        let set = |arrived| {
            Record::change(root.path(), |state| {
                let sent = Sent {
                    name: "n-20261121T231500Z".into(),
                    arrived,
                };
                let sending = state.sent.entry("nas:/srv/var/crash".into()).or_default();
                sending.crashes.insert(path.clone(), sent);
                state.clone()
            })
            .unwrap()
        };
        let found = shipping(root.path(), &config, &set(false));
        assert_eq!((found[0].arrived, found[0].waiting), (0, 1));
        let found = shipping(root.path(), &config, &set(true));
        assert_eq!((found[0].arrived, found[0].waiting), (1, 0));
        mark(root.path(), &config).unwrap();
        assert!(!mark_of.exists());
        assert!(shipping(root.path(), &Config::default(), &Record::default()).is_empty());
    }
}
