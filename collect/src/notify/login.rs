//! The message at login: /var/lib/afterpanic/motd, which /etc/update-motd.d/95-afterpanic prints.
//!
//! Facts: pam_motd(8) runs the scripts of /etc/update-motd.d as root after a login succeeded, on Debian
//! and Ubuntu. Nobody sees their output before.

use crate::under;
use loader::state::{self, StateError};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::io;
use std::path::Path;
use store::{Crash, Manifest};
use vmcore::escape;

/// The message.
const MESSAGE: &str = "/var/lib/afterpanic/motd";
/// Crashes that are named.
const NAMED: usize = 3;

/// Writes the message about the crashes of these paths, or removes it without any.
///
/// # Errors
/// It cannot be written or removed.
pub(crate) fn write(
    root: &Path,
    crashes: &[(Crash, Option<Manifest>)],
    paths: &BTreeSet<String>,
) -> Result<(), StateError> {
    if paths.is_empty() {
        return remove(root);
    }
    let text = message(crashes, paths);
    state::replace(&under(root, MESSAGE), text.as_bytes())
}

/// Removes the message.
///
/// # Errors
/// It is there and cannot be removed.
pub(crate) fn remove(root: &Path) -> Result<(), StateError> {
    let path = under(root, MESSAGE);
    match std::fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(StateError::Io {
            what: "remove",
            path,
            source,
        }),
        _ => Ok(()),
    }
}

fn message(crashes: &[(Crash, Option<Manifest>)], paths: &BTreeSet<String>) -> String {
    let count = match paths.len() {
        1 => "1 crash was saved".to_owned(),
        n => format!("{n} crashes were saved"),
    };
    let mut text = format!("\nafterpanic: {count} on this machine\n");
    let known = crashes
        .iter()
        .rev()
        .map(|(crash, manifest)| (crash, manifest, crash.path.display().to_string()))
        .filter(|(.., path)| paths.contains(path));
    for (crash, manifest, path) in known.take(NAMED) {
        let signature = manifest.as_ref().and_then(|m| m.signature.as_deref());
        let line = format!(
            "  {}  {}  {path}",
            crash.stamp,
            signature.unwrap_or("no report")
        );
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{}", escape::line(&line));
    }
    text.push_str("Why: sudo afterpanic report. Hide this message: sudo afterpanic list --ack\n\n");
    text
}
