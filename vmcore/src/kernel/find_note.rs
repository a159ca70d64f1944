//! VMCOREINFO in a dump that has no note of it.
//!
//! QEMU's dump-guest-memory writes the note only for a guest with a vmcoreinfo device. The text is in
//! memory all the same: kernel/vmcore_info.c (crash_core.c before 6.9, kexec_core.c before 4.13) puts
//! it into a page of its own while booting, and `OSRELEASE=` is its first key (2.6.24 to 7.2). Stale
//! copies are possible (of the kernel before a kexec, the capture kernel's), so a page is believed
//! only if the page tables that it names map the kernel image where its phys_base (arm64: kimage_voffset) says.

use super::{Vmcoreinfo, layout};
use crate::addr::{PAGE_BYTES, Pfn, VirtAddr};
use crate::arch::{self, Arch};
use crate::dump::MemoryDump;

/// How the page begins.
const BEGIN: &[u8] = b"OSRELEASE=";
/// Pages read at a time.
const STEP: u64 = 64;
/// Bytes that a page takes in a file at least, in every format: a file that claims more pages lies
/// about them, and the search must end all the same.
const LEAST_BYTES: u64 = 16;
/// Pages that are looked at in the smallest file.
const LEAST_PAGES: u64 = 1 << 16;

/// The text, from the first page that is believed, and its architecture: `machine`, or where the dump does
/// not name one, that whose key the text has.
pub(super) fn in_memory(
    machine: Option<&'static Arch>,
    dump: &dyn MemoryDump,
) -> Option<(&'static Arch, Vmcoreinfo)> {
    log::info!("the dump has no VMCOREINFO note: looking for its text in every page");
    let mut buf = vec![0; usize::try_from(STEP).ok()? * PAGE_BYTES];
    let mut from = Pfn(0);
    let mut left = (dump.info().file_size / LEAST_BYTES).max(LEAST_PAGES);
    while let Some(run) = dump.next_present(from).filter(|_| left > 0) {
        let n = run.len().min(STEP);
        left = left.saturating_sub(n);
        from = run.start.checked_add(n)?;
        let bytes = usize::try_from(n).ok()?.checked_mul(PAGE_BYTES)?;
        let part = buf.get_mut(..bytes)?;
        if dump.read_phys(run.start.phys()?, part).is_err() {
            // One bad page does not hide its neighbours.
            for (pfn, page) in (run.start.0..).zip(part.chunks_mut(PAGE_BYTES)) {
                if dump.read_phys(Pfn(pfn).phys()?, page).is_err() {
                    page.fill(0);
                }
            }
        }
        let pages = part
            .chunks(PAGE_BYTES)
            .filter(|page| page.starts_with(BEGIN));
        let found = pages
            .map(Vmcoreinfo::parse)
            .filter_map(|text| {
                Some((
                    machine.or_else(|| {
                        arch::known()
                            .iter()
                            .find(|arch| text.value(arch.marker).is_some())
                            .copied()
                    })?,
                    text,
                ))
            })
            .find(|(arch, text)| holds(arch, dump, text));
        if found.is_some() {
            return found;
        }
    }
    None
}

/// Whether this dump is of the kernel that the text describes.
fn holds(arch: &Arch, dump: &dyn MemoryDump, text: &Vmcoreinfo) -> bool {
    let Ok(layout) = layout::of(arch, text, dump) else {
        return false;
    };
    let Some(paging) = layout.paging else {
        return false;
    };
    let names = ["_stext", "swapper_pg_dir", "init_top_pgt"];
    let places = names.iter().filter_map(|name| text.symbol(name));
    let mut agree = places.filter_map(|va: VirtAddr| {
        let walked = paging.walk(dump, va).ok()?;
        Some(walked.phys == layout.image.phys(va))
    });
    if !layout.image_in_tables {
        // The architecture has looked at the kernel's name.
        return true;
    }
    // One at least, and none that differs.
    agree.next() == Some(true) && agree.all(|agrees| agrees)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{KernelError, toy};
    use synth::ram::Ram;

    const ROOT: u64 = 0xffff_ffff_8300_0000;

    /// RAM that holds its own VMCOREINFO text at a page, and a stale one before it.
    fn ram() -> Ram {
        let mut ram = Ram::new(4, 0x100_0000);
        ram.line("SYMBOL(_stext)=ffffffff81000000");
        for va in [0xffff_ffff_8100_0000, ROOT] {
            ram.map(va, ram.image_pa(va), 21);
        }
        let stale = ram
            .text
            .replace("phys_base)=16777216", "phys_base)=33554432");
        ram.put(0x5000, stale.as_bytes());
        ram.put(0x40_3000, ram.text.clone().as_bytes());
        ram
    }

    #[test]
    fn the_text_is_found_in_memory_and_a_stale_one_is_not_believed() {
        let mut ram = ram();
        let text = std::mem::take(&mut ram.text);
        let kernel = toy::kernel_without_note(&ram).unwrap();
        assert_eq!(kernel.vmcoreinfo().number("phys_base"), Some(0x100_0000));
        assert_eq!(kernel.vmcoreinfo().text(), text);
        let at = kernel.translate(VirtAddr(ROOT)).unwrap();
        assert_eq!(at.0, 0x0300_0000 + 0x100_0000);
    }

    #[test]
    fn a_dump_of_stale_copies_alone_has_no_text() {
        let mut ram = ram();
        ram.drop_page(0x40_3000);
        let found = toy::kernel_without_note(&ram);
        assert!(matches!(found, Err(KernelError::NoVmcoreinfo)));
    }
}
