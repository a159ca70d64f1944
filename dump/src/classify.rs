//! One pass over the memory map writes every page's kind into `pages.map`. Where there is no pass, the
//! kinds of a few pages are looked up.

use crate::facts::RuleOff;
use crate::files::PAGES_MAP;
use crate::policy::Policy;
use crate::seal::Sealer;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};
use vmcore::addr::PfnRange;
use vmcore::dump::map::{MapError, MapReader, MapWriter};
use vmcore::dump::source::SourceSlice;
use vmcore::kernel::Kernel;
use vmcore::mm::{self, Kind, KindCounts, Rule, Rules, Summary, WalkError, check};

/// Why the kinds of pages are not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClassifyError {
    /// The struct pages cannot be found or read.
    #[error("cannot walk the memory map")]
    Walk(#[from] WalkError),
    /// The file cannot be written.
    #[error("cannot write {PAGES_MAP}")]
    Write(#[source] io::Error),
    /// The finished file cannot be read again.
    #[error("cannot read {PAGES_MAP}")]
    Map(#[from] MapError),
}

/// A finished `pages.map`.
pub struct Classified {
    /// The file, decoded. It can be read any number of times.
    pub reader: MapReader,
    /// The file's content as it is, to travel inside the core.
    pub content: SourceSlice,
    /// Rules that this kernel's vmcoreinfo does not carry, each with the reason.
    pub rules_off: Vec<RuleOff>,
    /// What the pass counted.
    pub summary: Summary,
    /// The checks made, and pages to keep in addition to the kept kinds.
    pub checked: check::Report,
    /// Why no check was made, if so.
    pub unchecked: Option<String>,
    /// Kinds whose pages may be counted as another kind: the rule is off, or its check failed.
    pub uncertain: Vec<Kind>,
}

impl Classified {
    /// Why more is kept than asked: a sentence for each rule that is off or that a failed check does not
    /// trust.
    #[must_use]
    pub fn doubts(&self) -> Vec<String> {
        let off = self.rules_off.iter().filter(|off| off.degrades);
        let off = off.map(|off| format!("Rule {} is off: {}", off.rule, off.reason));
        let failed = self.checked.checks.iter().filter(|check| check.failed());
        let failed = failed.map(|check| {
            format!(
                "The check {} found {} pages where {} were expected; what its rule drops is kept",
                check.name, check.found, check.expected
            )
        });
        off.chain(failed).collect()
    }
}

/// Time for the checks. The report names those that were not made in it.
const CHECKS: Duration = Duration::from_secs(20);

/// Classifies every page into `dir/pages.map`, which must not exist; sealed where `sealer` seals logs.
/// `progress` gets the number of pages seen so far.
///
/// # Errors
/// The memory map cannot be walked, or the file cannot be written.
pub fn classify(
    kernel: &Kernel,
    dir: &Path,
    sealer: &Sealer,
    threads: usize,
    progress: &mut dyn FnMut(u64),
) -> Result<Classified, ClassifyError> {
    let rules = Rules::of(kernel);
    let file = sealer
        .create(dir, PAGES_MAP)
        .map_err(ClassifyError::Write)?;
    let mut writer = MapWriter::new(file).map_err(ClassifyError::Write)?;
    let mut seen = 0_u64;
    let summary = mm::walk_threads(kernel, &rules, threads, &mut |run| {
        seen = seen.saturating_add(run.pages.len());
        progress(seen);
        writer.push(run)
    })?;
    let (file, _) = writer.finish().map_err(ClassifyError::Write)?;
    let source = file.read_again().map_err(ClassifyError::Write)?;
    let len = source.len();
    let content = SourceSlice::new(source, 0, len);
    let reader = MapReader::open(Box::new(content.clone()))?;
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
        content,
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

/// The parts of `ranges` (ascending, disjoint) that may be written, and counts of the pages left out.
/// Only the struct pages of these ranges are read. For pages found without a scan.
///
/// # Errors
/// The struct pages cannot be found.
pub fn allowed(
    kernel: &Kernel,
    ranges: &[PfnRange],
    policy: Policy,
) -> Result<(Vec<PfnRange>, KindCounts), ClassifyError> {
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
    })?;
    Ok((kept, forbidden))
}
