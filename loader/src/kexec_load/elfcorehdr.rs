//! The ELF header that tells the capture kernel where the crashed kernel's memory is; it becomes
//! /proc/vmcore.
//!
//! Facts: kernel/kexec_file.c (crash_prepare_elf64_headers), fs/proc/vmcore.c, arch/x86/kernel/
//! crash.c, Linux 5.10 to 7.2. In this header p_offset is a physical address. With hotplug support
//! the running kernel rewrites the header in place, so room is left for it.

use crate::iomem::Range;

/// A place in physical memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) address: u64,
    pub(crate) size: u64,
}

/// The kernel image's mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KernelImage {
    pub(crate) virt: u64,
    pub(crate) phys: u64,
    pub(crate) size: u64,
}

/// e_machine of elf.h.
pub(crate) const EM_X86_64: u16 = 62;
pub(crate) const EM_AARCH64: u16 = 183;

/// What the header lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    /// e_machine.
    pub(crate) machine: u16,
    /// Each CPU's note buffer.
    pub(crate) cpu_notes: Vec<Place>,
    /// The VMCOREINFO note.
    pub(crate) vmcoreinfo: Option<Place>,
    /// The kernel image, left out when /proc/kallsyms does not tell.
    pub(crate) kernel: Option<KernelImage>,
    /// RAM of the crashed kernel.
    pub(crate) ram: Vec<Range>,
    /// The virtual address of physical address 0 in the direct map; 0 when it is not known.
    pub(crate) page_offset: u64,
}

const HEADER: usize = 64;
const PHDR: usize = 56;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;

/// What the capture kernel saves: RAM without what belongs to the capture kernel, and without what the
/// architecture's kernels never use.
pub(crate) fn ram<'a>(
    system_ram: &[Range],
    holes: impl IntoIterator<Item = &'a Range>,
) -> Vec<Range> {
    let mut out = system_ram.to_vec();
    for hole in holes {
        out = out.into_iter().flat_map(|r| r.without(*hole)).collect();
    }
    out
}

fn phdr(kind: u32, flags: u32, virt: u64, phys: u64, size: u64) -> [u8; PHDR] {
    let mut out = [0; PHDR];
    let fields: [&[u8]; 7] = [
        &kind.to_le_bytes(),
        &flags.to_le_bytes(),
        &phys.to_le_bytes(),
        &virt.to_le_bytes(),
        &phys.to_le_bytes(),
        &size.to_le_bytes(),
        &size.to_le_bytes(),
    ];
    for (to, from) in out.iter_mut().zip(fields.into_iter().flatten()) {
        *to = *from;
    }
    out
}

/// The header's bytes; `None` when there is more than 65,534 entries.
pub(crate) fn build(contents: &Contents) -> Option<Vec<u8>> {
    let mut table: Vec<[u8; PHDR]> = Vec::new();
    for place in contents.cpu_notes.iter().chain(&contents.vmcoreinfo) {
        table.push(phdr(PT_NOTE, 0, 0, place.address, place.size));
    }
    if let Some(k) = contents.kernel {
        table.push(phdr(PT_LOAD, 7, k.virt, k.phys, k.size));
    }
    for range in &contents.ram {
        let virt = match contents.page_offset {
            0 => 0,
            base => base.wrapping_add(range.start),
        };
        table.push(phdr(PT_LOAD, 7, virt, range.start, range.len()));
    }
    let count = u16::try_from(table.len()).ok().filter(|n| *n < u16::MAX)?;
    let mut out = vec![0x7f, b'E', b'L', b'F', 2, 1, 1];
    out.resize(16, 0);
    for half in [4, contents.machine] {
        out.extend_from_slice(&half.to_le_bytes());
    }
    out.extend_from_slice(&1_u32.to_le_bytes());
    for long in [0_u64, HEADER as u64, 0] {
        out.extend_from_slice(&long.to_le_bytes());
    }
    out.extend_from_slice(&0_u32.to_le_bytes());
    for half in [64_u16, 56, count, 0, 0, 0] {
        out.extend_from_slice(&half.to_le_bytes());
    }
    for entry in table {
        out.extend_from_slice(&entry);
    }
    Some(out)
}

#[cfg(test)]
mod tests;
