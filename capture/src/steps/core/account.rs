//! What the manifest says of a core, and how far the core can be trusted.

use super::{Choice, Prepared, Request};
use crate::steps::{peak_rss_kib, raw};
use dump::facts::{CheckFacts, CoreFacts, KindFacts, PageCounts, Verdict};
use dump::files::core_name;
use dump::save::Saved;
use dump::{Classified, Policy};
use std::collections::BTreeMap;
use std::time::Instant;
use vmcore::mm::check::{self, Check};

/// Soft errors of the core, collected on the way.
pub(super) struct Account {
    unfiltered: bool,
    soft_errors: Vec<String>,
}

impl Account {
    pub(super) fn new(unfiltered: bool) -> Self {
        Self {
            unfiltered,
            soft_errors: Vec::new(),
        }
    }

    pub(super) fn note(&mut self, soft_error: Option<String>) {
        self.soft_errors.extend(soft_error);
    }

    /// The facts of a core as it was written.
    pub(super) fn facts(
        mut self,
        request: &Request<'_>,
        prepared: &Prepared,
        choice: &Choice,
        saved: Saved,
        begun: Instant,
        stopped: bool,
    ) -> CoreFacts {
        let asked = request.plan.dump.level;
        let map = prepared.map.as_ref();
        let missing = saved.stats.missing;
        if self.unfiltered {
            self.note(Some(
                "Nothing was classified: all RAM is in the core".into(),
            ));
        } else if choice.level != asked {
            self.note(Some(format!(
                "The core holds level {}, asked was {asked}",
                choice.level
            )));
        }
        self.soft_errors
            .extend(map.map_or_else(Vec::new, Classified::doubts));
        if missing > 0 {
            self.soft_errors
                .insert(0, format!("{missing} pages could not be read"));
        }
        let verdict = if stopped || missing > 0 {
            Verdict::Incomplete
        } else if self.soft_errors.is_empty() {
            Verdict::Complete
        } else {
            Verdict::Degraded
        };
        let sealer = request.plan.dump.sealer();
        let name = sealer.core_name(core_name(choice.format));
        let size = raw::len_of(request.dir, &name);
        CoreFacts {
            file: name,
            format: choice.format.name().into(),
            level: choice.level.to_string(),
            asked: asked.to_string(),
            verdict,
            size,
            table: saved.table,
            sums: saved.sums,
            pages: PageCounts {
                ram: prepared.ram,
                kept: saved.stats.pages,
                zero: saved.stats.zero,
                missing,
            },
            kinds: map.map_or_else(BTreeMap::new, |map| kinds(map, choice.policy)),
            checks: map.map_or_else(Vec::new, checks),
            rules_off: map.map_or_else(Vec::new, |map| map.rules_off.clone()),
            missing_first: saved
                .stats
                .missing_first
                .iter()
                .map(ToString::to_string)
                .collect(),
            soft_errors: self.soft_errors,
            threads: request.budget.threads,
            classify_s: rounded(prepared.classify_s),
            write_s: rounded(begun.elapsed().as_secs_f64()),
            peak_rss_kib: peak_rss_kib(),
        }
    }
}

fn checks(map: &Classified) -> Vec<CheckFacts> {
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

fn kinds(map: &Classified, policy: Policy) -> BTreeMap<String, KindFacts> {
    let counts = map.reader.counts();
    let some = counts.iter().filter(|(_, pages)| *pages > 0);
    some.map(|(kind, pages)| {
        let kept = policy.keeps(kind);
        (kind.name().to_owned(), KindFacts { pages, kept })
    })
    .collect()
}

fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}
