//! Any dump as a plain ELF core.

use super::pages::Ranked;
use super::{Head, View, copy_from};
use crate::addr::PAGE_SIZE;
use crate::dump::MemoryDump;
use crate::write::{CoreMeta, OutputFormat, PresentRuns, RamRuns, Spool, writer};
use std::io;
use std::sync::Arc;

/// A plain ELF core with the pages of a dump.
pub struct ElfView {
    dump: Arc<dyn MemoryDump>,
    head: Vec<u8>,
    pages: Ranked,
}

impl ElfView {
    /// Builds the headers, with what `meta` says; no page is read.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] when the dump has more runs than an ELF core may have.
    pub fn new(dump: Arc<dyn MemoryDump>, meta: CoreMeta) -> io::Result<Self> {
        let kept = PresentRuns(&*dump);
        let mut head = Head::default();
        let mut writer = writer(OutputFormat::Elf, meta, None, Spool::memory())?;
        writer.begin(&kept, &RamRuns(&*dump), &mut head)?;
        let pages = Ranked::of(&*dump)?;
        Ok(Self {
            dump,
            head: head.0,
            pages,
        })
    }
}

impl View for ElfView {
    fn size(&self) -> u64 {
        let pages = self.pages.pages().saturating_mul(PAGE_SIZE);
        pages.saturating_add(self.head.len() as u64)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let from_head = copy_from(&self.head, offset, buf);
        let at = offset.saturating_add(from_head as u64);
        let Some(at) = at.checked_sub(self.head.len() as u64) else {
            return Ok(from_head);
        };
        let rest = buf.get_mut(from_head..).unwrap_or_default();
        Ok(from_head.saturating_add(self.pages.read_at(&*self.dump, at, rest)?))
    }
}
