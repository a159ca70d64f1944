//! Proofs of a classification: sums against the kernel's counters, and page by page.

use super::Rule;

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
    /// At most this many pages.
    pub pages: u64,
}

/// One check with both numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// Its name in reports and JSON: `free/0/Normal`, `slab`, `mapped-by-kernel` ….
    pub name: String,
    /// The rules it judges: these and only these are not to be trusted when it failed.
    pub judges: Vec<Rule>,
    /// Pages found by the walk (or offending pages, for a proof page by page).
    pub found: u64,
    /// Pages by the kernel's own account (0 for a proof page by page).
    pub expected: u64,
    /// The honest difference, by source.
    pub slack: Vec<Slack>,
    /// The outcome.
    pub verdict: Verdict,
}
