//! What happens to a crash at the next boot.
//!
//! Holds [`run`]: it finishes crash directories that were cut off, copies pstore's records, writes a
//! journal entry for each new crash, and settles a crash test that waits for its core.
//!
//! May name `rehearse` and below.
//!
//! Never prints: the CLI does.

mod journal;
mod notify;
mod pstore;

use loader::state::CrashTest;
use rehearse::crash_test;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use store::{Crash, Store, settle};

/// What was done.
#[derive(Debug, Default)]
pub struct Collected {
    /// Crash directories that were cut off, by their new names, and pstore records, by their new paths.
    pub paths: Vec<PathBuf>,
    /// A crash test that has its verdict now.
    pub test: Option<CrashTest>,
    /// What could not be done, a sentence each.
    pub problems: Vec<String>,
}

/// A store that cannot be listed.
#[derive(Debug, thiserror::Error)]
#[error("Cannot list {}", path.display())]
pub struct CollectError {
    /// The store.
    path: PathBuf,
    /// What the system said.
    source: io::Error,
}

/// Does all of it for these stores. `given` says that the user named them: then each must be there and
/// listable. Else a store that cannot be listed is a problem, and the others are still looked through.
/// pstore's records belong to the newest crash, whichever store it is in.
///
/// # Errors
/// A store that the user named cannot be listed.
pub fn run(root: &Path, stores: &[PathBuf], given: bool) -> Result<Collected, CollectError> {
    let mut collected = Collected::default();
    let now = SystemTime::now();
    let boot = boot_time(root).unwrap_or(now);
    let mut open = Vec::new();
    let mut all = true;
    for path in stores {
        let listed = |source| CollectError {
            path: path.clone(),
            source,
        };
        let settled = Store::open(path)
            .and_then(|store| settle::partials(&store, boot, now).map(|settled| (store, settled)));
        match settled {
            Ok((store, settled)) => {
                collected.paths.extend(settled.renamed);
                collected.problems.extend(settled.problems);
                open.push((path, store));
            }
            Err(error) if given => return Err(listed(error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                all = false;
                collected
                    .problems
                    .push(vmcore::kernel::chain(&listed(error)));
            }
        }
    }
    let newest = open
        .iter()
        .filter_map(|(_, store)| Some((store, store.list().ok()?.crashes.pop()?)))
        .max_by(|(_, a), (_, b)| Crash::order(a, b));
    if let Some((store, crash)) = newest {
        for records in archives(root, boot) {
            let copied = pstore::copy_all(store, &crash, &records);
            collected.paths.extend(copied.records);
            collected.problems.extend(copied.problems);
        }
    }
    let mut crashes = Vec::new();
    for (path, store) in &open {
        match store.list() {
            Ok(listing) => crashes.extend(listing.crashes.into_iter().map(|crash| {
                let manifest = store.manifest(&crash.name()).ok();
                (crash, manifest)
            })),
            Err(source) => {
                let error = CollectError {
                    path: path.to_path_buf(),
                    source,
                };
                if given {
                    return Err(error);
                }
                all = false;
                collected.problems.push(vmcore::kernel::chain(&error));
            }
        }
    }
    if !open.is_empty() {
        let problems = notify::announce(&crashes, all, root);
        collected.problems.extend(problems);
    }
    match crash_test::settle(root, stores) {
        Ok(test) => collected.test = test,
        Err(error) => collected.problems.push(vmcore::kernel::chain(&error)),
    }
    Ok(collected)
}

/// When this system started, by its own clock.
fn boot_time(root: &Path) -> Option<SystemTime> {
    let uptime = std::fs::read_to_string(under(root, "/proc/uptime")).ok()?;
    let seconds = uptime.split('.').next()?.parse().ok()?;
    SystemTime::now().checked_sub(Duration::from_secs(seconds))
}

/// Where the firmware's records are: in pstore itself, or where systemd-pstore has put them in this boot.
fn archives(root: &Path, boot: SystemTime) -> Vec<PathBuf> {
    let mut all = vec![under(root, "/sys/fs/pstore")];
    all.extend(pstore::archived(
        &under(root, "/var/lib/systemd/pstore"),
        boot,
    ));
    all
}

/// `path` below the root prefix.
fn under(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

#[cfg(test)]
mod tests;
