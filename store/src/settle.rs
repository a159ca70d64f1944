//! Crash directories that the capture kernel could not finish.
//!
//! A directory that is still `.partial` was cut off: by power, a watchdog, a hang. It gets the name
//! that says so, and a manifest if it has none, so that rotation and `list` see it. What was reserved
//! for the rest of its core is given back.

use crate::manifest::{Manifest, RESERVE, SCHEMA};
use crate::names::State;
use crate::store::Store;
use dump::facts::Verdict;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// A directory that changed within this time may still be written by hand.
const QUIET: Duration = Duration::from_secs(60);

/// What was done to a store.
#[derive(Clone, Debug, Default)]
pub struct Settled {
    /// Directories that were cut off, by their new names.
    pub renamed: Vec<PathBuf>,
    /// What could not be done, a sentence each.
    pub problems: Vec<String>,
}

/// Names what was cut off in `store` for what it is. `boot` is when this system started: a directory
/// that was last written before belongs to a capture kernel that is gone.
///
/// # Errors
/// When the store cannot be listed; single directories are problems.
pub fn partials(store: &Store, boot: SystemTime, now: SystemTime) -> io::Result<Settled> {
    let mut settled = Settled::default();
    let listing = store.list()?;
    settled.problems.extend(listing.warning());
    for crash in listing.crashes {
        let name = crash.name();
        if crash.state != State::Partial || is_busy(store.place().changed(&name), boot, now) {
            continue;
        }
        match settle(store, &name) {
            Ok(name) => settled.renamed.push(store.path_of(&name)),
            Err(error) => settled
                .problems
                .push(format!("cannot finish {}: {error}", crash.path.display())),
        }
    }
    Ok(settled)
}

/// Whether a directory may still be written. One from the future was written by a capture kernel whose
/// clock was wrong.
fn is_busy(changed: Option<SystemTime>, boot: SystemTime, now: SystemTime) -> bool {
    changed.is_some_and(|changed| {
        changed >= boot && now.duration_since(changed).is_ok_and(|age| age < QUIET)
    })
}

fn settle(store: &Store, name: &str) -> io::Result<String> {
    let place = store.place();
    for leftover in [RESERVE, ".table", ".manifest.json"] {
        place.discard(name, leftover)?;
    }
    let files = place.files(name)?;
    for (core, _) in files.iter().filter(|(file, _)| file.starts_with("vmcore.")) {
        // It is only room: a core that keeps it is as good.
        let _ = place.trim(name, core);
    }
    if store.manifest(name).is_err() {
        let manifest = Manifest {
            schema: SCHEMA,
            afterpanic: env!("CARGO_PKG_VERSION").into(),
            verdict: Verdict::Incomplete,
            release: String::new(),
            crash_time: None,
            signature: None,
            class: None,
            uptime_s: None,
            files: store.files(name)?,
            core: None,
            dump_in: None,
            soft_errors: vec![
                "the capture kernel stopped before it finished; collected at the next boot".into(),
            ],
            steps: Vec::new(),
        };
        store.write_manifest(name, &manifest)?;
    }
    store.settle(name, State::Incomplete)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const HOUR: Duration = Duration::from_secs(3600);

    fn partial() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let cut = store.begin("n", "20261121T231500Z").unwrap();
        store
            .place()
            .write(&cut, "dmesg.txt", &mut &b"log"[..])
            .unwrap();
        store
            .place()
            .write(&cut, RESERVE, &mut &b"space"[..])
            .unwrap();
        (dir, store)
    }

    #[test]
    fn what_was_cut_off_gets_its_name() {
        let (_dir, store) = partial();
        let now = SystemTime::now();
        let done = partials(&store, now + HOUR, now + HOUR).unwrap();
        assert_eq!(done.problems, Vec::<String>::new());
        assert!(done.renamed[0].ends_with("n-20261121T231500Z.incomplete"));
        let manifest = store.manifest("n-20261121T231500Z.incomplete").unwrap();
        assert_eq!(manifest.verdict, Verdict::Incomplete);
        assert_eq!(manifest.files.len(), 1);
        assert!(partials(&store, now, now).unwrap().renamed.is_empty());
    }

    #[test]
    fn one_that_is_being_written_in_this_boot_is_left_alone() {
        let (_dir, store) = partial();
        let now = SystemTime::now();
        assert!(
            partials(&store, now - HOUR, now)
                .unwrap()
                .renamed
                .is_empty()
        );
        // Written a second ago, but before this boot.
        let soon = now + Duration::from_secs(5);
        assert_eq!(partials(&store, soon, soon).unwrap().renamed.len(), 1);
    }

    #[test]
    fn one_from_the_future_is_finished() {
        let (_dir, store) = partial();
        let now = SystemTime::now() - HOUR;
        assert_eq!(partials(&store, now - HOUR, now).unwrap().renamed.len(), 1);
    }

    #[test]
    fn what_was_reserved_for_the_core_is_given_back() {
        let (dir, store) = partial();
        let path = dir.path().join("n-20261121T231500Z.partial/vmcore.elf.zst");
        let core = fs::File::create(&path).unwrap();
        core.set_len(4096).unwrap();
        let keep = nix::fcntl::FallocateFlags::FALLOC_FL_KEEP_SIZE;
        if nix::fcntl::fallocate(&core, keep, 0, 8 << 20).is_err() {
            // A filesystem without fallocate reserves nothing.
            return;
        }
        let name = "n-20261121T231500Z.partial";
        assert!(store.place().size(name) >= 8 << 20);
        let soon = SystemTime::now() + HOUR;
        partials(&store, soon, soon).unwrap();
        assert!(store.place().size("n-20261121T231500Z.incomplete") < 1 << 20);
    }
}
