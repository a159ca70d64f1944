//! One kdump-compressed file: where its bitmaps, descriptors and pages are. A page here is a block of the
//! file: the machine's own, of 4, 16 or 64 KiB.

use super::bitmap::Bitmap;
use super::blocks::Blocks;
use super::unpack::Unpackers;
use crate::addr::{PAGE_BYTES, Pfn, PfnRange};
use crate::dump::Note;
use crate::dump::registers::put_in_order;
use crate::dump::source::{self, ByteSource, SourceError};
use crate::layout::FormatError;
use crate::layout::elf::{machine_number, parse_notes};
use crate::layout::kdump::{
    DESC_LEN, HEADER_LEN, Header, INCOMPLETE, METHODS, PageDesc, SUB_LEN, SubHeader,
    VMEMMAP_EXCLUDED,
};
use crate::order::Order;
use std::sync::Arc;

/// Bytes of notes that are taken into memory.
const NOTES_MAX: u64 = 256 << 20;
/// The same in a compressed file.
const NOTES_MAX_COMPRESSED: u64 = 32 << 20;
/// Bytes of unpacked pages that are kept.
const KEPT_BYTES: usize = 8 << 20;
/// Descriptors looked at from the end for a page with data of its own.
const ZERO_TAIL: u64 = 1 << 16;
/// Pages whose bits are counted while opening: 4 MiB of bitmap, 128 GiB of RAM.
const COUNTED: u64 = 1 << 25;
/// Pages whose bits are looked at for any that is set.
const LOOKED_AT: u64 = 1 << 21;
/// Pages that 52 bits of physical address reach.
const PAGES_MAX: u64 = 1 << 40;
/// Descriptors fetched at a time.
const DESCS: usize = 4080;

/// One file.
pub(super) struct Part {
    pub file: Arc<dyn ByteSource>,
    pub header: Header,
    pub sub: SubHeader,
    /// The pages that this file has descriptors for.
    pub own: PfnRange,
    pub ram: Bitmap,
    pub held: Bitmap,
    descs_at: u64,
    descs: Blocks,
    pages: Blocks,
    unpackers: Unpackers,
}

impl Part {
    pub(super) fn open(
        file: Arc<dyn ByteSource>,
        warnings: &mut Vec<String>,
    ) -> Result<Self, FormatError> {
        let head = source::read_up_to(&*file, 0, HEADER_LEN as u64)?;
        let mut header = Header::parse(&head)?;
        let page = u64::from(header.block);
        let sub = source::read_up_to(&*file, page, SUB_LEN as u64)?;
        let sub = SubHeader::parse(&sub, header.version, header.order)
            .ok_or(FormatError::CutOff("the sub header"))?;
        header.max_mapnr = header.max_mapnr.max(sub.max_mapnr).min(PAGES_MAX);
        let bitmaps_at = (1 + u64::from(header.sub_blocks)) * page;
        let bytes = u64::from(header.bitmap_blocks) * page;
        let descs_at = bitmaps_at + bytes;
        if bitmaps_at >= file.len() {
            return Err(FormatError::damaged(format!(
                "it ends at {:#x}, before its bitmaps at {bitmaps_at:#x}: no page can be found",
                file.len()
            )));
        }
        if descs_at > file.len() {
            warnings.push(format!(
                "the file ends at {:#x}, inside its bitmaps, which end at {descs_at:#x}",
                file.len()
            ));
        }
        // Two bitmaps, unless they do not fit: then there is only the second.
        let needed = header.max_mapnr.div_ceil(8).div_ceil(page);
        let two = u64::from(header.bitmap_blocks) >= needed.saturating_mul(2);
        let each = if two { bytes / 2 } else { bytes };
        if header.max_mapnr > each * 8 {
            warnings.push(format!(
                "max_mapnr is {:#x} and the bitmap ends with page {:#x}",
                header.max_mapnr,
                each * 8
            ));
            header.max_mapnr = each * 8;
        }
        let held_at = if two { bitmaps_at + each } else { bitmaps_at };
        // No look at bits that a file cut short does not have.
        let bits = header
            .max_mapnr
            .min(file.len().saturating_sub(held_at).saturating_mul(8));
        let own = if sub.split {
            PfnRange::new(Pfn(sub.start_pfn), Pfn(sub.end_pfn.min(bits)))
        } else {
            PfnRange::new(Pfn(0), Pfn(bits))
        };
        Ok(Self {
            own,
            ram: Bitmap::new(bitmaps_at, bits),
            held: Bitmap::new(held_at, bits),
            descs_at,
            descs: Blocks::new(64),
            pages: Blocks::new(KEPT_BYTES / usize::try_from(page).unwrap_or(PAGE_BYTES)),
            unpackers: Unpackers::default(),
            header,
            sub,
            file,
        })
    }

    pub(super) fn notes(&self, warnings: &mut Vec<String>) -> Vec<Note> {
        let (at, len) = self.sub.notes;
        let most = match self.file.facts().compression {
            Some(_) => NOTES_MAX_COMPRESSED,
            None => NOTES_MAX,
        };
        let here = len.min(most).min(self.file.len().saturating_sub(at));
        if here < len {
            warnings.push(format!(
                "the notes at {at:#x} are cut off: {here:#x} of {len:#x} bytes"
            ));
        }
        let buf = source::read_up_to(&*self.file, at, here);
        let (mut notes, wrong) = match buf {
            Ok(buf) => parse_notes(&buf, self.header.order),
            Err(_) => (Vec::new(), Some("they cannot be read".to_owned())),
        };
        if self.header.order == Order::Big {
            put_in_order(&mut notes, machine_number(&self.header.uts.machine));
        }
        warnings.extend(wrong.map(|why| format!("in the notes at {at:#x}: {why}")));
        if !notes.iter().any(|note| note.name == b"VMCOREINFO") {
            notes.extend(self.vmcoreinfo().map(|desc| Note {
                name: b"VMCOREINFO".to_vec(),
                n_type: 0,
                desc,
            }));
        }
        notes
    }

    /// The text that the sub header points at, for files whose notes lack it.
    pub(super) fn vmcoreinfo(&self) -> Option<Vec<u8>> {
        let (at, len) = self.sub.vmcoreinfo;
        let len = Some(len.min(1 << 20)).filter(|&len| at != 0 && len != 0)?;
        let text = source::read_up_to(&*self.file, at, len).ok()?;
        let text = text.split(|b| *b == 0).next().unwrap_or_default();
        Some(text.to_vec())
    }

    /// Why not all of this file is there, if it is not.
    pub(super) fn cut_off(&self) -> Option<String> {
        if let Some(why) = self.file.facts().cut_off {
            return Some(why);
        }
        if self.header.status & INCOMPLETE != 0 {
            return Some("the disk was full when it was written".into());
        }
        if self.header.status & VMEMMAP_EXCLUDED != 0 {
            return Some("the page structures of excluded pages were left out".into());
        }
        if self.descs_at > self.file.len() {
            return Some(format!(
                "the file is cut off at {:#x}, before its first page",
                self.file.len()
            ));
        }
        let last = match self.last_desc() {
            Ok(last) => last?,
            Err(why) => return Some(format!("its page descriptors cannot be read: {why}")),
        };
        // Zero pages share data near the beginning: go back to a page with its own.
        let mut end = Some(0);
        for back in 0..=last.min(ZERO_TAIL) {
            let desc = self.desc(last - back).ok();
            end = end.max(desc.and_then(|desc| desc.offset.checked_add(u64::from(desc.size))));
            if desc.is_none_or(|desc| desc.flags & METHODS != 0) {
                end = desc.and(end);
                break;
            }
        }
        let cut = end.is_none_or(|end| end > self.file.len());
        cut.then(|| {
            format!(
                "the file is cut off at {:#x}: its last pages are missing",
                self.file.len()
            )
        })
    }

    /// The number of this file's last descriptor. Counted where the bitmap is small. A large bitmap is
    /// not read: makedumpfile and QEMU begin the data right behind the last descriptor, with the
    /// page of zeros or the first page's own data, and so do we.
    ///
    /// # Errors
    /// When the bitmap or the first descriptor cannot be read.
    fn last_desc(&self) -> Result<Option<u64>, SourceError> {
        if self.own.end.0 <= COUNTED {
            let count = self.desc_number(self.own.end)?;
            return Ok(count.checked_sub(1));
        }
        let first = match self.desc(0) {
            Ok(first) => first,
            // Nothing follows the bitmaps: no page is held, or they are all lost.
            Err(SourceError::PastEnd { .. }) if self.is_empty() => return Ok(None),
            Err(error) => return Err(error),
        };
        let number = first.offset.saturating_sub(self.descs_at) / DESC_LEN as u64;
        // Behind the table may stand the page of zeros, which is no descriptor.
        let zeros = (self.block() / DESC_LEN) as u64 + 1;
        for last in (number.saturating_sub(zeros)..number).rev() {
            let desc = self.desc(last)?;
            let can_be = desc.flags & !METHODS == 0
                && (1..=self.header.block).contains(&desc.size)
                && desc.offset >= self.descs_at;
            if can_be {
                return Ok(Some(last));
            }
        }
        Ok(None)
    }

    /// Whether no page is held at either end of the bitmap, as far as a look costs nothing.
    fn is_empty(&self) -> bool {
        let near = [self.own.start.0, self.own.end.0.saturating_sub(LOOKED_AT)];
        let mut near = near
            .into_iter()
            .map(|from| PfnRange::new(Pfn(from), Pfn(from.saturating_add(LOOKED_AT))))
            .filter_map(|pages| pages.intersect(self.own));
        !near.any(|pages| self.held.any(&*self.file, pages))
    }

    pub(super) fn page_desc(&self, pfn: Pfn) -> Result<PageDesc, SourceError> {
        self.desc(self.desc_number(pfn)?)
    }

    /// The number of a held page's descriptor in this file.
    fn desc_number(&self, pfn: Pfn) -> Result<u64, SourceError> {
        let before = self.held.rank(&*self.file, pfn)?;
        let first = self.held.rank(&*self.file, self.own.start)?;
        Ok(before.saturating_sub(first))
    }

    fn desc(&self, number: u64) -> Result<PageDesc, SourceError> {
        let past = || SourceError::PastEnd {
            offset: self.file.len(),
            len: self.file.len(),
        };
        let at = number
            .checked_mul(DESC_LEN as u64)
            .and_then(|n| n.checked_add(self.descs_at));
        let at = at.ok_or_else(past)?;
        // In pieces from the beginning of the table, the last as long as the file allows.
        let piece = (at - self.descs_at) / DESCS as u64 * DESCS as u64;
        let start = self.descs_at + piece;
        let len = self.file.len().checked_sub(start).ok_or_else(past)?;
        let len = usize::try_from(len).unwrap_or(DESCS).min(DESCS);
        let table = self.descs.get(&*self.file, start, len)?;
        let inside = usize::try_from(at - start).unwrap_or(usize::MAX);
        let bytes = inside
            .checked_add(DESC_LEN)
            .and_then(|end| table.get(inside..end));
        bytes
            .and_then(|bytes| PageDesc::parse(bytes, self.header.order))
            .ok_or_else(past)
    }

    /// Bytes of a page.
    pub(super) fn block(&self) -> usize {
        usize::try_from(self.header.block).unwrap_or(PAGE_BYTES)
    }

    /// Copies from inside one page.
    pub(super) fn read(&self, pfn: Pfn, inside: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        let desc = self.page_desc(pfn)?;
        if desc.offset == 0 {
            return Err(SourceError::PastEnd {
                offset: 0,
                len: self.file.len(),
            });
        }
        if buf.len() == self.block() {
            return self.unpack(desc, buf);
        }
        let page = match self.pages.kept(desc.offset) {
            Some(page) => page,
            None => {
                let mut page = vec![0; self.block()];
                self.unpack(desc, &mut page)?;
                let page = Arc::new(page);
                self.pages.keep(desc.offset, &page);
                page
            }
        };
        let inside = usize::try_from(inside).unwrap_or(usize::MAX);
        match inside
            .checked_add(buf.len())
            .and_then(|end| page.get(inside..end))
        {
            Some(bytes) => {
                buf.copy_from_slice(bytes);
                Ok(())
            }
            None => Err(SourceError::Corrupt {
                offset: desc.offset,
                why: "a read passes the end of a page".into(),
            }),
        }
    }

    fn unpack(&self, desc: PageDesc, to: &mut [u8]) -> Result<(), SourceError> {
        let corrupt = |why: String| SourceError::Corrupt {
            offset: desc.offset,
            why,
        };
        let size = usize::try_from(desc.size).unwrap_or(usize::MAX);
        if size > self.block() {
            return Err(corrupt(format!("a page of {size} bytes")));
        }
        if desc.flags & METHODS == 0 && size == to.len() {
            return self.file.read_at(desc.offset, to);
        }
        let (mut small, mut large) = ([0; PAGE_BYTES], Vec::new());
        let data = match small.get_mut(..size) {
            Some(data) => data,
            None => {
                large.resize(size, 0);
                &mut large
            }
        };
        self.file.read_at(desc.offset, data)?;
        self.unpackers
            .unpack(desc.flags, data, to)
            .map_err(|why| corrupt(why.to_string()))
    }
}
