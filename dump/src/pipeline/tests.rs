//! The pipeline on a dump that is made while it is read.

use super::*;
use std::sync::atomic::{AtomicU64, Ordering};
use vmcore::addr::{PAGE_SIZE, PhysAddr};
use vmcore::dump::{Absence, Attachment, DumpInfo, Format, ReadError};
use vmcore::write::{Finished, Piece};

/// Page n holds the bytes of n; every multiple of `bad` cannot be read.
struct Made {
    bad: u64,
    reads: AtomicU64,
    info: DumpInfo,
}

fn made(bad: u64) -> Made {
    Made {
        bad,
        reads: AtomicU64::new(0),
        info: DumpInfo::new(Format::Elf),
    }
}

impl MemoryDump for Made {
    fn read_phys(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        for (page, pfn) in buf.chunks_mut(4096).zip(addr.0 / PAGE_SIZE..) {
            if self.bad != 0 && pfn.is_multiple_of(self.bad) {
                return Err(ReadError::Absent {
                    pfn: Pfn(pfn),
                    why: Absence::Missing,
                });
            }
            for word in page.chunks_exact_mut(8) {
                word.copy_from_slice(&pfn.to_le_bytes());
            }
        }
        Ok(())
    }

    fn next_present(&self, from: Pfn) -> Option<PfnRange> {
        (from.0 < 1 << 40).then(|| PfnRange::new(from, Pfn(1 << 40)))
    }

    fn info(&self) -> &DumpInfo {
        &self.info
    }
}

fn workers(threads: usize) -> Workers {
    Workers {
        threads,
        pace: Pace::Follow,
    }
}

/// Writes the first word of every page.
struct Words {
    fail_at: Option<usize>,
    written: Vec<u64>,
}

struct WordEncoder;

impl Encoder for WordEncoder {
    fn encode(&mut self, batch: &Batch, out: &mut Encoded) -> io::Result<()> {
        out.bytes.clear();
        out.pieces.clear();
        for page in batch.data.chunks_exact(4096) {
            out.bytes.extend_from_slice(&page[..8]);
            out.pieces.push(Piece { len: 8, flags: 0 });
        }
        // Later batches are sometimes ready before earlier ones.
        if batch.runs[0].start.0.is_multiple_of(3) {
            thread::sleep(Duration::from_micros(300));
        }
        out.plain_len = batch.data.len();
        out.zero_pages = 0;
        out.missing.clone_from(&batch.missing);
        Ok(())
    }
}

impl Writer for Words {
    fn encoder(&self) -> io::Result<Box<dyn Encoder>> {
        Ok(Box::new(WordEncoder))
    }
    fn begin(&mut self, _: &dyn Runs, _: &dyn Runs, _: &mut dyn Output) -> io::Result<()> {
        Ok(())
    }
    fn append(&mut self, batch: &Encoded, _: &mut dyn Output) -> io::Result<()> {
        if self.fail_at.is_some_and(|n| self.written.len() >= n) {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        let words = batch.bytes.chunks_exact(8);
        self.written
            .extend(words.map(|w| u64::from_le_bytes(w.try_into().unwrap())));
        Ok(())
    }
    fn attach(
        &mut self,
        _: Attachment,
        _: u64,
        _: &mut dyn io::Read,
        _: &mut dyn Output,
    ) -> io::Result<bool> {
        Ok(false)
    }
    fn finish(&mut self, _: &mut dyn Output) -> io::Result<Finished> {
        Ok(Finished::default())
    }
}

struct Nowhere;

impl Output for Nowhere {
    fn write_at(&mut self, _: u64, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

fn runs() -> (Vec<PfnRange>, Vec<u64>) {
    let runs: Vec<_> = (0..500_u64)
        .map(|n| PfnRange::new(Pfn(1 + n * 1000), Pfn(1 + n * 1000 + 1 + n * 7 % 200)))
        .collect();
    let pages = runs.iter().flat_map(|r| r.start.0..r.end.0).collect();
    (runs, pages)
}

fn go(dump: &Made, threads: usize, fail_at: Option<usize>) -> (Result<Stats, Stopped>, Vec<u64>) {
    let (runs, pages) = runs();
    let mut writer = Words {
        fail_at,
        written: Vec::new(),
    };
    let total = pages.len() as u64;
    let result = run(
        dump,
        &runs,
        total,
        &mut writer,
        &mut Nowhere,
        workers(threads),
        &mut |_| {},
    );
    (result, writer.written)
}

#[test]
fn order_is_kept_with_any_number_of_threads() {
    let (_, pages) = runs();
    for threads in [1, 2, 7] {
        let dump = made(0);
        let (result, written) = go(&dump, threads, None);
        let stats = result.unwrap();
        assert!(written == pages, "{threads} threads");
        assert_eq!(stats.pages, pages.len() as u64);
        assert_eq!(stats.missing, 0);
    }
}

#[test]
fn a_bad_page_costs_that_page() {
    let (_, pages) = runs();
    let (result, written) = go(&made(100), 2, None);
    let stats = result.unwrap();
    let bad: Vec<_> = pages
        .iter()
        .copied()
        .filter(|n| n.is_multiple_of(100))
        .collect();
    assert!(!bad.is_empty());
    assert_eq!(stats.missing, bad.len() as u64);
    assert_eq!(stats.missing_first[0], Pfn(bad[0]));
    assert!(stats.missing_first.len() <= MISSING_NAMED);
    for (word, pfn) in written.iter().zip(&pages) {
        let want = if pfn.is_multiple_of(100) {
            0xdead_feed_dead_feed
        } else {
            *pfn
        };
        assert_eq!(*word, want);
    }
}

#[test]
fn a_full_disk_stops_everything() {
    let (_, pages) = runs();
    for threads in [1, 4] {
        let dump = made(0);
        let (result, written) = go(&dump, threads, Some(1000));
        let stopped = result.unwrap_err();
        assert_eq!(stopped.source.raw_os_error(), Some(libc::ENOSPC));
        assert_eq!(stopped.stats.pages, written.len() as u64);
        assert!(written == pages[..written.len()]);
        // Nobody reads on: what was in flight is all.
        assert!(dump.reads.load(Ordering::Relaxed) < 400);
    }
}

#[test]
fn runs_that_fail_are_an_error() {
    struct Broken;
    impl Runs for Broken {
        fn for_each(&self, f: &mut dyn FnMut(PfnRange) -> io::Result<()>) -> io::Result<()> {
            f(PfnRange::new(Pfn(1), Pfn(500)))?;
            Err(io::Error::from_raw_os_error(libc::EIO))
        }
    }
    let mut writer = Words {
        fail_at: None,
        written: Vec::new(),
    };
    let result = run(
        &made(0),
        &Broken,
        1000,
        &mut writer,
        &mut Nowhere,
        workers(2),
        &mut |_| {},
    );
    let stopped = result.unwrap_err();
    assert_eq!(stopped.source.raw_os_error(), Some(libc::EIO));
    assert!(stopped.to_string().contains("of 1000 pages"));
}
