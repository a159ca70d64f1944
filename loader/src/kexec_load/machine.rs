//! What kexec_load(2) must know about the running machine, whatever its architecture: memory, CPU notes, the
//! kernel's own place. kexec_file_load finds all of this inside the kernel.
//!
//! Facts: Documentation/ABI/testing/{sysfs-kernel-vmcoreinfo,sysfs-devices-system-cpu}, /proc/kcore's program
//! headers, Linux 5.10 to 7.2. What is missing is left out; what nothing works without is said by the caller.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use goblin::container::{Container, Ctx, Endian};
use goblin::elf::program_header::{PT_LOAD, ProgramHeader};

use super::elfcorehdr::{KernelImage, Place};
use crate::iomem::{Iomem, Range};
use crate::root;

/// The facts.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) iomem: Iomem,
    pub(super) cma: Vec<Range>,
    pub(super) cpu_notes: Vec<Place>,
    pub(super) vmcoreinfo: Option<Place>,
    pub(super) kernel: Option<KernelImage>,
    /// The virtual address of physical address 0 in the direct map; 0 when it is not known.
    pub(super) page_offset: u64,
    /// Bytes that the elfcorehdr segment must have for the kernel to rewrite it; `None` before 6.6, and on
    /// architectures that do not.
    pub(super) elfcorehdr_size: Option<u64>,
}

impl Facts {
    /// Reads them under `root`, but for the kernel's own place. `is_direct_map` knows the direct map by what its
    /// virtual addresses have over the physical ones.
    pub(super) fn read(root: &Path, is_direct_map: &dyn Fn(u64) -> bool) -> Self {
        let iomem = Iomem::read(root).unwrap_or_default();
        Self {
            cma: crate::probe::cma_ranges(root),
            cpu_notes: cpu_notes(root),
            vmcoreinfo: vmcoreinfo(root),
            kernel: None,
            page_offset: page_offset(root, &iomem.system_ram(), is_direct_map).unwrap_or(0),
            elfcorehdr_size: root::number(root, "/sys/kernel/kexec/crash_elfcorehdr_size")
                .or_else(|| root::number(root, "/sys/kernel/crash_elfcorehdr_size")),
            iomem,
        }
    }

    /// The kernel's own place, where `Kernel code` of /proc/iomem begins at `_text`.
    pub(super) fn kernel_at_code(&self, root: &Path) -> Option<KernelImage> {
        let phys = self.iomem.named("Kernel code").first()?.start;
        let (virt, size) = kernel_addresses(root)?;
        Some(KernelImage { virt, phys, size })
    }
}

pub(super) fn le64(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_le_bytes)
}

/// Numbered directories of a sysfs directory, in numeric order.
pub(super) fn numbered(root: &Path, directory: &str, prefix: &str) -> Vec<u64> {
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

/// The least page size: /proc/kcore lists whole pages.
const PAGE: u64 = 4096;

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

/// The virtual address of the kernel's image and its size, from /proc/kallsyms; `None` where that hides it.
fn kernel_addresses(root: &Path) -> Option<(u64, u64)> {
    use std::io::{BufRead, BufReader};
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
    (size < 1 << 30).then_some((virt, size))
}

/// The segments of /proc/kcore that have a physical address.
pub(super) fn kcore_segments(root: &Path) -> Option<Vec<ProgramHeader>> {
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
    let mut all = ProgramHeader::parse(&table, 0, usize::try_from(count).ok()?, context).ok()?;
    all.retain(|h| h.p_type == PT_LOAD && h.p_paddr != u64::MAX && h.p_memsz != 0);
    Some(all)
}

/// The direct map's base, from the segments of /proc/kcore that cover RAM: their p_vaddr - p_paddr. Where the kernel's
/// own mapping is among them (arm64), it has the higher addresses.
fn page_offset(root: &Path, ram: &[Range], is_it: &dyn Fn(u64) -> bool) -> Option<u64> {
    let segments = kcore_segments(root)?;
    (segments.iter())
        .filter(|h| {
            let end = h.p_paddr.saturating_add(h.p_memsz);
            let whole = ram.iter().any(|r| {
                r.start.next_multiple_of(PAGE) <= h.p_paddr && end <= r.end.next_multiple_of(PAGE)
            });
            whole && h.p_vaddr < 0xffff_ffff_8000_0000
        })
        .map(|h| (h.p_vaddr, h.p_vaddr.wrapping_sub(h.p_paddr)))
        .filter(|(_, base)| is_it(*base))
        .min()
        .map(|(_, base)| base)
}

#[cfg(test)]
mod tests {
    use super::super::elfcorehdr::{Contents, EM_AARCH64, build};
    use super::*;

    #[test]
    fn the_direct_map_is_told_from_the_kernels_own_mapping() {
        // As 6.12 shows it on arm64.
        let ram = Range {
            start: 0x4000_0000,
            end: 0x8000_0000,
        };
        let kcore = build(&Contents {
            machine: EM_AARCH64,
            kernel: Some(KernelImage {
                virt: 0xffff_d5b9_8ba0_0000,
                phys: 0x4020_0000,
                size: 0x1e7_0000,
            }),
            ram: vec![ram],
            page_offset: 0xfffe_ffff_c000_0000,
            ..Contents::default()
        });
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("proc")).unwrap();
        fs::write(dir.path().join("proc/kcore"), kcore.unwrap()).unwrap();
        let found = |is_it: &dyn Fn(u64) -> bool| page_offset(dir.path(), &[ram], is_it);
        let aligned = |base: u64| base.is_multiple_of(2 << 20);
        assert_eq!(found(&aligned), Some(0xfffe_ffff_c000_0000));
        assert_eq!(found(&|_| false), None);
        assert_eq!(page_offset(dir.path(), &[], &aligned), None);
    }
}
