//! One pass over the memory map, on one thread or several.
//!
//! RAM is cut into units of at most 32768 pages, each within one section. A unit's struct pages are
//! read in chunks of 512 and its kinds noted in one byte each; the caller's thread then cuts them to
//! the RAM that the dump knows and joins them to runs. Memory is a few such units, whatever the
//! amount of RAM; units are independent, so that threads change nothing but the time.
//!
//! A unit counts in pages of the kernel, of 4, 16 or 64 KiB; runs, and what the dump says of RAM, count in
//! page frames of 4 KiB.

use super::classify::{Classifier, Findings};
use super::memmap::{Memmap, Section};
use super::{Kind, KindCounts, KindRun, Rules, WalkError};
use crate::addr::{PAGE_SHIFT, Pfn, PfnRange, VirtAddr};
use crate::dump::MemoryDump;
use crate::kernel::Kernel;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};

/// log2 of the most pages in a unit: a section of x86_64.
const UNIT_SHIFT: u32 = 15;
/// log2 of the fewest pages in a unit: the largest block of the buddy allocator.
const BLOCK_SHIFT: u32 = 10;
/// Struct pages read at once. Compound pages begin at even page frames, so that a head and its
/// second page are always in one chunk.
const CHUNK_PAGES: usize = 512;
/// Stack of a thread, which counts as data under RLIMIT_DATA.
const STACK: usize = 512 << 10;

/// What one pass found, besides the runs.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Summary {
    /// Pages by kind.
    pub counts: KindCounts,
    /// Runs handed to the sink.
    pub runs: u64,
    /// Pages whose struct page could not be read; they are Unknown.
    pub unmapped: u64,
    /// What speaks against each rule, page by page.
    pub findings: Findings,
}

/// Classifies the RAM that the dump knows of: runs in ascending order, maximal, disjoint, together
/// every page of RAM. Memory is the same for any amount of RAM.
///
/// # Errors
/// When there is no memory map at all, or the sink fails. A struct page that cannot be read is no
/// error: its page is [`super::Kind::Unknown`].
pub fn walk(
    kernel: &Kernel,
    rules: &Rules,
    sink: &mut dyn FnMut(KindRun) -> io::Result<()>,
) -> Result<Summary, WalkError> {
    walk_threads(kernel, rules, 1, sink)
}

/// [`walk`] with the classification spread over `threads` threads; the sink is still called in
/// order and on the caller's thread, and the runs are the same for any number.
///
/// # Errors
/// As [`walk`].
pub fn walk_threads(
    kernel: &Kernel,
    rules: &Rules,
    threads: usize,
    sink: &mut dyn FnMut(KindRun) -> io::Result<()>,
) -> Result<Summary, WalkError> {
    walk_within(kernel, rules, threads, everything(), sink)
}

/// [`walk_threads`] for a part of RAM: the page frames in `within`.
///
/// # Errors
/// As [`walk`].
pub(crate) fn walk_within(
    kernel: &Kernel,
    rules: &Rules,
    threads: usize,
    within: PfnRange,
    sink: &mut dyn FnMut(KindRun) -> io::Result<()>,
) -> Result<Summary, WalkError> {
    let size = rules.decoder().size;
    let map = Memmap::of(kernel, size)?;
    let worker = Worker {
        map: &map,
        rules,
        shift: map.section_shift().min(UNIT_SHIFT),
        frames: kernel.page_shift() - PAGE_SHIFT,
    };
    let mut runs = Joiner {
        dump: &**kernel.dump(),
        within,
        sink,
        pending: None,
        summary: Summary::default(),
    };
    let units = Units {
        dump: &**kernel.dump(),
        shift: worker.shift + worker.frames,
        at: within.start,
        end: within.end,
    };
    if threads <= 1 {
        let mut unit = Unit::default();
        for pages in units {
            worker.classify(pages, &mut unit);
            runs.take(&unit).map_err(WalkError::Sink)?;
        }
    } else {
        spread(&worker, units, threads, &mut runs)?;
    }
    runs.finish().map_err(WalkError::Sink)
}

/// The kinds of the pages in `ranges` alone, which are ascending and disjoint: no scan, only the
/// struct pages of these and what is needed to understand them are read.
///
/// # Errors
/// As [`walk`].
pub fn walk_ranges(
    kernel: &Kernel,
    rules: &Rules,
    ranges: &[PfnRange],
    sink: &mut dyn FnMut(KindRun) -> io::Result<()>,
) -> Result<Summary, WalkError> {
    let decoder = rules.decoder();
    let map = Memmap::of(kernel, decoder.size)?;
    // Free and unaccepted blocks are told by their first page alone; none is larger than a block.
    let largest = u32::try_from(decoder.orders.saturating_sub(1)).unwrap_or(UNIT_SHIFT);
    let shift = largest.max(BLOCK_SHIFT).min(map.section_shift());
    let worker = Worker {
        map: &map,
        rules,
        shift,
        frames: kernel.page_shift() - PAGE_SHIFT,
    };
    let shift = shift + worker.frames;
    let mut runs = Joiner {
        dump: &**kernel.dump(),
        within: everything(),
        sink,
        pending: None,
        summary: Summary::default(),
    };
    let mut unit = Unit::default();
    for range in ranges {
        let mut at = range.start;
        while at < range.end {
            let start = Pfn(at.0 >> shift << shift);
            let Some(end) = start.checked_add(1 << shift) else {
                break;
            };
            if unit.pages.start != start || unit.pages.is_empty() {
                worker.classify(PfnRange { start, end }, &mut unit);
            }
            runs.within = PfnRange::new(at, end.min(range.end));
            runs.take(&unit).map_err(WalkError::Sink)?;
            at = end;
        }
    }
    runs.finish().map_err(WalkError::Sink)
}

/// The address of the `struct page` of the page that holds a page frame; none for one that has none.
#[must_use]
pub fn struct_page(kernel: &Kernel, rules: &Rules, pfn: Pfn) -> Option<VirtAddr> {
    let size = rules.decoder().size;
    let map = Memmap::of(kernel, size).ok()?;
    let page = pfn.0 >> (kernel.page_shift() - PAGE_SHIFT);
    match map.section(page.checked_shr(map.section_shift())?) {
        Section::Base(base) => Some(map.struct_page(base, page)),
        _ => None,
    }
}

fn everything() -> PfnRange {
    PfnRange::new(Pfn(0), Pfn(u64::MAX))
}

/// One unit on its way from a worker to the caller.
struct Unit {
    number: u64,
    /// Its page frames.
    pages: PfnRange,
    /// log2 of the page frames in a page of the kernel.
    frames: u32,
    /// One a page of the kernel.
    kinds: Vec<u8>,
    chunk: Vec<u8>,
    unmapped: u64,
    findings: Findings,
}

impl Default for Unit {
    fn default() -> Self {
        Self {
            number: 0,
            pages: PfnRange::new(Pfn(0), Pfn(0)),
            frames: 0,
            kinds: Vec::new(),
            chunk: Vec::new(),
            unmapped: 0,
            findings: Findings::default(),
        }
    }
}

/// The units that hold any RAM, ascending.
struct Units<'a> {
    dump: &'a dyn MemoryDump,
    shift: u32,
    at: Pfn,
    end: Pfn,
}

impl Iterator for Units<'_> {
    type Item = PfnRange;

    fn next(&mut self) -> Option<PfnRange> {
        let ram = self.dump.next_ram(self.at)?;
        let first = ram.start.max(self.at);
        if first >= self.end {
            return None;
        }
        let start = Pfn(first.0 >> self.shift << self.shift);
        let end = start.checked_add(1 << self.shift)?;
        self.at = end;
        Some(PfnRange { start, end })
    }
}

#[derive(Clone, Copy)]
struct Worker<'a, 'k> {
    map: &'a Memmap<'k>,
    rules: &'a Rules,
    /// log2 of the kernel's pages in a unit.
    shift: u32,
    /// log2 of the page frames in a page of the kernel.
    frames: u32,
}

impl Worker<'_, '_> {
    /// Classifies every page of a unit, RAM or not.
    fn classify(&self, pages: PfnRange, unit: &mut Unit) {
        unit.pages = pages;
        unit.frames = self.frames;
        unit.unmapped = 0;
        unit.findings = Findings::default();
        unit.kinds.clear();
        unit.kinds.resize(1 << self.shift, Kind::Unknown as u8);
        let first = pages.start.0 >> self.frames;
        let section = first >> self.map.section_shift();
        let base = match self.map.section(section) {
            Section::Base(base) => base,
            Section::Device => {
                unit.kinds.fill(Kind::Device as u8);
                return;
            }
            Section::Offline => {
                unit.kinds.fill(Kind::Offline as u8);
                return;
            }
            Section::Absent => {
                unit.unmapped = pages.len();
                return;
            }
        };
        let decoder = self.rules.decoder();
        unit.chunk.resize(CHUNK_PAGES * decoder.size, 0);
        let mut classifier = Classifier::new(decoder, self.map);
        let mut pfn = first;
        for kinds in unit.kinds.chunks_mut(CHUNK_PAGES) {
            let va = self.map.struct_page(base, pfn);
            let Some(chunk) = unit.chunk.get_mut(..kinds.len() * decoder.size) else {
                break;
            };
            let mut holes = Vec::new();
            self.map
                .read(va, chunk, &mut |first, count| holes.push((first, count)));
            if holes.is_empty() {
                classifier.run(chunk, pfn, va.0, kinds);
            } else {
                unit.unmapped += (1 << self.frames)
                    * around_holes(
                        &mut classifier,
                        decoder.size,
                        chunk,
                        pfn,
                        va.0,
                        kinds,
                        &holes,
                    );
            }
            pfn += kinds.len() as u64;
        }
        unit.findings = classifier.findings.in_frames(self.frames);
    }
}

/// Classifies what lies between the holes of a chunk; answers the pages inside them.
fn around_holes(
    classifier: &mut Classifier<'_, Memmap<'_>>,
    size: usize,
    chunk: &[u8],
    pfn: u64,
    va: u64,
    kinds: &mut [u8],
    holes: &[(usize, usize)],
) -> u64 {
    let mut unmapped = 0;
    let mut at = 0usize;
    for &(first, count) in holes.iter().chain([&(kinds.len(), 0)]) {
        let part = chunk.get(at * size..first * size);
        if let (Some(part), Some(kinds)) = (part, kinds.get_mut(at..first)) {
            let skipped = at as u64;
            let va = va.wrapping_add(skipped * size as u64);
            classifier.run(part, pfn + skipped, va, kinds);
        }
        classifier.restart();
        unmapped += count as u64;
        at = first + count;
    }
    unmapped
}

/// Joins units to runs of RAM.
struct Joiner<'a> {
    dump: &'a dyn MemoryDump,
    within: PfnRange,
    sink: &'a mut dyn FnMut(KindRun) -> io::Result<()>,
    pending: Option<KindRun>,
    summary: Summary,
}

impl Joiner<'_> {
    fn take(&mut self, unit: &Unit) -> io::Result<()> {
        self.summary.findings.merge(&unit.findings);
        let Some(wanted) = unit.pages.intersect(self.within) else {
            return Ok(());
        };
        let mut at = wanted.start;
        let mut ram_pages = 0;
        while let Some(ram) = self
            .dump
            .next_ram(at)
            .and_then(|ram| ram.intersect(PfnRange::new(at, wanted.end)))
        {
            ram_pages += ram.len();
            self.run_of(unit, ram)?;
            at = ram.end;
        }
        self.summary.unmapped += unit.unmapped.min(ram_pages);
        Ok(())
    }

    fn run_of(&mut self, unit: &Unit, ram: PfnRange) -> io::Result<()> {
        let index = |frames: u64| usize::try_from(frames >> unit.frames).unwrap_or(usize::MAX);
        let first = ram.start.0 - unit.pages.start.0;
        let last = ram.end.0 - unit.pages.start.0 + (1 << unit.frames) - 1;
        let kinds = unit.kinds.get(index(first)..index(last));
        let mut start = ram.start;
        // RAM may begin and end inside a page of the kernel.
        let mut at = ram.start.0 >> unit.frames << unit.frames;
        for same in kinds.unwrap_or_default().chunk_by(|a, b| a == b) {
            at += (same.len() as u64) << unit.frames;
            let end = Pfn(at).min(ram.end);
            let kind = same.first().map_or(Kind::Unknown, |n| Kind::from_u8(*n));
            self.push(KindRun {
                pages: PfnRange { start, end },
                kind,
            })?;
            start = end;
        }
        Ok(())
    }

    fn push(&mut self, run: KindRun) -> io::Result<()> {
        match &mut self.pending {
            Some(last) if last.kind == run.kind && last.pages.end == run.pages.start => {
                last.pages.end = run.pages.end;
                Ok(())
            }
            pending => match pending.replace(run) {
                Some(done) => self.emit(done),
                None => Ok(()),
            },
        }
    }

    fn emit(&mut self, run: KindRun) -> io::Result<()> {
        self.summary.counts.add(run.kind, run.pages.len());
        self.summary.runs += 1;
        (self.sink)(run)
    }

    fn finish(mut self) -> io::Result<Summary> {
        if let Some(done) = self.pending.take() {
            self.emit(done)?;
        }
        Ok(self.summary)
    }
}

/// Runs the worker on several threads. Each takes an empty unit before it takes work, so that the
/// unit wanted next always has one, and the reordering holds no more than there are units.
fn spread(
    worker: &Worker<'_, '_>,
    units: Units<'_>,
    threads: usize,
    runs: &mut Joiner<'_>,
) -> Result<(), WalkError> {
    let work = Mutex::new((0u64, units));
    let (give_back, empty) = channel::<Unit>();
    let (done, filled) = channel::<Unit>();
    for _ in 0..2 * threads {
        let _ = give_back.send(Unit::default());
    }
    let empty = Mutex::new(empty);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let done = done.clone();
            let (work, empty) = (&work, &empty);
            std::thread::Builder::new()
                .name("classify".into())
                .stack_size(STACK)
                .spawn_scoped(scope, move || serve(worker, work, empty, &done))
                .map_err(WalkError::Thread)?;
        }
        drop(done);
        // When this ends, early or not, the workers find the channels closed and end too.
        let (filled, give_back) = (filled, give_back);
        collect(&filled, &give_back, runs)
    })
}

fn serve(
    worker: &Worker<'_, '_>,
    work: &Mutex<(u64, Units<'_>)>,
    empty: &Mutex<Receiver<Unit>>,
    done: &Sender<Unit>,
) {
    loop {
        let unit = empty.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(mut unit) = unit else { return };
        let pages = {
            let mut work = work.lock().unwrap_or_else(PoisonError::into_inner);
            let (number, units) = &mut *work;
            let Some(pages) = units.next() else { return };
            unit.number = *number;
            *number += 1;
            pages
        };
        worker.classify(pages, &mut unit);
        if done.send(unit).is_err() {
            return;
        }
    }
}

fn collect(
    filled: &Receiver<Unit>,
    give_back: &Sender<Unit>,
    runs: &mut Joiner<'_>,
) -> Result<(), WalkError> {
    let mut early: Vec<Unit> = Vec::new();
    let mut wanted = 0;
    for unit in filled {
        early.push(unit);
        while let Some(position) = early.iter().position(|unit| unit.number == wanted) {
            let unit = early.swap_remove(position);
            runs.take(&unit).map_err(WalkError::Sink)?;
            let _ = give_back.send(unit);
            wanted += 1;
        }
    }
    Ok(())
}
