//! Where the segments of a load go, for every architecture.
//!
//! Facts: kernel/kexec.c, kernel/kexec_core.c, Linux 5.10 to 7.2. Segments are page aligned, do not overlap, lie
//! wholly in the reserved region, and leave holes: the kernel takes its control pages (page tables, entry code, a
//! copy of VMCOREINFO) from between them. The kernel goes to the bottom, everything else to the top, the hole is in
//! the middle.

use sha2::{Digest, Sha256};

use super::purgatory::{self, Orders, Region};
use crate::files::{Files, least};
use crate::iomem::Range;
use crate::refusal::{Refusal, mib};

/// The name of the piece that is the kernel.
pub(super) const KERNEL: &str = "kernel";

/// What our purgatory does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purgatory {
    /// Reset the machine when a segment was overwritten; otherwise halt.
    pub reset: bool,
}

impl Default for Purgatory {
    fn default() -> Self {
        Self { reset: true }
    }
}

/// One segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) name: &'static str,
    pub(crate) data: Vec<u8>,
    pub(crate) range: Range,
}

/// Everything of one load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) entry: u64,
    pub(crate) pieces: Vec<Piece>,
    pub(crate) update_elfcorehdr: bool,
}

/// Hands out places from the top of a region down.
pub(super) struct Placer {
    region: Range,
    top: u64,
    page: u64,
}

impl Placer {
    /// For pages of so many bytes, or a multiple of them.
    pub(super) fn new(region: Range, page: u64) -> Self {
        Self {
            region,
            top: region.end / page * page,
            page,
        }
    }

    /// The kernel's memory, at the bottom.
    pub(super) fn kernel(&self, files: &Files) -> Option<Range> {
        let header = &files.header;
        let start = self
            .region
            .start
            .max(header.lowest)
            .checked_next_multiple_of(header.alignment)?;
        let size = header.memory.checked_next_multiple_of(self.page)?;
        Some(Range {
            start,
            end: start.checked_add(size)?,
        })
    }

    pub(super) fn take(&mut self, size: u64) -> Option<Range> {
        let size = size.max(1).checked_next_multiple_of(self.page)?;
        let end = self.top;
        self.top = end.checked_sub(size)? / self.page * self.page;
        Some(Range {
            start: self.top,
            end: self.top + size,
        })
    }
}

/// A refusal: something does not fit what the architecture's kernels want.
pub(super) fn impossible(what: &str) -> Refusal {
    Refusal::Needs {
        what: format!("{what} that fits the boot protocol"),
        next: "use --syscall file",
    }
}

/// A refusal: the reserved memory is too small.
pub(super) fn too_small(region: Range, needed: u64, page: u64) -> Refusal {
    let missing = needed.saturating_sub(region.len()).max(page);
    Refusal::TooSmall {
        region,
        needed: region.len().saturating_add(missing),
        missing,
    }
}

/// A refusal: no piece of memory is large enough for a kernel that takes over the machine.
pub(super) fn no_room(files: &Files) -> Refusal {
    Refusal::Needs {
        what: format!(
            "{} of memory in one piece",
            mib(least(&files.header, files.image.len() as u64, 0))
        ),
        next: "use --syscall file",
    }
}

/// A refusal: the command line is longer than the kernel takes.
pub(super) fn fits_cmdline(cmdline: &[u8], files: &Files) -> Result<(), Refusal> {
    let limit = files.header.cmdline_size as usize;
    if cmdline.len() > limit {
        return Err(Refusal::CmdlineTooLong {
            len: cmdline.len(),
            limit,
        });
    }
    Ok(())
}

/// What the purgatory is told besides the segments.
pub(super) struct Onward {
    /// Where it jumps.
    pub(super) entry: u64,
    /// What it passes on.
    pub(super) argument: u64,
    /// Where it complains.
    pub(super) serial: u64,
    /// How it resets the machine; 0: it halts.
    pub(super) reset: u64,
    /// The page tables it uses; 0: none.
    pub(super) tables: u64,
}

/// Adds the purgatory, which checks all pieces but `unchecked`, and is where the load begins. `None`: no place is
/// left.
pub(super) fn finish(
    placer: &mut Placer,
    mut pieces: Vec<Piece>,
    unchecked: Option<&str>,
    onward: &Onward,
) -> Result<Option<Layout>, Refusal> {
    let size = purgatory::size().ok_or_else(|| impossible("a purgatory"))?;
    let Some(range) = placer.take(size) else {
        return Ok(None);
    };
    let regions = (pieces.iter())
        .filter(|p| unchecked != Some(p.name))
        .map(|p| Region {
            address: p.range.start,
            length: p.data.len() as u64,
            digest: Sha256::digest(&p.data).into(),
            name: p.name,
        })
        .collect();
    let orders = Orders {
        entry: onward.entry,
        argument: onward.argument,
        serial: onward.serial,
        reset: onward.reset,
        tables: onward.tables,
        regions,
    };
    let data = purgatory::place(range.start, &orders).ok_or_else(|| impossible("a purgatory"))?;
    let entry = range.start;
    pieces.push(Piece {
        name: "purgatory",
        data,
        range,
    });
    Ok(Some(Layout {
        entry,
        pieces,
        update_elfcorehdr: false,
    }))
}

/// Bytes left between the kernel's memory and the other pieces, which begin at its end or above; else how far
/// they reach into it.
pub(super) fn hole(layout: &Layout, kernel: Range, region: Range) -> Result<u64, u64> {
    let others = layout.pieces.iter().filter(|p| p.name != KERNEL);
    let lowest = others.map(|p| p.range.start).min().unwrap_or(region.end);
    match lowest.checked_sub(kernel.end) {
        Some(left) => Ok(left),
        None => Err(kernel.end.saturating_sub(lowest)),
    }
}

/// The kernel refuses a load of more than half of the RAM it uses itself (EINVAL).
pub(super) fn half_of_ram(
    layout: &Layout,
    system_ram: &[Range],
    holes: &[Range],
) -> Result<(), Refusal> {
    let total: u64 = layout.pieces.iter().map(|p| p.range.len()).sum();
    let mut free = system_ram.to_vec();
    for hole in holes {
        free = free.into_iter().flat_map(|r| r.without(*hole)).collect();
    }
    let ram: u64 = free.iter().map(|r| r.len()).sum();
    if ram > 0 && total > ram / 2 {
        return Err(Refusal::Needs {
            what: format!(
                "twice the memory of kernel and image ({} of {})",
                mib(total),
                mib(ram)
            ),
            next: "choose a smaller kernel, or use --syscall file",
        });
    }
    Ok(())
}
