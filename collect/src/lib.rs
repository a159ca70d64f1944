//! What happens to a crash at the next boot.
//!
//! Holds [`run`]: it makes crash directories of what is on raw targets, finishes those that were cut off, copies pstore's records or makes a crash
//! directory of them, announces each new crash ([`notify`]), and settles a crash test that waits for its
//! core. [`send`] does what needs a network, [`ship`] sends crash directories to the targets with `at_boot`. [`page`] makes the report of each crash a page for a browser.
//!
//! May name `rehearse` and below.
//!
//! Never prints: the CLI does.

mod journal;
mod log_only;
mod metrics;
mod notify;
pub mod page;
mod pstore;
mod raw;
mod ship;

pub use notify::{Sent, acknowledge, request_metrics, send};
pub use ship::{ShipError, Shipped, ship};

use config::Config;
use dump::seal::Sealer;
use loader::shipping;
use loader::state::{CrashTest, State};
use log_only::Content;
use pstore::{Copied, Record};
use rehearse::crash_test;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use store::{Crash, Store, settle};

/// What was done.
#[derive(Debug, Default)]
pub struct Collected {
    /// Crash directories made of raw targets, those that were cut off, by their new names, those made of pstore records, and pstore
    /// records, by their new paths.
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
/// A record of pstore belongs to the crash of its time, whichever store that is in. One that belongs to
/// none is left where it is, and is a problem once. `config` says how new crashes are announced.
///
/// # Errors
/// A store that the user named cannot be listed.
pub fn run(
    root: &Path,
    stores: &[PathBuf],
    given: bool,
    config: &Config,
) -> Result<Collected, CollectError> {
    let mut collected = Collected::default();
    let now = SystemTime::now();
    let boot = boot_time(root).unwrap_or(now);
    if !given {
        let recovered = raw::recover(root, config);
        collected.paths.extend(recovered.paths);
        collected.problems.extend(recovered.problems);
    }
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
    let mut crashes = Vec::new();
    for (path, store) in &open {
        match store.list() {
            Ok(listing) => crashes.extend(listing.crashes.into_iter().map(|crash| (store, crash))),
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
    crashes.sort_by(|(_, a), (_, b)| Crash::order(a, b));
    // While a store cannot be read, a record may belong to a crash in it.
    let home = open.first().map(|(_, store)| store).filter(|_| all);
    let settings = config.dump.settings();
    let node = settings.host_tag.clone().unwrap_or_else(|| node_name(root));
    let (copied, made) = take_records(root, &node, &settings.sealer(), &crashes, boot, all, home);
    collected.paths.extend(copied.records);
    collected.problems.extend(copied.problems);
    crashes.extend(
        home.into_iter()
            .flat_map(|store| made.iter().map(move |crash| (store, crash.clone()))),
    );
    let crashes: Vec<_> = crashes
        .into_iter()
        .map(|(store, crash)| {
            let manifest = store.manifest(&crash.name()).ok();
            (crash, manifest)
        })
        .collect();
    if !open.is_empty() {
        let problems = notify::announce(&crashes, all, root, config);
        collected.problems.extend(problems);
    }
    match crash_test::settle(root, stores) {
        Ok(test) => collected.test = test,
        Err(error) => collected.problems.push(vmcore::kernel::chain(&error)),
    }
    if let Err(error) = shipping::mark(root, config) {
        collected.problems.push(vmcore::kernel::chain(&error));
    }
    Ok(collected)
}

/// Copies pstore's records to the crashes that they belong to. `all`: these crashes are all there are.
/// Of those that belong to none, a crash directory is made in `home`, with a name that begins with `node`.
fn take_records(
    root: &Path,
    node: &str,
    sealer: &Sealer,
    crashes: &[(&Store, Crash)],
    boot: SystemTime,
    all: bool,
    home: Option<&Store>,
) -> (Copied, Vec<Crash>) {
    let timed: Vec<(usize, SystemTime)> = crashes
        .iter()
        .enumerate()
        .filter_map(|(index, (_, crash))| Some((index, time_of(crash)?)))
        .collect();
    let times: Vec<SystemTime> = timed.iter().map(|(_, time)| *time).collect();
    let mut copied = Copied::default();
    let records = every_record(root, boot);
    let mut left: Vec<&Record> = Vec::new();
    // Those that were dealt with at an earlier boot: their logs are not compared again.
    let known = State::read_or_mend(root).map(|state| state.unclaimed);
    let known = known.unwrap_or_default();
    for record in &records {
        let is_known = known.contains(&record.key());
        let near = pstore::owner(record, &times, boot).and_then(|n| timed.get(n));
        let near = near.map(|(index, _)| *index);
        let sure = near.is_some() && pstore::is_alone(record, &times);
        let content = match record.text() {
            Some(text) if !is_known && !sure => log_only::owner(&text, crashes),
            _ => Content::Unknown,
        };
        let owner = match content {
            Content::Of(index) => Some(index),
            Content::OfNone if record.time.is_none() => None,
            Content::Unknown if record.time.is_none() && is_known => None,
            Content::OfNone | Content::Unknown => near,
        };
        match owner.and_then(|index| crashes.get(index)) {
            Some((store, crash)) => pstore::copy(store, sealer, crash, record, &mut copied),
            None => left.push(record),
        }
    }
    let mut made = Vec::new();
    let mut taken: Vec<&Record> = Vec::new();
    if let Some(store) = home {
        for records in log_only::by_crash(&left) {
            if records.iter().all(|record| known.contains(&record.key())) {
                continue;
            }
            match log_only::make(store, sealer, node, &records, boot, &mut copied) {
                Ok(Some(crash)) => {
                    made.push(crash);
                    taken.extend(records);
                }
                Ok(None) => {}
                Err(error) => copied.problems.push(format!(
                    "cannot make a crash directory of the pstore records: {error}"
                )),
            }
        }
    }
    left.retain(|record| !taken.iter().any(|one| one.path == record.path));
    if all {
        let keys: BTreeSet<String> = records.iter().map(Record::key).collect();
        copied
            .problems
            .extend(pstore::unclaimed(&left, &taken, &keys, root));
    }
    (copied, made)
}

/// The machine's node name.
fn node_name(root: &Path) -> String {
    let text = std::fs::read_to_string(under(root, "/proc/sys/kernel/hostname"));
    text.unwrap_or_default().trim().to_string()
}

/// When a crash was, by its directory's name.
fn time_of(crash: &Crash) -> Option<SystemTime> {
    let seconds = seconds_of(&crash.stamp)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// `20261121T231500Z` in seconds since 1970.
fn seconds_of(stamp: &str) -> Option<u64> {
    let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", stamp).ok()?;
    let time = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    u64::try_from(time.as_second()).ok()
}

/// When this system started, by its own clock.
fn boot_time(root: &Path) -> Option<SystemTime> {
    let uptime = std::fs::read_to_string(under(root, "/proc/uptime")).ok()?;
    let seconds = uptime.split('.').next()?.parse().ok()?;
    SystemTime::now().checked_sub(Duration::from_secs(seconds))
}

/// The firmware's records: in pstore itself, or where systemd-pstore has put them in this boot.
fn every_record(root: &Path, boot: SystemTime) -> Vec<Record> {
    let mut all = pstore::records(&under(root, "/sys/fs/pstore"), boot);
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
