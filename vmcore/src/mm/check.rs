//! Proofs of a classification: page by page, and against the kernel's own counters.
//!
//! Five kinds of evidence, each independent of the rules it judges:
//! - what single pages said against a rule during the walk ([`super::Findings`]);
//! - sums: pages by kind against vmstat's counters ([`counters`] reads them, [`sums`] compares);
//! - the fields of a struct page by the kernel's types ([`live`] makes this one too);
//! - the kernel image and what the kernel's page tables map outside the direct map ([`proofs`]).
//!
//! A failed check names the rules it judges; [`Report::distrusted`] answers the kinds that are then
//! to be kept. Differences that are honest are named one by one with their size, in pages; there
//! are no percentages. What is done about a failure is policy: `dump::classify`, `capture`.

pub mod counters;
mod live;
pub mod proofs;
pub mod sums;

pub use live::{Live, live};

use super::{Kind, KindRun, Rule, Summary};
use crate::addr::PfnRange;
use crate::dump::map::MapReader;
use crate::kernel::{Kernel, chain as chain_of};
use std::io;
use std::time::Instant;

/// How a check ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The numbers agree within the tolerance.
    Passed,
    /// They do not: the rules judged are not to be trusted.
    Failed,
    /// It could not be made; the words say why.
    NotChecked(String),
}

/// A named source of honest difference, in pages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Slack {
    /// Where it comes from.
    pub source: &'static str,
    /// By so much the pages found may pass the kernel's account …
    pub more: u64,
    /// … and by so much fall short of it.
    pub fewer: u64,
}

/// One check with both numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// Its name in reports and JSON: `free/0/Normal`, `slab`, `mapped/free` ….
    pub name: String,
    /// The rules it judges: these and only these are not to be trusted when it failed.
    pub judges: Vec<Rule>,
    /// Pages found by the walk (or offending pages, for a proof page by page).
    pub found: u64,
    /// Pages by the kernel's own account (0 for a proof page by page).
    pub expected: u64,
    /// The honest differences.
    pub slack: Vec<Slack>,
    /// Pages looked at, for a proof page by page: none looked at proves nothing.
    pub seen: u64,
    /// The first offending page, for a proof page by page.
    pub first: Option<u64>,
    /// The outcome.
    pub verdict: Verdict,
}

impl Check {
    /// A comparison of two numbers.
    #[must_use]
    pub fn compare(
        name: impl Into<String>,
        judges: &[Rule],
        found: u64,
        expected: u64,
        slack: Vec<Slack>,
    ) -> Self {
        let more: u64 = slack.iter().map(|s| s.more).sum();
        let fewer: u64 = slack.iter().map(|s| s.fewer).sum();
        let fits =
            found <= expected.saturating_add(more) && found.saturating_add(fewer) >= expected;
        Self {
            name: name.into(),
            judges: judges.to_vec(),
            found,
            expected,
            slack,
            seen: 0,
            first: None,
            verdict: if fits {
                Verdict::Passed
            } else {
                Verdict::Failed
            },
        }
    }

    /// A check that could not be made.
    #[must_use]
    pub fn not_made(name: impl Into<String>, judges: &[Rule], why: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            judges: judges.to_vec(),
            found: 0,
            expected: 0,
            slack: Vec::new(),
            seen: 0,
            first: None,
            verdict: Verdict::NotChecked(why.into()),
        }
    }

    /// Whether it speaks against the rules it judges.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.verdict == Verdict::Failed
    }
}

/// All checks of one classification.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The checks, in the order they were made.
    pub checks: Vec<Check>,
    /// Pages of caches and processes that the kernel's page tables map as well (a driver's `vmap`,
    /// a framebuffer in shmem): to be kept besides the kinds that are kept, unless the operator
    /// forbade their kind. Ascending, disjoint.
    pub also_kept: Vec<KindRun>,
}

impl Report {
    /// The rules that a failed check judges, each once.
    #[must_use]
    pub(crate) fn failed_rules(&self) -> Vec<Rule> {
        let mut rules: Vec<Rule> = self
            .checks
            .iter()
            .filter(|check| check.failed())
            .flat_map(|check| check.judges.iter().copied())
            .collect();
        rules.sort_unstable();
        rules.dedup();
        rules
    }

    /// The kinds that are to be kept because of the failed checks.
    #[must_use]
    pub fn distrusted(&self) -> Vec<Kind> {
        let mut kinds: Vec<Kind> = self
            .failed_rules()
            .iter()
            .flat_map(|rule| rule.kinds().iter().copied())
            .collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }
}

/// Bounds of the checks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// When to stop: checks not made by then say so.
    pub deadline: Option<Instant>,
}

/// Makes every check that this dump allows.
///
/// # Errors
/// Only when the map cannot be read; whatever the dump lacks is a check that was not made.
pub fn run(
    kernel: &Kernel,
    summary: &Summary,
    map: &MapReader,
    options: Options,
) -> io::Result<Report> {
    let mut report = Report::default();
    let cpus = counters::cpus(kernel);
    report.checks.push(offsets(kernel));
    report.checks.extend(findings(summary, cpus));
    report
        .checks
        .extend(sums::compare(kernel, summary, map, cpus)?);
    report.checks.extend(proofs::image(kernel, map)?);
    proofs::mapped(kernel, map, options, &mut report)?;
    Ok(report)
}

/// The fields of a struct page that the rules read, wherever both accounts name them: VMCOREINFO's,
/// by which the walk goes, against the kernel's types.
pub(crate) fn offsets(kernel: &Kernel) -> Check {
    const FIELDS: [&str; 8] = [
        "flags",
        "lru",
        "mapping",
        "private",
        "_mapcount",
        "_refcount",
        "compound_head",
        "compound_info",
    ];
    let (name, judges) = ("offsets", &[Rule::Fields]);
    let types = match kernel.types() {
        Ok(types) => types,
        Err(error) => return Check::not_made(name, judges, chain_of(&error)),
    };
    let info = kernel.vmcoreinfo();
    let (mut seen, mut same) = (0, 0);
    for field in FIELDS {
        let said = info.offset(&format!("page.{field}"));
        let typed = types.member("page", field).map(|member| member.offset);
        if let (Some(said), Ok(typed)) = (said, typed) {
            seen += 1;
            same += u64::from(said == typed);
        }
    }
    if let (Some(said), Ok(typed)) = (info.size("page"), types.size_of("page")) {
        seen += 1;
        same += u64::from(said == typed);
    }
    if seen == 0 {
        return Check::not_made(
            name,
            judges,
            "neither VMCOREINFO nor the types name a field",
        );
    }
    Check {
        seen,
        ..Check::compare(name, judges, same, seen, Vec::new())
    }
}

/// What single pages said during the walk. Each CPU may have been stopped while it made or freed
/// one block.
fn findings(summary: &Summary, cpus: u64) -> Vec<Check> {
    let caught = Slack {
        source: "a CPU stopped while it built or freed a block",
        more: cpus,
        fewer: 0,
    };
    let of = |(rule, evidence): (Rule, super::Evidence)| Check {
        first: evidence.first,
        seen: summary.counts.total(),
        ..Check::compare(
            format!("pages/{}", rule.name()),
            &[rule],
            evidence.count,
            0,
            vec![caught.clone()],
        )
    };
    summary.findings.by_rule().into_iter().map(of).collect()
}

/// Pages of RAM in a part of memory, by the dump.
fn ram_in(kernel: &Kernel, span: PfnRange) -> u64 {
    let mut pages = 0;
    let mut at = span.start;
    while let Some(ram) = kernel
        .dump()
        .next_ram(at)
        .and_then(|ram| ram.intersect(PfnRange::new(at, span.end)))
    {
        pages += ram.len();
        at = ram.end;
    }
    pages
}

#[cfg(test)]
mod tests;
