//! Any dump as a kdump-compressed file whose pages are not compressed.
//!
//! Readers of that format look a page up in a bitmap, while crash and libkdumpfile go through an ELF
//! core's segments one by one. Facts: [`crate::layout::kdump`]. The n-th descriptor speaks of the
//! n-th page, and all pages are as long, so that a descriptor needs nothing but its number; bitmaps
//! are made from the runs of the stretch that is asked for. Only the header and the index of ranks
//! are held.

use super::pages::Ranked;
use super::{View, copy_from};
use crate::addr::{PAGE_SIZE, Pfn, PfnRange};
use crate::dump::MemoryDump;
use crate::layout::kdump::{DESC_LEN, PageDesc};
use crate::write::kdump::{InPages, head, set_bits};
use crate::write::{CoreMeta, PresentRuns, RamRuns, Runs};
use std::io;
use std::sync::Arc;

/// A kdump-compressed file with the pages of a dump.
pub struct KdumpView {
    dump: Arc<dyn MemoryDump>,
    head: Vec<u8>,
    /// log2 of the page frames in a page of the machine.
    shift: u32,
    /// Bytes of a bitmap.
    bitmap: u64,
    descs_at: u64,
    data_at: u64,
    pages: Ranked,
}

/// A part of the file, from its first byte to the next part's.
#[derive(Clone, Copy)]
enum Part {
    Head,
    Ram,
    Held,
    Descs,
    Data,
}

impl KdumpView {
    /// Builds the header, with what `meta` says; no page is read.
    ///
    /// # Errors
    /// When the machine has more memory than the format can say.
    pub fn new(dump: Arc<dyn MemoryDump>, meta: &CoreMeta) -> io::Result<Self> {
        let too_large = || io::Error::from(io::ErrorKind::FileTooLarge);
        let pages = Ranked::of(&*dump)?;
        let shift = meta.frames_shift();
        let (held, ram) = (PresentRuns(&*dump), RamRuns(&*dump));
        let in_pages = |runs, widen| InPages { runs, shift, widen };
        let mut end = Pfn(pages.end().0 >> shift);
        let mut last = |run: PfnRange| {
            end = end.max(run.end);
            Ok(())
        };
        in_pages(&held, false).for_each(&mut last)?;
        in_pages(&ram, true).for_each(&mut last)?;
        let (head, bitmap) = head(meta, 0, end.0)?;
        let descs_at = bitmap
            .checked_mul(2)
            .and_then(|both| both.checked_add(head.len() as u64));
        let descs_at = descs_at.ok_or_else(too_large)?;
        let data_at = (pages.pages() >> shift)
            .checked_mul(DESC_LEN as u64)
            .and_then(|descs| {
                descs
                    .checked_add(descs_at)?
                    .checked_next_multiple_of(PAGE_SIZE << shift)
            });
        let data_at = data_at.ok_or_else(too_large)?;
        Ok(Self {
            dump,
            head,
            shift,
            bitmap,
            descs_at,
            data_at,
            pages,
        })
    }

    fn parts(&self) -> [(Part, u64); 5] {
        let ram_at = self.head.len() as u64;
        [
            (Part::Head, 0),
            (Part::Ram, ram_at),
            (Part::Held, ram_at.saturating_add(self.bitmap)),
            (Part::Descs, self.descs_at),
            (Part::Data, self.data_at),
        ]
    }

    /// Descriptors from the byte `at` of their table on.
    fn descs(&self, at: u64, buf: &mut [u8]) {
        let mut number = at / DESC_LEN as u64;
        let mut skip = usize::try_from(at % DESC_LEN as u64).unwrap_or(0);
        let mut done = 0;
        let page = PAGE_SIZE << self.shift;
        while done < buf.len() && number < self.pages.pages() >> self.shift {
            let desc = PageDesc {
                offset: self.data_at.saturating_add(number.saturating_mul(page)),
                size: u32::try_from(page).unwrap_or(0),
                flags: 0,
            };
            let desc = desc.encode();
            let rest = buf.get_mut(done..).unwrap_or_default();
            done = done.saturating_add(copy_from(&desc, skip as u64, rest));
            skip = 0;
            number = number.saturating_add(1);
        }
    }
}

/// The bits of a bitmap of pages of the machine from its byte `at` on. `next`: runs of page frames, `1 <<
/// shift` of them a page.
fn bits(shift: u32, next: impl Fn(Pfn) -> Option<PfnRange>, at: u64, buf: &mut [u8]) {
    let next = |from: Pfn| {
        let run = next(Pfn(from.0.checked_mul(1 << shift)?))?;
        let end = run.end.0.checked_add((1 << shift) - 1)?;
        Some(PfnRange::new(Pfn(run.start.0 >> shift), Pfn(end >> shift)))
    };
    let first = at.saturating_mul(8);
    let end = first.saturating_add((buf.len() as u64).saturating_mul(8));
    let mut from = Pfn(first);
    while let Some(run) = next(from).filter(|run| run.start.0 < end && run.end > from) {
        let last = run.end.0.min(end);
        set_bits(buf, run.start.0 - first, last - run.start.0);
        from = run.end;
    }
}

impl View for KdumpView {
    fn size(&self) -> u64 {
        let data = self.pages.pages().saturating_mul(PAGE_SIZE);
        self.data_at.saturating_add(data)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.size().saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = buf.len().min(left);
        let ends = self.parts().map(|(_, at)| at).into_iter().skip(1);
        let mut done = 0;
        for ((part, start), end) in self.parts().into_iter().zip(ends.chain([self.size()])) {
            let at = offset.saturating_add(done as u64);
            if at >= end || done >= wanted {
                continue;
            }
            let n =
                usize::try_from(end - at).map_or(wanted, |n| wanted.min(done.saturating_add(n)));
            let piece = buf.get_mut(done..n).unwrap_or_default();
            let inside = at.saturating_sub(start);
            piece.fill(0);
            match part {
                Part::Head => {
                    copy_from(&self.head, inside, piece);
                }
                Part::Ram => bits(self.shift, |from| self.dump.next_ram(from), inside, piece),
                Part::Held => bits(
                    self.shift,
                    |from| self.dump.next_present(from),
                    inside,
                    piece,
                ),
                Part::Descs => self.descs(inside, piece),
                Part::Data => {
                    self.pages.read_at(&*self.dump, inside, piece)?;
                }
            }
            done = n;
        }
        Ok(done)
    }
}
