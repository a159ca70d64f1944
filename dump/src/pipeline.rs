//! The one way from pages to a file: reader, workers, ordered writer, with bounded queues.
//!
//! The reader thread goes over the kept runs and cuts batches; workers read a batch's pages from
//! the dump and encode them; the caller's thread puts the results in order and writes. What is in
//! flight is bounded by a fixed number of slots. A worker takes a slot before it takes a batch, so the
//! batch that is written next always has one. A page that cannot be read costs that page: it holds a
//! pattern and is counted as missing.

mod output;
mod pace;
mod queue;
mod read;
mod sealed;

pub use output::{Checksums, FileOutput, Region};
pub use pace::Pace;
pub use read::{MISSING_PATTERN, fill};
pub use sealed::SealedOutput;

use crate::budget::STACK;
use pace::{Guide, Seen};
use queue::Queue;
use std::io;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};
use vmcore::addr::{Pfn, PfnRange};
use vmcore::dump::MemoryDump;
use vmcore::write::{BATCH_PAGES, Batch, Encoded, Encoder, Output, Runs, Writer};

/// Page frame numbers of missing pages that are remembered by name.
const MISSING_NAMED: usize = 64;

/// The time between two progress reports.
const EVERY: Duration = Duration::from_millis(500);

/// What the pages did so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Pages written.
    pub pages: u64,
    /// Of these, pages of zeros.
    pub zero: u64,
    /// Of these, pages that could not be read.
    pub missing: u64,
    /// The first of the missing.
    pub missing_first: Vec<Pfn>,
    /// Encoded bytes handed to the output.
    pub encoded: u64,
}

/// A pipeline that stopped, and what it had done by then.
#[derive(Debug, thiserror::Error)]
#[error("Stopped after {} of {total} pages", stats.pages)]
pub struct Stopped {
    /// How far it got.
    pub stats: Stats,
    /// Of how many.
    pub total: u64,
    /// Why.
    pub source: io::Error,
}

/// Batches that are cut before a worker has time for them.
const CUTS: usize = 32;

/// Who encodes.
#[derive(Clone, Copy, Debug)]
pub struct Workers {
    /// How many threads; 0 is one.
    pub threads: usize,
    /// How much time they give each batch.
    pub pace: Pace,
}

/// What a batch consists of.
struct Cut {
    seq: u64,
    runs: Vec<PfnRange>,
}

/// One batch on its way to the file.
#[derive(Default)]
struct Slot {
    seq: u64,
    encoded: Encoded,
    error: Option<io::Error>,
}

/// Encodes and writes all pages of `kept` (which hold `total` pages), in order. The writer's
/// `begin` was called before; `attach` and `finish` are the caller's.
///
/// # Errors
/// [`Stopped`] by the output, the runs or a codec; never by a page that cannot be read.
pub fn run(
    dump: &dyn MemoryDump,
    kept: &(dyn Runs + Sync),
    total: u64,
    writer: &mut dyn Writer,
    out: &mut dyn Output,
    workers: Workers,
    progress: &mut dyn FnMut(&Stats),
) -> Result<Stats, Stopped> {
    let mut stats = Stats::default();
    let result = pump(dump, kept, writer, out, workers, &mut stats, progress);
    match result {
        Ok(()) => {
            progress(&stats);
            Ok(stats)
        }
        Err(source) => Err(Stopped {
            stats,
            total,
            source,
        }),
    }
}

fn pump(
    dump: &dyn MemoryDump,
    kept: &(dyn Runs + Sync),
    writer: &mut dyn Writer,
    out: &mut dyn Output,
    workers: Workers,
    stats: &mut Stats,
    progress: &mut dyn FnMut(&Stats),
) -> io::Result<()> {
    let threads = workers.threads.max(1);
    let guide = Guide::new(workers.pace);
    let slots = threads * 2 + 1;
    let free = Queue::new(slots);
    let work = Queue::new(CUTS);
    let done = Queue::new(slots);
    for _ in 0..slots {
        free.push(Slot::default());
    }
    let mut encoders = Vec::new();
    for _ in 0..threads {
        encoders.push(writer.encoder()?);
    }
    let reader_error = Mutex::new(None);
    thread::scope(|scope| {
        let mut started = 0;
        let mut result = Ok(());
        for encoder in encoders {
            let (free, work, done, guide) = (&free, &work, &done, &guide);
            let body = move || encode_all(dump, encoder, guide, free, work, done);
            match thread::Builder::new()
                .stack_size(STACK)
                .spawn_scoped(scope, body)
            {
                Ok(_) => started += 1,
                // Fewer threads are slower, none is the end.
                Err(error) if started == 0 => result = Err(error),
                Err(_) => {}
            }
        }
        let reader = || {
            if let Err(error) = cut(kept, &work)
                && let Ok(mut slot) = reader_error.lock()
            {
                *slot = Some(error);
            }
            work.close();
        };
        if started > 0 {
            match thread::Builder::new()
                .stack_size(STACK)
                .spawn_scoped(scope, reader)
            {
                Ok(_) => {
                    done.producers(started);
                    result = collect(&free, &done, &guide, writer, out, stats, progress);
                }
                Err(error) => result = Err(error),
            }
        }
        // Whoever still waits for a queue gives up now.
        free.close();
        work.close();
        done.close();
        result
    })?;
    match reader_error.into_inner() {
        Ok(Some(error)) => Err(error),
        _ => Ok(()),
    }
}

/// The reader: cuts the runs into batches and hands each to the workers.
fn cut(kept: &(dyn Runs + Sync), work: &Queue<Cut>) -> io::Result<()> {
    let stopped = || io::Error::new(io::ErrorKind::BrokenPipe, "the writer stopped");
    let full = BATCH_PAGES as u64;
    let (mut runs, mut pages, mut seq) = (Vec::new(), 0_u64, 0);
    kept.for_each(&mut |run| {
        let mut at = run.start;
        while at < run.end {
            let take = (full - pages).min(run.end.0 - at.0);
            let end = Pfn(at.0 + take);
            runs.push(PfnRange::new(at, end));
            pages += take;
            at = end;
            if pages == full {
                let runs = std::mem::take(&mut runs);
                if !work.push(Cut { seq, runs }) {
                    return Err(stopped());
                }
                (pages, seq) = (0, seq + 1);
            }
        }
        Ok(())
    })?;
    if pages > 0 {
        work.push(Cut { seq, runs });
    }
    Ok(())
}

/// A worker: reads and encodes batches until there are no more.
fn encode_all(
    dump: &dyn MemoryDump,
    mut encoder: Box<dyn Encoder>,
    guide: &Guide,
    free: &Queue<Slot>,
    work: &Queue<Cut>,
    done: &Queue<Slot>,
) {
    let mut batch = Batch::default();
    while let Some(mut slot) = free.pop() {
        let Some(cut) = work.pop() else {
            break;
        };
        slot.seq = cut.seq;
        batch.runs = cut.runs;
        read::fill(dump, &mut batch);
        let set = guide
            .effort()
            .map_or(Ok(()), |effort| encoder.set_effort(effort));
        let encoded = set.and_then(|()| encoder.encode(&batch, &mut slot.encoded));
        slot.error = encoded.err();
        if !done.push(slot) {
            return;
        }
    }
    // The last worker to leave tells the writer; every other push was before this one.
    done.leave();
}

/// The writer: takes encoded batches in order.
fn collect(
    free: &Queue<Slot>,
    done: &Queue<Slot>,
    guide: &Guide,
    writer: &mut dyn Writer,
    out: &mut dyn Output,
    stats: &mut Stats,
    progress: &mut dyn FnMut(&Stats),
) -> io::Result<()> {
    // Few enough to look through.
    let mut early: Vec<Slot> = Vec::new();
    let mut next = 0;
    let mut reported = Instant::now();
    let (mut seen, mut since) = (Seen::default(), Instant::now());
    while let Some(slot) = done.pop() {
        let began = Instant::now();
        let waited = began.duration_since(since);
        early.push(slot);
        while let Some(at) = early.iter().position(|slot| slot.seq == next) {
            let mut slot = early.swap_remove(at);
            next += 1;
            if let Some(error) = slot.error.take() {
                return Err(error);
            }
            writer.append(&slot.encoded, out)?;
            let encoded = &slot.encoded;
            stats.pages += (encoded.plain_len as u64) / vmcore::addr::PAGE_SIZE;
            stats.zero += encoded.zero_pages;
            stats.missing += encoded.missing.len() as u64;
            stats.encoded += encoded.bytes.len() as u64;
            let room = MISSING_NAMED.saturating_sub(stats.missing_first.len());
            stats
                .missing_first
                .extend(encoded.missing.iter().take(room));
            free.push(slot);
        }
        since = Instant::now();
        guide.saw(&mut seen, waited, since.duration_since(began), out.lags());
        if reported.elapsed() >= EVERY {
            reported = Instant::now();
            progress(stats);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
