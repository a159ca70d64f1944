//! Tells the journal which crashes are new, and labels their directories for SELinux.

use crate::{journal, under};
use loader::state::State;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::process::Command;
use store::{Crash, Manifest, State as Stage};

/// Tells the journal about each crash once; what went wrong, in sentences. `all` says that these are the
/// crashes of every store: then a directory that is not among them is gone, and forgotten.
pub(crate) fn announce(
    crashes: &[(Crash, Option<Manifest>)],
    all: bool,
    root: &Path,
) -> Vec<String> {
    let mut problems = Vec::new();
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
    for (crash, manifest) in crashes.iter().filter(|(c, _)| c.state != Stage::Partial) {
        // Two stores may hold directories of one name.
        let path = crash.path.display().to_string();
        if !known.contains(&path) {
            label(&crash.path, root);
            if let Err(why) = tell(crash, manifest.as_ref(), root) {
                problems.push(format!("cannot write the journal entry for {path}: {why}"));
                continue;
            }
        }
        announced.insert(path);
    }
    if problems.is_empty()
        && announced != known
        && let Err(why) = State::change(root, |state| state.announced = announced)
    {
        problems.push(why.to_string());
    }
    problems
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
