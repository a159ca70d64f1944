//! The pages of a dump by their rank: the n-th kept page, in ascending order.

use crate::addr::{PAGE_SIZE, Pfn, PfnRange, PhysAddr};
use crate::image::{MemoryImage, ReadError};
use crate::write::Runs;
use std::io;

/// Every run with the rank of its first page. 24 bytes a run: at most 24 MiB for an ELF core.
pub(super) struct Ranked {
    runs: Vec<(u64, PfnRange)>,
    pages: u64,
}

impl Ranked {
    /// Indexes `kept`.
    pub(super) fn of(kept: &dyn Runs) -> io::Result<Self> {
        let mut ranked = Self {
            runs: Vec::new(),
            pages: 0,
        };
        kept.for_each(&mut |run| {
            ranked.runs.push((ranked.pages, run));
            ranked.pages = ranked.pages.saturating_add(run.len());
            Ok(())
        })?;
        Ok(ranked)
    }

    /// Pages in all.
    pub(super) fn pages(&self) -> u64 {
        self.pages
    }

    /// Where the byte `at` of all pages laid end to end lies in memory, and how many bytes of its
    /// run follow, itself included.
    fn locate(&self, at: u64) -> Option<(PhysAddr, u64)> {
        let rank = at / PAGE_SIZE;
        let i = self
            .runs
            .partition_point(|(first, _)| *first <= rank)
            .checked_sub(1)?;
        let (first, run) = self.runs.get(i)?;
        let into = rank.checked_sub(*first)?;
        let pages = run.len().checked_sub(into).filter(|pages| *pages > 0)?;
        let pfn = Pfn(run.start.0.checked_add(into)?);
        let phys = pfn.phys()?.checked_add(at % PAGE_SIZE)?;
        Some((
            phys,
            pages.checked_mul(PAGE_SIZE)?.checked_sub(at % PAGE_SIZE)?,
        ))
    }

    /// Fills `buf` from the byte `at` of all pages laid end to end; answers how many there were.
    pub(super) fn read_at(
        &self,
        image: &dyn MemoryImage,
        at: u64,
        buf: &mut [u8],
    ) -> io::Result<usize> {
        let mut done = 0_usize;
        while done < buf.len() {
            let Some((phys, left)) = self.locate(at.saturating_add(done as u64)) else {
                break;
            };
            let end =
                usize::try_from(left).map_or(buf.len(), |n| buf.len().min(done.saturating_add(n)));
            let Some(part) = buf.get_mut(done..end).filter(|part| !part.is_empty()) else {
                break;
            };
            image.read_phys(phys, part).map_err(to_io)?;
            done = end;
        }
        Ok(done)
    }
}

fn to_io(error: ReadError) -> io::Error {
    match error {
        ReadError::Io { source, .. } => source,
        other => io::Error::other(other.to_string()),
    }
}
