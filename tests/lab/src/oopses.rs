//! The judge of the diagnosis: a directory of other people's logs, each with headers that say what the
//! right answer is. The headers are those of syzkaller's test data: `TITLE`, `TYPE`, `CORRUPTED`.

use analysis::evidence;
use analysis::reason::{Class, Collector, Reason, Verdict, name};
use analysis::report;
use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// What to print beside the table.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Options {
    /// List each difference
    #[arg(long)]
    list: bool,
    /// Only logs of this TYPE
    #[arg(long, value_name = "TYPE")]
    kind: Option<String>,
}

/// Differences that are meant: tests/lab/expected/oopses.toml.
#[derive(Deserialize)]
struct Expected {
    differs: Vec<Differs>,
}

#[derive(Deserialize)]
struct Differs {
    title: String,
    ours: String,
}

impl Expected {
    fn read() -> Result<Self> {
        let text = include_str!("../expected/oopses.toml");
        toml::from_str(text).context("tests/lab/expected/oopses.toml")
    }

    fn holds(&self, title: &str, ours: &str) -> bool {
        self.differs
            .iter()
            .any(|row| row.title == title && row.ours == ours)
    }
}

/// A log and its right answer.
struct Case {
    name: String,
    title: String,
    kind: String,
    corrupted: bool,
    log: String,
}

impl Case {
    fn parse(name: &str, text: &str) -> Option<Self> {
        let mut case = Self {
            name: name.to_string(),
            title: String::new(),
            kind: String::new(),
            corrupted: false,
            log: String::new(),
        };
        let mut rest = text;
        let mut headers = 0;
        while let Some((line, after)) = rest.split_once('\n') {
            rest = after;
            if line.trim().is_empty() {
                break;
            }
            if line.starts_with('#') {
                headers += 1;
                continue;
            }
            let (key, value) = line.split_once(':')?;
            if key.is_empty()
                || !key
                    .bytes()
                    .all(|byte| byte.is_ascii_uppercase() || byte == b'_')
            {
                return None;
            }
            headers += 1;
            match key {
                "TITLE" => case.title = value.trim().to_string(),
                "TYPE" => case.kind = value.trim().to_string(),
                "CORRUPTED" => case.corrupted = value.trim() == "Y",
                _ => {}
            }
        }
        // The part of the log that matters stands again behind it in some.
        let log = rest.split_once("\nREPORT:\n").map_or(rest, |(log, _)| log);
        case.log = log.to_string();
        // A file without a header is a log in which there is nothing.
        (headers > 0 || text.starts_with('\n')).then_some(case)
    }

    /// The functions that the title names: `WARNING in f/usb_submit_urb` names two.
    fn functions(&self) -> Vec<&str> {
        let Some((_, place)) = self.title.rsplit_once(" in ") else {
            return Vec::new();
        };
        let word = place.split(' ').next().unwrap_or_default();
        let names = word.split('/').filter(|name| {
            !name.is_empty()
                && *name != "corrupted"
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'))
        });
        names.collect()
    }

    fn modern(&self) -> bool {
        let mut versions = self
            .log
            .match_indices(" 5.")
            .chain(self.log.match_indices(" 6."))
            .chain(self.log.match_indices(" 7."));
        versions.any(|(at, _)| {
            let before = self.log.get(at.saturating_sub(40)..at).unwrap_or_default();
            let number: String = self
                .log
                .get(at + 1..)
                .unwrap_or_default()
                .chars()
                .take_while(|c| c.is_ascii_digit() || *c == '.')
                .collect();
            let mut parts = number
                .split('.')
                .filter_map(|part| part.parse::<u32>().ok());
            let (major, minor) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
            before.contains("ainted") && (major, minor) >= (5, 10)
        })
    }
}

/// Whether a class is one of what the judge calls by a TYPE.
fn class_fits(kind: &str, title: &str, class: Class) -> bool {
    match kind.split('-').next().unwrap_or_default() {
        _ if kind == "NULL-POINTER-DEREFERENCE" => class == Class::NullDeref,
        "KASAN" => class == Class::Kasan,
        "KFENCE" => class == Class::Kfence,
        "KMSAN" => class == Class::Kmsan,
        "KCSAN" => class == Class::Kcsan,
        "UBSAN" => class == Class::Ubsan,
        "HANG" => matches!(
            class,
            Class::HungTask
                | Class::SoftLockup
                | Class::HardLockup
                | Class::RcuStall
                | Class::WorkqueueLockup
        ),
        "LOCKDEP" => class == Class::Lockdep,
        "ATOMIC_SLEEP" => class == Class::AtomicSleep,
        "LEAK" => class == Class::MemoryLeak,
        "REFCOUNT_WARNING" => class == Class::Refcount,
        "WARNING" => class == Class::Warn,
        "BUG" => class == Class::Bug,
        "MEMORY_SAFETY_BUG" if title.contains("corrupted list") => class == Class::ListCorruption,
        "MEMORY_SAFETY_BUG" => matches!(class, Class::BadAddress | Class::NullDeref),
        "DoS" if title.starts_with("general protection fault") => {
            matches!(class, Class::GeneralProtection | Class::NullDeref)
        }
        "DoS" => !matches!(
            class,
            Class::Warn | Class::Lockdep | Class::HungTask | Class::RcuStall | Class::Kasan
        ),
        "REBOOT" => class == Class::Other,
        _ => true,
    }
}

/// Functions as they are compared: without the compiler's suffix and the wrappers of a system call.
fn folded(name: &str) -> String {
    let name = name::normalise(name);
    let name = name.strip_prefix("sys_").unwrap_or(name);
    for prefix in [
        "ksys_",
        "do_sys_",
        "__x64_sys_",
        "__ia32_sys_",
        "__arm64_sys_",
        "__do_sys_",
        "__se_sys_",
        "__riscv_sys_",
        "SyS_",
        "SYSC_",
        "compat_SyS_",
    ] {
        if let Some(rest) = name.strip_prefix(prefix) {
            return rest.to_string();
        }
    }
    // One name for the calls of one kind.
    for one in ["smp_call_function", "synchronize_rcu"] {
        if name.starts_with(one) {
            return one.to_string();
        }
    }
    match name {
        "synchronize_srcu" | "synchronize_net" | "synchronize_sched" | "__synchronize_srcu" => {
            "synchronize_rcu".into()
        }
        other => other.to_string(),
    }
}

/// Of the cases that name a function, at most so many percent may differ on purpose.
const MOST_ON_PURPOSE: usize = 3;

/// What of the cases that name a function differs on purpose.
#[derive(Default)]
struct OnPurpose {
    listed: usize,
    all: usize,
}

impl OnPurpose {
    /// # Errors
    /// More is listed than may be.
    fn check(&self) -> Result<()> {
        anyhow::ensure!(
            self.listed.saturating_mul(100) <= self.all.saturating_mul(MOST_ON_PURPOSE),
            "{} of {} cases differ on purpose (tests/lab/expected/oopses.toml): at most {MOST_ON_PURPOSE} % may",
            self.listed,
            self.all
        );
        Ok(())
    }
}

#[derive(Default, Clone, Copy)]
struct Score {
    places: (usize, usize),
    classes: (usize, usize),
}

impl Score {
    fn add(&mut self, place: Option<bool>, class: bool) {
        if let Some(right) = place {
            self.places.0 += usize::from(right);
            self.places.1 += 1;
        }
        self.classes.0 += usize::from(class);
        self.classes.1 += 1;
    }
}

/// The reason that a log tells.
fn reason_of(log: &str) -> Result<Reason> {
    let mut collector = Collector::new();
    evidence::read(&mut log.as_bytes(), &mut |line| collector.push(line))?;
    Ok(collector.finish())
}

/// Scores a directory.
///
/// # Errors
/// When a file cannot be read.
pub fn run(dir: &Path, options: &Options) -> Result<()> {
    let expected = Expected::read()?;
    let mut on_purpose = OnPurpose::default();
    let mut scores: BTreeMap<String, Score> = BTreeMap::new();
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .with_context(|| format!("cannot list {}", dir.display()))?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    files.sort_by_key(|path| {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        (name.parse::<u64>().unwrap_or(u64::MAX), name)
    });
    for path in files {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let bytes =
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let Some(case) = Case::parse(&name, &String::from_utf8_lossy(&bytes)) else {
            continue;
        };
        if options.kind.as_ref().is_some_and(|kind| *kind != case.kind) {
            continue;
        }
        let reason = reason_of(&case.log)?;
        let known = (&expected, &mut on_purpose);
        judge(&case, &reason, options, known, &mut scores);
    }
    println!("{:<34} {:>13} {:>13}", "", "place", "class");
    for (name, score) in &scores {
        let part = |(right, all): (usize, usize)| match all {
            0 => "-".to_string(),
            _ => format!("{right}/{all} {:.1} %", 100.0 * right as f64 / all as f64),
        };
        println!(
            "{name:<34} {:>13} {:>13}",
            part(score.places),
            part(score.classes)
        );
    }
    on_purpose.check()
}

fn judge(
    case: &Case,
    reason: &Reason,
    options: &Options,
    (expected, on_purpose): (&Expected, &mut OnPurpose),
    scores: &mut BTreeMap<String, Score>,
) {
    let names = case.functions();
    let culprit = reason.culprit.as_ref().map(|at| at.function.as_str());
    let hang = case.kind == "HANG";
    let place = if names.is_empty() {
        None
    } else if hang {
        let text = printed(reason);
        let shown: Vec<String> = text
            .lines()
            .filter_map(|line| line.trim_start().split(['+', ' ']).next())
            .map(folded)
            .collect();
        Some(names.iter().any(|name| shown.contains(&folded(name))))
    } else {
        Some(
            names
                .iter()
                .any(|name| culprit.map(folded) == Some(folded(name))),
        )
    };
    let class = if case.title.is_empty() {
        reason.headline.is_none() && reason.message.is_none()
    } else {
        class_fits(&case.kind, &case.title, reason.class)
    };
    let group = if case.corrupted {
        "3 corrupted"
    } else if case.title.is_empty() {
        "4 nothing in it"
    } else if names.is_empty() {
        "2 names no function"
    } else if hang {
        "1 HANG"
    } else {
        "0 all"
    };
    scores
        .entry(group.to_string())
        .or_default()
        .add(place, class);
    if case.modern() && (group.starts_with('0') || group.starts_with('1')) {
        scores
            .entry(format!("{group}, 5.10 and newer"))
            .or_default()
            .add(place, class);
    }
    if group.starts_with('0') {
        scores
            .entry(format!("5 {}", case.kind))
            .or_default()
            .add(place, class);
    }
    if case.corrupted {
        let doubtful = reason.trust.verdict == Verdict::Unclear;
        scores
            .entry("3 corrupted, marked as unclear".into())
            .or_default()
            .add(None, doubtful);
        if options.list && !doubtful {
            println!(
                "{} (corrupted) {}: {} | not marked: {}",
                case.name, case.kind, case.title, reason.trust.because
            );
        }
    } else if !case.title.is_empty() {
        let clear = reason.trust.verdict != Verdict::Unclear;
        scores
            .entry("5 complete, not marked as unclear".into())
            .or_default()
            .add(None, clear);
        if options.list && !clear {
            println!(
                "{} (complete) {}: {} | marked: {}",
                case.name, case.kind, case.title, reason.trust.because
            );
        }
    }
    let ours = format!("{} in {}", reason.class.name(), culprit.unwrap_or("-"));
    let differs = place == Some(false) || !class;
    let listed = differs && expected.holds(&case.title, &ours);
    if group.starts_with('0') {
        on_purpose.all += 1;
        on_purpose.listed += usize::from(listed);
    }
    if options.list && differs {
        let listed = if listed { "(on purpose) " } else { "" };
        println!(
            "{listed}{} {}{}: {} | ours: {ours} | {}",
            case.name,
            if case.corrupted { "(corrupted) " } else { "" },
            case.kind,
            case.title,
            reason
                .headline
                .as_deref()
                .or(reason.message.as_deref())
                .unwrap_or("-"),
        );
    }
}

/// The stack as a report prints it.
fn printed(reason: &Reason) -> String {
    report::text::stacks(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_three_percent_differ_on_purpose() {
        let of = |listed, all| OnPurpose { listed, all }.check();
        assert!(of(3, 100).is_ok() && of(6, 222).is_ok());
        let said = of(7, 222).unwrap_err().to_string();
        assert!(said.contains("7 of 222"), "{said}");
        assert!(Expected::read().unwrap().holds(
            "BUG: Dentry still in use in unmount",
            "warn in umount_check"
        ));
    }

    #[test]
    fn a_file_without_headers_is_no_case() {
        assert!(Case::parse("x", "a line\nanother\n").is_none());
        let case = Case::parse(
            "x",
            "TITLE: WARNING in f/usb_submit_urb\nTYPE: WARNING\n\nlog\n",
        )
        .unwrap();
        assert_eq!(
            (case.functions(), case.log.as_str()),
            (vec!["f", "usb_submit_urb"], "log\n")
        );
    }
}
