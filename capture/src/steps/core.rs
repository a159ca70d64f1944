//! The core: classify every page in one streaming pass, find the level that fits, then read, compress
//! and write what the policy keeps.

mod account;
mod fit;

use super::room::Room;
use super::{raw, source};
use crate::protocol::{self, Event, Progress, say};
use account::Account;
use dump::budget::Budget;
use dump::describe::{describe, set_level, trailer};
use dump::files::{PAGES_MAP, core_name};
use dump::pipeline::Pace;
use dump::save::{Estimate, Pages, Save, SaveError, Saved};
use dump::seal::Sealer;
use dump::{Classified, Level, Policy};
use fit::Fit;
use plan::Plan;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use store::loop_guard;
use store::manifest::CrashFacts;
use store::rotation::Need;
use vmcore::addr::PAGE_SIZE;
use vmcore::dump::MemoryDump;
use vmcore::kernel::{Kernel, chain};
use vmcore::mm::Kind;
use vmcore::write::{CoreMeta, Effort, OutputFormat, RamRuns, Runs};

/// Output buffers.
const BUFFER: usize = 1 << 20;

/// The order for this step.
pub(super) struct Request<'a> {
    pub plan: &'a Plan,
    /// The crash directory.
    pub dir: &'a Path,
    /// The store with the crash directory.
    pub base: &'a Path,
    /// What the report says of the crash.
    pub crash: &'a CrashFacts,
    /// The level to try first.
    pub level: Level,
    /// Whether all RAM is copied without classification.
    pub unfiltered: bool,
    pub budget: Budget,
}

/// Everything that writing needs of the source. The kernel is dropped before, because its symbols and
/// types take more memory than writing.
struct Prepared {
    dump: Arc<dyn MemoryDump>,
    meta: CoreMeta,
    /// Pages of RAM.
    ram: u64,
    /// The kinds of pages; `None` when nothing was classified.
    map: Option<Classified>,
    /// Why nothing was classified, where that was not asked for.
    unclassified: Option<String>,
    classify_s: f64,
}

/// The level, format and size that were chosen.
struct Choice {
    level: Level,
    policy: Policy,
    format: OutputFormat,
    estimate: Estimate,
}

/// How the choice ended.
enum Chosen {
    Write(Choice),
    /// No core fits. The essential pages, if they could be saved, are all there is.
    Nothing(String),
}

pub(super) fn run(request: &Request<'_>) -> Result<(), String> {
    let plan = request.plan;
    let format = plan.dump.format.ok_or("the plan wants no core")?;
    let room = Room::of(request.base)?;
    if let Some(why) = loop_guard(request, &room) {
        say(&Event::Skipped(why));
        return Ok(());
    }
    let policy = policy_of(plan, request.level);
    if request.unfiltered && policy.forbids_by_choice() {
        return Err("`never` needs page classification, which failed. Nothing was written".into());
    }
    // What an earlier try left: the directory is ours alone.
    let sealer = plan.dump.sealer();
    let _ = fs::remove_file(request.dir.join(sealer.log_name(PAGES_MAP)));
    protocol::log(format!(
        "core: level {}, {}, {} threads, {} MiB of memory",
        request.level,
        format.name(),
        request.budget.threads,
        request.budget.limit >> 20
    ));
    let prepared = prepare(request, policy)?;
    let map = prepared.map.as_ref();
    if let Some(why) = map.and_then(|map| hides_forbidden(map, policy)) {
        say(&Event::Skipped(why));
        return Ok(());
    }
    let begun = Instant::now();
    let mut account = Account::new(request.unfiltered);
    account.note(prepared.unclassified.clone());
    account.note(map.and_then(|map| unread(map, policy)));
    let scan = |pfn: vmcore::addr::Pfn| tell("count", pfn.0, prepared.ram, begun);
    let mut save = Save {
        dump: &*prepared.dump,
        pages: pages(map, policy),
        meta: prepared.meta.clone(),
        format,
        codec_level: codec_level(format),
        dir: request.dir,
        name: sealer.core_name(core_name(format)),
        region: None,
        map: map.map(|map| map.content.clone()),
        recipients: sealer.recipients(),
        threads: request.budget.threads,
        pace: pace(plan.dump.effort),
        buffer: BUFFER,
        flight: Some(request.budget.flight),
        total: None,
        reserve: 0,
        scan_progress: Some(&scan),
    };
    let chosen = choose(request, map, &room, &sealer, &mut save, &mut account)?;
    let choice = match chosen {
        Chosen::Write(choice) => choice,
        Chosen::Nothing(why) => {
            // Without a core there are no core facts with these reasons.
            if let Some(map) = map {
                map.doubts().into_iter().for_each(protocol::soft);
            }
            say(&Event::Skipped(why));
            return Ok(());
        }
    };
    clear(request.dir, &sealer);
    (save.reserve, save.total) = (choice.estimate.bytes, Some(choice.estimate.pages));
    if save.pace == Pace::Follow && !fit::has_spare(&room, request, choice.estimate) {
        // Less effort makes larger cores than the estimate knows of.
        save.pace = Pace::Own;
    }
    save.region = raw::region(request.dir, &save.name)?;
    let saved = save.run(&mut trailer, &mut |stats, total| {
        tell("core", stats.pages, total, begun);
    });
    // Not earlier, so that the pages do not wait for it.
    let map_path = request.dir.join(sealer.log_name(PAGES_MAP));
    if map.is_some()
        && let Err(error) = fs::File::open(map_path).and_then(|file| file.sync_all())
    {
        account.note(Some(format!("{PAGES_MAP} may not be on the disk: {error}")));
    }
    let (saved, error) = finished(saved)?;
    let facts = account.facts(request, &prepared, &choice, saved, begun, error.is_some());
    for why in &facts.soft_errors {
        protocol::log(format!("core: {why}"));
    }
    say(&Event::Core(Box::new(facts)));
    error.map_or(Ok(()), Err)
}

fn policy_of(plan: &Plan, level: Level) -> Policy {
    Policy::new(level, &plan.dump.keep_kinds, &plan.dump.never)
}

/// Why the loop guard allows no further core, if so.
fn loop_guard(request: &Request<'_>, room: &Room) -> Option<String> {
    let guarded = request.plan.keep.loop_guard && !request.unfiltered;
    let why = loop_guard::in_a_loop(room.earlier(), request.crash).filter(|_| guarded)?;
    room.make(&room.plan(&request.plan.keep, request.crash, Need::SmallFiles));
    Some(why)
}

/// Opens the source and classifies its pages. A core of all pages needs no classification, so there a
/// failure costs only the kinds. What is not classified is read through the guard, which
/// looks each page up.
fn prepare(request: &Request<'_>, policy: Policy) -> Result<Prepared, String> {
    let mut kernel = match source::unguarded(request.plan) {
        Ok(kernel) => kernel,
        Err(why) if request.level == Level::ALL && !policy.forbids_by_choice() => {
            return unknown_kernel(request, &why);
        }
        Err(why) => return Err(why),
    };
    let ram = ram_pages(&**kernel.dump());
    let begun = Instant::now();
    let (mut map, mut unclassified) = (None, None);
    if !request.unfiltered {
        match classify(&kernel, request, ram) {
            Ok(classified) => map = Some(classified),
            Err(why) if request.level == Level::ALL && !policy.forbids_by_choice() => {
                let name = request.plan.dump.sealer().log_name(PAGES_MAP);
                let _ = fs::remove_file(request.dir.join(name));
                unclassified = Some(format!("The pages were not classified: {why}"));
            }
            Err(why) => return Err(why),
        }
    }
    let mut meta = CoreMeta::of(kernel.dump().info());
    describe(&mut meta, &kernel, request.level);
    if map.is_none() {
        kernel = source::guard(kernel)?;
    }
    Ok(Prepared {
        dump: Arc::clone(kernel.dump()),
        meta,
        ram,
        map,
        unclassified,
        classify_s: begun.elapsed().as_secs_f64(),
    })
}

/// All pages of a source whose kernel cannot be found, `why` being why: a core that only says what the
/// source says.
fn unknown_kernel(request: &Request<'_>, why: &str) -> Result<Prepared, String> {
    let dump = source::dump(request.plan)?;
    let mut meta = CoreMeta::of(dump.info());
    set_level(&mut meta, request.level);
    Ok(Prepared {
        ram: ram_pages(&*dump),
        dump,
        meta,
        map: None,
        unclassified: Some(format!("The pages were not classified: {why}")),
        classify_s: 0.0,
    })
}

fn classify(kernel: &Kernel, request: &Request<'_>, ram: u64) -> Result<Classified, String> {
    let sealer = request.plan.dump.sealer();
    let threads = request.budget.threads.min(4);
    let begun = Instant::now();
    let mut reported = begun;
    let map = dump::classify(kernel, request.dir, &sealer, threads, &mut |seen| {
        if reported.elapsed().as_millis() >= 500 {
            reported = Instant::now();
            tell("classify", seen, ram, begun);
        }
    })
    .map_err(|error| chain(&error))?;
    protocol::log(format!(
        "classified {} pages in {} runs, {:.1} s",
        map.summary.counts.total(),
        map.summary.runs,
        begun.elapsed().as_secs_f64()
    ));
    if let Some(why) = &map.unchecked {
        protocol::soft(format!("The classification was not checked: {why}"));
    }
    let checks = &map.checked.checks;
    protocol::log(format!(
        "{} checks of the classification, {} failed, {:.1} s in all",
        checks.len(),
        checks.iter().filter(|check| check.failed()).count(),
        begun.elapsed().as_secs_f64()
    ));
    Ok(map)
}

/// The levels to try: the one asked for, then standard if that is smaller. Below it there are only
/// the essential pages, which have a file of their own.
fn levels(asked: Level, classified: bool) -> Vec<Level> {
    match asked {
        Level::Bits(_) if asked != Level::STANDARD && classified => vec![asked, Level::STANDARD],
        _ => vec![asked],
    }
}

/// Takes the first level whose core fits on the target and below `max_size`, and makes room for it.
fn choose<'a>(
    request: &Request<'_>,
    map: Option<&'a Classified>,
    room: &Room,
    sealer: &Sealer,
    save: &mut Save<'a>,
    account: &mut Account,
) -> Result<Chosen, String> {
    let mut refused = Vec::new();
    for level in levels(request.level, map.is_some()) {
        let mut policy = policy_of(request.plan, level);
        if let Some(map) = map {
            policy = policy.with_kept(&map.checked.distrusted());
        }
        save.pages = pages(map, policy);
        set_level(&mut save.meta, level);
        let (format, estimate) = estimate(save, sealer, account)?;
        match fit::check(room, request, estimate) {
            Fit::Yes(removals) => {
                if !room.make(&removals)
                    && let Fit::No(why) = fit::check(room, request, estimate)
                {
                    refused.push(format!("Level {level} does not fit: {why}"));
                    continue;
                }
                account.note((!refused.is_empty()).then(|| refused.join("; ")));
                return Ok(Chosen::Write(Choice {
                    level,
                    policy,
                    format,
                    estimate,
                }));
            }
            Fit::No(why) => refused.push(format!("Level {level} does not fit: {why}")),
        }
    }
    // The number of crash directories that stay is a rule of its own.
    room.make(&room.plan(&request.plan.keep, request.crash, Need::SmallFiles));
    Ok(Chosen::Nothing(refused.join("; ")))
}

/// The size of the core, in the format that can hold it.
fn estimate(
    save: &mut Save<'_>,
    sealer: &Sealer,
    account: &mut Account,
) -> Result<(OutputFormat, Estimate), String> {
    let measure = |save: &Save<'_>| {
        save.estimate()
            .map_err(|error| format!("Cannot estimate the core's size: {error}"))
    };
    let first = measure(save)?;
    if save.format.holds(first.runs) {
        return Ok((save.format, first));
    }
    account.note(Some(format!(
        "Written as kdump-zstd: the pages are in {} runs, more than {} can have",
        first.runs,
        save.format.name()
    )));
    save.format = OutputFormat::KdumpZstd;
    save.codec_level = codec_level(save.format);
    save.name = sealer.core_name(core_name(save.format));
    Ok((save.format, measure(save)?))
}

fn pages(map: Option<&Classified>, policy: Policy) -> Pages<'_> {
    match map {
        Some(map) => Pages::Kept {
            map: &map.reader,
            policy,
            also: &map.checked.also_kept,
        },
        None => Pages::All,
    }
}

/// What was written, and why it is not all, if so.
fn finished(saved: Result<Saved, SaveError>) -> Result<(Saved, Option<String>), String> {
    match saved {
        Ok(saved) => Ok((saved, None)),
        Err(SaveError::Stopped(stopped)) => {
            let saved = Saved {
                finished: Default::default(),
                table: None,
                sums: None,
                stats: stopped.stats.clone(),
            };
            Ok((saved, Some(chain(&stopped))))
        }
        Err(error) => Err(chain(&error)),
    }
}

/// Why no core may be written: pages that `never` forbids may be counted as another kind.
fn hides_forbidden(map: &Classified, policy: Policy) -> Option<String> {
    let forbidden = |kind: &&Kind| policy.forbids(**kind) && !kind.never_read();
    let kind = map.uncertain.iter().find(forbidden)?.name();
    Some(format!(
        "pages of kind {kind} must never be written, and this kernel does not show which pages these are"
    ))
}

/// The soft error for struct pages that could not be read.
fn unread(map: &Classified, policy: Policy) -> Option<String> {
    let unknown = map.summary.counts.of(Kind::Unknown);
    let pages = Some(map.summary.unmapped).filter(|pages| *pages > 0)?;
    let so = match policy.keeps(Kind::Unknown) {
        true => "they are kept",
        false => "they are left out, because pages that must never be written may be among them",
    };
    Some(format!(
        "The struct pages of {pages} pages could not be read; {unknown} pages have no known kind, {so}"
    ))
}

fn ram_pages(dump: &dyn MemoryDump) -> u64 {
    let mut pages = 0_u64;
    let _ = RamRuns(dump).for_each(&mut |run| {
        pages = pages.saturating_add(run.len());
        Ok(())
    });
    pages
}

/// Removes the core that an earlier try left, once another one fits.
fn clear(dir: &Path, sealer: &Sealer) {
    for format in OutputFormat::ALL {
        raw::remove(dir, &sealer.core_name(core_name(format)));
    }
}

/// The codec's level in the capture kernel, where seconds count more than bytes: zstd 1 takes three
/// quarters of the time of 2 for 2.7% more bytes (docs/measurements/capture.md). The format's own is 3.
fn codec_level(format: OutputFormat) -> Option<i32> {
    (format == OutputFormat::ElfZst).then_some(1)
}

/// The effort that the plan fixes, or none that is fixed.
fn pace(effort: Option<u32>) -> Pace {
    effort
        .and_then(Effort::new)
        .map_or(Pace::Follow, Pace::Fixed)
}

fn tell(phase: &str, done: u64, total: u64, begun: Instant) {
    say(&Event::Progress(Progress {
        phase: phase.into(),
        done,
        total,
        bytes: done.saturating_mul(PAGE_SIZE),
        seconds: begun.elapsed().as_secs_f64(),
    }));
}

#[cfg(test)]
mod tests;
