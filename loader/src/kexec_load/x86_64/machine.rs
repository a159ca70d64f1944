//! What a load on x86-64 must know about the running machine besides [`Facts`]: firmware's memory map, ACPI, EFI
//! and the screen.
//!
//! Facts: Documentation/ABI/testing/{sysfs-firmware-memmap,sysfs-firmware-efi-runtime-map},
//! Documentation/arch/x86/zero-page.rst, Linux 5.10 to 7.2. What is missing is left out.

use std::fs;
use std::path::Path;

use super::bootparams::{Efi, MemoryType};
use crate::iomem::Range;
use crate::kexec_load::machine::{Facts, le64, numbered};
use crate::root;

const MIB: u64 = 1 << 20;

/// The facts.
#[derive(Clone, Debug, Default)]
pub(super) struct Machine {
    pub(super) facts: Facts,
    pub(super) screen: Vec<u8>,
    pub(super) acpi_rsdp: u64,
    pub(super) secure_boot: u8,
    pub(super) efi: Option<Efi>,
    /// The CPU is in 5-level paging.
    pub(super) five_level: bool,
}

/// Where the direct map begins: at a 1 GiB boundary in the upper half, whatever KASLR chose.
fn is_direct_map(base: u64) -> bool {
    base.is_multiple_of(1 << 30) && base >> 63 == 1
}

impl Machine {
    /// Reads it under `root`.
    pub(super) fn read(root: &Path) -> Self {
        let facts = Facts::read(root, &is_direct_map);
        let params =
            fs::read(root::under(root, "/sys/kernel/boot_params/data")).unwrap_or_default();
        let from = |at: usize, len: usize| params.get(at..at + len).unwrap_or_default();
        let rsdp = le64(from(0x70, 8)).filter(|n| *n != 0);
        let cpuinfo = root::text(root, "/proc/cpuinfo").unwrap_or_default();
        Self {
            screen: from(0, 64).to_vec(),
            acpi_rsdp: rsdp.or_else(|| systab(root, "ACPI20")).unwrap_or(0),
            secure_boot: from(0x1ec, 1).first().copied().unwrap_or(0),
            efi: efi(root, from(0x1c0, 32)),
            five_level: cpuinfo
                .lines()
                .any(|l| l.starts_with("flags") && l.split(' ').any(|w| w == "la57")),
            facts: Facts {
                kernel: facts.kernel_at_code(root),
                ..facts
            },
        }
    }

    /// The memory map of a capture kernel: what it may use, and what it must know of.
    pub(super) fn crash_e820(
        &self,
        main: Range,
        low: Option<Range>,
        header: Range,
    ) -> Vec<(Range, MemoryType)> {
        let below = Range { start: 0, end: MIB };
        let mut out: Vec<(Range, MemoryType)> = Vec::new();
        for range in self.facts.iomem.named("System RAM") {
            let range = Range {
                start: range.start,
                end: range.end.min(below.end),
            };
            if !range.is_empty() {
                out.push((range, MemoryType::Ram));
            }
        }
        for (name, kind) in FIRMWARE {
            out.extend(self.facts.iomem.named(name).into_iter().map(|r| (r, *kind)));
        }
        let ours = main
            .without(header)
            .into_iter()
            .chain(low)
            .chain(self.facts.cma.iter().copied());
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
pub(super) fn firmware_e820(root: &Path) -> Vec<(Range, MemoryType)> {
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
