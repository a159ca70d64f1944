//! How much memory the capture kernel needs, part by part, and how the machine gets it.
//!
//! The kernel's share is measured, not guessed: its image in memory from /proc/iomem, and what each
//! series takes besides until its first process runs (1 and 2 CPUs, Debian's cloud kernels 6.1, 6.12
//! and 7.2 in guests, from MemTotal and MemFree of the capture kernel). In a virtual machine the peak of a
//! rehearsal, where there is one for this kernel, replaces the sum. On hardware only the peak of a crash
//! test does: the VM of a rehearsal lacks the machine's devices.

mod hardware;

use std::path::Path;

use serde::Serialize;

use crate::arch::HOST;
use crate::bootloader::{self, Change};
use crate::crashkernel::{Memory, Value};
use crate::iomem::Iomem;
use crate::kimage::KernelImage;
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
    /// Modules in the capture image, by name.
    pub drivers: Vec<String>,
    /// The most that the capture kernel used when a core arrived with this kernel.
    pub peak: Option<Peak>,
    /// RAM of a machine that is no virtual one; `None` in a guest.
    pub hardware_ram: Option<u64>,
}

/// A measured peak of the capture kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peak {
    /// Bytes.
    pub bytes: u64,
    /// Measured on this machine by a crash test, not in the VM of a rehearsal.
    pub here: bool,
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
    /// What can be read from the machine under `root`: the running kernel's size and its image.
    /// The image's sizes are the caller's to fill in.
    #[must_use]
    pub fn read(root: &Path, kernel: Option<&[u8]>) -> Self {
        let running = crate::probe::running_release(root).unwrap_or_default();
        let header = kernel.and_then(|bytes| KernelImage::parse(bytes).ok());
        let release = header
            .as_ref()
            .map_or(running.clone(), |h| h.release.clone());
        let init_size = header.as_ref().map_or(0, |h| h.memory);
        let in_memory = if release == running {
            resident(root)
        } else {
            None
        };
        let state = State::read(root).unwrap_or_default();
        let peak = state
            .proof
            .filter(|p| p.passed && p.release == release)
            .and_then(|p| {
                Some(Peak {
                    bytes: p.peak?,
                    here: p.by == "crash-test",
                })
            });
        Self {
            // Without root /proc/iomem hides it; init_size is a little more than the kernel needs.
            kernel: in_memory.unwrap_or(if init_size == 0 { 60 * MIB } else { init_size }),
            release,
            init_size,
            worker: 24 * MIB,
            cpus: 1,
            peak,
            hardware_ram: hardware::ram(root),
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

/// What a series takes besides its image until the first process runs, in MiB.
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

/// A peak and its margin.
fn measured(peak: Peak) -> Vec<Part> {
    let (what, why) = if peak.here {
        (
            "peak of the crash test",
            "20 %: the next crash may need more",
        )
    } else {
        (
            "peak of the rehearsal",
            "20 %: this machine has more devices than the VM",
        )
    };
    vec![
        part(
            what,
            peak.bytes,
            "measured with this kernel, image and config",
        ),
        part("margin", peak.bytes / 5, why),
    ]
}

fn part(what: &str, bytes: u64, why: &str) -> Part {
    Part {
        what: what.to_owned(),
        bytes,
        why: why.to_owned(),
    }
}

/// The parts, summed up from what was measured of each.
fn summed(inputs: &Inputs) -> Vec<Part> {
    let mut parts = Vec::new();
    let (boot, measured) = boot_allocations(&inputs.release);
    parts.push(part(
        "kernel, in memory",
        inputs.kernel,
        "text, data and bss",
    ));
    let measured = format!("{measured}{}", HOST.measured_elsewhere);
    parts.push(part("kernel, booted with 1 CPU", boot * MIB, &measured));
    let more = u64::from(inputs.cpus.saturating_sub(1)) * 2 * MIB;
    parts.push(part("more CPUs", more, "2 MiB each"));
    parts.push(part(
        "image, as loaded",
        inputs.image,
        "until it is unpacked",
    ));
    let why = "files, and its modules a second time once loaded";
    parts.push(part(
        "image, unpacked",
        inputs.unpacked.saturating_mul(2),
        why,
    ));
    parts.extend(hardware::drivers(&inputs.drivers));
    parts.push(part("capture worker", inputs.worker, "its memory limit"));
    let journal = inputs.filesystems.iter().map(|f| journal(f)).max();
    let why = "replaying the journal of the target";
    parts.push(part("filesystem", journal.unwrap_or(0), why));
    parts.retain(|part| part.bytes > 0);
    let why = "1/64 for the memmap, the rest is working memory for the page cache";
    let margin = 12 * MIB + total(&parts) / 16;
    parts.push(part("page tables, memmap, page cache, margin", margin, why));
    parts
}

fn total(parts: &[Part]) -> u64 {
    parts
        .iter()
        .map(|part| part.bytes)
        .fold(0, u64::saturating_add)
}

/// The parts that count: the sum, a measured peak, or what others reserve on such hardware.
fn parts(inputs: &Inputs) -> Vec<Part> {
    let Some(ram) = inputs.hardware_ram else {
        return inputs.peak.map_or_else(|| summed(inputs), measured);
    };
    if let Some(peak) = inputs.peak.filter(|peak| peak.here) {
        return measured(peak);
    }
    let mut parts = summed(inputs);
    let rehearsed = inputs.peak.map(measured).unwrap_or_default();
    if total(&rehearsed) > total(&parts) {
        parts = rehearsed;
    }
    parts.extend(hardware::rest(total(&parts), ram));
    parts
}

/// Adds it up.
#[must_use]
pub fn estimate(inputs: &Inputs) -> Estimate {
    let parts = parts(inputs);
    let bytes = total(&parts);
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
        fedora: HOST.fedora,
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
mod tests;
