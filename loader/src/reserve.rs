//! How much memory the capture kernel needs, part by part, and how the machine gets it.
//!
//! The kernel's share is measured, not guessed: its image in memory from /proc/iomem, and what each
//! series takes besides until its first process runs (1 and 2 CPUs, Debian's cloud kernels 6.1, 6.12
//! and 7.2 in guests, from MemTotal and MemFree of the capture kernel). A rehearsal's peak, where there
//! is one for this kernel, replaces the sum.

use std::path::Path;

use serde::Serialize;

use crate::bootloader::{self, Change};
use crate::crashkernel::{Memory, Value};
use crate::iomem::Iomem;
use crate::kimage::BzImage;
use crate::state::State;

const MIB: u64 = 1 << 20;
/// The kernel aligns the region to 16 MiB on x86, so a finer size gives nothing.
const STEP: u64 = 16 * MIB;

/// What the sum is made from.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// The capture kernel's release.
    pub release: String,
    /// Bytes of its image in memory: text, data and bss.
    pub kernel: u64,
    /// `init_size` of its bzImage: what it needs in one piece while it unpacks itself.
    pub init_size: u64,
    /// The capture image as loaded.
    pub image: u64,
    /// The capture image unpacked.
    pub unpacked: u64,
    /// The capture worker's memory limit.
    pub worker: u64,
    /// CPUs that the capture kernel starts.
    pub cpus: u32,
    /// The targets' filesystems.
    pub filesystems: Vec<String>,
    /// The most that a rehearsal with this kernel used.
    pub peak: Option<u64>,
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// What it is for.
    pub what: String,
    /// How much.
    pub bytes: u64,
    /// Where the figure comes from.
    pub why: String,
}

/// The sum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Estimate {
    /// The parts; they add up to less than `bytes`, which is rounded up.
    pub parts: Vec<Part>,
    /// What to reserve.
    pub bytes: u64,
    /// What Debian's kdump-tools would reserve, for comparison.
    pub debian: &'static str,
    /// What Fedora's kdump-utils would reserve.
    pub fedora: &'static str,
}

impl Inputs {
    /// What can be read from the machine under `root`: the running kernel's size and its bzImage.
    /// The image's sizes are the caller's to fill in.
    #[must_use]
    pub fn read(root: &Path, kernel: Option<&[u8]>) -> Self {
        let running = crate::probe::running_release(root).unwrap_or_default();
        let header = kernel.and_then(|bytes| BzImage::parse(bytes).ok());
        let release = header
            .as_ref()
            .map_or(running.clone(), |h| h.release.clone());
        let init_size = header.as_ref().map_or(0, |h| h.init_size);
        let in_memory = if release == running {
            resident(root)
        } else {
            None
        };
        let state = State::read(root).unwrap_or_default();
        let peak = state
            .proof
            .filter(|p| p.passed && p.release == release)
            .and_then(|p| p.peak);
        Self {
            // Without root /proc/iomem hides it; init_size is a little more than the kernel needs.
            kernel: in_memory.unwrap_or(if init_size == 0 { 60 * MIB } else { init_size }),
            release,
            init_size,
            worker: 24 * MIB,
            cpus: 1,
            peak,
            ..Self::default()
        }
    }
}

fn resident(root: &Path) -> Option<u64> {
    let iomem = Iomem::read(root).ok().filter(|i| !i.is_hidden())?;
    let parts = ["Kernel code", "Kernel rodata", "Kernel data", "Kernel bss"];
    let ranges: Vec<_> = parts.iter().flat_map(|name| iomem.named(name)).collect();
    let (first, last) = (
        ranges.iter().map(|r| r.start).min()?,
        ranges.iter().map(|r| r.end).max()?,
    );
    last.checked_sub(first)
}

/// What a series takes beside its image until the first process runs, in MiB.
fn boot_allocations(release: &str) -> (u64, &'static str) {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|n| n.parse::<u32>().unwrap_or(0));
    match (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) {
        (0..=5, _) | (6, 0..=5) => (14, "measured for 6.1"),
        (6, _) => (18, "measured for 6.12"),
        _ => (22, "measured for 7.2"),
    }
}

/// Memory that replaying a journal takes when the target is mounted.
fn journal(filesystem: &str) -> u64 {
    match filesystem {
        "xfs" => 12 * MIB,
        "btrfs" => 32 * MIB,
        "ext4" | "ext3" => 6 * MIB,
        "vfat" | "ext2" => MIB,
        _ => 16 * MIB,
    }
}

/// The parts that a rehearsal does not replace, summed up from what was measured of each.
fn parts(inputs: &Inputs) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut part = |what: &str, bytes: u64, why: &str| {
        if bytes > 0 {
            parts.push(Part {
                what: what.to_owned(),
                bytes,
                why: why.to_owned(),
            });
        }
    };
    if let Some(peak) = inputs.peak {
        let why = "measured with this kernel, image and config";
        part("peak of the rehearsal", peak, why);
        let why = "20 %: this machine has more devices than the VM";
        part("margin", peak / 5, why);
        return parts;
    }
    let (boot, measured) = boot_allocations(&inputs.release);
    part("kernel, in memory", inputs.kernel, "text, data and bss");
    part("kernel, booted with 1 CPU", boot * MIB, measured);
    let more = u64::from(inputs.cpus.saturating_sub(1)) * 2 * MIB;
    part("more CPUs", more, "2 MiB each");
    part("image, as loaded", inputs.image, "until it is unpacked");
    let why = "files, and its modules a second time once loaded";
    part("image, unpacked", inputs.unpacked.saturating_mul(2), why);
    part("capture worker", inputs.worker, "its memory limit");
    let journal = inputs.filesystems.iter().map(|f| journal(f)).max();
    let why = "replaying the journal of the target";
    part("filesystem", journal.unwrap_or(0), why);
    let so_far: u64 = parts.iter().map(|p| p.bytes).fold(0, u64::saturating_add);
    parts.push(Part {
        what: "page tables, memmap, page cache, margin".to_owned(),
        bytes: 12 * MIB + so_far / 16,
        why: "1/64 for the memmap, the rest is working memory for the page cache".to_owned(),
    });
    parts
}

/// Adds it up.
#[must_use]
pub fn estimate(inputs: &Inputs) -> Estimate {
    let parts = parts(inputs);
    let bytes: u64 = parts.iter().map(|p| p.bytes).fold(0, u64::saturating_add);
    // While it starts, kernel and image lie beside the place where the kernel unpacks itself.
    let start = inputs
        .init_size
        .saturating_add(inputs.image)
        .saturating_add(6 * MIB);
    let bytes = bytes.max(start).div_ceil(STEP).saturating_mul(STEP);
    Estimate {
        parts,
        bytes,
        debian: "512M-:192M",
        fedora: "2G-64G:256M,64G-:512M",
    }
}

/// What would be done about the boot configuration.
#[derive(Clone, Debug, Serialize)]
pub struct Proposal {
    /// The value of `crashkernel=`.
    pub value: String,
    /// In words.
    pub explained: String,
    /// What the running kernel was booted with.
    pub now: Vec<String>,
    /// Bytes reserved now.
    pub reserved: Option<u64>,
    /// Nothing is to be done: the boot configuration already asks for it.
    pub already: bool,
    /// How it is done.
    pub change: Change,
}

/// Why nothing can be proposed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReserveError {
    /// The configured value is wrong.
    #[error(transparent)]
    Value(#[from] crate::crashkernel::ParseError),
    /// The boot loader.
    #[error(transparent)]
    BootLoader(#[from] bootloader::BootLoaderError),
}

/// The value and the change for the machine under `root`.
///
/// # Errors
/// When the value is none, or the boot configuration cannot be read.
pub fn propose(root: &Path, value: &str) -> Result<Proposal, ReserveError> {
    let parsed = Value::parse(value)?;
    let change = bootloader::propose(root, value)?;
    let reservation = crate::probe::reservation(root);
    Ok(Proposal {
        value: value.to_owned(),
        explained: parsed.explain(),
        already: change.is_empty(),
        now: reservation.asked,
        reserved: reservation.bytes,
        change,
    })
}

/// The estimate as a value: a plain size.
#[must_use]
pub fn value_of(estimate: &Estimate) -> String {
    Memory(estimate.bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs() -> Inputs {
        Inputs {
            release: "6.12.107+deb13-cloud-amd64".to_owned(),
            kernel: 44 * MIB,
            init_size: 56 * MIB,
            image: 3 * MIB / 2,
            unpacked: 4 * MIB,
            worker: 24 * MIB,
            cpus: 1,
            filesystems: vec!["ext4".to_owned()],
            peak: None,
        }
    }

    #[test]
    fn the_parts_add_up_and_the_sum_is_a_multiple_of_the_alignment() {
        let got = estimate(&inputs());
        let sum: u64 = got.parts.iter().map(|p| p.bytes).sum();
        assert!(
            sum <= got.bytes && got.bytes < sum + 2 * STEP,
            "{sum} {}",
            got.bytes
        );
        assert_eq!(got.bytes % STEP, 0);
        assert_eq!(value_of(&got), "128M");
    }

    #[test]
    fn more_of_anything_never_needs_less() {
        let base = estimate(&inputs()).bytes;
        let more = |change: fn(&mut Inputs)| {
            let mut i = inputs();
            change(&mut i);
            estimate(&i).bytes
        };
        assert!(more(|i| i.cpus = 16) > base);
        assert!(more(|i| i.filesystems.push("btrfs".to_owned())) > base);
        assert!(more(|i| i.unpacked = 100 * MIB) > base);
        assert!(more(|i| i.init_size = 300 * MIB) >= 300 * MIB);
        assert!(more(|i| i.release = "7.2.1".to_owned()) >= base);
    }

    #[test]
    fn a_rehearsal_replaces_the_sum() {
        let got = estimate(&Inputs {
            peak: Some(71 * MIB),
            ..inputs()
        });
        assert_eq!(value_of(&got), "96M");
        assert_eq!(got.parts.len(), 2);
    }

    #[test]
    fn the_running_kernel_is_measured() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("proc/sys/kernel")).unwrap();
        std::fs::write(dir.path().join("proc/sys/kernel/osrelease"), "6.12.1\n").unwrap();
        let text = "100000-3fffffff : System RAM\n  21600000-225fffff : Kernel code\n  23cd8000-241fffff : Kernel bss\n";
        std::fs::write(dir.path().join("proc/iomem"), text).unwrap();
        let got = Inputs::read(dir.path(), None);
        assert_eq!((got.kernel, got.release.as_str()), (44 * MIB, "6.12.1"));
    }
}
