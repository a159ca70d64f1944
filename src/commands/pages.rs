//! `afterpanic pages`: what the pages of RAM were used for, whether the kernel's own counters agree,
//! and what each level would keep.

use crate::core_arg;
use crate::core_arg::CoreArg;
use crate::exit::Exit;
use crate::output::{self, Context};
use dump::{Level, Policy};
use serde::Serialize;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};
use vmcore::addr::PAGE_SIZE;
use vmcore::dump::map::{MapReader, MapWriter};
use vmcore::kernel::Kernel;
use vmcore::mm::check::{self, Check, Verdict};
use vmcore::mm::{Kind, KindCounts, Rules, Summary, walk_threads};

/// Arguments of `pages`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    core: CoreArg,
    /// Explain the kinds of pages and exit
    #[arg(long, conflicts_with = "core")]
    kinds: bool,
    /// Print one JSON object (docs/json.md)
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Pages {
    path: String,
    release: Option<String>,
    ram_pages: u64,
    runs: u64,
    unmapped_pages: u64,
    kinds: Vec<OfKind>,
    levels: Vec<OfLevel>,
    checks: Vec<OfCheck>,
    rules_off: Vec<RuleOff>,
    /// Pages of caches and processes that the kernel maps too, kept one by one.
    also_kept_pages: u64,
    /// For `live`: pages of RAM in the zones that were checked.
    checked_pages: Option<u64>,
}

#[derive(Serialize)]
struct OfKind {
    kind: &'static str,
    pages: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct OfLevel {
    level: String,
    pages: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct OfCheck {
    name: String,
    verdict: &'static str,
    why: Option<String>,
    found: u64,
    expected: u64,
    may_exceed_by: u64,
    may_fall_short_by: u64,
    slack: Vec<&'static str>,
    first_page: Option<String>,
    judges: Vec<&'static str>,
}

#[derive(Serialize)]
struct RuleOff {
    rule: &'static str,
    reason: String,
    degrades: bool,
}

/// Classifies a core, or the running kernel.
pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    if args.kinds {
        return explain(args.json);
    }
    let core = args.core.core.as_deref();
    let is_live = core == Some(Path::new("live"));
    let (found, kernel) = core_arg::kernel(context, core)?;
    let rules = Rules::of(&kernel);
    let mut map = MapWriter::new(Vec::new())?;
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(8));
    let summary = walk_threads(&kernel, &rules, threads, &mut |run| map.push(run))?;
    let mut also_kept_pages = 0;
    let mut checked_pages = None;
    let checks = if is_live {
        let deadline = Instant::now() + LIVE_TIME;
        let live = check::live(&kernel, &rules, deadline)?;
        checked_pages = Some(live.covered);
        live.checks
    } else {
        let (bytes, _) = map.finish()?;
        let map = MapReader::open(Box::new(bytes))?;
        let report = check::run(&kernel, &summary, &map, check::Options::default())?;
        also_kept_pages = report.also_kept.iter().map(|run| run.pages.len()).sum();
        report.checks
    };
    let mut pages = gather(&found.path, &kernel, &rules, &summary, &checks);
    pages.levels.extend(essential(&kernel));
    let pages = Pages {
        also_kept_pages,
        checked_pages,
        ..pages
    };
    let failed = checks.iter().any(Check::failed);
    if args.json {
        output::json("afterpanic.pages/1", &warnings(&checks, &rules), &pages)?;
    } else {
        print(&pages)?;
    }
    Ok(if failed || rules.degraded() {
        Exit::Degraded
    } else {
        Exit::Done
    })
}

/// How long the running kernel is checked.
const LIVE_TIME: Duration = Duration::from_secs(30);

fn gather(
    path: &Path,
    kernel: &Kernel,
    rules: &Rules,
    summary: &Summary,
    checks: &[Check],
) -> Pages {
    let counts = &summary.counts;
    Pages {
        path: path.display().to_string(),
        release: kernel.vmcoreinfo().osrelease().map(str::to_owned),
        ram_pages: counts.total(),
        runs: summary.runs,
        unmapped_pages: summary.unmapped,
        kinds: counts
            .iter()
            .map(|(kind, pages)| OfKind {
                kind: kind.name(),
                pages,
                bytes: pages.saturating_mul(PAGE_SIZE),
            })
            .collect(),
        levels: LEVELS.iter().map(|bits| of_level(*bits, counts)).collect(),
        checks: checks.iter().map(of_check).collect(),
        rules_off: rules
            .off()
            .iter()
            .map(|off| RuleOff {
                rule: off.rule.name(),
                reason: off.reason.clone(),
                degrades: off.degrades,
            })
            .collect(),
        also_kept_pages: 0,
        checked_pages: None,
    }
}

/// What `essential` keeps is found by another way than the memory map; where symbols or types are
/// missing it is not to be had, and not shown.
fn essential(kernel: &Kernel) -> Option<OfLevel> {
    let found = analysis::essential::ranges(kernel, Default::default()).ok()?;
    let pages = found.pages();
    Some(OfLevel {
        level: Level::Essential.to_string(),
        pages,
        bytes: pages.saturating_mul(PAGE_SIZE),
    })
}

/// The levels shown: each bit alone, and all together. Bit 1 is about contents: zero pages are kept
/// and cost nothing.
const LEVELS: [u8; 6] = [0, 2, 4, 8, 16, 31];

fn of_level(bits: u8, counts: &KindCounts) -> OfLevel {
    let level = Level::Bits(bits);
    let policy = Policy::new(level, &[], &[]);
    let kept = counts.iter().filter(|(kind, _)| policy.keeps(*kind));
    let pages = kept.fold(0u64, |sum, (_, pages)| sum.saturating_add(pages));
    OfLevel {
        level: level.to_string(),
        pages,
        bytes: pages.saturating_mul(PAGE_SIZE),
    }
}

fn of_check(check: &Check) -> OfCheck {
    let sum = |part: fn(&check::Slack) -> u64| {
        let parts = check.slack.iter().map(part);
        parts.fold(0u64, u64::saturating_add)
    };
    OfCheck {
        name: check.name.clone(),
        verdict: match &check.verdict {
            Verdict::Passed => "passed",
            Verdict::Failed => "failed",
            Verdict::NotChecked(_) => "not-checked",
        },
        why: match &check.verdict {
            Verdict::NotChecked(why) => Some(why.clone()),
            _ => None,
        },
        found: check.found,
        expected: check.expected,
        may_exceed_by: sum(|slack| slack.more),
        may_fall_short_by: sum(|slack| slack.fewer),
        slack: check
            .slack
            .iter()
            .filter(|slack| slack.more > 0 || slack.fewer > 0)
            .map(|slack| slack.source)
            .collect(),
        first_page: check.first.map(|pfn| format!("{pfn:#x}")),
        judges: check.judges.iter().map(|rule| rule.name()).collect(),
    }
}

fn warnings(checks: &[Check], rules: &Rules) -> Vec<String> {
    let failed = checks.iter().filter(|check| check.failed()).map(|check| {
        format!(
            "The check {} failed: {} pages found, {} expected",
            check.name, check.found, check.expected
        )
    });
    let off = rules
        .off()
        .iter()
        .filter(|off| off.degrades)
        .map(|off| format!("The rule {} is off: {}", off.rule.name(), off.reason));
    failed.chain(off).collect()
}

fn print(pages: &Pages) -> anyhow::Result<()> {
    let mut out = output::stdout();
    writeln!(
        out,
        "{}: {}, {} of RAM",
        pages.path,
        pages
            .release
            .as_deref()
            .unwrap_or("a kernel without a name"),
        output::size(pages.ram_pages.saturating_mul(PAGE_SIZE))
    )?;
    writeln!(out)?;
    writeln!(out, "  kind                 pages        size")?;
    for kind in pages.kinds.iter().filter(|kind| kind.pages > 0) {
        let size = output::size(kind.bytes);
        writeln!(out, "  {:14} {:>11} {size:>11}", kind.kind, kind.pages)?;
    }
    writeln!(out)?;
    writeln!(out, "  level           would keep        size")?;
    for level in &pages.levels {
        let size = output::size(level.bytes);
        writeln!(out, "  {:14} {:>11} {size:>11}", level.level, level.pages)?;
    }
    if pages.also_kept_pages > 0 {
        let also = pages.also_kept_pages;
        writeln!(out)?;
        writeln!(
            out,
            "{also} pages of caches and processes are mapped by the kernel too: kept."
        )?;
    }
    print_checks(pages, &mut out)
}

fn print_checks(pages: &Pages, out: &mut dyn Write) -> anyhow::Result<()> {
    let with = |verdict| pages.checks.iter().filter(move |c| c.verdict == verdict);
    writeln!(out)?;
    writeln!(
        out,
        "checks: {} passed, {} failed, {} not made",
        with("passed").count(),
        with("failed").count(),
        with("not-checked").count()
    )?;
    if let Some(checked) = pages.checked_pages {
        let of = output::size(pages.ram_pages.saturating_mul(PAGE_SIZE));
        let checked = output::size(checked.saturating_mul(PAGE_SIZE));
        writeln!(out, "  the zones checked hold {checked} of {of}")?;
    }
    for check in &pages.checks {
        match &check.why {
            Some(why) => writeln!(out, "  {:22} not made: {why}", check.name)?,
            None => writeln!(
                out,
                "  {:22} {:6} {:>10} found, {:>10} expected (+{} -{})",
                check.name,
                check.verdict,
                check.found,
                check.expected,
                check.may_exceed_by,
                check.may_fall_short_by
            )?,
        }
    }
    for off in &pages.rules_off {
        let weight = if off.degrades { "" } else { " (no harm)" };
        writeln!(out, "rule {} is off{weight}: {}", off.rule, off.reason)?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Kinds {
    kinds: Vec<Explained>,
}

#[derive(Serialize)]
struct Explained {
    kind: &'static str,
    dropped_by: Vec<String>,
    means: &'static str,
}

fn explain(as_json: bool) -> anyhow::Result<Exit> {
    let kinds: Vec<Explained> = Kind::ALL
        .into_iter()
        .map(|kind| Explained {
            kind: kind.name(),
            dropped_by: dropped_by(kind),
            means: meaning(kind),
        })
        .collect();
    if as_json {
        output::json("afterpanic.kinds/1", &[], &Kinds { kinds })?;
        return Ok(Exit::Done);
    }
    let mut out = output::stdout();
    for kind in kinds {
        let dropped = match kind.dropped_by.as_slice() {
            [] => "always kept".to_owned(),
            [all] if all == "all" => "never read".to_owned(),
            bits => format!("dropped by {}", bits.join(", ")),
        };
        writeln!(out, "{:14} {} ({dropped})", kind.kind, kind.means)?;
    }
    Ok(Exit::Done)
}

/// The bits that drop a kind; `all` when no level keeps it.
fn dropped_by(kind: Kind) -> Vec<String> {
    let drops = |bits: &u8| !Policy::new(Level::Bits(*bits), &[], &[]).keeps(kind);
    if drops(&0) {
        return vec!["all".to_owned()];
    }
    let bits = [2u8, 4, 8, 16].into_iter().filter(drops);
    bits.map(|bits| bits.to_string()).collect()
}

fn meaning(kind: Kind) -> &'static str {
    match kind {
        Kind::Unknown => "Not understood, or its struct page could not be read",
        Kind::Free => "Free, in the buddy allocator",
        Kind::Unaccepted => {
            "Not yet accepted from the hypervisor; touching it can kill the machine"
        }
        Kind::Cache => "Page cache and swap cache, tmpfs among it",
        Kind::CachePrivate => "Page cache with data of the filesystem attached",
        Kind::Anon => "Memory of processes: heap, stacks, copied pages",
        Kind::Hugetlb => "Huge pages set aside for processes, in use or not",
        Kind::Slab => "The kernel's small objects",
        Kind::PageTable => "Page tables",
        Kind::Typed => "Other pages with a type: zsmalloc, large kmalloc, guard pages",
        Kind::HwPoison => "Memory that failed; reading it can kill the machine",
        Kind::Offline => "Ballooned away or offline; there may be no memory behind it",
        Kind::Kernel => "In use by the kernel: stacks, vmalloc, per-CPU areas, drivers",
        Kind::Reserved => "Reserved since boot: the kernel image, struct pages, firmware's holes",
        Kind::Device => "Device memory with struct pages (pmem)",
        _ => "Of a kind that this version has no words for",
    }
}
