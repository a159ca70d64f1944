//! What kexec_load(2) must know about the running machine: memory, CPU notes, the kernel's own place,
//! ACPI, EFI and the screen. kexec_file_load finds all of this inside the kernel.
//!
//! Facts: Documentation/ABI/testing/{sysfs-kernel-vmcoreinfo,sysfs-devices-system-cpu,
//! sysfs-firmware-memmap,sysfs-firmware-efi-runtime-map}, /proc/kcore's program headers, Linux 5.10
//! to 7.2. What is missing is left out; what nothing works without is said by the caller.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use goblin::container::{Container, Ctx, Endian};
use goblin::elf::program_header::{PT_LOAD, ProgramHeader};

use super::bootparams::{Efi, MemoryType};
use super::elfcorehdr::{KernelImage, Place};
use crate::iomem::{Iomem, Range};
use crate::root;

const MIB: u64 = 1 << 20;

/// The facts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Machine {
    pub(crate) iomem: Iomem,
    pub(crate) cma: Vec<Range>,
    pub(crate) cpu_notes: Vec<Place>,
    pub(crate) vmcoreinfo: Option<Place>,
    pub(crate) kernel: Option<KernelImage>,
    pub(crate) page_offset: u64,
    pub(crate) screen: Vec<u8>,
    pub(crate) acpi_rsdp: u64,
    pub(crate) secure_boot: u8,
    pub(crate) efi: Option<Efi>,
    /// Bytes that the elfcorehdr segment must have for the kernel to rewrite it; `None` before 6.6.
    pub(crate) elfcorehdr_size: Option<u64>,
    /// The CPU is in 5-level paging.
    pub(crate) five_level: bool,
}

impl Machine {
    /// Reads it under `root`.
    pub(crate) fn read(root: &Path) -> Self {
        let iomem = Iomem::read(root).unwrap_or_default();
        let ram = iomem.system_ram();
        let params =
            fs::read(root::under(root, "/sys/kernel/boot_params/data")).unwrap_or_default();
        let from = |at: usize, len: usize| params.get(at..at + len).unwrap_or_default();
        let rsdp = le64(from(0x70, 8)).filter(|n| *n != 0);
        let cpuinfo = root::text(root, "/proc/cpuinfo").unwrap_or_default();
        Self {
            cma: crate::probe::cma_ranges(root),
            cpu_notes: cpu_notes(root),
            vmcoreinfo: vmcoreinfo(root),
            kernel: kernel_image(root, &iomem),
            page_offset: page_offset(root, &ram).unwrap_or(0),
            screen: from(0, 64).to_vec(),
            acpi_rsdp: rsdp.or_else(|| systab(root, "ACPI20")).unwrap_or(0),
            secure_boot: from(0x1ec, 1).first().copied().unwrap_or(0),
            efi: efi(root, from(0x1c0, 32)),
            elfcorehdr_size: root::number(root, "/sys/kernel/kexec/crash_elfcorehdr_size")
                .or_else(|| root::number(root, "/sys/kernel/crash_elfcorehdr_size")),
            five_level: cpuinfo
                .lines()
                .any(|l| l.starts_with("flags") && l.split(' ').any(|w| w == "la57")),
            iomem,
        }
    }

    /// The memory map of a capture kernel: what it may use, and what it must know of.
    pub(crate) fn crash_e820(
        &self,
        main: Range,
        low: Option<Range>,
        header: Range,
    ) -> Vec<(Range, MemoryType)> {
        let below = Range { start: 0, end: MIB };
        let mut out: Vec<(Range, MemoryType)> = Vec::new();
        for range in self.iomem.named("System RAM") {
            let range = Range {
                start: range.start,
                end: range.end.min(below.end),
            };
            if !range.is_empty() {
                out.push((range, MemoryType::Ram));
            }
        }
        for (name, kind) in FIRMWARE {
            out.extend(self.iomem.named(name).into_iter().map(|r| (r, *kind)));
        }
        let ours = main
            .without(header)
            .into_iter()
            .chain(low)
            .chain(self.cma.iter().copied());
        out.extend(ours.map(|r| (r, MemoryType::Ram)));
        out.sort_unstable();
        out.dedup();
        out
    }
}

/// Names in /proc/iomem and /sys/firmware/memmap that are not RAM, and their types.
const FIRMWARE: &[(&str, MemoryType)] = &[
    ("Reserved", MemoryType::Reserved),
    ("ACPI Tables", MemoryType::Acpi),
    ("ACPI Non-volatile Storage", MemoryType::Nvs),
    ("Unusable memory", MemoryType::Unusable),
    ("Persistent Memory", MemoryType::Pmem),
    ("Persistent Memory (legacy)", MemoryType::Pram),
];

/// The firmware's own memory map, for a kernel that takes over the whole machine.
pub(crate) fn firmware_e820(root: &Path) -> Vec<(Range, MemoryType)> {
    let mut out = Vec::new();
    for entry in fs::read_dir(root::under(root, "/sys/firmware/memmap"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let at = Path::new("/sys/firmware/memmap").join(entry.file_name());
        let (Some(start), Some(last)) = (
            root::number(root, at.join("start")),
            root::number(root, at.join("end")),
        ) else {
            continue;
        };
        let name = root::text(root, at.join("type")).unwrap_or_default();
        let kind = if name == "System RAM" {
            MemoryType::Ram
        } else {
            FIRMWARE
                .iter()
                .find(|(n, _)| *n == name)
                .map_or(MemoryType::Reserved, |(_, k)| *k)
        };
        let range = Range {
            start,
            end: last.saturating_add(1),
        };
        if !range.is_empty() {
            out.push((range, kind));
        }
    }
    out.sort_unstable();
    out
}

fn le64(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_le_bytes)
}

/// Numbered directories of a sysfs directory, in numeric order.
fn numbered(root: &Path, directory: &str, prefix: &str) -> Vec<u64> {
    let entries = fs::read_dir(root::under(root, directory))
        .into_iter()
        .flatten()
        .flatten();
    let mut out: Vec<u64> = entries
        .filter_map(|e| e.file_name().to_str()?.strip_prefix(prefix)?.parse().ok())
        .collect();
    out.sort_unstable();
    out
}

/// sizeof of the per-CPU note buffer on x86-64, for kernels without crash_notes_size.
const CRASH_NOTES_SIZE: u64 = 368;

fn cpu_notes(root: &Path) -> Vec<Place> {
    let cpus = "/sys/devices/system/cpu";
    (numbered(root, cpus, "cpu").into_iter())
        .filter_map(|n| {
            let text = root::text(root, format!("{cpus}/cpu{n}/crash_notes")).ok()?;
            let address = u64::from_str_radix(text.trim_start_matches("0x"), 16).ok()?;
            let size = root::number(root, format!("{cpus}/cpu{n}/crash_notes_size"));
            (address != 0).then(|| Place {
                address,
                size: size.unwrap_or(CRASH_NOTES_SIZE),
            })
        })
        .collect()
}

/// `0x<address> <size>`, both hexadecimal.
fn vmcoreinfo(root: &Path) -> Option<Place> {
    let text = root::text(root, "/sys/kernel/vmcoreinfo").ok()?;
    let (address, size) = text.split_once(' ')?;
    Some(Place {
        address: u64::from_str_radix(address.trim_start_matches("0x"), 16).ok()?,
        size: u64::from_str_radix(size.trim().trim_start_matches("0x"), 16).ok()?,
    })
}

fn kernel_image(root: &Path, iomem: &Iomem) -> Option<KernelImage> {
    use std::io::{BufRead, BufReader};
    let phys = iomem.named("Kernel code").first()?.start;
    let (mut text, mut end) = (None, None);
    for line in BufReader::new(fs::File::open(root::under(root, "/proc/kallsyms")).ok()?).lines() {
        let line = line.ok()?;
        let mut fields = line.split_whitespace();
        let (Some(address), _, Some(name), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        match name {
            "_text" => text = u64::from_str_radix(address, 16).ok(),
            "_end" => end = u64::from_str_radix(address, 16).ok(),
            _ => (),
        }
        if text.is_some() && end.is_some() {
            break;
        }
    }
    let virt = text.filter(|v| *v != 0)?;
    let size = end?.checked_sub(virt)?.checked_next_multiple_of(4096)?;
    (size < 1 << 30).then_some(KernelImage { virt, phys, size })
}

/// The direct map's base, from the segments of /proc/kcore that cover RAM: their p_vaddr - p_paddr.
fn page_offset(root: &Path, ram: &[Range]) -> Option<u64> {
    let file = fs::File::open(root::under(root, "/proc/kcore")).ok()?;
    let mut head = [0; 64];
    file.read_exact_at(&mut head, 0).ok()?;
    let field = |at: usize| {
        Some(u64::from(u16::from_le_bytes(
            head.get(at..at + 2)?.try_into().ok()?,
        )))
    };
    let (size, count) = (field(0x36)?, field(0x38)?);
    let at = le64(head.get(0x20..0x28)?)?;
    if head.get(..6)? != b"\x7fELF\x02\x01" || size != 56 {
        return None;
    }
    let mut table = vec![0; usize::try_from(size * count).ok()?];
    file.read_exact_at(&mut table, at).ok()?;
    let context = Ctx::new(Container::Big, Endian::Little);
    let headers = ProgramHeader::parse(&table, 0, usize::try_from(count).ok()?, context).ok()?;
    (headers.iter())
        .filter(|h| h.p_type == PT_LOAD && h.p_paddr != u64::MAX && h.p_memsz != 0)
        .filter(|h| {
            let end = h.p_paddr.saturating_add(h.p_memsz);
            let whole = ram.iter().any(|r| {
                r.start.next_multiple_of(4096) <= h.p_paddr && end <= r.end.next_multiple_of(4096)
            });
            whole && h.p_vaddr < 0xffff_ffff_8000_0000
        })
        .filter_map(|h| h.p_vaddr.checked_sub(h.p_paddr))
        // The direct map begins at a 1 GiB boundary, whatever KASLR chose.
        .find(|base| base % (1 << 30) == 0 && base >> 63 == 1)
}

/// `NAME=0x…` in /sys/firmware/efi/systab.
fn systab(root: &Path, name: &str) -> Option<u64> {
    let text = root::text(root, "/sys/firmware/efi/systab").ok()?;
    let line = text
        .lines()
        .find_map(|l| l.strip_prefix(name)?.strip_prefix('='))?;
    u64::from_str_radix(line.trim().trim_start_matches("0x"), 16).ok()
}

fn efi(root: &Path, info: &[u8]) -> Option<Efi> {
    let info: [u8; 32] = info.try_into().ok()?;
    if info.get(..4)? != b"EL64" {
        return None;
    }
    let size = usize::try_from(u32::from_le_bytes(info.get(8..12)?.try_into().ok()?)).ok()?;
    let directory = "/sys/firmware/efi/runtime-map";
    let mut runtime_map = Vec::new();
    for n in numbered(root, directory, "") {
        let field = |name: &str| root::number(root, format!("{directory}/{n}/{name}"));
        let mut descriptor = vec![0; size.clamp(40, 256)];
        let kind = u32::try_from(field("type")?).ok()?;
        descriptor
            .get_mut(..4)?
            .copy_from_slice(&kind.to_le_bytes());
        let rest = [
            field("phys_addr")?,
            field("virt_addr")?,
            field("num_pages")?,
            field("attribute")?,
        ];
        for (at, value) in (8..).step_by(8).zip(rest) {
            descriptor
                .get_mut(at..at + 8)?
                .copy_from_slice(&value.to_le_bytes());
        }
        runtime_map.extend(descriptor);
    }
    (!runtime_map.is_empty()).then(|| Efi {
        info,
        runtime_map,
        fw_vendor: root::number(root, "/sys/firmware/efi/fw_vendor").unwrap_or(0),
        tables: root::number(root, "/sys/firmware/efi/config_table").unwrap_or(0),
        smbios: systab(root, "SMBIOS").unwrap_or(0),
    })
}
