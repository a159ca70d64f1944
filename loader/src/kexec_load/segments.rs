//! The segments of a kernel for kexec_load(2).
//!
//! Facts: kernel/kexec.c, kernel/kexec_core.c, arch/x86/kernel/machine_kexec_64.c, Linux 5.10 to 7.2.
//! Segments are page aligned, do not overlap, lie wholly in the reserved region, and leave holes:
//! the kernel takes its control pages (page tables, entry code, a copy of VMCOREINFO) from between
//! them. The kernel goes to the bottom, everything else to the top, the hole is in the middle.

use sha2::{Digest, Sha256};

use super::bootparams::{self, MemoryType, Params};
use super::elfcorehdr::{self, Contents};
use super::machine::Machine;
use super::purgatory::{self, Orders, Region};
use crate::files::{Files, least};
use crate::iomem::Range;
use crate::refusal::{Refusal, mib};

const PAGE: u64 = 4096;

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
struct Placer {
    region: Range,
    top: u64,
}

impl Placer {
    /// The kernel's place, at the bottom.
    fn kernel(&self, files: &Files) -> Option<Range> {
        let header = &files.header;
        let start = self
            .region
            .start
            .max(header.pref_address)
            .checked_next_multiple_of(header.alignment)?;
        let size = header
            .init_size
            .max(header.payload_len)
            .checked_next_multiple_of(PAGE)?;
        Some(Range {
            start,
            end: start.checked_add(size)?,
        })
    }

    fn take(&mut self, size: u64) -> Option<Range> {
        let size = size.max(1).checked_next_multiple_of(PAGE)?;
        let end = self.top;
        self.top = end.checked_sub(size)? / PAGE * PAGE;
        Some(Range {
            start: self.top,
            end: self.top + size,
        })
    }
}

/// Pages that the kernel takes from the holes: entry code (two, aligned), page tables with a page
/// for each GiB and each of the EFI and ACPI areas, VMCOREINFO.
fn hole(ram: &[Range]) -> u64 {
    let top = ram.last().map_or(0, |r| r.end);
    (top >> 30).saturating_add(32).saturating_mul(PAGE)
}

fn impossible(what: &str) -> Refusal {
    Refusal::Needs {
        what: format!("{what} that fits the boot protocol"),
        next: "use --syscall file",
    }
}

/// The layout of a capture kernel.
pub(crate) fn crash(
    machine: &Machine,
    region: Range,
    files: &Files,
    options: &Purgatory,
) -> Result<Layout, Refusal> {
    let needs = |what: &str, next| Refusal::Needs {
        what: what.to_owned(),
        next,
    };
    if machine.five_level && !files.header.five_level {
        return Err(needs(
            "a kernel that starts in 5-level paging",
            "choose a newer kernel, or boot with no5lvl",
        ));
    }
    let vmcoreinfo = machine.vmcoreinfo.ok_or_else(|| {
        needs(
            "/sys/kernel/vmcoreinfo",
            "boot a kernel with CONFIG_CRASH_DUMP, or use --syscall file",
        )
    })?;
    if machine.cpu_notes.is_empty() {
        return Err(needs(
            "/sys/devices/system/cpu/cpu*/crash_notes",
            "run it as root, or use --syscall file",
        ));
    }
    let (_, low) = machine.iomem.crash_kernel();
    let system_ram = machine.iomem.system_ram();
    let holes: Vec<Range> = [region]
        .into_iter()
        .chain(low)
        .chain(machine.cma.iter().copied())
        .collect();
    let header = elfcorehdr::build(&Contents {
        cpu_notes: machine.cpu_notes.clone(),
        vmcoreinfo: Some(vmcoreinfo),
        kernel: machine.kernel,
        ram: elfcorehdr::ram(&system_ram, &holes),
        page_offset: machine.page_offset,
    })
    .ok_or_else(|| impossible("a list of memory ranges"))?;

    let update = machine.elfcorehdr_size.is_some();
    let header_size = (header.len() as u64).max(machine.elfcorehdr_size.unwrap_or(0));
    let too_small = |needed: u64| {
        let missing = needed.saturating_sub(region.len()).max(PAGE);
        Refusal::TooSmall {
            region,
            needed: region.len().saturating_add(missing),
            missing,
        }
    };
    let mut placer = Placer {
        region,
        top: region.end / PAGE * PAGE,
    };
    let full = || too_small(least(&files.header, files.image.len() as u64, 0));
    let kernel = placer.kernel(files).ok_or_else(full)?;
    let elf = placer.take(header_size).ok_or_else(full)?;
    let initrd = placer.take(files.image.len() as u64).ok_or_else(full)?;

    let mut cmdline = format!("elfcorehdr={:#x} ", elf.start).into_bytes();
    cmdline.extend_from_slice(files.cmdline.as_bytes());
    let params = Params {
        header: files.header.header(&files.kernel),
        cmdline: &cmdline,
        initrd: Some(Range {
            start: initrd.start,
            end: initrd.start + files.image.len() as u64,
        }),
        e820: machine.crash_e820(region, low, elf),
        screen: &machine.screen,
        acpi_rsdp: machine.acpi_rsdp,
        secure_boot: machine.secure_boot,
        efi: machine.efi.clone(),
    };
    let piece = |name, data: Vec<u8>, range| Piece { name, data, range };
    let mut pieces = vec![
        piece(
            "kernel",
            files.header.payload(&files.kernel).to_vec(),
            kernel,
        ),
        piece("capture image", files.image.clone(), initrd),
    ];
    let unchecked = if update { Some("memory header") } else { None };
    pieces.push(piece("memory header", header, elf));
    let layout =
        finish(placer, pieces, kernel, &params, unchecked, files, options)?.ok_or_else(full)?;
    let lowest = layout
        .pieces
        .iter()
        .map(|p| p.range.start)
        .filter(|s| *s != kernel.start)
        .min();
    let left = lowest.unwrap_or(region.end).saturating_sub(kernel.end);
    let wanted = hole(&system_ram);
    if lowest.is_some_and(|l| l < kernel.end) || left < wanted {
        let over = kernel
            .end
            .saturating_add(wanted)
            .saturating_sub(lowest.unwrap_or(0));
        return Err(too_small(region.len().saturating_add(over)));
    }
    half_of_ram(&layout, &system_ram, &holes)?;
    Ok(Layout {
        update_elfcorehdr: update,
        ..layout
    })
}

/// The layout of a kernel that takes over the machine: in the largest piece of RAM below 4 GiB (or
/// anywhere for a kernel that may be loaded there) that is not reserved for the capture kernel.
pub(crate) fn boot(
    machine: &Machine,
    e820: Vec<(Range, MemoryType)>,
    files: &Files,
    options: &Purgatory,
) -> Result<Layout, Refusal> {
    if e820.iter().all(|(_, kind)| *kind != MemoryType::Ram) {
        return Err(Refusal::Needs {
            what: "the firmware's memory map in /sys/firmware/memmap (CONFIG_FIRMWARE_MEMMAP)"
                .to_owned(),
            next: "use --syscall file",
        });
    }
    if machine.five_level && !files.header.five_level {
        return Err(Refusal::Needs {
            what: "a kernel that starts in 5-level paging".to_owned(),
            next: "choose a newer kernel, or boot with no5lvl",
        });
    }
    let mut free = machine.iomem.system_ram();
    for hole in machine.iomem.named("Crash kernel") {
        free = free.into_iter().flat_map(|r| r.without(hole)).collect();
    }
    let limit = if files.header.above_4g {
        u64::MAX
    } else {
        1 << 32
    };
    let region = (free.iter().copied())
        .filter(|r| r.end <= limit)
        .max_by_key(|r| r.len())
        .ok_or_else(|| impossible("a piece of memory"))?;
    let mut placer = Placer {
        region,
        top: region.end / PAGE * PAGE,
    };
    let full = || Refusal::Needs {
        what: format!(
            "{} of memory in one piece",
            mib(least(&files.header, files.image.len() as u64, 0))
        ),
        next: "use --syscall file",
    };
    let kernel = placer.kernel(files).ok_or_else(full)?;
    let mut pieces = vec![Piece {
        name: "kernel",
        data: files.header.payload(&files.kernel).to_vec(),
        range: kernel,
    }];
    let mut initrd = None;
    if !files.image.is_empty() {
        let range = placer.take(files.image.len() as u64).ok_or_else(full)?;
        initrd = Some(Range {
            start: range.start,
            end: range.start + files.image.len() as u64,
        });
        pieces.push(Piece {
            name: "initramfs",
            data: files.image.clone(),
            range,
        });
    }
    let params = Params {
        header: files.header.header(&files.kernel),
        cmdline: files.cmdline.as_bytes(),
        initrd,
        e820,
        screen: &machine.screen,
        acpi_rsdp: machine.acpi_rsdp,
        secure_boot: machine.secure_boot,
        efi: machine.efi.clone(),
    };
    let layout = finish(placer, pieces, kernel, &params, None, files, options)?.ok_or_else(full)?;
    if layout
        .pieces
        .iter()
        .any(|p| p.range.start != kernel.start && p.range.start < kernel.end)
    {
        return Err(full());
    }
    half_of_ram(
        &layout,
        &machine.iomem.system_ram(),
        &machine.iomem.named("Crash kernel"),
    )?;
    Ok(layout)
}

/// Adds boot parameters and purgatory. `None`: no place is left.
fn finish(
    mut placer: Placer,
    mut pieces: Vec<Piece>,
    kernel: Range,
    params: &Params<'_>,
    unchecked: Option<&str>,
    files: &Files,
    options: &Purgatory,
) -> Result<Option<Layout>, Refusal> {
    if params.cmdline.len() > files.header.cmdline_size as usize {
        let limit = files.header.cmdline_size as usize;
        return Err(Refusal::CmdlineTooLong {
            len: params.cmdline.len(),
            limit,
        });
    }
    let length = bootparams::build(0, params)
        .ok_or_else(|| impossible("a setup header"))?
        .len();
    let Some(range) = placer.take(length as u64) else {
        return Ok(None);
    };
    let data =
        bootparams::build(range.start, params).ok_or_else(|| impossible("a setup header"))?;
    let boot_params = range.start;
    pieces.push(Piece {
        name: "boot parameters",
        data,
        range,
    });

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
        // The 64-bit entry point is 0x200 bytes into the loaded image.
        entry: kernel.start.saturating_add(0x200),
        boot_params,
        serial: purgatory::serial_port(&String::from_utf8_lossy(params.cmdline)),
        reset: options.reset,
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

/// The kernel refuses a load of more than half of the RAM it uses itself (EINVAL).
fn half_of_ram(layout: &Layout, system_ram: &[Range], holes: &[Range]) -> Result<(), Refusal> {
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

#[cfg(test)]
#[path = "segments/tests.rs"]
mod tests;
