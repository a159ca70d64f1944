//! Announces new crashes, and labels their directories for SELinux.
//!
//! The journal, the message at login and the metrics are written here. What needs a network, the
//! operator's command and the mail, waits in [`spool`] until `afterpanic collect --notify` sends it.

mod child;
mod login;
mod send;
mod spool;

use crate::{journal, metrics, under};
use config::{Config, Notify};
use loader::state::{State, StateError};
use send::{Announced, SendError};
use spool::Request;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use store::{Crash, Manifest, State as Stage};
use vmcore::kernel::chain;

/// Crashes with what their manifests say.
type Crashes = [(Crash, Option<Manifest>)];

/// New crashes of one run that are mailed and given to the command: the newest.
const MOST: usize = 10;
/// Signatures that are counted one by one.
const SIGNATURES: usize = 200;
/// The signature of all others.
const OTHERS: &str = "other";
/// The signature of a crash without one.
const UNKNOWN: &str = "unknown";

/// Announces each crash once; what went wrong, in sentences. `all` says that these are the crashes of every
/// store: then a directory that is not among them is gone, and forgotten.
pub(crate) fn announce(crashes: &Crashes, all: bool, root: &Path, config: &Config) -> Vec<String> {
    let mut problems = Vec::new();
    let settings = &config.notify;
    let known = match State::read_or_mend(root) {
        Ok(state) => state.announced,
        // Better said twice than not at all.
        Err(why) => {
            problems.push(why.to_string());
            BTreeSet::new()
        }
    };
    let mut announced = match all {
        true => BTreeSet::new(),
        false => known.clone(),
    };
    let mut fresh = Vec::new();
    for one in crashes.iter().filter(|(c, _)| c.state != Stage::Partial) {
        let (crash, manifest) = one;
        // Two stores may hold directories of one name.
        let path = crash.path.display().to_string();
        if !known.contains(&path) {
            label(&crash.path, root);
            if settings.journal
                && let Err(why) = tell(crash, manifest.as_ref(), root)
            {
                problems.push(format!("cannot write the journal entry for {path}: {why}"));
                continue;
            }
            fresh.push(one);
        }
        announced.insert(path);
    }
    if problems.is_empty()
        && announced != known
        && let Err(why) = State::change(root, |state| state.announced = announced)
    {
        problems.push(why.to_string());
    }
    problems.extend(spread(&fresh, crashes, all, root, settings));
    if let Err(why) = metrics::write(root, config) {
        problems.push(chain(&why));
    }
    problems
}

/// Counts the new crashes, puts them into the message at login, and asks for mail and command.
fn spread(
    fresh: &[&(Crash, Option<Manifest>)],
    crashes: &Crashes,
    all: bool,
    root: &Path,
    settings: &Notify,
) -> Vec<String> {
    let mut problems = Vec::new();
    let path = |crash: &Crash| crash.path.display().to_string();
    let here: BTreeSet<String> = crashes.iter().map(|(crash, _)| path(crash)).collect();
    let gone = |state: &State| all && !state.unacknowledged.is_subset(&here);
    // Who may only read looks through a store in which nothing is new.
    if fresh.is_empty() && State::read_or_mend(root).is_ok_and(|state| !gone(&state)) {
        if !settings.login_message {
            problems.extend(login::remove(root).err().map(|why| chain(&why)));
        }
        return problems;
    }
    let unacknowledged = State::change(root, |state| {
        if all {
            state.unacknowledged.retain(|path| here.contains(path));
        }
        for (crash, manifest) in fresh {
            state.unacknowledged.insert(path(crash));
            let signature = manifest.as_ref().and_then(|m| m.signature.as_deref());
            count(&mut state.collected, signature.unwrap_or(UNKNOWN));
        }
        state.unacknowledged.clone()
    });
    let message = unacknowledged.and_then(|paths| match settings.login_message {
        true => login::write(root, crashes, &paths),
        false => login::remove(root),
    });
    problems.extend(message.err().map(|why| chain(&why)));
    if settings.mail.is_some() || !settings.command.is_empty() {
        for (crash, _) in fresh.iter().rev().take(MOST) {
            if let Err(why) = spool::crash(root, &crash.path) {
                problems.push(format!(
                    "cannot queue the notification for {}: {why}",
                    path(crash)
                ));
            }
        }
    }
    problems
}

/// One more crash of a signature. What a crash is called is not ours to choose, so their number is bounded.
fn count(collected: &mut BTreeMap<String, u64>, signature: &str) {
    let known = collected.contains_key(signature) || collected.len() < SIGNATURES;
    let key = if known { signature } else { OTHERS };
    let counted = collected.entry(key.to_owned()).or_default();
    *counted = counted.saturating_add(1);
}

/// What was sent.
#[derive(Debug, Default)]
pub struct Sent {
    /// The crashes that the command and the mail system took.
    pub crashes: Vec<PathBuf>,
    /// What could not be sent, a sentence each.
    pub problems: Vec<String>,
}

/// Carries out what waits: the operator's command and a mail for each new crash, and the metrics. Each is
/// tried once.
#[must_use]
pub fn send(root: &Path, config: &Config) -> Sent {
    let mut sent = Sent::default();
    let requests = match spool::take(root) {
        Ok(requests) => requests,
        Err(why) => {
            let problem = format!("cannot read what waits to be sent: {why}");
            sent.problems.push(problem);
            return sent;
        }
    };
    for request in requests {
        match request {
            Request::Metrics => {
                let written = metrics::write(root, config);
                sent.problems.extend(written.err().map(|why| chain(&why)));
            }
            Request::Crash(path) => {
                let problems = send_crash(root, config, &path);
                if problems.is_empty() {
                    sent.crashes.push(path);
                } else {
                    let about = |why: SendError| {
                        format!("cannot announce {}: {}", path.display(), chain(&why))
                    };
                    sent.problems.extend(problems.into_iter().map(about));
                }
            }
        }
    }
    sent
}

/// By both ways: one that fails does not keep the other from being tried.
fn send_crash(root: &Path, config: &Config, path: &Path) -> Vec<SendError> {
    let one = match Announced::open(path) {
        Ok(one) => one,
        Err(why) => return vec![why],
    };
    [one.command(&config.notify), one.mail(&config.notify, root)]
        .into_iter()
        .filter_map(Result::err)
        .collect()
}

/// Asks for new metrics, which another unit may write. Nothing happens where the config has none.
///
/// # Errors
/// What the system said.
pub fn request_metrics(root: &Path, config: &Config) -> io::Result<()> {
    match config.notify.metrics {
        Some(_) => spool::metrics(root),
        None => Ok(()),
    }
}

/// Takes the message about new crashes away; answers how many there were.
///
/// # Errors
/// The state cannot be changed, or the message not removed.
pub fn acknowledge(root: &Path) -> Result<usize, StateError> {
    let taken = State::change(root, |state| std::mem::take(&mut state.unacknowledged))?;
    login::remove(root)?;
    Ok(taken.len())
}

fn tell(crash: &Crash, manifest: Option<&Manifest>, root: &Path) -> io::Result<bool> {
    let verdict = manifest.map_or("unknown", |m| m.verdict.name());
    let signature = manifest.and_then(|m| m.signature.as_deref());
    let path = crash.path.display().to_string();
    let died_of = signature.map(|s| format!(", {s}")).unwrap_or_default();
    let message = format!(
        "{} panicked at {}{died_of}; saved ({verdict}) in {path}; see: afterpanic report {path}",
        crash.node, crash.stamp
    );
    let fields = [
        ("AFTERPANIC_PATH", path.as_str()),
        ("AFTERPANIC_VERDICT", verdict),
        ("AFTERPANIC_SIGNATURE", signature.unwrap_or("unknown")),
    ];
    journal::send(
        &under(root, "/run/systemd/journal/socket"),
        &message,
        &fields,
    )
}

/// The capture kernel knows no SELinux, so what it wrote has no labels.
fn label(path: &Path, root: &Path) {
    if root == Path::new("/") && Path::new("/sys/fs/selinux/enforce").exists() {
        match Command::new("restorecon").arg("-R").arg(path).status() {
            Ok(status) if status.success() => {}
            other => log::warn!("restorecon {}: {other:?}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests;
