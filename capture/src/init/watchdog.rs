//! Hardware watchdogs that the crashed kernel had running: fed while the dump makes progress, so that
//! a hang here ends in a reset.
//!
//! Only devices named in the plan are opened, because opening one starts it. The driver's timeout
//! is set where the plan says so (WDIOC_SETTIMEOUT, include/uapi/linux/watchdog.h).

use super::console::Console;
use crate::sys;
use plan::Watchdog;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// The shortest timeout of common hardware is a few seconds; feeding is cheap.
const EVERY: Duration = Duration::from_secs(1);

/// The open watchdogs.
#[derive(Debug, Default)]
pub(super) struct Watchdogs {
    open: Vec<(String, File)>,
    wanted: Vec<Watchdog>,
    fed: Option<Instant>,
}

impl Watchdogs {
    /// Remembers which are wanted; they are opened when their devices appear.
    #[must_use]
    pub(super) fn new(wanted: &[Watchdog]) -> Self {
        Self {
            open: Vec::new(),
            wanted: wanted.to_vec(),
            fed: None,
        }
    }

    /// Opens those of the wanted whose devices are there by now.
    pub(super) fn open(&mut self, console: &mut Console) {
        if self.wanted.is_empty() {
            return;
        }
        let found = devices(Path::new("/sys/class/watchdog"));
        self.wanted.retain(|wanted| {
            let Some((name, _)) = found.iter().find(|(_, id)| *id == wanted.identity) else {
                return true;
            };
            match OpenOptions::new().write(true).open(format!("/dev/{name}")) {
                Ok(file) => {
                    if let Some(seconds) = wanted.timeout_s
                        && let Err(error) = sys::watchdog_timeout(&file, seconds)
                    {
                        console.say(&format!("Cannot set the timeout of {name}: {error}"));
                    }
                    console.say(&format!("watchdog {name} ({}) is fed", wanted.identity));
                    self.open.push((name.clone(), file));
                }
                Err(error) => console.say(&format!("Cannot open /dev/{name}: {error}")),
            }
            false
        });
    }

    /// Feeds them, once a second at most.
    pub(super) fn feed(&mut self) {
        if self.fed.is_some_and(|at| at.elapsed() < EVERY) {
            return;
        }
        self.fed = Some(Instant::now());
        for (_, file) in &mut self.open {
            let _ = file.write_all(b"1");
        }
    }

    /// Stops them by the magic close, where the driver allows it: before a halt.
    pub(super) fn release(&mut self) {
        for (_, mut file) in self.open.drain(..) {
            let _ = file.write_all(b"V");
        }
    }
}

/// Names and identities of the watchdogs below a sysfs class directory.
fn devices(class: &Path) -> Vec<(String, String)> {
    let Ok(entries) = fs::read_dir(class) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let identity = fs::read_to_string(entry.path().join("identity")).ok()?;
            let name = entry.file_name().into_string().ok()?;
            Some((name, identity.trim().to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_found_by_identity() {
        let class = tempfile::tempdir().unwrap();
        for (name, identity) in [("watchdog0", "i6300ESB timer\n"), ("watchdog1", "other")] {
            fs::create_dir(class.path().join(name)).unwrap();
            fs::write(class.path().join(name).join("identity"), identity).unwrap();
        }
        let mut found = devices(class.path());
        found.sort();
        assert_eq!(found[0], ("watchdog0".into(), "i6300ESB timer".into()));
        assert_eq!(found.len(), 2);
    }
}
