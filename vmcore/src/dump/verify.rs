//! What is wrong with a file, found by reading all of it.

use super::{Absence, Attachment, MemoryDump};
use crate::addr::{PAGE_BYTES, Pfn, PfnRange};
use crate::layout::own::{self, MISSING_WORD};
use std::fmt;
use std::io;

/// Pages read at a time.
const STEP: u64 = 64;

/// One thing wrong with a file.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Damage {
    /// The container's structure is wrong: what and where.
    Structure {
        /// Where in the file, if it is one place.
        offset: Option<u64>,
        /// What is wrong.
        why: String,
    },
    /// A unit of the container (a frame, a page's data) is wrong.
    Unit {
        /// Where in the file.
        offset: u64,
        /// What is wrong.
        why: String,
    },
    /// Pages that the file claims to hold and cannot give.
    Pages {
        /// Which, a maximal run.
        pages: PfnRange,
        /// Why.
        why: Absence,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Structure {
                offset: Some(offset),
                why,
            } => write!(f, "structure at {offset:#x}: {why}"),
            Self::Structure { offset: None, why } => write!(f, "structure: {why}"),
            Self::Unit { offset, why } => write!(f, "data at {offset:#x}: {why}"),
            Self::Pages { pages, why } => write!(
                f,
                "pages {} to {}: each {}",
                pages.start,
                Pfn(pages.end.0.saturating_sub(1)),
                why.words()
            ),
        }
    }
}

/// What [`verify`] found besides the damages it handed out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Verified {
    /// Pages that could be read, with their checksums right where the format has them.
    pub pages_good: u64,
    /// Pages that the file should hold and does not give.
    pub pages_lost: u64,
    /// Damages handed out.
    pub damages: u64,
}

/// Checks the container (structure, every checksum) and then every page of `dump`.
///
/// Damages go to `found` as they are met and are not kept; `progress` is told how many bytes were
/// looked at since the last call.
///
/// # Errors
/// When the file cannot be read at all, which is not the same as damaged.
pub fn verify(
    dump: &dyn MemoryDump,
    progress: &mut dyn FnMut(u64),
    found: &mut dyn FnMut(Damage),
) -> io::Result<Verified> {
    let mut sum = Verified::default();
    let all_read = dump.check(progress, &mut |damage| {
        sum.damages += 1;
        found(damage);
    })?;
    let sound = all_read && sum.damages == 0 && nothing_missing(dump);
    let mut lost: Option<(PfnRange, Absence)> = None;
    let mut report = |sum: &mut Verified, pages: PfnRange, why: Absence| {
        sum.pages_lost += pages.len();
        match &mut lost {
            Some((run, reason)) if run.end == pages.start && *reason == why => run.end = pages.end,
            other => {
                if let Some((pages, why)) = other.replace((pages, why)) {
                    sum.damages += 1;
                    found(Damage::Pages { pages, why });
                }
            }
        }
    };
    let mut buf = vec![0; PAGE_BYTES * 64];
    let mut from = Pfn(0);
    while let Some(run) = dump.next_claimed(from) {
        from = run.end;
        if sound && dump.next_present(run.start) == Some(run) {
            sum.pages_good += run.len();
            continue;
        }
        let mut at = run.start;
        while at < run.end {
            let here = dump.next_present(at).and_then(|here| here.intersect(run));
            let here = here.unwrap_or(PfnRange::new(run.end, run.end));
            if at < here.start {
                // Claimed and not there: no need to try page by page.
                report(&mut sum, PfnRange::new(at, here.start), dump.absence(at));
            }
            at = here.start;
            while at < here.end {
                let n = STEP.min(here.end.0 - at.0);
                let end = Pfn(at.0 + n);
                let bytes = usize::try_from(n).unwrap_or(0) * PAGE_BYTES;
                let part = buf.get_mut(..bytes).unwrap_or_default();
                let read_at_once = read(dump, at, part).is_ok();
                if read_at_once && !part.chunks(PAGE_BYTES).any(is_missing) {
                    sum.pages_good += n;
                } else {
                    for pfn in at.0..end.0 {
                        let page = PfnRange::new(Pfn(pfn), Pfn(pfn + 1));
                        let one = buf.get_mut(..PAGE_BYTES).unwrap_or_default();
                        match read(dump, Pfn(pfn), one) {
                            Ok(()) if is_missing(one) => report(&mut sum, page, Absence::Missing),
                            Ok(()) => sum.pages_good += 1,
                            Err(why) => report(&mut sum, page, why),
                        }
                    }
                }
                progress(bytes as u64);
                at = end;
            }
        }
    }
    if let Some((pages, why)) = lost {
        sum.damages += 1;
        found(Damage::Pages { pages, why });
    }
    Ok(sum)
}

/// Whether a page holds the pattern instead of memory.
fn is_missing(page: &[u8]) -> bool {
    let word = MISSING_WORD.to_le_bytes();
    page.chunks(word.len()).all(|part| part == word)
}

/// Whether the core's own trailer says that every page could be read.
fn nothing_missing(dump: &dyn MemoryDump) -> bool {
    use std::io::Read;
    let mut text = String::new();
    dump.attachment(Attachment::Trailer).is_some_and(|trailer| {
        let read = trailer.take(1 << 20).read_to_string(&mut text);
        read.is_ok() && own::says_all_read(&text)
    })
}

fn read(dump: &dyn MemoryDump, at: Pfn, buf: &mut [u8]) -> Result<(), Absence> {
    let addr = at.phys().ok_or(Absence::NotRam)?;
    match dump.read_phys(addr, buf) {
        Ok(()) => Ok(()),
        Err(super::ReadError::Absent { why, .. }) => Err(why),
        Err(_) => Err(Absence::Corrupt),
    }
}
