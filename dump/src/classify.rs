//! The one pass over the memory map: every page's kind into `pages.map`. And, where there is no pass,
//! the kinds of a few pages.

use crate::facts::RuleOff;
use crate::files::{self, PAGES_MAP};
use crate::policy::Policy;
use std::io::BufWriter;
use std::path::Path;
use std::time::{Duration, Instant};
use vmcore::addr::PfnRange;
use vmcore::dump::map::{MapReader, MapWriter};
use vmcore::kernel::{Kernel, chain};
use vmcore::mm::{self, Kind, KindCounts, Rule, Rules, Summary, check};

/// A finished `pages.map`.
pub struct Classified {
    /// The file, to be gone over as often as wanted.
    pub reader: MapReader,
    /// Rules that this kernel's vmcoreinfo does not carry, each with the reason.
    pub rules_off: Vec<RuleOff>,
    /// What the pass counted.
    pub summary: Summary,
    /// The checks made, and the pages to keep beside those of the kept kinds.
    pub checked: check::Report,
    /// Why no check was made, if so.
    pub unchecked: Option<String>,
    /// Kinds whose pages may go by another name here: the rule is off, or a check failed it.
    pub uncertain: Vec<Kind>,
}

/// Time for the checks; those not made by then say so.
const CHECKS: Duration = Duration::from_secs(20);

/// Classifies every page into `dir/pages.map`, which must not exist. `progress` is told the pages
/// seen so far.
///
/// # Errors
/// One sentence: the memory map cannot be walked, or the file not be written.
pub fn classify(
    kernel: &Kernel,
    dir: &Path,
    threads: usize,
    progress: &mut dyn FnMut(u64),
) -> Result<Classified, String> {
    let rules = Rules::of(kernel);
    let write = |error: std::io::Error| format!("Cannot write {PAGES_MAP}: {error}");
    let file = files::create_file(dir, PAGES_MAP).map_err(write)?;
    let reading = file.try_clone().map_err(write)?;
    let mut writer = MapWriter::new(BufWriter::new(file)).map_err(write)?;
    let mut seen = 0_u64;
    let walked = mm::walk_threads(kernel, &rules, threads, &mut |run| {
        seen = seen.saturating_add(run.pages.len());
        progress(seen);
        writer.push(run)
    });
    let summary = walked.map_err(|error| chain(&error))?;
    writer.finish().map_err(write)?;
    let reader = MapReader::open(Box::new(reading)).map_err(|error| chain(&error))?;
    let rules_off = rules
        .off()
        .iter()
        .map(|off| RuleOff {
            rule: off.rule.name().into(),
            reason: off.reason.clone(),
            degrades: off.degrades,
        })
        .collect();
    let options = check::Options {
        deadline: Some(Instant::now() + CHECKS),
    };
    let (checked, unchecked) = match check::run(kernel, &summary, &reader, options) {
        Ok(report) => (report, None),
        Err(error) => (check::Report::default(), Some(error.to_string())),
    };
    let mut uncertain = checked.distrusted();
    let off = |kind: &Kind| Rule::of_kind(*kind).is_some_and(|rule| lacks(&rules, rule));
    uncertain.extend(Kind::ALL.into_iter().filter(off));
    Ok(Classified {
        reader,
        rules_off,
        summary,
        checked,
        unchecked,
        uncertain,
    })
}

/// Whether a rule is off that this kernel should have.
fn lacks(rules: &Rules, rule: Rule) -> bool {
    rules
        .off()
        .iter()
        .any(|off| off.rule == rule && off.degrades)
}

/// The parts of `ranges` (ascending, disjoint) that may be written, and what was taken out of them:
/// their struct pages are asked, nothing else. For pages found without a scan.
///
/// # Errors
/// One sentence: the struct pages cannot be found.
pub fn allowed(
    kernel: &Kernel,
    ranges: &[PfnRange],
    policy: Policy,
) -> Result<(Vec<PfnRange>, KindCounts), String> {
    let mut kept: Vec<PfnRange> = Vec::with_capacity(ranges.len());
    let mut forbidden = KindCounts::default();
    mm::walk_ranges(kernel, &Rules::of(kernel), ranges, &mut |run| {
        if policy.forbids(run.kind) {
            forbidden.add(run.kind, run.pages.len());
            return Ok(());
        }
        match kept.last_mut() {
            Some(last) if last.end == run.pages.start => last.end = run.pages.end,
            _ => kept.push(run.pages),
        }
        Ok(())
    })
    .map_err(|error| chain(&error))?;
    Ok((kept, forbidden))
}
