//! From a dump to one core file.
//!
//! `convert`, the capture kernel's core step and the benchmark all call this. They differ only in where
//! the dump and the kinds of pages come from.

mod sink;

use crate::budget::InFlight;
use crate::facts::{TableFacts, hex};
use crate::files;
use crate::pipeline::{self, FileOutput, Pace, Region, Stats, Stopped, Workers};
use crate::policy::Policy;
use crate::seal::{Recipient, Scratch};
use crate::sums::Sums;
use sink::Sink;
use std::io;
use std::path::Path;
use vmcore::addr::{PAGE_SIZE, Pfn, PfnRange};
use vmcore::dump::map::{Bytes, MapReader};
use vmcore::dump::source::SourceSlice;
use vmcore::dump::{Attachment, MemoryDump};
use vmcore::mm::KindRun;
use vmcore::write::{
    BATCH_PAGES, Batch, CoreMeta, Encoded, Finished, Flattened, Output, OutputFormat, PresentRuns,
    RamRuns, Runs, Spool, Writer, writer,
};

/// Which pages are written.
#[derive(Clone, Copy)]
pub enum Pages<'a> {
    /// All that the dump holds.
    All,
    /// Those of the kinds that a policy keeps.
    Kept {
        /// The kinds.
        map: &'a MapReader,
        /// The policy.
        policy: Policy,
        /// Pages of other kinds that are also kept, ascending and disjoint.
        also: &'a [KindRun],
    },
    /// These.
    Runs(&'a [PfnRange]),
}

impl Pages<'_> {
    /// At least as many pages as [`Pages::for_each`] gives, without going over them.
    fn at_most(self, dump: &dyn MemoryDump) -> u64 {
        match self {
            Self::All => count(&RamRuns(dump)).unwrap_or(u64::MAX),
            Self::Kept { map, policy, also } => {
                let kinds = map.counts().iter().filter(|(kind, _)| policy.keeps(*kind));
                let more = also.iter().map(|run| run.pages.len());
                kinds.map(|(_, pages)| pages).chain(more).sum()
            }
            Self::Runs(runs) => runs.iter().map(|run| run.len()).sum(),
        }
    }

    fn for_each(
        self,
        dump: &dyn MemoryDump,
        f: &mut dyn FnMut(PfnRange) -> io::Result<()>,
    ) -> io::Result<()> {
        match self {
            Self::All => PresentRuns(dump).for_each(f),
            Self::Kept { map, policy, also } => kept(map, policy, also, f),
            Self::Runs(runs) => runs.for_each(f),
        }
    }
}

/// The pages of the kinds that a policy keeps, and of `also` what it does not forbid, as maximal runs.
fn kept(
    map: &MapReader,
    policy: Policy,
    also: &[KindRun],
    f: &mut dyn FnMut(PfnRange) -> io::Result<()>,
) -> io::Result<()> {
    let mut open: Option<PfnRange> = None;
    let mut take = |run: PfnRange| match &mut open {
        Some(last) if last.end == run.start => {
            last.end = run.end;
            Ok(())
        }
        other => other.replace(run).map_or(Ok(()), &mut *f),
    };
    let mut also = also.iter().peekable();
    map.for_each(&mut |run| {
        if policy.keeps(run.kind) {
            return take(run.pages);
        }
        while also
            .next_if(|other| other.pages.end <= run.pages.start)
            .is_some()
        {}
        if policy.forbids(run.kind) {
            return Ok(());
        }
        while let Some(other) = also.peek() {
            let Some(both) = other.pages.intersect(run.pages) else {
                break;
            };
            take(both)?;
            if other.pages.end > run.pages.end {
                break;
            }
            also.next();
        }
        Ok(())
    })?;
    open.map_or(Ok(()), f)
}

/// Runs processed between two progress reports of a pass that writes no page: a fraction of a second.
const RUNS_PER_REPORT: u64 = 1 << 24;

struct Chosen<'a> {
    dump: &'a dyn MemoryDump,
    pages: Pages<'a>,
    scan_progress: Option<&'a (dyn Fn(Pfn) + Sync)>,
}

impl Runs for Chosen<'_> {
    fn for_each(&self, f: &mut dyn FnMut(PfnRange) -> io::Result<()>) -> io::Result<()> {
        let Some(report) = self.scan_progress else {
            return self.pages.for_each(self.dump, f);
        };
        let mut runs = 0_u64;
        self.pages.for_each(self.dump, &mut |run| {
            runs += 1;
            if runs.is_multiple_of(RUNS_PER_REPORT) {
                report(run.end);
            }
            f(run)
        })
    }
}

/// One core to be written.
pub struct Save<'a> {
    /// The source.
    pub dump: &'a dyn MemoryDump,
    /// Which of its pages.
    pub pages: Pages<'a>,
    /// Headers and notes.
    pub meta: CoreMeta,
    /// In which form.
    pub format: OutputFormat,
    /// The codec's level; `None`: the format's own.
    pub codec_level: Option<i32>,
    /// Where to.
    pub dir: &'a Path,
    /// The file's name; it must not exist.
    pub name: String,
    /// Where the file's bytes go instead, where there is no filesystem. Then `dir` gets the scratch file alone.
    pub region: Option<Region>,
    /// A `pages.map` that travels inside the core.
    pub map: Option<SourceSlice>,
    /// Whom the file is sealed to; nobody: it stays open. A sealed kdump is a flattened stream.
    pub recipients: &'a [Recipient],
    /// Worker threads.
    pub threads: usize,
    /// How much time they give each batch.
    pub pace: Pace,
    /// Output buffers, in bytes.
    pub buffer: usize,
    /// How written pages are sent off and dropped from the cache (the capture kernel); none: they stay (a
    /// running system).
    pub flight: Option<InFlight>,
    /// How many pages there are, where an estimate has counted them.
    pub total: Option<u64>,
    /// Bytes to reserve on the target before the first page; 0: none.
    pub reserve: u64,
    /// Called during a pass over the runs that writes no page, with the page frame reached: on a very
    /// large machine each pass takes a minute.
    pub scan_progress: Option<&'a (dyn Fn(Pfn) + Sync)>,
}

/// What is known of a core before its first page is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Estimate {
    /// Its pages.
    pub pages: u64,
    /// Runs of pages.
    pub runs: u64,
    /// About how long the file will be, a little more rather than less.
    pub bytes: u64,
}

/// A core as it was written.
#[derive(Clone, Debug)]
pub struct Saved {
    /// Its length and table.
    pub finished: Finished,
    /// The table with its hash.
    pub table: Option<TableFacts>,
    /// The file's checksums, for formats that hold none.
    pub sums: Option<Sums>,
    /// Pages.
    pub stats: Stats,
}

/// A core that was not written to its end. The file has what was written until then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SaveError {
    /// The format cannot hold this many runs of pages; nothing was written.
    #[error("The format cannot hold this core")]
    Unsupported(#[source] io::Error),
    /// An operation other than writing pages failed.
    #[error("Cannot {doing}")]
    Io {
        /// Which.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The pages stopped midway.
    #[error("The core is cut off")]
    Stopped(#[from] Stopped),
}

fn io_error(doing: &'static str) -> impl FnOnce(io::Error) -> SaveError {
    move |source| SaveError::Io { doing, source }
}

/// Batches that are tried for an estimate.
const SAMPLES: u64 = 24;

impl<'a> Save<'a> {
    /// Counts the pages and their runs in one pass, and tells the file's size from a sample of them.
    ///
    /// # Errors
    /// Those of the runs and of the codec.
    pub fn estimate(&self) -> io::Result<Estimate> {
        let writer = writer(
            self.format,
            self.meta.clone(),
            self.codec_level,
            Spool::memory(),
        )?;
        let mut encoder = writer.encoder()?;
        if let Pace::Fixed(effort) = self.pace {
            encoder.set_effort(effort)?;
        }
        let batch_pages = BATCH_PAGES as u64;
        // Of a small core a fiftieth at most: more would be felt.
        let step = (self.pages.at_most(self.dump) / SAMPLES).max(batch_pages * 50);
        let (mut runs, mut at, mut next) = (0_u64, 0_u64, 0_u64);
        let (mut plain, mut coded) = (0_u64, 0_u64);
        let (mut batch, mut encoded) = (Batch::default(), Encoded::default());
        let mut pages = 0;
        self.chosen().for_each(&mut |run| {
            runs += 1;
            let mut from = run.start;
            while from < run.end {
                let left = run.end.0 - from.0;
                if at < next {
                    let skip = left.min(next - at);
                    at += skip;
                    from = Pfn(from.0 + skip);
                    continue;
                }
                let take = left.min(batch_pages - pages);
                let end = Pfn(from.0 + take);
                batch.runs.push(PfnRange::new(from, end));
                (at, from, pages) = (at + take, end, pages + take);
                if pages == batch_pages {
                    pipeline::fill(self.dump, &mut batch);
                    encoder.encode(&batch, &mut encoded)?;
                    plain += batch.data.len() as u64;
                    coded += encoded.bytes.len() as u64;
                    batch.runs.clear();
                    pages = 0;
                    next = next.saturating_add(step);
                }
            }
            Ok(())
        })?;
        let bytes = at.saturating_mul(PAGE_SIZE);
        let coded_all = u128::from(bytes) * u128::from(coded) / u128::from(plain.max(1));
        let body = if plain == 0 {
            bytes
        } else {
            u64::try_from(coded_all).unwrap_or(u64::MAX)
        };
        // kdump has a descriptor of 24 bytes a page and two bitmaps; all have headers and notes.
        let table = at.saturating_mul(28).saturating_add(1 << 20);
        Ok(Estimate {
            pages: at,
            runs,
            bytes: body.saturating_add(body / 10).saturating_add(table),
        })
    }

    fn chosen(&self) -> Chosen<'a> {
        Chosen {
            dump: self.dump,
            pages: self.pages,
            scan_progress: self.scan_progress,
        }
    }

    /// Writes the core. `trailer` makes the JSON that travels inside it, from what happened.
    ///
    /// # Errors
    /// [`SaveError`]; a page that cannot be read is none.
    pub fn run(
        mut self,
        trailer: &mut dyn FnMut(&Stats) -> Vec<u8>,
        progress: &mut dyn FnMut(&Stats, u64),
    ) -> Result<Saved, SaveError> {
        let chosen = self.chosen();
        let total = match self.total {
            Some(total) => total,
            None => count(&chosen).map_err(io_error("count the pages"))?,
        };
        let spool = files::unnamed_file(self.dir, ".table").map_err(io_error("make a file"))?;
        let spool = match self.recipients.is_empty() {
            true => Spool::file(spool),
            false => Spool::file(Scratch::new(spool).map_err(io_error("draw a key"))?),
        };
        let mut writer = writer(self.format, self.meta.clone(), self.codec_level, spool)
            .map_err(io_error("prepare the codec"))?;
        let out = match self.region.take() {
            Some(region) => FileOutput::on(region, self.buffer),
            None => files::create_file(self.dir, &self.name)
                .map(|file| FileOutput::new(file, self.buffer)),
        };
        let mut out = out.map_err(io_error("make the file"))?;
        if let Some(flight) = self.flight {
            out = out.drop_behind(flight);
        }
        let sealed = !self.recipients.is_empty();
        let has_checksums = matches!(self.format, OutputFormat::ElfZst | OutputFormat::ElfLz4);
        // Those inside a sealed file can only be checked with the key.
        if !has_checksums || sealed {
            out = out.with_sums();
        }
        if self.reserve > 0 {
            out.reserve(self.reserve)
                .map_err(io_error("reserve space on the target"))?;
        }
        let mut sink = Sink::new(out, self.recipients).map_err(io_error("seal the file"))?;
        let written = match sealed && self.format.goes_back() {
            false => self.write(&chosen, total, &mut *writer, &mut sink, trailer, progress),
            true => {
                let begun = Flattened::new(&mut sink);
                begun
                    .map_err(io_error("write the headers"))
                    .and_then(|mut flat| {
                        let written =
                            self.write(&chosen, total, &mut *writer, &mut flat, trailer, progress)?;
                        flat.finish()
                            .map_err(io_error("write the end of the core"))?;
                        Ok(written)
                    })
            }
        };
        let (stats, finished) = match written {
            Ok(written) => written,
            Err(error) => {
                if matches!(error, SaveError::Unsupported(_)) {
                    drop(sink);
                    let _ = std::fs::remove_file(self.dir.join(&self.name));
                } else {
                    // What is in the buffers still counts.
                    let _ = sink.flush();
                }
                return Err(error);
            }
        };
        let checksums = sink
            .finish(finished.len)
            .map_err(io_error("bring the core to the disk"))?;
        let table = finished
            .table
            .zip(checksums.table)
            .map(|((offset, len), hash)| TableFacts {
                offset,
                len,
                sha256: hex(&hash),
            });
        Ok(Saved {
            finished,
            table,
            sums: checksums.sums,
            stats,
        })
    }

    /// Everything that is in the file, in order.
    fn write(
        &self,
        chosen: &Chosen<'_>,
        total: u64,
        writer: &mut dyn Writer,
        out: &mut dyn Output,
        trailer: &mut dyn FnMut(&Stats) -> Vec<u8>,
        progress: &mut dyn FnMut(&Stats, u64),
    ) -> Result<(Stats, Finished), SaveError> {
        if let Err(source) = writer.begin(chosen, &RamRuns(self.dump), out) {
            return Err(match source.kind() {
                io::ErrorKind::Unsupported => SaveError::Unsupported(source),
                _ => io_error("write the headers")(source),
            });
        }
        let quiet = Chosen {
            scan_progress: None,
            ..*chosen
        };
        let stats = pipeline::run(
            self.dump,
            &quiet,
            total,
            writer,
            out,
            Workers {
                threads: self.threads,
                pace: self.pace,
            },
            &mut |stats| progress(stats, total),
        )?;
        let finished = finish(writer, self.map.clone(), &trailer(&stats), out)
            .map_err(io_error("write the end of the core"))?;
        Ok((stats, finished))
    }
}

fn count(runs: &dyn Runs) -> io::Result<u64> {
    let mut total = 0_u64;
    runs.for_each(&mut |run| {
        total = total.saturating_add(run.len());
        Ok(())
    })?;
    Ok(total)
}

fn finish(
    writer: &mut dyn Writer,
    map: Option<SourceSlice>,
    trailer: &[u8],
    out: &mut dyn Output,
) -> io::Result<Finished> {
    if let Some(mut map) = map {
        let len = Bytes::len(&map)?;
        writer.attach(Attachment::PagesMap, len, &mut map, out)?;
    }
    let mut body = trailer;
    writer.attach(Attachment::Trailer, trailer.len() as u64, &mut body, out)?;
    writer.finish(out)
}

#[cfg(test)]
mod tests;
