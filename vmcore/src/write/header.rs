//! What stands before the pages of an ELF core: streamed, never held whole.
//!
//! Facts: crash opens an ELF core whose first program header is the only PT_NOTE and whose
//! p_align is 0 (netdump.c); gdb uses p_vaddr alone and needs the kernel image's mapping; drgn
//! reads by both. With 65,535 program headers or more, section header 0 holds their number.
//! Order: header, program headers, section header 0, notes, padding to a page, pages. The kernel
//! image's entries come first and show bytes of the direct map's entries by p_offset.

use super::meta::{CoreMeta, MAX_ELF_RUNS};
use super::{KernelImage, Runs};
use crate::addr::{PAGE_BYTES, PAGE_SIZE, Pfn, PfnRange};
use crate::dump::Segment;
use crate::layout::elf::{
    EHDR_LEN, Header, PF_R, PF_W, PF_X, PHDR_LEN, PN_XNUM, PT_LOAD, PT_NOTE, SHDR_LEN,
    encode_notes, encode_phdr, encode_section_zero,
};
use std::io;

/// What one pass over the runs tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Count {
    /// Runs.
    pub runs: u64,
    /// Pages in them.
    pub pages: u64,
    /// Runs that the kernel image's mapping shows, cut to it.
    pub image_runs: u64,
    /// The page after the last.
    pub end: Pfn,
}

impl Count {
    /// Counts, and refuses runs that are not ascending, disjoint and maximal.
    ///
    /// # Errors
    /// Those of the runs.
    pub(super) fn of(runs: &dyn Runs, image: Option<KernelImage>) -> io::Result<Self> {
        let image = image.and_then(image_pages);
        let mut count = Self::default();
        runs.for_each(&mut |run| {
            if run.is_empty() || (count.runs > 0 && run.start <= count.end) {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!(
                        "The run of pages {} to {} does not come after the one that ends at {}",
                        run.start, run.end, count.end
                    ),
                ));
            }
            count.runs += 1;
            count.pages += run.len();
            count.end = run.end;
            if image.is_some_and(|image| image.intersect(run).is_some()) {
                count.image_runs += 1;
            }
            Ok(())
        })?;
        Ok(count)
    }
}

/// The pages that hold the kernel image.
fn image_pages(image: KernelImage) -> Option<PfnRange> {
    let same_offset = image.vaddr.page_offset() == image.paddr.page_offset();
    let end = image
        .paddr
        .checked_add(image.size)?
        .checked_add(PAGE_SIZE - 1)?;
    let pages = PfnRange::new(image.paddr.pfn(), end.pfn());
    (same_offset && !pages.is_empty()).then_some(pages)
}

/// The bytes before the pages.
pub(crate) struct ElfHeader<'a> {
    meta: &'a CoreMeta,
    notes: Vec<u8>,
    count: Count,
    phnum: u64,
    notes_at: u64,
    /// Where the pages begin.
    pub pages_at: u64,
}

impl<'a> ElfHeader<'a> {
    /// Lays out the file of `count`.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] above [`MAX_ELF_RUNS`].
    pub(super) fn new(meta: &'a CoreMeta, count: Count) -> io::Result<Self> {
        if count.runs > MAX_ELF_RUNS {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!(
                    "The pages lie in {} runs and an ELF core may have {MAX_ELF_RUNS}; \
                     write kdump-zstd instead",
                    count.runs
                ),
            ));
        }
        let notes = encode_notes(&meta.all_notes());
        let phnum = 1 + count.image_runs + count.runs;
        let section = if phnum >= u64::from(PN_XNUM) {
            SHDR_LEN as u64
        } else {
            0
        };
        let notes_at = EHDR_LEN as u64 + phnum * PHDR_LEN as u64 + section;
        let pages_at = (notes_at + notes.len() as u64).next_multiple_of(PAGE_SIZE);
        Ok(Self {
            meta,
            notes,
            count,
            phnum,
            notes_at,
            pages_at,
        })
    }

    /// Hands the bytes to `sink`, in order, [`ElfHeader::pages_at`] of them.
    ///
    /// # Errors
    /// Those of the runs and of `sink`; runs that are not the ones counted.
    pub(super) fn stream(
        &self,
        runs: &dyn Runs,
        sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let shoff = EHDR_LEN as u64 + self.phnum * PHDR_LEN as u64;
        sink(&Header::encode(self.meta.machine, self.phnum, shoff))?;
        let notes = Segment {
            vaddr: 0,
            paddr: 0,
            offset: self.notes_at,
            filesz: self.notes.len() as u64,
            memsz: self.notes.len() as u64,
        };
        sink(&encode_phdr(PT_NOTE, 0, &notes))?;
        let mut sent = 1;
        if let Some(image) = self.meta.kernel_image
            && let Some(pages) = image_pages(image)
        {
            let first = image.vaddr.0 & !(PAGE_SIZE - 1);
            self.segments(runs, &mut |run, offset| {
                if let Some(part) = pages.intersect(run) {
                    let vaddr = first.wrapping_add((part.start.0 - pages.start.0) * PAGE_SIZE);
                    let skip = (part.start.0 - run.start.0) * PAGE_SIZE;
                    sent += 1;
                    sink(&load(part, vaddr, offset + skip)?)?;
                }
                Ok(())
            })?;
        }
        self.segments(runs, &mut |run, offset| {
            let base = self.meta.direct_map_base;
            let start = run.start.phys().map_or(0, |paddr| paddr.0);
            sent += 1;
            sink(&load(
                run,
                base.map_or(0, |base| base.wrapping_add(start)),
                offset,
            )?)
        })?;
        if sent != self.phnum {
            return Err(io::Error::other(format!(
                "The runs of pages changed while they were written: {} program headers, not {}",
                sent, self.phnum
            )));
        }
        if self.phnum >= u64::from(PN_XNUM) {
            sink(&encode_section_zero(self.phnum))?;
        }
        sink(&self.notes)?;
        let at = self.notes_at + self.notes.len() as u64;
        let padding = [0; PAGE_BYTES];
        let padding = usize::try_from(self.pages_at - at)
            .ok()
            .and_then(|n| padding.get(..n));
        sink(padding.unwrap_or_default())
    }

    /// Each run with the offset of its bytes in the file.
    fn segments(
        &self,
        runs: &dyn Runs,
        f: &mut dyn FnMut(PfnRange, u64) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut offset = self.pages_at;
        let mut pages = 0;
        runs.for_each(&mut |run| {
            pages += run.len();
            if pages > self.count.pages {
                return Err(io::Error::other(
                    "The runs of pages changed while they were written: there are more of them",
                ));
            }
            f(run, offset)?;
            offset += run.len() * PAGE_SIZE;
            Ok(())
        })
    }
}

fn load(run: PfnRange, vaddr: u64, offset: u64) -> io::Result<[u8; PHDR_LEN]> {
    let (start, end) = (run.start.phys(), run.end.phys());
    let (Some(start), Some(end)) = (start, end) else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("Pages {} to {} are beyond any machine", run.start, run.end),
        ));
    };
    let size = end.0 - start.0;
    let segment = Segment {
        vaddr,
        paddr: start.0,
        offset,
        filesz: size,
        memsz: size,
    };
    Ok(encode_phdr(PT_LOAD, PF_R | PF_W | PF_X, &segment))
}
