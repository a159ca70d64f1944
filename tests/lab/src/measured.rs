//! Rewrites the tables of docs/measurements that `cargo xtask bench --update` has measured anew.
//!
//! In a page a table of the benchmark is between `<!-- bench NAME -->` and `<!-- /bench -->`, with what it was measured
//! on above it. A row of a summary that repeats a figure is known by its first cell.

pub mod network;

use anyhow::{Context, Result, ensure};
use std::fmt::Write;
use std::fs;
use std::path::Path;

const CAPTURE: &str = "docs/measurements/capture.md";
const SUMMARY: &str = "docs/measurements/summary.md";
const README: &str = "README.md";
/// Whose ratio the summary and the front page repeat.
const OURS: &str = "afterpanic elf-zst";

/// When and on what something was measured.
#[derive(Debug, Clone)]
pub struct Where {
    /// The day, UTC, as 2026-01-31.
    pub date: String,
    /// The commit; with a `+` behind it there were changes on top.
    pub commit: String,
    /// Processors, memory, and how busy the machine was.
    pub machine: String,
}

impl Where {
    /// This machine, now.
    ///
    /// # Errors
    /// git or /proc cannot be read.
    pub fn here() -> Result<Self> {
        let read = |path: &str| fs::read_to_string(path).with_context(|| format!("read {path}"));
        let (date, commit) = crate::results::Stamp::now()?.into_parts();
        Ok(Self {
            date,
            commit,
            machine: machine(
                &read("/proc/cpuinfo")?,
                &read("/proc/meminfo")?,
                &read("/proc/loadavg")?,
            ),
        })
    }

    fn line(&self, command: &str) -> String {
        format!(
            "{}, commit {}. Machine: {}. Command: `{command}`.",
            self.date, self.commit, self.machine
        )
    }
}

/// What /proc says of a machine, in words.
fn machine(cpuinfo: &str, meminfo: &str, loadavg: &str) -> String {
    let value = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let cpus = cpuinfo
        .lines()
        .filter(|l| l.starts_with("processor"))
        .count();
    let model = value(cpuinfo, "model name").unwrap_or_else(|| "model unknown".into());
    let kib = value(meminfo, "MemTotal")
        .and_then(|text| text.split(' ').next()?.parse::<u64>().ok())
        .unwrap_or(0);
    let load = loadavg.split(' ').next().unwrap_or("unknown");
    format!(
        "{cpus} processors ({model}), {} GiB, load {load} at the start",
        kib.div_ceil(1 << 20)
    )
}

/// A core made by both sides.
#[derive(Debug, Clone)]
pub struct Contest {
    /// Our format.
    pub ours: String,
    /// makedumpfile's options.
    pub theirs: String,
    /// Its threads.
    pub threads: usize,
    /// Pairs of runs.
    pub pairs: usize,
    /// Median seconds, ours and theirs.
    pub seconds: (f64, f64),
    /// Bytes of the core, ours and theirs.
    pub bytes: (u64, u64),
    /// Most of the other's time and bytes.
    pub bars: (f64, f64),
}

impl Contest {
    /// Ours divided by theirs: time, bytes.
    #[must_use]
    pub fn ratios(&self) -> (f64, f64) {
        #[allow(clippy::cast_precision_loss)]
        let bytes = self.bytes.0 as f64 / self.bytes.1 as f64;
        (self.seconds.0 / self.seconds.1, bytes)
    }
}

/// Whole machines, from the panic to the reboot.
#[derive(Debug, Clone)]
pub struct Machines {
    /// Who captured.
    pub who: String,
    /// The processor that panicked.
    pub cpu: u32,
    /// Seconds of each round.
    pub rounds: Vec<f64>,
    /// Bytes of the smallest and of the largest core.
    pub core: (u64, u64),
}

impl Machines {
    /// One more round.
    pub fn add(&mut self, seconds: f64, core: u64) {
        self.rounds.push(seconds);
        self.core = (self.core.0.min(core), self.core.1.max(core));
    }

    /// Seconds of the median round.
    #[must_use]
    pub fn median(&self) -> f64 {
        median(&self.rounds)
    }
}

/// The median round; of two the longer one.
fn median(rounds: &[f64]) -> f64 {
    let mut sorted = rounds.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// Writes the results of the contests into the pages.
///
/// # Errors
/// A page has no such table or row, or cannot be written.
pub fn write_contests(of: &Where, on: &str, contests: &[Contest]) -> Result<()> {
    change(CAPTURE, |page| {
        replace(page, "core", &contests_table(of, on, contests))
    })?;
    // A summary says less, but when: most of its rows are older.
    let on = format!("{}, {}", on.split(',').next().unwrap_or(on), of.date);
    for contest in contests {
        let (time, size) = contest.ratios();
        for (cell, ratio) in rows(contest) {
            let more = "[capture](capture.md)";
            let row = format!(
                "| {cell} | makedumpfile 1.7.8 `{} -d 31` | {ratio:.2} | {on} | `cargo xtask bench` | {more} |",
                contest.theirs
            );
            change(SUMMARY, |page| replace_row(page, cell, &row))?;
        }
        if let Some(cell) = readme_row(contest) {
            let row = format!(
                "| {cell} | makedumpfile 1.7.8 `{} -d 31` | {time:.2}, and {size:.2} of the size | `cargo xtask bench` |",
                contest.theirs
            );
            change(README, |page| replace_row(page, cell, &row))?;
        }
    }
    Ok(())
}

/// The rows of the summary that repeat a contest: their first cell, and the ratio.
fn rows(contest: &Contest) -> Vec<(&'static str, f64)> {
    let (time, size) = contest.ratios();
    match contest.ours.as_str() {
        "elf-zst" => vec![
            ("time to write a core, zstd", time),
            ("size of that core, zstd", size),
        ],
        "elf-lz4" => vec![("time to write a core, LZ4", time)],
        _ => Vec::new(),
    }
}

fn readme_row(contest: &Contest) -> Option<&'static str> {
    match contest.ours.as_str() {
        "elf-zst" => Some("time to write a core of 7 GiB, zstd"),
        "elf-lz4" => Some("the same, LZ4 against lzo"),
        _ => None,
    }
}

fn contests_table(of: &Where, on: &str, contests: &[Contest]) -> String {
    let command = "cargo xtask bench --update";
    let mut text = format!(
        "{}\nOn: {on}. Medians of {} pairs in turn.\n\n\
         | ours | peer: makedumpfile 1.7.8 | wall, s: ours / theirs | ratio | bar | MiB: ours / theirs | ratio | bar |\n\
         |---|---|---|---|---|---|---|---|\n",
        of.line(command),
        contests.first().map_or(0, |contest| contest.pairs)
    );
    for contest in contests {
        let (time, size) = contest.ratios();
        // Writing into a String cannot fail.
        let _ = writeln!(
            text,
            "| {} | `{} -d 31`, threads: {} | {:.2} / {:.2} | {time:.2} | {} | {} / {} | {size:.3} | {} |",
            contest.ours,
            contest.theirs,
            contest.threads,
            contest.seconds.0,
            contest.seconds.1,
            contest.bars.0,
            contest.bytes.0 >> 20,
            contest.bytes.1 >> 20,
            contest.bars.1
        );
    }
    text
}

/// Writes what whole machines took into the page.
///
/// # Errors
/// The page has no such table, or cannot be written.
pub fn write_machines(of: &Where, on: &str, machines: &[Machines]) -> Result<()> {
    change(CAPTURE, |page| {
        replace(page, "machines", &machines_table(of, on, machines))
    })?;
    let ours = machines.iter().filter(|one| one.who == OURS);
    let ratios: Vec<_> = ours
        .filter_map(|one| Some((one.cpu, ratio(one, machines)?)))
        .collect();
    ensure!(
        !ratios.is_empty(),
        "{OURS} and makedumpfile panicked on no processor that both have"
    );
    let command = machines_command(machines);
    change(SUMMARY, |page| {
        let (cell, row) = summary_of_machines(&of.date, &ratios, &command);
        replace_row(page, cell, &row)
    })?;
    change(README, |page| {
        let (cell, row) = readme_of_machines(&ratios, &command);
        replace_row(page, cell, &row)
    })
}

/// The command that makes so many rounds.
fn machines_command(machines: &[Machines]) -> String {
    let ours = machines.iter().filter(|one| one.who == OURS);
    let rounds: usize = ours.map(|one| one.rounds.len()).sum();
    format!("cargo xtask bench --machines {rounds} --update")
}

/// The median of a side by that of makedumpfile on the same processor.
fn ratio(one: &Machines, all: &[Machines]) -> Option<f64> {
    let peer = all
        .iter()
        .find(|other| other.cpu == one.cpu && other.who.starts_with("makedumpfile"))?;
    Some(one.median() / peer.median())
}

/// The row of the summary that repeats the ratios: its first cell, and all of it.
fn summary_of_machines(date: &str, ratios: &[(u32, f64)], command: &str) -> (&'static str, String) {
    let cell = "panic to reboot, log and report included";
    let each: Vec<_> = ratios
        .iter()
        .map(|(cpu, ratio)| format!("{ratio:.2} (panic on CPU {cpu})"))
        .collect();
    let row = format!(
        "| {cell} | makedumpfile 1.7.8 `-l -d 31` | {} | a VM of 1 GiB, {date} | `{command}` | [capture](capture.md) |",
        each.join(", ")
    );
    (cell, row)
}

/// That of the front page.
fn readme_of_machines(ratios: &[(u32, f64)], command: &str) -> (&'static str, String) {
    let cell = "panic to reboot, report included, 1 GiB VM";
    let most = ratios
        .iter()
        .map(|(_, ratio)| *ratio)
        .fold(f64::MIN, f64::max);
    let least = ratios
        .iter()
        .map(|(_, ratio)| *ratio)
        .fold(f64::MAX, f64::min);
    let range = match format!("{least:.2}") == format!("{most:.2}") {
        true => format!("{most:.2}"),
        false => format!("{least:.2} to {most:.2}"),
    };
    let row = format!("| {cell} | makedumpfile in a busybox image | {range} | `{command}` |");
    (cell, row)
}

fn machines_table(of: &Where, on: &str, machines: &[Machines]) -> String {
    let mut text = format!(
        "{}\nOn: {on}. Seconds from the panic to the reboot.\n\n\
         | panic on CPU | who | rounds | median | ratio to makedumpfile | core, MB |\n|---|---|---|---|---|---|\n",
        of.line(&machines_command(machines))
    );
    for one in machines {
        let ratio = ratio(one, machines).map_or("-".into(), |ratio| format!("{ratio:.2}"));
        let megabytes = (one.core.0 / 1_000_000, one.core.1 / 1_000_000);
        let core = match megabytes {
            (least, most) if least == most => least.to_string(),
            (least, most) => format!("{least} to {most}"),
        };
        let rounds: Vec<String> = one.rounds.iter().map(|s| format!("{s:.1}")).collect();
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.1} | {ratio} | {core} |",
            one.cpu,
            one.who.trim(),
            rounds.join(", "),
            one.median(),
        );
    }
    text
}

fn change(page: &str, how: impl Fn(&str) -> Result<String>) -> Result<()> {
    let path = crate::root().join(page);
    let text =
        fs::read_to_string(&path).with_context(|| format!("Cannot read {}", path.display()))?;
    write(&path, &how(&text).with_context(|| page.to_owned())?)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("Cannot write {}", path.display()))
}

/// The page with another text between the markers of a name.
fn replace(page: &str, name: &str, text: &str) -> Result<String> {
    let (begin, end) = (format!("<!-- bench {name} -->\n"), "<!-- /bench -->");
    ensure!(
        page.matches(&begin).count() == 1,
        "{} is there {} times",
        begin.trim(),
        page.matches(&begin).count()
    );
    let (head, rest) = page.split_once(&begin).context("the marker")?;
    let (_, tail) = rest
        .split_once(end)
        .with_context(|| format!("{} is not ended by {end}", begin.trim()))?;
    Ok(format!("{head}{begin}{text}{end}{tail}"))
}

/// The page with another row in place of the one with this first cell.
fn replace_row(page: &str, cell: &str, row: &str) -> Result<String> {
    let begin = format!("| {cell} |");
    let found = page.lines().filter(|line| line.starts_with(&begin)).count();
    ensure!(found == 1, "the row `{cell}` is there {found} times");
    let lines = page.lines().map(|line| match line.starts_with(&begin) {
        true => row,
        false => line,
    });
    Ok(lines.collect::<Vec<_>>().join("\n") + "\n")
}

#[cfg(test)]
mod tests;
