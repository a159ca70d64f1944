//! The index in numbers: the whole fleet, and each signature. About 100 bytes of memory a crash.

use crate::bucket::Bucket;
use crate::index::read::{Batch, scan};
use crate::layout::Part;
use anyhow::Result;
use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, RandomState};

/// Signatures that have numbers of their own; the rest counts in the whole only.
const MOST_SIGNATURES: usize = 5_000;
/// Names of one kind that are counted apart.
const MOST_NAMES: usize = 500;
/// The newest crashes of a signature that its page names.
const NEWEST: usize = 50;
const COLUMNS: [&str; 11] = [
    "crash",
    "machine",
    "node",
    "signature",
    "class",
    "release",
    "day",
    "verdict",
    "headline",
    "report_path",
    "path",
];

/// A crash that is named.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct Crash {
    /// Days since 1970.
    pub day: i32,
    pub id: String,
    pub node: String,
    pub release: String,
    pub verdict: String,
    pub report_path: Option<String>,
    pub path: String,
}

/// Numbers of some crashes.
#[derive(Default)]
pub(super) struct Counts {
    pub crashes: u64,
    /// Hashes of machines.
    pub machines: HashSet<u64>,
    /// Crashes by day.
    pub days: BTreeMap<i32, u64>,
    /// Crashes by release.
    pub releases: BTreeMap<String, u64>,
    pub verdicts: BTreeMap<String, u64>,
    pub classes: BTreeMap<String, u64>,
    /// The newest, oldest first.
    pub newest: Vec<Crash>,
    pub headline: String,
}

/// All of it.
#[derive(Default)]
pub(super) struct Gathered {
    pub all: Counts,
    pub signatures: BTreeMap<String, Counts>,
    /// Crashes whose signature has no numbers of its own.
    pub others: u64,
    seen: HashSet<u64>,
    hasher: RandomState,
}

impl Gathered {
    /// Reads the parts.
    pub(super) async fn read(bucket: &Bucket, parts: &[(String, Part)]) -> Result<Self> {
        let mut gathered = Self::default();
        for (_, part) in parts {
            scan(bucket, part, &COLUMNS, &mut |batch| {
                (0..batch.rows()).for_each(|row| gathered.add(batch, row));
            })
            .await?;
        }
        Ok(gathered)
    }

    fn add(&mut self, batch: &Batch<'_>, row: usize) {
        let text = |column: &str| batch.text(column, row).unwrap_or_default();
        let id = text("crash");
        if !self.seen.insert(self.hasher.hash_one(id)) {
            return;
        }
        let machine = self.hasher.hash_one(text("machine"));
        let crash = Crash {
            day: batch.day("day", row).unwrap_or_default(),
            id: id.to_owned(),
            node: text("node").to_owned(),
            release: text("release").to_owned(),
            verdict: text("verdict").to_owned(),
            report_path: batch.text("report_path", row).map(str::to_owned),
            path: text("path").to_owned(),
        };
        self.all
            .add(machine, text("class"), text("headline"), &crash);
        let signature = text("signature");
        if signature.is_empty()
            || (!self.signatures.contains_key(signature)
                && self.signatures.len() >= MOST_SIGNATURES)
        {
            self.others += 1;
            return;
        }
        let counts = self.signatures.entry(signature.to_owned()).or_default();
        counts.add(machine, text("class"), text("headline"), &crash);
    }
}

impl Counts {
    fn add(&mut self, machine: u64, class: &str, headline: &str, crash: &Crash) {
        self.crashes += 1;
        self.machines.insert(machine);
        *self.days.entry(crash.day).or_default() += 1;
        count(&mut self.releases, &crash.release);
        count(&mut self.verdicts, &crash.verdict);
        count(&mut self.classes, class);
        if self.headline.is_empty() {
            headline.clone_into(&mut self.headline);
        }
        if self.newest.len() >= NEWEST.saturating_mul(2) {
            self.trim();
        }
        self.newest.push(crash.clone());
    }

    /// Keeps the newest.
    pub(super) fn trim(&mut self) {
        self.newest.sort();
        let surplus = self.newest.len().saturating_sub(NEWEST);
        self.newest.drain(..surplus);
    }
}

fn count(names: &mut BTreeMap<String, u64>, name: &str) {
    let name = if name.is_empty() { "unknown" } else { name };
    let full = names.len() >= MOST_NAMES && !names.contains_key(name);
    let name = if full { "other" } else { name };
    *names.entry(name.to_owned()).or_default() += 1;
}
