//! The report and `essential.elf.zst`: what report, bt and ps need, found by walking kernel structures, before
//! anything that could take long. The struct pages of the pages found are read first: poisoned and
//! offline pages, and kinds that `never` forbids, are left out.
//!
//! The door from capture into analysis: one walk finds the pages and makes the report. It runs in a
//! child with a deadline of its own, and its failure is a soft error.

use super::room::Room;
use super::{begin, raw, report, source};
use crate::protocol;
use analysis::essential::{self, Made, Options};
use dump::budget::Budget;
use dump::describe::describe;
use dump::pipeline::Pace;
use dump::save::{Pages, Save};
use dump::seal::Sealer;
use dump::{Level, Policy, allowed};
use plan::Plan;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use store::manifest::{CrashFacts, ESSENTIAL};
use store::rotation::Need;
use store::{Store, loop_guard};
use vmcore::addr::PAGE_SIZE;
use vmcore::kernel::chain;
use vmcore::write::{CoreMeta, OutputFormat};

/// zstd's level. The file is gone once the core is complete, so only its time counts (`--fast=10`).
const CODEC_LEVEL: i32 = -10;

/// Output buffers.
const BUFFER: usize = 256 << 10;

/// Bytes for the log, the report and the manifest.
const SMALL: u64 = 16 << 20;

pub(super) fn run(plan: &Plan, dir: &Path, budget: Budget) -> Result<(), String> {
    let begun = Instant::now();
    let sealer = plan.dump.sealer();
    let kernel = source::kernel(plan)?;
    // The walk makes tables of its own. A fresh kernel frees the tables that the guard used.
    let dump = Arc::clone(kernel.dump());
    let kernel = kernel.on(dump).map_err(|error| chain(&error))?;
    let options = Options {
        max_bytes: plan.dump.essential_max,
        ..Options::default()
    };
    let found = essential::ranges(&kernel, options).map_err(|error| chain(&error))?;
    for warning in &found.warnings {
        protocol::log(format!("essential: {warning}"));
    }
    if found.is_capped() {
        protocol::log("essential: the cap left something out");
    }
    protocol::log(format!(
        "essential: {} pages found and the report made in {:.1} s, peak {} KiB",
        found.pages(),
        begun.elapsed().as_secs_f64(),
        super::peak_rss_kib()
    ));
    let policy = Policy::new(Level::Essential, &[], &plan.dump.never);
    let looked_up = allowed(&kernel, &found.ranges, policy).map_err(|error| chain(&error));
    let ranges = match looked_up {
        Ok((ranges, forbidden)) => {
            for (kind, pages) in forbidden.iter().filter(|(_, pages)| *pages > 0) {
                let kind = kind.name();
                protocol::log(format!(
                    "essential: {pages} pages left out, which are {kind}"
                ));
            }
            ranges
        }
        Err(why) if plan.dump.never.is_empty() => {
            protocol::soft(format!(
                "The kinds of the essential pages are not known: {why}"
            ));
            found.ranges
        }
        Err(why) => {
            tell(found.report.as_ref(), dir, &sealer)?;
            return Err(format!(
                "`never = [...]` needs the kinds of pages, which are not known: {why}"
            ));
        }
    };
    let bytes = ranges.iter().map(|range| range.len()).sum::<u64>();
    let bytes = bytes.saturating_mul(PAGE_SIZE).saturating_add(SMALL);
    if make_room(plan, dir, found.report.as_ref(), bytes) {
        begin::again(&kernel, dir, &sealer).unwrap_or_else(protocol::soft);
    }
    // Before the pages: it is small, and a slow or full disk must not cost it.
    let told = tell(found.report.as_ref(), dir, &sealer);
    let dump = kernel.dump().as_ref();
    let mut meta = CoreMeta::of(dump.info());
    describe(&mut meta, &kernel, Level::Essential);
    let name = sealer.core_name(ESSENTIAL);
    let saved = Save {
        dump,
        pages: Pages::Runs(&ranges),
        meta,
        format: OutputFormat::ElfZst,
        codec_level: Some(CODEC_LEVEL),
        dir,
        region: raw::region(dir, &name)?,
        name,
        map: None,
        recipients: sealer.recipients(),
        threads: budget.threads,
        pace: Pace::Own,
        buffer: BUFFER,
        flight: Some(budget.flight),
        total: None,
        reserve: 0,
        scan_progress: None,
    }
    .run(&mut |_| b"{}".to_vec(), &mut |_, _| {});
    let saved = saved.map_err(|error| chain(&error))?;
    protocol::log(format!(
        "{ESSENTIAL}: {} pages, {} MiB in {:.1} s, peak {} KiB",
        saved.stats.pages,
        saved.finished.len >> 20,
        begun.elapsed().as_secs_f64(),
        super::peak_rss_kib()
    ));
    told
}

/// Removes earlier crashes where the log, the report and the essential pages, `bytes` before they are
/// compressed, would not fit. Answers whether something was removed.
fn make_room(plan: &Plan, dir: &Path, made: Option<&Made>, bytes: u64) -> bool {
    let Some(base) = dir.parent() else {
        return false;
    };
    let free = match raw::room(base) {
        Ok(Some(free)) => Ok(free),
        _ => Store::open(base).and_then(|store| store.place().room()),
    };
    if free.is_ok_and(|free| free >= bytes) {
        return false;
    }
    let room = match Room::of(base) {
        Ok(room) => room,
        Err(why) => {
            protocol::soft(why);
            return false;
        }
    };
    let crash = made.map_or_else(CrashFacts::default, |made| report::facts(&made.report));
    let guarded = plan.keep.loop_guard && loop_guard::in_a_loop(room.earlier(), &crash).is_some();
    let wants_core = plan.dump.format.is_some() && plan.dump.level != Level::Essential;
    let need = Need::Essential {
        bytes,
        core_follows: wants_core && !guarded,
    };
    let removals = room.plan(&plan.keep, &crash, need);
    room.make(&removals);
    !removals.names.is_empty()
}

/// Writes the report that the walk made.
fn tell(made: Option<&Made>, dir: &Path, sealer: &Sealer) -> Result<(), String> {
    made.map_or(Ok(()), |made| report::write(made, dir, sealer))
}
