//! The segments of a kernel for kexec_load(2) on aarch64.
//!
//! Facts: Documentation/arch/arm64/booting.rst, arch/arm64/kernel/{machine_kexec,machine_kexec_file,
//! kexec_image}.c, Linux 5.10 to 7.2. The kernel lies at a multiple of 2 MiB plus its text offset, and is entered at
//! its first byte with the address of the device tree in x0; the initramfs lies within 32 GiB of it. Unlike x86's it
//! gets the purgatory entered with the MMU off.

mod devicetree;
mod machine;
mod tables;

use std::path::Path;

use super::elfcorehdr::{self, Contents, EM_AARCH64};
use super::place::{
    self, KERNEL, Layout, Onward, Piece, Placer, Purgatory, fits_cmdline, half_of_ram, impossible,
};
use crate::files::{Files, least};
use crate::iomem::Range;
use crate::kimage::{Arm64Image, Format};
use crate::refusal::Refusal;
use devicetree::Chosen;
use machine::Machine;

/// The largest page that a kernel may have: neither the running kernel nor the one that is loaded has larger ones.
const PAGE: u64 = 64 << 10;
/// What the kernel takes for itself from the hole: a page with code, a copy of VMCOREINFO, and some to spare.
const HOLE: u64 = 16 * PAGE;
/// A kernel that takes over the machine, with all that belongs to it, is put into so much memory: the page tables
/// stay few.
const WINDOW: u64 = 4 << 30;
/// The largest device tree (booting.rst).
const LARGEST_TREE: usize = 2 << 20;

/// The layout of a capture kernel on the machine under `root`.
pub(crate) fn load(
    root: &Path,
    region: Range,
    files: &Files,
    options: &Purgatory,
) -> Result<Layout, Refusal> {
    crash(&Machine::read(root, files), region, files, options)
}

/// The layout of a kernel that takes over the machine under `root`.
pub(crate) fn load_boot(
    root: &Path,
    files: &Files,
    options: &Purgatory,
) -> Result<Layout, Refusal> {
    boot(&Machine::read(root, files), files, options)
}

fn image(files: &Files) -> Result<&Arm64Image, Refusal> {
    match &files.header.format {
        Format::Arm64(image) => Ok(image),
        Format::BzImage(_) => Err(impossible("an arm64 Image")),
    }
}

fn needs(what: &str, next: &'static str) -> Refusal {
    Refusal::Needs {
        what: what.to_owned(),
        next,
    }
}

/// The layout of a capture kernel.
fn crash(
    machine: &Machine,
    region: Range,
    files: &Files,
    options: &Purgatory,
) -> Result<Layout, Refusal> {
    let facts = &machine.facts;
    let vmcoreinfo = facts.vmcoreinfo.ok_or_else(|| {
        needs(
            "/sys/kernel/vmcoreinfo",
            "boot a kernel with CONFIG_CRASH_DUMP, or use --syscall file",
        )
    })?;
    if facts.cpu_notes.is_empty() {
        return Err(needs(
            "/sys/devices/system/cpu/cpu*/crash_notes",
            "run it as root, or use --syscall file",
        ));
    }
    let (_, low) = facts.iomem.crash_kernel();
    let system_ram = facts.iomem.system_ram();
    let usable: Vec<Range> = [region].into_iter().chain(low).collect();
    let holes: Vec<Range> = usable.iter().chain(&facts.cma).copied().collect();
    let header = elfcorehdr::build(&Contents {
        machine: EM_AARCH64,
        cpu_notes: facts.cpu_notes.clone(),
        vmcoreinfo: Some(vmcoreinfo),
        kernel: facts.kernel,
        ram: elfcorehdr::ram(&system_ram, &holes),
        page_offset: facts.page_offset,
    })
    .ok_or_else(|| impossible("a list of memory ranges"))?;
    let too_small = |needed| place::too_small(region, needed, PAGE);
    let full = || too_small(least(&files.header, files.image.len() as u64, 0));
    let parts = Parts {
        region,
        header: Some(header),
        usable: &usable,
        initrd_name: "capture image",
    };
    let (layout, kernel) = lay_out(machine, &parts, files, options)?.ok_or_else(full)?;
    let missing = match place::hole(&layout, kernel, region) {
        Ok(left) => HOLE.saturating_sub(left),
        Err(over) => HOLE.saturating_add(over),
    };
    if missing > 0 {
        return Err(too_small(region.len().saturating_add(missing)));
    }
    half_of_ram(&layout, &system_ram, &holes)?;
    Ok(layout)
}

/// The layout of a kernel that takes over the machine: in the largest piece of RAM that nobody has reserved.
fn boot(machine: &Machine, files: &Files, options: &Purgatory) -> Result<Layout, Refusal> {
    let iomem = &machine.facts.iomem;
    let taken: Vec<Range> = ["Crash kernel", "reserved"]
        .iter()
        .flat_map(|name| iomem.named(name))
        .collect();
    let free = elfcorehdr::ram(&iomem.system_ram(), &taken);
    let largest = free.into_iter().max_by_key(|range| range.len());
    let region = largest.ok_or_else(|| impossible("a piece of memory"))?;
    let region = Range {
        end: region.end.min(region.start.saturating_add(WINDOW)),
        ..region
    };
    let full = || place::no_room(files);
    let parts = Parts {
        region,
        header: None,
        usable: &[],
        initrd_name: "initramfs",
    };
    let (layout, kernel) = lay_out(machine, &parts, files, options)?.ok_or_else(full)?;
    if place::hole(&layout, kernel, region).is_err() {
        return Err(full());
    }
    half_of_ram(&layout, &iomem.system_ram(), &taken)?;
    Ok(layout)
}

/// What a capture kernel has and another kernel has not.
struct Parts<'a> {
    region: Range,
    /// The ELF header of the crashed kernel's memory.
    header: Option<Vec<u8>>,
    /// The memory that the kernel may use; empty: all.
    usable: &'a [Range],
    initrd_name: &'static str,
}

/// Every piece at its place, and the kernel's memory. `None`: no place is left.
fn lay_out(
    machine: &Machine,
    parts: &Parts<'_>,
    files: &Files,
    options: &Purgatory,
) -> Result<Option<(Layout, Range)>, Refusal> {
    let image = image(files)?;
    let tree = machine.tree.as_ref().ok_or_else(|| {
        needs(
            "the device tree in /sys/firmware/fdt",
            "run it as root, or use --syscall file",
        )
    })?;
    fits_cmdline(files.cmdline.as_bytes(), files)?;
    let mut placer = Placer::new(parts.region, PAGE);
    let Some(memory) = placer.kernel(files) else {
        return Ok(None);
    };
    // The text offset is a multiple of 4 KiB; a kernel since 5.8 has none.
    let kernel = Range {
        start: memory.start.saturating_add(image.text_offset),
        ..memory
    };
    if !kernel.start.is_multiple_of(PAGE) {
        return Err(impossible("a text offset"));
    }
    let mut pieces = vec![Piece {
        name: KERNEL,
        data: files.kernel.clone(),
        range: kernel,
    }];
    let mut told = Chosen {
        cmdline: files.cmdline.as_bytes(),
        usable: parts.usable,
        seeds: &machine.seeds,
        ..Chosen::default()
    };
    if let Some(header) = &parts.header {
        let Some(range) = placer.take(header.len() as u64) else {
            return Ok(None);
        };
        told.elfcorehdr = Some(range);
        pieces.push(Piece {
            name: "memory header",
            data: header.clone(),
            range,
        });
    }
    if !files.image.is_empty() {
        let Some(range) = placer.take(files.image.len() as u64) else {
            return Ok(None);
        };
        told.initrd = Some(Range {
            end: range.start.saturating_add(files.image.len() as u64),
            ..range
        });
        pieces.push(Piece {
            name: parts.initrd_name,
            data: files.image.clone(),
            range,
        });
    }
    let data = devicetree::build(tree, &told)
        .filter(|data| data.len() <= LARGEST_TREE)
        .ok_or_else(|| impossible("a device tree"))?;
    let Some(range) = placer.take(data.len() as u64) else {
        return Ok(None);
    };
    let device_tree = range.start;
    pieces.push(Piece {
        name: "device tree",
        data,
        range,
    });
    let Some(tables) = page_tables(machine, parts.region, &mut placer, &mut pieces) else {
        return Ok(None);
    };
    let onward = Onward {
        entry: kernel.start,
        argument: device_tree,
        serial: machine.uart.unwrap_or(0),
        reset: if options.reset { machine.reset } else { 0 },
        tables,
    };
    let layout = place::finish(&mut placer, pieces, None, &onward)?;
    Ok(layout.map(|layout| (layout, kernel)))
}

/// Adds the page tables; their address. Memory that they cannot map is checked without them: 0. `None`: no place
/// is left.
fn page_tables(
    machine: &Machine,
    region: Range,
    placer: &mut Placer,
    pieces: &mut Vec<Piece>,
) -> Option<u64> {
    let Some(size) = tables::build(0, region, machine.uart).map(|bytes| bytes.len()) else {
        return Some(0);
    };
    let range = placer.take(size as u64)?;
    let data = tables::build(range.start, region, machine.uart)?;
    pieces.push(Piece {
        name: "page tables",
        data,
        range,
    });
    Some(range.start)
}

#[cfg(test)]
mod tests;
