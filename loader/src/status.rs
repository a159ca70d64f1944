//! Whether the machine is armed, and what proves it. Nothing is changed here.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use config::Config;
use serde::Serialize;

use crate::filter::{self, Filter};
use crate::kernel::{Slot, Syscall};
use crate::last_crash::{self, LastCrash};
use crate::probe::{Reservation, boot_id, is_loaded, reservation, running_release};
use crate::root;
use crate::servers;
use crate::shipping::{Shipping, shipping};
use crate::state::{CrashTest, Input, LoadedState, Proof, State, StateError};
use crate::stores::stores;

/// The answer to "is it armed".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Armed {
    /// A capture kernel is loaded and its image is current. Exit code 0.
    Yes,
    /// A capture kernel is loaded, but something it was made from has changed since. Exit code 3.
    Stale,
    /// None is loaded. Exit code 3.
    No,
    /// The kernel does not tell because /sys is not readable, or a capture kernel is loaded and the record of it
    /// is not readable (it is root's). Exit code 1.
    Unknown,
}

impl Armed {
    /// What `afterpanic status` exits with.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Yes => 0,
            Self::Stale | Self::No => 3,
            Self::Unknown => 1,
        }
    }
}

/// The image that was loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageState {
    /// Its kept copy.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Seconds since it was loaded.
    pub age_seconds: Option<i64>,
    /// What changed since, files and the ways to servers, each in a few words. Not empty: stale.
    pub changed: Vec<String>,
}

/// Everything `afterpanic status` shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The short answer.
    pub armed: Armed,
    /// Why, in one clause without a capital or a period.
    pub why: String,
    /// What to do, a command, when the answer is not yes.
    pub next: Option<String>,
    /// The running kernel's release.
    pub running: Option<String>,
    /// The host's name.
    pub hostname: Option<String>,
    /// The capture kernel's release, when we loaded it.
    pub kernel: Option<String>,
    /// How it was loaded, when we loaded it.
    pub syscall: Option<Syscall>,
    /// The memory.
    pub reservation: Reservation,
    /// The image, when we loaded it in this boot.
    pub image: Option<ImageState>,
    /// The last proof that a dump arrives.
    pub proof: Option<Proof>,
    /// Whether the filter was checked on the running kernel, and how that ended.
    pub filter: Option<Filter>,
    /// What has changed since and makes it void, each in a few words.
    pub proof_void: Vec<String>,
    /// The last panic that was asked for, by `crash-test`.
    pub crash_test: Option<CrashTest>,
    /// The newest crash in the stores.
    pub last_dump: Option<LastCrash>,
    /// Why a panic like the last one would leave no core, and in which store.
    pub loop_guard: Option<String>,
    /// What was sent to each target with `at_boot`, and what waits.
    pub shipping: Vec<Shipping>,
    /// What could not be read, and why.
    pub warnings: Vec<String>,
    /// The record of what was loaded, checked and proved cannot be read: none of that is known.
    #[serde(skip)]
    pub unrecorded: bool,
}

/// Whether what is loaded was loaded by us in this boot, and is this kernel with the kept image as it is
/// now and this command line.
#[must_use]
pub fn is_current(root: &Path, kernel: &Path, cmdline: &str) -> bool {
    let loaded = State::read(root).ok().and_then(|state| state.loaded);
    // An image that was built later is not the loaded one, even if nothing else changed.
    let kept = |loaded: &LoadedState| {
        let kept = initramfs::cache::path(root, &loaded.release);
        let meta = |path: &Path| std::fs::metadata(path).ok();
        let loaded_image = root::under(root, &loaded.image);
        match (meta(&kept), meta(&loaded_image)) {
            (Some(kept), Some(image)) if (kept.dev(), kept.ino()) == (image.dev(), image.ino()) => {
                kept.len() == loaded.image_bytes && kept.mtime() <= loaded.at
            }
            // A copy, or a file that earlier versions kept under the one name.
            (Some(kept), Some(image)) => [&kept, &image]
                .iter()
                .all(|m| m.len() == loaded.image_bytes && m.mtime() <= loaded.at),
            _ => false,
        }
    };
    let same = |loaded: &LoadedState| {
        kept(loaded)
            && (loaded.kernel == kernel && loaded.cmdline == cmdline)
            && loaded.boot_id == boot_id(root)
            && image_state(root, loaded).changed.is_empty()
    };
    is_loaded(root, Slot::Crash) == Some(true) && loaded.as_ref().is_some_and(same)
}

/// Tells whether the machine under `root` is armed, and what its stores, those of `config`, hold.
#[must_use]
pub fn status(root: &Path, config: &Config) -> Status {
    let stores = stores(config, root);
    let uptime = root::text(root, "/proc/uptime").unwrap_or_default();
    let mut warnings = stores.elsewhere;
    let mut unrecorded = false;
    let state = State::read(root).unwrap_or_else(|why| {
        unrecorded = matches!(why, StateError::Io { .. });
        warnings.push(why.to_string());
        State::default()
    });
    let filter = filter::of_running(root, &state);
    let shipping = shipping(root, config, &state);
    let reservation = reservation(root);
    let loaded = is_loaded(root, Slot::Crash);
    let ours = state
        .loaded
        .filter(|l| loaded == Some(true) && l.boot_id == boot_id(root));
    let mut image = ours.as_ref().map(|l| image_state(root, l));
    if let (Some(image), Some(loaded)) = (&mut image, &ours) {
        let servers = servers::compare(root, config, loaded);
        image.changed.extend(servers.changed);
        warnings.extend(servers.warnings);
    }
    let (armed, why, next) = match loaded {
        Some(true) if unrecorded => (
            Armed::Unknown,
            "a capture kernel is loaded; only root can read whether it is current".to_owned(),
            Some("sudo afterpanic status"),
        ),
        _ => judge(root, loaded, &reservation, ours.as_ref(), image.as_ref()),
    };
    Status {
        armed,
        why,
        next: next.map(str::to_owned),
        running: running_release(root),
        hostname: root::text(root, "/proc/sys/kernel/hostname").ok(),
        kernel: ours.as_ref().map(|l| l.release.clone()),
        syscall: ours.as_ref().map(|l| l.syscall),
        reservation,
        image,
        proof_void: (state.proof.iter())
            .flat_map(|proof| proof.void_because(root))
            .collect(),
        proof: state.proof,
        filter,
        crash_test: state.crash_test,
        last_dump: last_crash::last(&stores.paths),
        loop_guard: last_crash::in_a_loop(&stores.paths, &uptime),
        shipping,
        warnings,
        unrecorded,
    }
}

fn judge(
    root: &Path,
    loaded: Option<bool>,
    reservation: &Reservation,
    ours: Option<&LoadedState>,
    image: Option<&ImageState>,
) -> (Armed, String, Option<&'static str>) {
    match (loaded, ours, image) {
        (None, ..) if crate::access::lacks_kexec(root) => (
            Armed::No,
            "the running kernel was built without kexec".to_owned(),
            Some("sudo afterpanic doctor"),
        ),
        (None, ..) => (
            Armed::Unknown,
            "/sys/kernel/kexec_crash_loaded is missing".to_owned(),
            Some("mount -t sysfs sysfs /sys"),
        ),
        (Some(false), ..) if reservation.bytes == Some(0) => {
            let why = match reservation.asked.is_empty() {
                true => "no memory is reserved for a capture kernel".to_owned(),
                false => crate::diagnosis::why_nothing(root),
            };
            (Armed::No, why, Some("sudo afterpanic doctor"))
        }
        (Some(false), ..) => (
            Armed::No,
            "no capture kernel is loaded".to_owned(),
            Some("sudo afterpanic load"),
        ),
        (Some(true), Some(ours), Some(image)) if !image.changed.is_empty() => (
            Armed::Stale,
            format!(
                "{} is loaded, but {}",
                ours.release,
                image.changed.join(", ")
            ),
            Some("sudo afterpanic load"),
        ),
        (Some(true), Some(ours), _) => (
            Armed::Yes,
            format!("Linux {} is loaded", ours.release),
            None,
        ),
        (Some(true), None, _) => (
            Armed::Yes,
            "a capture kernel is loaded that is not on record here (another kdump service?)"
                .to_owned(),
            Some("sudo afterpanic doctor"),
        ),
    }
}

fn image_state(root: &Path, loaded: &LoadedState) -> ImageState {
    let now = jiff::Timestamp::now().as_second();
    let changed = (loaded.inputs.iter())
        .filter_map(|then| {
            let now = Input::of(root, &then.path);
            let path = then.path.display();
            match (then.size, now.size) {
                _ if now == *then => None,
                (Some(_), None) => Some(format!("{path} was removed")),
                (None, Some(_)) => Some(format!("{path} is new")),
                _ => Some(format!("{path} changed")),
            }
        })
        .collect();
    ImageState {
        path: loaded.image.clone(),
        bytes: loaded.image_bytes,
        age_seconds: Some(now.saturating_sub(loaded.at).max(0)),
        changed,
    }
}

#[cfg(test)]
#[path = "status/tests.rs"]
mod tests;
