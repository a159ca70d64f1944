//! Whether the machine is armed, and what proves it.
//!
//! Facts: Documentation/ABI/testing/sysfs-kernel-kexec-kdump; the files have their old names
//! (`/sys/kernel/kexec_crash_loaded`) up to 6.18 and both names from 6.19 on. Nothing is changed
//! here, and everything is read under a root prefix. Without root most of it can still be told.

pub mod dumps;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::filter::{self, Filter};
use crate::iomem::{Iomem, Range};
use crate::kernel::{Slot, Syscall};
use crate::root;
use crate::state::{CrashTest, Input, LoadedState, Proof, State};

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
    /// The kernel does not tell: /sys is not readable. Exit code 1.
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

/// The memory that is reserved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reservation {
    /// Where the capture kernel is loaded. `None` when nothing is reserved, or without root.
    pub main: Option<Range>,
    /// The part below 4 GiB beside a high `main`.
    pub low: Option<Range>,
    /// Memory of `crashkernel=…,cma`, used by the capture kernel but not for loading.
    pub cma: Vec<Range>,
    /// Bytes reserved, as sysfs says (main and low; before 6.12 only main). Known without root.
    pub bytes: Option<u64>,
    /// The values of `crashkernel=` that this kernel was booted with.
    pub asked: Vec<String>,
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
    /// Which files changed since, each in a few words. Not empty: stale.
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
    /// The newest crash saved here.
    pub last_dump: Option<dumps::LastDump>,
    /// Why a panic like the last one would leave no core: the machine dies in a loop.
    pub loop_guard: Option<String>,
    /// What could not be told, and why.
    pub warnings: Vec<String>,
}

/// Reads the old or the new name of a file of `/sys/kernel/kexec`.
fn sysfs(root: &Path, new: &str, old: &str) -> Option<u64> {
    root::number(root, format!("/sys/kernel/kexec/{new}"))
        .or_else(|| root::number(root, format!("/sys/kernel/{old}")))
}

/// Whether an image is loaded in a slot; `None` when the kernel has no kexec or /sys is not there.
#[must_use]
pub fn is_loaded(root: &Path, slot: Slot) -> Option<bool> {
    let value = match slot {
        Slot::Crash => sysfs(root, "crash_loaded", "kexec_crash_loaded"),
        Slot::Boot => sysfs(root, "loaded", "kexec_loaded"),
    };
    value.map(|n| n != 0)
}

/// Whether what is loaded was loaded by us in this boot, and is this kernel with the kept image as it is
/// now and this command line.
#[must_use]
pub fn is_current(root: &Path, kernel: &Path, cmdline: &str) -> bool {
    let loaded = State::read(root).ok().and_then(|state| state.loaded);
    let same = |loaded: &LoadedState| {
        // An image that was replaced later is not the loaded one.
        let image = std::fs::metadata(root::under(root, &loaded.image));
        image.is_ok_and(|meta| meta.len() == loaded.image_bytes && meta.mtime() <= loaded.at)
            && (loaded.kernel == kernel && loaded.cmdline == cmdline)
            && loaded.boot_id == boot_id(root)
            && image_state(root, loaded).changed.is_empty()
    };
    is_loaded(root, Slot::Crash) == Some(true) && loaded.as_ref().is_some_and(same)
}

/// Bytes reserved for the capture kernel, as sysfs says.
#[must_use]
pub fn crash_size(root: &Path) -> Option<u64> {
    sysfs(root, "crash_size", "kexec_crash_size")
}

/// The running kernel's release.
#[must_use]
pub fn running_release(root: &Path) -> Option<String> {
    root::text(root, "/proc/sys/kernel/osrelease")
        .ok()
        .filter(|s| !s.is_empty())
}

/// The running kernel's boot, a new one each time.
#[must_use]
pub fn boot_id(root: &Path) -> String {
    root::text(root, "/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

/// `/sys/kernel/kexec/crash_cma_ranges`: `start-end` in hexadecimal, one a line, the end included.
pub(crate) fn cma_ranges(root: &Path) -> Vec<Range> {
    let text = root::text(root, "/sys/kernel/kexec/crash_cma_ranges").unwrap_or_default();
    let hex = |s: &str| u64::from_str_radix(s.trim().trim_start_matches("0x"), 16).ok();
    text.lines()
        .filter_map(|line| {
            let (start, last) = line.split_once('-')?;
            let range = Range {
                start: hex(start)?,
                end: hex(last)?.checked_add(1)?,
            };
            (!range.is_empty()).then_some(range)
        })
        .collect()
}

/// Reads the machine's memory reservation.
#[must_use]
pub fn reservation(root: &Path) -> Reservation {
    let (main, low) = Iomem::read(root).unwrap_or_default().crash_kernel();
    let cmdline = root::text(root, "/proc/cmdline").unwrap_or_default();
    Reservation {
        main,
        low,
        cma: cma_ranges(root),
        bytes: crash_size(root).or_else(|| main.map(Range::len)),
        asked: crate::crashkernel::parameters(&cmdline),
    }
}

/// Tells whether the machine under `root` is armed.
#[must_use]
pub fn status(root: &Path) -> Status {
    let mut warnings = Vec::new();
    let state = State::read(root).unwrap_or_else(|why| {
        warnings.push(why.to_string());
        State::default()
    });
    let filter = filter::of_running(root, &state);
    let reservation = reservation(root);
    let loaded = is_loaded(root, Slot::Crash);
    let ours = state
        .loaded
        .filter(|l| loaded == Some(true) && l.boot_id == boot_id(root));
    let image = ours.as_ref().map(|l| image_state(root, l));
    let (armed, why, next) = judge(root, loaded, &reservation, ours.as_ref(), image.as_ref());
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
        last_dump: dumps::last(root),
        loop_guard: dumps::in_a_loop(root),
        warnings,
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
            "/sys/kernel does not tell".to_owned(),
            Some("mount -t sysfs sysfs /sys"),
        ),
        (Some(false), ..) if reservation.bytes == Some(0) => {
            let why = if reservation.asked.is_empty() {
                "no memory is reserved for a capture kernel"
            } else {
                "crashkernel= is given, but no memory is reserved"
            };
            (Armed::No, why.to_owned(), Some("sudo afterpanic doctor"))
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
