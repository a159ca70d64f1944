//! The core: classify every page in one streaming pass, then read, compress and write what the
//! policy keeps.

use super::source;
use crate::budget::Budget;
use crate::classify::Classified;
use crate::manifest::{
    CheckFacts, CoreFacts, KindFacts, PAGES_MAP, PageCounts, REPORT_JSON, RuleOff, Verdict,
};
use crate::pipeline::Stats;
use crate::plan::{Format, Plan};
use crate::policy::{Level, Policy, bits};
use crate::protocol::{self, Event, Progress, say};
use crate::save::{Estimate, Pages, Save, SaveError, Saved};
use crate::space::{self, Earlier, Present};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use vmcore::addr::PAGE_SIZE;
use vmcore::dump::MemoryDump;
use vmcore::dump::map::MapReader;
use vmcore::kernel::{Kernel, chain};
use vmcore::mm::Kind;
use vmcore::mm::check::{self, Check};
use vmcore::write::{CoreMeta, KernelImage, OutputFormat, RamRuns, Runs};

/// Output buffers.
const BUFFER: usize = 1 << 20;

pub fn run(
    plan: &Plan,
    dir: &Path,
    base: &Path,
    level: Level,
    unfiltered: bool,
    budget: Budget,
) -> Result<(), String> {
    let wanted = &plan.dump;
    let (earlier, present) = history(dir, base);
    let guarded = plan.keep.loop_guard && !unfiltered;
    if let Some(why) = space::in_a_loop(&earlier, &present).filter(|_| guarded) {
        make_room(&earlier, &present, plan, base, 0);
        say(&Event::Skipped(why));
        return Ok(());
    }
    let policy = Policy::new(level, &wanted.keep_kinds, &wanted.never);
    if unfiltered && policy.forbids_by_choice() {
        return Err("Without classification what is forbidden cannot be left out".into());
    }
    let format = output_format(wanted.format).ok_or("The plan wants no core")?;
    let kernel = source::kernel(plan)?;
    let dump = Arc::clone(kernel.dump());
    let ram = ram_pages(&*dump);
    clear(dir);
    protocol::log(format!(
        "core: level {level}, {}, {} threads, {} MiB of memory",
        format.name(),
        budget.threads,
        budget.limit >> 20
    ));

    let begun = Instant::now();
    let map = if unfiltered {
        None
    } else {
        Some(classify(&kernel, dir, ram, budget)?)
    };
    let classify_s = begun.elapsed().as_secs_f64();
    if let Some(why) = map.as_ref().and_then(|map| untold(map, policy)) {
        say(&Event::Skipped(why));
        return Ok(());
    }
    let policy = match &map {
        Some(map) => policy.with_kept(&map.checked.distrusted()),
        None => policy,
    };
    let pages = match &map {
        Some(map) => Pages::Kept {
            map: &map.reader,
            policy,
            also: &map.checked.also_kept,
        },
        None => Pages::All,
    };

    let begun = Instant::now();
    let unread = map.as_ref().and_then(|map| unread(map, policy));
    let mut soft_errors = Vec::from_iter(unread);
    let mut format = format;
    let mut meta = CoreMeta::of(dump.info());
    describe(&mut meta, &kernel, level);
    // Its symbols and types take more memory than all that follows.
    drop(kernel);
    let map_path = map.as_ref().map(|_| dir.join(PAGES_MAP));
    let mut save = Save {
        dump: &*dump,
        pages,
        meta,
        format,
        codec_level: codec_level(format),
        dir,
        name: file_name(format),
        map: map_path.as_deref(),
        threads: budget.threads,
        buffer: BUFFER,
        flight: Some(budget.flight),
        total: None,
        reserve: 0,
        beat: Some(&|pfn| tell("count", pfn.0, ram, begun)),
    };
    let estimated = |save: &Save<'_>| {
        save.estimate()
            .map_err(|error| format!("Cannot estimate the core's size: {error}"))
    };
    let mut estimate = estimated(&save)?;
    if !format.holds(estimate.runs) {
        soft_errors.push(format!(
            "Written as kdump-zstd: the pages lie in {} runs, more than {} can have",
            estimate.runs,
            format.name()
        ));
        format = OutputFormat::KdumpZstd;
        (save.format, save.codec_level, save.name) =
            (format, codec_level(format), file_name(format));
        estimate = estimated(&save)?;
    }
    let room = room_for(estimate, plan, &earlier, &present, base);
    if let (Some(map), Err(_) | Ok(Room::Refused(_))) = (&map, &room) {
        // There will be no facts of a core to say why so much is kept.
        let doubts = doubts(&map.rules_off, &check_facts(map));
        doubts.into_iter().for_each(protocol::soft);
    }
    match room? {
        Room::For(need) => (save.reserve, save.total) = (need, Some(estimate.pages)),
        Room::Refused(why) => {
            say(&Event::Skipped(why));
            return Ok(());
        }
    }
    let saved = save.run(&mut trailer, &mut |stats, total| {
        tell("core", stats.pages, total, begun);
    });
    // Not before: the pages were not to wait for it.
    if let Some(path) = &map_path
        && let Err(error) = fs::File::open(path).and_then(|file| file.sync_all())
    {
        soft_errors.push(format!("{PAGES_MAP} may not be on the disk: {error}"));
    }
    let (saved, error) = match saved {
        Ok(saved) => (saved, None),
        Err(SaveError::Stopped(stopped)) => (
            Saved {
                finished: Default::default(),
                table: None,
                sums: None,
                stats: stopped.stats.clone(),
            },
            Some(chain(&stopped)),
        ),
        Err(error) => return Err(chain(&error)),
    };
    let mut facts = CoreFacts {
        file: file_name(format).into(),
        format: format.name().into(),
        level: level.to_string(),
        asked: wanted.level.to_string(),
        verdict: Verdict::Complete,
        size: fs::metadata(dir.join(file_name(format))).map_or(0, |meta| meta.len()),
        table: saved.table,
        sums: saved.sums,
        pages: PageCounts {
            ram,
            kept: saved.stats.pages,
            zero: saved.stats.zero,
            missing: saved.stats.missing,
        },
        kinds: map
            .as_ref()
            .map_or_else(Default::default, |map| kinds(&map.reader, policy)),
        checks: map.as_ref().map_or_else(Vec::new, check_facts),
        rules_off: map.map_or_else(Vec::new, |map| map.rules_off),
        missing_first: saved
            .stats
            .missing_first
            .iter()
            .map(|pfn| pfn.to_string())
            .collect(),
        soft_errors,
        threads: budget.threads,
        classify_s: rounded(classify_s),
        write_s: rounded(begun.elapsed().as_secs_f64()),
        peak_rss_kib: peak_rss_kib(),
    };
    judge(&mut facts, unfiltered, error.is_some());
    for why in &facts.soft_errors {
        protocol::log(format!("core: {why}"));
    }
    say(&Event::Core(Box::new(facts)));
    match error {
        Some(why) => Err(why),
        None => Ok(()),
    }
}

/// Why no core may be written: what the operator forbade may hide among other kinds.
fn untold(map: &Classified, policy: Policy) -> Option<String> {
    let forbidden = |kind: &&Kind| policy.forbids(**kind) && !kind.never_read();
    let kind = map.blind.iter().find(forbidden)?.name();
    Some(format!(
        "pages of the kind {kind} are never to be written, and cannot be told from others here"
    ))
}

/// What follows from struct pages that could not be read.
fn unread(map: &Classified, policy: Policy) -> Option<String> {
    let unknown = map.summary.counts.of(Kind::Unknown);
    let pages = Some(map.summary.unmapped).filter(|pages| *pages > 0)?;
    let so = match policy.keeps(Kind::Unknown) {
        true => "they are kept",
        false => "they are left out: what is never to be written may be among them",
    };
    Some(format!(
        "The struct pages of {pages} pages could not be read; {unknown} pages are of no known kind, \
         {so}"
    ))
}

/// Earlier crashes here, and what the report says of this one.
fn history(dir: &Path, base: &Path) -> (Vec<Earlier>, Present) {
    let earlier = space::earlier(base).unwrap_or_default();
    let report: serde_json::Value = fs::read(dir.join(REPORT_JSON))
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default();
    let signature = report.pointer("/reason/signature").and_then(|v| v.as_str());
    let number = |pointer| report.pointer(pointer).and_then(serde_json::Value::as_u64);
    let present = Present {
        signature: signature.map(str::to_owned),
        crash_time: number("/crash_time"),
        uptime_s: number("/uptime_seconds"),
    };
    (earlier, present)
}

/// Whether the core may be written.
enum Room {
    /// Yes, and about this many bytes are needed.
    For(u64),
    /// It is larger than the plan allows.
    Refused(String),
}

/// Makes room for a core, or says why it cannot be written here.
fn room_for(
    estimate: Estimate,
    plan: &Plan,
    earlier: &[Earlier],
    present: &Present,
    base: &Path,
) -> Result<Room, String> {
    let need = estimate.bytes;
    let mib = need >> 20;
    protocol::log(format!(
        "{} pages to write in {} runs, about {mib} MiB",
        estimate.pages, estimate.runs
    ));
    if let Some(most) = plan.dump.max_size.filter(|most| need > *most) {
        let most = most >> 20;
        return Ok(Room::Refused(format!(
            "it would have about {mib} MiB, and max_size is {most} MiB"
        )));
    }
    if make_room(earlier, present, plan, base, need) {
        return Ok(Room::For(need));
    }
    Err(format!(
        "It needs about {mib} MiB; {} MiB are free, of which {} always stay free",
        space::free(base).unwrap_or(0) >> 20,
        plan.keep.free >> 20
    ))
}

/// Removes what the plan says for a dump of `need` bytes; answers whether it fits then.
fn make_room(earlier: &[Earlier], present: &Present, plan: &Plan, base: &Path, need: u64) -> bool {
    let free = match space::free(base) {
        Ok(free) => free,
        Err(error) => {
            protocol::soft(format!("Cannot tell the free space: {error}"));
            return true;
        }
    };
    let removals = space::removals(earlier, present, &plan.keep, free, need);
    for path in &removals.paths {
        match space::remove(path) {
            Ok(()) => protocol::log(format!("removed {}", path.display())),
            Err(error) => {
                protocol::soft(format!("Cannot remove {}: {error}", path.display()));
            }
        }
    }
    removals.fits
}

/// How far the core can be trusted, with a sentence for each reason.
fn judge(facts: &mut CoreFacts, unfiltered: bool, stopped: bool) {
    if unfiltered {
        facts
            .soft_errors
            .push("Nothing was classified: all RAM is in the core".into());
    }
    if facts.level != facts.asked && !unfiltered {
        facts.soft_errors.push(format!(
            "The core holds level {}, asked was {}",
            facts.level, facts.asked
        ));
    }
    let doubts = doubts(&facts.rules_off, &facts.checks);
    facts.soft_errors.extend(doubts);
    if facts.pages.missing > 0 {
        facts.soft_errors.insert(
            0,
            format!("{} pages could not be read", facts.pages.missing),
        );
    }
    facts.verdict = if stopped || facts.pages.missing > 0 {
        Verdict::Incomplete
    } else if facts.soft_errors.is_empty() {
        Verdict::Complete
    } else {
        Verdict::Degraded
    };
}

/// Why more is kept than asked, a sentence for each rule that is not to be trusted.
fn doubts(rules_off: &[RuleOff], checks: &[CheckFacts]) -> Vec<String> {
    let off = rules_off.iter().filter(|off| off.degrades);
    let off = off.map(|off| format!("Rule {} is off: {}", off.rule, off.reason));
    let failed = checks.iter().filter(|check| check.verdict == "failed");
    let failed = failed.map(|check| {
        format!(
            "The check {} found {} pages where {} were expected; what its rule drops is kept",
            check.name, check.found, check.expected
        )
    });
    off.chain(failed).collect()
}

fn classify(kernel: &Kernel, dir: &Path, ram: u64, budget: Budget) -> Result<Classified, String> {
    let begun = Instant::now();
    let mut told = begun;
    let map = crate::classify::classify(kernel, dir, budget.threads.min(4), &mut |seen| {
        if told.elapsed().as_millis() >= 500 {
            told = Instant::now();
            tell("classify", seen, ram, begun);
        }
    })?;
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

fn check_facts(map: &Classified) -> Vec<CheckFacts> {
    let of = |check: &Check| CheckFacts {
        name: check.name.clone(),
        found: check.found,
        expected: check.expected,
        verdict: match &check.verdict {
            check::Verdict::Passed => "passed".into(),
            check::Verdict::Failed => "failed".into(),
            check::Verdict::NotChecked(why) => format!("not made: {why}"),
        },
    };
    map.checked.checks.iter().map(of).collect()
}

fn kinds(reader: &MapReader, policy: Policy) -> std::collections::BTreeMap<String, KindFacts> {
    reader
        .counts()
        .iter()
        .filter(|(_, pages)| *pages > 0)
        .map(|(kind, pages): (Kind, u64)| {
            let kept = policy.keeps(kind);
            (kind.name().to_owned(), KindFacts { pages, kept })
        })
        .collect()
}

/// Our own note and the header fields that come from the crashed kernel.
pub(crate) fn describe(meta: &mut CoreMeta, kernel: &Kernel, level: Level) {
    let number = match level {
        Level::Bits(n) => n,
        Level::Essential => bits::ALL,
    };
    meta.dump_level = u32::from(number);
    let version = env!("CARGO_PKG_VERSION");
    meta.own = format!(
        "LEVEL={number}\nAFTERPANIC={version}\n{}",
        kernel.recorded()
    );
    if let Some(uts) = source::utsname(kernel) {
        meta.utsname = uts;
    }
    if meta.direct_map_base.is_none() {
        meta.direct_map_base = kernel.direct_map_base();
    }
    if meta.kernel_image.is_none() {
        meta.kernel_image = kernel_image(kernel);
    }
}

/// The kernel image's mapping by its symbols: a kdump file has no segment that shows it.
fn kernel_image(kernel: &Kernel) -> Option<KernelImage> {
    let start = kernel.symbol("_text").ok()?;
    let end = kernel.symbol("_end").ok()?;
    Some(KernelImage {
        vaddr: start,
        paddr: kernel.translate(start).ok()?,
        size: end.offset_from(start)?,
    })
}

pub(crate) fn trailer(stats: &Stats) -> Vec<u8> {
    let missing: Vec<String> = stats
        .missing_first
        .iter()
        .map(ToString::to_string)
        .collect();
    serde_json::to_vec(&serde_json::json!({
        "pages": stats.pages,
        "zero": stats.zero,
        "missing": stats.missing,
        "missing_first": missing,
    }))
    .unwrap_or_default()
}

fn ram_pages(dump: &dyn MemoryDump) -> u64 {
    let mut pages = 0_u64;
    let _ = RamRuns(dump).for_each(&mut |run| {
        pages = pages.saturating_add(run.len());
        Ok(())
    });
    pages
}

/// What an earlier step of the ladder left; the directory is ours alone.
fn clear(dir: &Path) {
    for format in OutputFormat::ALL {
        let _ = fs::remove_file(dir.join(file_name(format)));
    }
    let _ = fs::remove_file(dir.join(PAGES_MAP));
}

/// The codec's level in the capture kernel, where seconds count more than bytes: zstd 1 takes half the
/// time of the format's own 3 for 2.9% more bytes (docs/measurements.md).
fn codec_level(format: OutputFormat) -> Option<i32> {
    (format == OutputFormat::ElfZst).then_some(1)
}

/// The format to write, or `None` for no core.
#[must_use]
pub fn output_format(format: Format) -> Option<OutputFormat> {
    OutputFormat::from_name(format.name())
}

fn file_name(format: OutputFormat) -> &'static str {
    match format {
        OutputFormat::ElfZst => "vmcore.elf.zst",
        OutputFormat::ElfLz4 => "vmcore.elf.lz4",
        OutputFormat::Elf => "vmcore.elf",
        OutputFormat::KdumpZstd | OutputFormat::KdumpZlib => "vmcore.kdump",
    }
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

fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

/// The most memory this process had at once (VmHWM counts file pages it mapped, too).
pub(super) fn peak_rss_kib() -> u64 {
    let Ok(status) = fs::read_to_string("/proc/self/status") else {
        return 0;
    };
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .and_then(|kib| kib.trim().parse().ok())
        .unwrap_or(0)
}
