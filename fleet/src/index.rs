//! `index`: new crashes of the bucket become rows of Parquet files. Each day of crashes has its own parts. A
//! run lists the objects, reads which crashes the parts have, and reads manifest and report of the others.
//! Memory is bounded: one directory of the listing, 32 reports that are being read, one part that is being
//! made, and 32 bytes for each crash of the day.

pub(crate) mod columns;
mod facts;
mod groups;
pub(crate) mod parts;
pub(crate) mod read;
mod row;

use crate::bucket::{Bucket, Kind, Unreachable};
use crate::layout::{CRASHES, day_in};
use crate::output;
use anyhow::{Result, bail};
use columns::Row;
use groups::{Group, Groups, Range};
use parts::{Parts, Writer, mark};
use row::Found;
use serde::Serialize;
use std::collections::HashMap;
use tokio::task::JoinSet;

/// Crashes that are read at a time.
const AT_ONCE: usize = 32;
/// Rows that are encoded at a time.
const BATCH: usize = 256;
/// How often a day is looked at again because another indexer was first.
const ATTEMPTS: u32 = 8;
/// Problems that are named; more are counted.
const NAMED: usize = 50;
/// A crash that arrives so much later is late, in microseconds.
const LATE: i64 = 48 * 3600 * 1_000_000;
/// Machines of a day that are listed one by one where the whole day cannot be.
const MOST_MACHINES: usize = 1_000_000;

/// What a run did.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Indexed {
    /// Rows that were added.
    pub added: u64,
    /// Crashes that the index had.
    pub known: u64,
    /// Crashes whose manifest is not there yet.
    pub unfinished: u64,
    /// Crashes that could not be read, and were skipped.
    pub damaged: u64,
    /// Rows of crashes that arrived more than two days after they happened.
    pub late: u64,
    /// Rows whose time cannot be right.
    pub wrong_clock: u64,
    /// Objects that are not part of a crash directory.
    pub strangers: u64,
    /// Parts that were written.
    pub parts: u64,
    /// Parts that were merged into others.
    pub merged: u64,
    /// Parts that were removed after that.
    pub removed: u64,
    /// The first problems, a sentence each.
    #[serde(rename = "warnings")]
    pub problems: Vec<String>,
    /// Problems that are not among them.
    #[serde(rename = "more_warnings")]
    pub more_problems: u64,
}

impl Indexed {
    fn problem(&mut self, text: String) {
        match self.problems.len() < NAMED {
            true => self.problems.push(text),
            false => self.more_problems += 1,
        }
    }

    /// Whether something was skipped that may never come right by itself.
    pub(crate) fn is_degraded(&self) -> bool {
        !self.problems.is_empty()
    }
}

/// How to index.
pub(crate) struct Index {
    /// Where.
    pub bucket: Bucket,
    /// The first day.
    pub since: Option<String>,
    /// How long a part that was merged stays for queries that read it, in microseconds.
    pub grace: i64,
}

/// The current time, in microseconds since 1970.
fn now() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

impl Index {
    /// Indexes what is new.
    pub(crate) async fn run(&self) -> Result<Indexed> {
        if self.bucket.kind == Kind::Http {
            bail!("{}", self.bucket.unconditional());
        }
        let mut total = Indexed::default();
        let mut days = Vec::new();
        for prefix in self.bucket.below(CRASHES).await? {
            match day_in(&prefix, CRASHES) {
                Some(day) => days.push(day.to_owned()),
                None => {
                    total.strangers += 1;
                    total.problem(format!("skipped {}: not a day", self.bucket.key(&prefix)));
                }
            }
        }
        days.retain(|day| self.since.as_ref().is_none_or(|since| day >= since));
        days.sort();
        for day in days {
            if let Err(error) = self.day(&day, &mut total).await {
                if error.downcast_ref::<Unreachable>().is_some() {
                    return Err(error);
                }
                total.problem(format!("{day}: {error:#}"));
            }
        }
        Ok(total)
    }

    async fn day(&self, day: &str, total: &mut Indexed) -> Result<()> {
        let dir = format!("{CRASHES}/dt={day}");
        let mut ranges = vec![Range {
            below: dir.clone(),
            after: None,
        }];
        let mut whole = true;
        for _ in 0..ATTEMPTS {
            let attempt = Attempt::new(self, day, total.clone()).await?;
            match attempt.run(&ranges, whole).await {
                Ok(Some(done)) => {
                    *total = done;
                    return Ok(());
                }
                Ok(None) => {}
                // A key that is no path ends a listing. The other machines' are still good.
                Err(error) if whole && error.downcast_ref::<Unreachable>().is_none() => {
                    total.problem(format!("{error:#}. Each machine is listed by itself"));
                    ranges = self.machines(&dir).await;
                    whole = false;
                }
                Err(error) => return Err(error),
            }
        }
        bail!("other indexers were first {ATTEMPTS} times; run it again")
    }

    /// The machines of a day, one by one. Where even they cannot be listed, what lies behind the first name
    /// that a machine can have: most wrong names sort before it.
    async fn machines(&self, dir: &str) -> Vec<Range> {
        let machines = self.bucket.below(dir).await.unwrap_or_default();
        let mut ranges: Vec<Range> = machines
            .iter()
            .take(MOST_MACHINES)
            .map(|machine| Range {
                below: self.bucket.key(machine).to_owned(),
                after: None,
            })
            .collect();
        if ranges.is_empty() {
            ranges.push(Range {
                below: dir.to_owned(),
                after: Some(format!("{dir}/0")),
            });
        }
        ranges
    }
}

/// One look at a day.
struct Attempt<'a> {
    index: &'a Index,
    day: &'a str,
    parts: Parts,
    known: HashMap<parts::Mark, parts::Mark>,
    tally: Indexed,
    rows: Vec<Row>,
    writer: Writer,
    tasks: JoinSet<(Found, Result<Row>)>,
    replaced: bool,
    now: i64,
}

impl<'a> Attempt<'a> {
    async fn new(index: &'a Index, day: &'a str, mut tally: Indexed) -> Result<Self> {
        let parts = Parts::list(&index.bucket, day).await?;
        let mut known = HashMap::new();
        for part in &parts.live {
            if let Err(error) = parts::known(&index.bucket, part, &mut known).await {
                tally.problem(format!("{error:#}"));
            }
        }
        Ok(Self {
            index,
            day,
            parts,
            known,
            tally,
            rows: Vec::new(),
            writer: Writer::new()?,
            tasks: JoinSet::new(),
            replaced: false,
            now: now(),
        })
    }

    /// Reads what is new; `None`: another indexer was first. `whole`: a range that cannot be listed is an error.
    async fn run(mut self, ranges: &[Range], whole: bool) -> Result<Option<Indexed>> {
        for range in ranges {
            match self.list(range).await {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(error) if whole || error.downcast_ref::<Unreachable>().is_some() => {
                    return Err(error);
                }
                Err(error) => self
                    .tally
                    .problem(format!("skipped {}: {error:#}", range.below)),
            }
        }
        while let Some(done) = self.tasks.join_next().await {
            if !self.take(done?).await? {
                return Ok(None);
            }
        }
        if !self.close().await? {
            return Ok(None);
        }
        self.tidy().await?;
        Ok(Some(self.tally))
    }

    /// Reads the new crashes of one listing.
    async fn list(&mut self, range: &Range) -> Result<bool> {
        let mut groups = Groups::new(&self.index.bucket, range);
        while let Some(group) = groups.next().await? {
            let found = match group {
                Group::Crash(found) => found,
                Group::Unfinished => {
                    self.tally.unfinished += 1;
                    continue;
                }
                Group::Stranger(key) => {
                    self.tally.strangers += 1;
                    self.tally
                        .problem(format!("skipped {key}: not part of a crash directory"));
                    continue;
                }
            };
            match self.known.get(&mark(&found.key.id())) {
                Some(tag) if *tag == mark(&found.tag) => {
                    self.tally.known += 1;
                    continue;
                }
                Some(_) => self.replaced = true,
                None => {}
            }
            while self.tasks.len() >= AT_ONCE {
                let Some(done) = self.tasks.join_next().await else {
                    break;
                };
                if !self.take(done?).await? {
                    return Ok(false);
                }
            }
            let (bucket, now) = (self.index.bucket.clone(), self.now);
            self.tasks.spawn(async move {
                let row = row::read(&bucket, &found, now).await;
                (found, row)
            });
        }
        Ok(true)
    }

    /// Takes a crash that was read; `false`: another indexer was first.
    async fn take(&mut self, (found, row): (Found, Result<Row>)) -> Result<bool> {
        let row = match row {
            Ok(row) => row,
            Err(error) if error.downcast_ref::<Unreachable>().is_some() => return Err(error),
            Err(error) => {
                self.tally.damaged += 1;
                self.tally
                    .problem(format!("skipped {}: {error:#}", found.key.dir()));
                return Ok(true);
            }
        };
        self.tally.late += u64::from(
            row.time
                .is_some_and(|time| row.arrived.saturating_sub(time) > LATE),
        );
        if row.clock != "ok" {
            self.tally.wrong_clock += 1;
        }
        self.tally.added += 1;
        self.rows.push(row);
        if self.rows.len() >= BATCH {
            self.encode()?;
        }
        match self.writer.size() > parts::PART_BYTES {
            true => self.close().await,
            false => Ok(true),
        }
    }

    fn encode(&mut self) -> Result<()> {
        if !self.rows.is_empty() {
            self.writer.push(&columns::batch(&self.rows)?)?;
            self.rows.clear();
        }
        Ok(())
    }

    /// Writes the part that is being made; `false`: another indexer was first.
    async fn close(&mut self) -> Result<bool> {
        self.encode()?;
        if self.writer.is_empty() {
            return Ok(true);
        }
        let writer = std::mem::replace(&mut self.writer, Writer::new()?);
        let bucket = &self.index.bucket;
        if !self.parts.add(bucket, self.day, writer.finish()?).await? {
            return Ok(false);
        }
        self.tally.parts += 1;
        self.parts = Parts::list(bucket, self.day).await?;
        Ok(true)
    }

    /// Merges parts, and removes those that were merged a while ago.
    async fn tidy(&mut self) -> Result<()> {
        let bucket = &self.index.bucket;
        match self.parts.compact(bucket, self.day, self.replaced).await {
            Ok(0) => {}
            Ok(merged) => {
                self.tally.merged += merged as u64;
                self.parts = Parts::list(bucket, self.day).await?;
            }
            // Another one merged them, or one is damaged and was named.
            Err(error) if error.downcast_ref::<Unreachable>().is_none() => {}
            Err(error) => return Err(error),
        }
        for (part, since) in &self.parts.covered {
            if now().saturating_sub(*since) >= self.index.grace {
                bucket.remove(&part.key).await?;
                self.tally.removed += 1;
            }
        }
        Ok(())
    }
}

/// Prints what a run did.
pub(crate) fn print(done: &Indexed) -> std::io::Result<()> {
    use std::io::Write;
    let mut out = output::out();
    writeln!(
        out,
        "{} new crashes indexed, {} known",
        done.added, done.known
    )?;
    for (count, what) in [
        (done.unfinished, "have not arrived as a whole yet"),
        (done.damaged, "cannot be read and were skipped"),
        (done.late, "arrived more than two days after the crash"),
        (done.wrong_clock, "have a time that cannot be right"),
        (done.strangers, "objects are not part of a crash directory"),
        (done.merged, "parts merged"),
    ] {
        if count > 0 {
            writeln!(out, "{count} {what}")?;
        }
    }
    out.flush()
}
