//! A crash that only pstore's records tell of: no capture kernel ran. They become a crash directory with
//! the log and a report, and the verdict `log-only`.

use crate::pstore::{self, Copied, Record};
use analysis::evidence::{prefix, pstore as parts};
use analysis::report::{self, Options};
use dump::facts::Verdict;
use dump::seal::Sealer;
use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Read};
use std::time::{Duration, SystemTime};
use store::manifest::{DMESG, Manifest, REPORT_JSON, REPORT_TXT, SCHEMA};
use store::{Crash, State, Store, names};

/// Lines of a record that are looked for in the logs of crash directories.
const COMPARED: usize = 12;
/// The longest log that is compared.
const MAX_LOG: u64 = 64 << 20;
/// Crash directories that a record's content is compared with: the newest.
const COMPARED_CRASHES: usize = 64;
/// Dumps of the log this close to one another are of one crash: an oops, and the panic that follows.
const ONE_CRASH: Duration = Duration::from_secs(600);
/// Records of one crash.
const MOST_RECORDS: usize = 1000;

/// What the content of a record says about the crashes there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Content {
    /// It is the log of the crash with this index.
    Of(usize),
    /// It is in none of the logs.
    OfNone,
    /// It has no times to compare, or no crash has a log that can be read.
    Unknown,
}

/// Compares the end of a record with the logs of the crashes, the newest first.
pub(crate) fn owner(text: &str, crashes: &[(&Store, Crash)]) -> Content {
    let wanted = last_lines(text);
    if wanted.is_empty() {
        return Content::Unknown;
    }
    let mut compared = false;
    for (index, (store, crash)) in crashes.iter().enumerate().rev().take(COMPARED_CRASHES) {
        let Ok((log, _)) = store.place().open(&crash.name(), DMESG) else {
            continue;
        };
        compared = true;
        if holds(log, &wanted) {
            return Content::Of(index);
        }
    }
    match compared {
        true => Content::OfNone,
        false => Content::Unknown,
    }
}

/// The last lines with a time of a dump: nanoseconds and text.
fn last_lines(text: &str) -> BTreeSet<(u64, String)> {
    let joined = parts::join([text]);
    let lines = joined.text.lines().rev().map(prefix::strip);
    lines
        .filter_map(|line| Some((line.ts_nsec?, line.text.trim().to_string())))
        .filter(|(_, text)| !text.is_empty())
        .take(COMPARED)
        .collect()
}

/// Whether a log holds at least three quarters of the lines. A capture kernel reads the log later than the
/// dump was written, and may have lost the oldest lines.
fn holds(log: impl Read, wanted: &BTreeSet<(u64, String)>) -> bool {
    let mut missing = wanted.clone();
    let mut log = BufReader::new(log.take(MAX_LOG));
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match log.read_until(b'\n', &mut bytes) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&bytes);
        let line = prefix::strip(&text);
        if let Some(nsec) = line.ts_nsec {
            missing.remove(&(nsec, line.text.trim().to_string()));
        }
    }
    missing.len().saturating_mul(4) <= wanted.len()
}

/// The records that a panic or an oops left, by crash. Records without a time are of one crash: a backend
/// without times keeps few of them.
pub(crate) fn by_crash<'r>(left: &[&'r Record]) -> Vec<Vec<&'r Record>> {
    let mut dumps: Vec<&Record> = left.iter().copied().filter(|one| one.is_dump()).collect();
    dumps.sort_by(|a, b| (a.time, &a.name).cmp(&(b.time, &b.name)));
    let mut crashes: Vec<Vec<&Record>> = Vec::new();
    for record in dumps {
        let same = |crash: &&mut Vec<&Record>| {
            let last = crash.last().and_then(|last| last.time);
            let near = match (last, record.time) {
                (None, None) => true,
                (Some(a), Some(b)) => b.duration_since(a).is_ok_and(|apart| apart <= ONE_CRASH),
                _ => false,
            };
            near && crash.len() < MOST_RECORDS
        };
        match crashes.last_mut().filter(same) {
            Some(crash) => crash.push(record),
            None => crashes.push(vec![record]),
        }
    }
    crashes
}

/// Makes a crash directory of the records of one crash. `None`: no crash left them (the kernel can also
/// dump its log when it shuts down), or none of them is text.
///
/// # Errors
/// What the system said.
pub(crate) fn make(
    store: &Store,
    sealer: &Sealer,
    node: &str,
    records: &[&Record],
    boot: SystemTime,
    copied: &mut Copied,
) -> io::Result<Option<Crash>> {
    let texts: Vec<String> = records.iter().filter_map(|record| record.text()).collect();
    let joined = parts::join(texts.iter().map(String::as_str));
    let died = |kind: &String| matches!(kind.as_str(), "Panic" | "Oops" | "Emergency");
    let asked = !joined.kinds.is_empty() && !joined.kinds.iter().any(died);
    if asked || joined.text.trim().is_empty() {
        return Ok(None);
    }
    let time = records.iter().rev().find_map(|record| record.time);
    let seconds = time
        .unwrap_or(boot)
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let name = store.begin(&names::reduce(node.as_bytes()), &names::stamp(seconds))?;
    put(store, sealer, &name, DMESG, joined.text.as_bytes())?;
    let crash = Crash::parse(&store.path_of(&name))
        .ok_or_else(|| io::Error::other(format!("{name} is no name of a crash directory")))?;
    let mut inside = Copied::default();
    for record in records {
        pstore::copy(store, sealer, &crash, record, &mut inside);
    }
    copied.problems.extend(inside.problems);
    let manifest = described(store, sealer, &name, &joined.text, time.map(|_| seconds))?;
    store.write_manifest(&name, &manifest)?;
    let settled = store.settle(&name, State::Incomplete)?;
    let path = store.path_of(&settled);
    copied.records.push(path.clone());
    Ok(Crash::parse(&path))
}

/// Writes a file of the directory, sealed where logs are.
fn put(store: &Store, sealer: &Sealer, dir: &str, file: &str, bytes: &[u8]) -> io::Result<()> {
    let sealed = sealer.seal_log(bytes)?;
    store
        .place()
        .write(dir, &sealer.log_name(file), &mut sealed.as_slice())
}

/// Writes the report of a log, and says what is in the directory.
fn described(
    store: &Store,
    sealer: &Sealer,
    name: &str,
    log: &str,
    time: Option<u64>,
) -> io::Result<Manifest> {
    let mut report = report::from_text(&mut log.as_bytes(), DMESG, Options::default())?;
    report.crash_time = time;
    let mut text = String::new();
    report::text::write(&report, &mut text).map_err(io::Error::other)?;
    let json = serde_json::to_vec_pretty(&report)?;
    put(store, sealer, name, REPORT_TXT, text.as_bytes())?;
    put(store, sealer, name, REPORT_JSON, &json)?;
    Ok(Manifest {
        schema: SCHEMA,
        afterpanic: env!("CARGO_PKG_VERSION").into(),
        verdict: Verdict::LogOnly,
        release: report.system.uts.release.clone(),
        crash_time: time,
        signature: Some(report.reason.signature.clone()),
        class: Some(report.reason.class.name().into()),
        uptime_s: report.uptime_seconds,
        files: store.files(name)?,
        core: None,
        dump_in: None,
        soft_errors: vec![
            "no capture kernel ran; this log was in the firmware's records (pstore)".into(),
        ],
        steps: Vec::new(),
    })
}

#[cfg(test)]
mod tests;
