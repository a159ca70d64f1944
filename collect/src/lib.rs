//! What is done with a crash at the next boot.
//!
//! [`run`] finishes crash directories that were cut off, copies pstore's records, tells the journal
//! which crashes are new, and settles a crash test that was waiting for its core. This crate names
//! `rehearse` and below. It prints nothing: the CLI does.

mod journal;
mod notify;
mod pstore;

use loader::state::CrashTest;
use rehearse::crash_test;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use store::settle;

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

/// Does all of it for a store. `given` says that the user named the store: then it must exist.
///
/// # Errors
/// When the store cannot be listed.
pub fn run(root: &Path, store: &Path, given: bool) -> io::Result<Collected> {
    let mut collected = Collected::default();
    match settle::partials(store, SystemTime::now()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !given => {}
        other => {
            let settled = other?;
            collected.paths = settled.renamed;
            collected.problems = settled.problems;
            for directory in archives(root) {
                let copied = pstore::pstore(store, &directory)?;
                collected.paths.extend(copied.records);
                collected.problems.extend(copied.problems);
            }
            collected.problems.extend(notify::announce(store, root)?);
        }
    }
    let stores: Vec<PathBuf> = given.then(|| store.to_path_buf()).into_iter().collect();
    match crash_test::settle(root, &stores) {
        Ok(test) => collected.test = test,
        Err(error) => collected.problems.push(vmcore::kernel::chain(&error)),
    }
    Ok(collected)
}

/// Where the firmware's records are: in pstore itself, or where systemd-pstore has put them in this boot.
fn archives(root: &Path) -> Vec<PathBuf> {
    let uptime = std::fs::read_to_string(under(root, "/proc/uptime")).unwrap_or_default();
    let uptime = uptime.split('.').next().and_then(|text| text.parse().ok());
    let boot = uptime.and_then(|s| SystemTime::now().checked_sub(Duration::from_secs(s)));
    let archive = under(root, "/var/lib/systemd/pstore");
    let mut all = vec![under(root, "/sys/fs/pstore")];
    all.extend(boot.map_or_else(Vec::new, |boot| pstore::archived(&archive, boot)));
    all
}

/// `path` below the root prefix.
fn under(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}
