//! `afterpanic.prom`: a few figures for node_exporter's textfile collector.
//!
//! Facts: the Prometheus text format, version 0.0.4 (in a label's value `\`, `"` and a newline are
//! escaped); node_exporter reads the files of its directory whose names end in `.prom`, as a user that is
//! not root.

use crate::{seconds_of, under};
use config::Config;
use loader::state::State;
use loader::status::{Armed, Status, status};
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use vmcore::escape;

/// The file.
const FILE: &str = "afterpanic.prom";

/// The figures could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the metrics to {}. Create the directory, or set metrics = \"none\" in [notify]", path.display())]
pub(crate) struct MetricsError {
    /// The file.
    path: PathBuf,
    /// Why.
    source: io::Error,
}

/// Writes the file where the config asks for it, as a whole.
///
/// # Errors
/// It cannot be written.
pub(crate) fn write(root: &Path, config: &Config) -> Result<(), MetricsError> {
    let Some(dir) = &config.notify.metrics else {
        return Ok(());
    };
    let state = State::read(root).unwrap_or_default();
    let text = text(&status(root, config), &state);
    let path = under(root, &dir.to_string_lossy()).join(FILE);
    replace(&path, text.as_bytes()).map_err(|source| MetricsError { path, source })
}

/// The directory is another program's, which may have put a link there: nothing is followed.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_file_name(format!(".{FILE}.{}", std::process::id()));
    let _ = fs::remove_file(&temporary);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    let written = file
        .write_all(bytes)
        // Whatever the umask: another user reads it.
        .and_then(|()| file.set_permissions(fs::Permissions::from_mode(0o644)))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn text(status: &Status, state: &State) -> String {
    let mut text = String::new();
    let armed = match status.armed {
        Armed::Yes => Some(1),
        Armed::No | Armed::Stale => Some(0),
        Armed::Unknown => None,
    };
    if let Some(armed) = armed {
        let help = "1 if a capture kernel is loaded and its image is current.";
        head(&mut text, "afterpanic_armed", "gauge", help);
        row(&mut text, "afterpanic_armed", "", armed);
    }
    let last = status.last_dump.as_ref();
    if let Some(at) = last.and_then(|last| seconds_of(&last.time)) {
        let name = "afterpanic_last_crash_timestamp";
        head(
            &mut text,
            name,
            "gauge",
            "When the newest saved crash was, in seconds since 1970.",
        );
        row(&mut text, name, "", at);
    }
    let name = "afterpanic_crashes_total";
    head(
        &mut text,
        name,
        "counter",
        "Crashes that were collected on this machine.",
    );
    for (signature, count) in &state.collected {
        let class = signature.split(':').next().unwrap_or_default();
        let labels = format!(
            "{{class=\"{}\",signature=\"{}\"}}",
            value(class),
            value(signature)
        );
        row(&mut text, name, &labels, *count);
    }
    if let Some(proof) = &status.proof {
        let name = "afterpanic_proof_timestamp";
        let help = "When rehearse or crash-test last ended, in seconds since 1970; its age is time() minus this.";
        head(&mut text, name, "gauge", help);
        row(&mut text, name, "", proof.at);
        let good = proof.passed && status.proof_void.is_empty();
        let help = "1 if that proof passed, and kernel, image and config are still the same.";
        head(&mut text, "afterpanic_proof_valid", "gauge", help);
        row(&mut text, "afterpanic_proof_valid", "", u8::from(good));
    }
    text
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    // Writing into a String cannot fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn row(text: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    let _ = writeln!(text, "{name}{labels} {value}");
}

/// The value of a label.
fn value(text: &str) -> String {
    escape::line(text)
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_stays_one_value() {
        assert_eq!(value("bug:f\"}\n1:a\\b"), "bug:f\\\"}\\\\n1:a\\\\b");
        assert_eq!(
            value("null-deref:acme_poll:9f3c21"),
            "null-deref:acme_poll:9f3c21"
        );
    }
}
