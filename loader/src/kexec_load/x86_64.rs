//! The segments of a kernel for kexec_load(2) on x86-64.
//!
//! Facts: arch/x86/kernel/machine_kexec_64.c, Documentation/arch/x86/boot.rst, Linux 5.10 to 7.2.

mod bootparams;
mod machine;

use std::path::Path;

use super::elfcorehdr::{self, Contents, EM_X86_64};
use super::place::{
    self, KERNEL, Layout, Onward, Piece, Placer, Purgatory, fits_cmdline, half_of_ram, impossible,
};
use crate::files::{Files, least};
use crate::iomem::Range;
use crate::kimage::{BzImage, Format};
use crate::refusal::Refusal;
use bootparams::{MemoryType, Params};
use machine::Machine;

const PAGE: u64 = 4096;

/// The layout of a capture kernel on the machine under `root`.
pub(crate) fn load(
    root: &Path,
    region: Range,
    files: &Files,
    options: &Purgatory,
) -> Result<Layout, Refusal> {
    crash(&Machine::read(root), region, files, options)
}

/// The layout of a kernel that takes over the machine under `root`.
pub(crate) fn load_boot(
    root: &Path,
    files: &Files,
    options: &Purgatory,
) -> Result<Layout, Refusal> {
    let e820 = machine::firmware_e820(root);
    boot(&Machine::read(root), e820, files, options)
}

fn bzimage(files: &Files) -> Result<&BzImage, Refusal> {
    match &files.header.format {
        Format::BzImage(header) => Ok(header),
        Format::Arm64(_) => Err(impossible("a bzImage")),
    }
}

/// Pages that the kernel takes from the holes: entry code (two, aligned), page tables with a page
/// for each GiB and each of the EFI and ACPI areas, VMCOREINFO.
fn hole(ram: &[Range]) -> u64 {
    let top = ram.last().map_or(0, |r| r.end);
    (top >> 30).saturating_add(32).saturating_mul(PAGE)
}

/// The kernel keeps no data in the first MiB (since 5.13).
const LOW: [Range; 1] = [Range {
    start: 0,
    end: 1 << 20,
}];

/// The layout of a capture kernel.
fn crash(
    machine: &Machine,
    region: Range,
    files: &Files,
    options: &Purgatory,
) -> Result<Layout, Refusal> {
    let needs = |what: &str, next| Refusal::Needs {
        what: what.to_owned(),
        next,
    };
    let bzimage = bzimage(files)?;
    if machine.five_level && !bzimage.five_level {
        return Err(needs(
            "a kernel that starts in 5-level paging",
            "choose a newer kernel, or boot with no5lvl",
        ));
    }
    let vmcoreinfo = machine.facts.vmcoreinfo.ok_or_else(|| {
        needs(
            "/sys/kernel/vmcoreinfo",
            "boot a kernel with CONFIG_CRASH_DUMP, or use --syscall file",
        )
    })?;
    if machine.facts.cpu_notes.is_empty() {
        return Err(needs(
            "/sys/devices/system/cpu/cpu*/crash_notes",
            "run it as root, or use --syscall file",
        ));
    }
    let (_, low) = machine.facts.iomem.crash_kernel();
    let system_ram = machine.facts.iomem.system_ram();
    let holes: Vec<Range> = [region]
        .into_iter()
        .chain(low)
        .chain(machine.facts.cma.iter().copied())
        .collect();
    let header = elfcorehdr::build(&Contents {
        machine: EM_X86_64,
        cpu_notes: machine.facts.cpu_notes.clone(),
        vmcoreinfo: Some(vmcoreinfo),
        kernel: machine.facts.kernel,
        ram: elfcorehdr::ram(&system_ram, LOW.iter().chain(&holes)),
        page_offset: machine.facts.page_offset,
    })
    .ok_or_else(|| impossible("a list of memory ranges"))?;

    let update = machine.facts.elfcorehdr_size.is_some();
    let header_size = (header.len() as u64).max(machine.facts.elfcorehdr_size.unwrap_or(0));
    let too_small = |needed| place::too_small(region, needed, PAGE);
    let mut placer = Placer::new(region, PAGE);
    let full = || too_small(least(&files.header, files.image.len() as u64, 0));
    let kernel = placer.kernel(files).ok_or_else(full)?;
    let elf = placer.take(header_size).ok_or_else(full)?;
    let initrd = placer.take(files.image.len() as u64).ok_or_else(full)?;

    let mut cmdline = format!("elfcorehdr={:#x} ", elf.start).into_bytes();
    cmdline.extend_from_slice(files.cmdline.as_bytes());
    let params = Params {
        header: bzimage.header(&files.kernel),
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
        piece(KERNEL, bzimage.payload(&files.kernel).to_vec(), kernel),
        piece("capture image", files.image.clone(), initrd),
    ];
    let unchecked = if update { Some("memory header") } else { None };
    pieces.push(piece("memory header", header, elf));
    let layout =
        finish(placer, pieces, kernel, &params, unchecked, files, options)?.ok_or_else(full)?;
    let wanted = hole(&system_ram);
    let missing = match place::hole(&layout, kernel, region) {
        Ok(left) => wanted.saturating_sub(left),
        Err(over) => wanted.saturating_add(over),
    };
    if missing > 0 {
        return Err(too_small(region.len().saturating_add(missing)));
    }
    half_of_ram(&layout, &system_ram, &holes)?;
    Ok(Layout {
        update_elfcorehdr: update,
        ..layout
    })
}

/// The layout of a kernel that takes over the machine: in the largest piece of RAM below 4 GiB (or
/// anywhere for a kernel that may be loaded there) that is not reserved for the capture kernel.
fn boot(
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
    let bzimage = bzimage(files)?;
    if machine.five_level && !bzimage.five_level {
        return Err(Refusal::Needs {
            what: "a kernel that starts in 5-level paging".to_owned(),
            next: "choose a newer kernel, or boot with no5lvl",
        });
    }
    let mut free = machine.facts.iomem.system_ram();
    for hole in machine.facts.iomem.named("Crash kernel") {
        free = free.into_iter().flat_map(|r| r.without(hole)).collect();
    }
    let limit = if bzimage.above_4g { u64::MAX } else { 1 << 32 };
    let region = (free.iter().copied())
        .filter(|r| r.end <= limit)
        .max_by_key(|r| r.len())
        .ok_or_else(|| impossible("a piece of memory"))?;
    let mut placer = Placer::new(region, PAGE);
    let full = || place::no_room(files);
    let kernel = placer.kernel(files).ok_or_else(full)?;
    let mut pieces = vec![Piece {
        name: KERNEL,
        data: bzimage.payload(&files.kernel).to_vec(),
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
        header: bzimage.header(&files.kernel),
        cmdline: files.cmdline.as_bytes(),
        initrd,
        e820,
        screen: &machine.screen,
        acpi_rsdp: machine.acpi_rsdp,
        secure_boot: machine.secure_boot,
        efi: machine.efi.clone(),
    };
    let layout = finish(placer, pieces, kernel, &params, None, files, options)?.ok_or_else(full)?;
    if place::hole(&layout, kernel, region).is_err() {
        return Err(full());
    }
    half_of_ram(
        &layout,
        &machine.facts.iomem.system_ram(),
        &machine.facts.iomem.named("Crash kernel"),
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
    fits_cmdline(params.cmdline, files)?;
    let length = bootparams::build(0, params)
        .ok_or_else(|| impossible("a setup header"))?
        .len();
    let Some(range) = placer.take(length as u64) else {
        return Ok(None);
    };
    let data =
        bootparams::build(range.start, params).ok_or_else(|| impossible("a setup header"))?;
    let onward = Onward {
        // The 64-bit entry point is 0x200 bytes into the loaded image.
        entry: kernel.start.saturating_add(0x200),
        argument: range.start,
        serial: serial_port(&String::from_utf8_lossy(params.cmdline)),
        reset: options.reset.into(),
        tables: 0,
    };
    pieces.push(Piece {
        name: "boot parameters",
        data,
        range,
    });
    place::finish(&mut placer, pieces, unchecked, &onward)
}

/// The I/O port of the first `console=ttySN` of a command line; 0 without such a word.
fn serial_port(cmdline: &str) -> u64 {
    let words = crate::words::words(cmdline);
    let name = words.iter().find_map(|w| w.strip_prefix("console=ttyS"));
    match name.and_then(|n| n.split(',').next()) {
        Some("0") => 0x3f8,
        Some("1") => 0x2f8,
        Some("2") => 0x3e8,
        Some("3") => 0x2e8,
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
