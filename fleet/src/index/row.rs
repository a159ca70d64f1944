//! One crash of the bucket becomes one row: its manifest and report are read and compared.

use super::columns::Row;
use super::facts::{self, Manifest, Report, maybe, text};
use crate::bucket::Bucket;
use crate::layout::{CrashKey, seconds_of};
use crate::ship::{MAX_REPORT, sha256};
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use std::path::Path;
use store::Crash;
use store::manifest::{FILE, MAX_MANIFEST, REPORT_JSON};

/// Microseconds in a second.
const MICROS: i64 = 1_000_000;
/// A crash may be this much later than the indexer's clock, in seconds.
const AHEAD: i64 = 24 * 3600;
/// Before this there was no kernel that `afterpanic` reads: 2020-01-01.
const TOO_EARLY: i64 = 1_577_836_800;

/// A crash directory as the listing shows it.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// Where it is.
    pub key: CrashKey,
    /// Its files that matter here, by name, with their sizes.
    pub files: Vec<(String, u64)>,
    /// Bytes of all its files.
    pub bytes: u64,
    /// Which manifest it is: the server's tag, or size and time.
    pub tag: String,
    /// When the manifest arrived, in microseconds since 1970.
    pub arrived: i64,
}

impl Found {
    fn has(&self, name: &str) -> Option<u64> {
        self.files
            .iter()
            .find(|(file, _)| file == name)
            .map(|(_, size)| *size)
    }

    /// The key of the first file whose name passes.
    fn path(&self, fits: impl Fn(&str) -> bool) -> Option<String> {
        let (name, _) = self.files.iter().find(|(name, _)| fits(name))?;
        Some(format!("{}/{name}", self.key.dir()))
    }
}

/// Reads one crash. `now`: microseconds since 1970.
pub(super) async fn read(bucket: &Bucket, found: &Found, now: i64) -> Result<Row> {
    let dir = found.key.dir();
    let limits = [
        (FILE, MAX_MANIFEST.saturating_mul(2)),
        (REPORT_JSON, MAX_REPORT),
    ];
    for (name, max) in limits {
        if let Some(size) = found.has(name).filter(|size| *size > max) {
            bail!("{name} has {size} bytes, more than {max}");
        }
    }
    let manifest_text = get(bucket, &dir, FILE, MAX_MANIFEST.saturating_mul(2)).await?;
    let manifest: Manifest = facts::read(FILE, &manifest_text)?;
    let named = manifest.file(REPORT_JSON);
    let report_text = match (found.has(REPORT_JSON), named) {
        (Some(_), _) => Some(get(bucket, &dir, REPORT_JSON, MAX_REPORT).await?),
        (None, Some(_)) => bail!("{REPORT_JSON} is missing, and {FILE} has it"),
        (None, None) => None,
    };
    let (mut report, mut json) = (Report::default(), None);
    if let Some(content) = &report_text {
        let hash = named.and_then(|file| file.sha256.as_ref());
        if hash.is_some_and(|hash| *hash != sha256(content)) {
            bail!("{REPORT_JSON} does not have the hash that {FILE} names");
        }
        report = facts::read(REPORT_JSON, content)?;
        json = Some(
            std::str::from_utf8(content)
                .context("report.json is not UTF-8")?
                .to_owned(),
        );
    }
    Ok(row(found, &manifest, &report, json, now))
}

/// A file that the listing has.
async fn get(bucket: &Bucket, dir: &str, name: &str, max: u64) -> Result<Bytes> {
    let content = bucket.get(&format!("{dir}/{name}"), max).await?;
    content.with_context(|| format!("{name} is gone"))
}

/// Seconds since 1970 as microseconds.
fn micros(seconds: i64) -> i64 {
    seconds.saturating_mul(MICROS)
}

fn row(found: &Found, manifest: &Manifest, report: &Report, json: Option<String>, now: i64) -> Row {
    let key = &found.key;
    let crash = Crash::parse(Path::new(&key.name));
    let stamp = crash.as_ref().and_then(|crash| seconds_of(&crash.stamp));
    let seconds = stamp
        .or(manifest.crash_time)
        .or(report.crash_time)
        .filter(|time| *time > 0);
    let latest = now.saturating_div(MICROS).saturating_add(AHEAD);
    let clock = match seconds {
        None => "unknown",
        Some(time) if time < TOO_EARLY => "past",
        Some(time) if time > latest => "future",
        Some(_) => "ok",
    };
    let system = report.system.as_ref();
    let uts = system.and_then(|system| system.uts.as_ref());
    let reason = report.reason.as_ref();
    let oops = reason.and_then(|reason| reason.oops.as_ref());
    let culprit = reason.and_then(|reason| reason.culprit.as_ref());
    let core = manifest.core.as_ref();
    let size = |size: u64| i64::try_from(size).unwrap_or(i64::MAX);
    let of_reason = |of: fn(&facts::Reason) -> Option<&String>| maybe(reason.and_then(of));
    Row {
        crash: key.id(),
        day: day(&key.day),
        time: seconds.map(micros),
        machine: key.machine.clone(),
        node: maybe(uts.and_then(|uts| uts.nodename.as_ref()))
            .or_else(|| crash.as_ref().map(|crash| text(&crash.node))),
        release: maybe(uts.and_then(|uts| uts.release.as_ref()))
            .or_else(|| maybe(manifest.release.as_ref())),
        build_id: maybe(system.and_then(|system| system.build_id.as_ref())),
        arch: maybe(uts.and_then(|uts| uts.machine.as_ref())),
        class: of_reason(|reason| reason.class.as_ref()).or_else(|| maybe(manifest.class.as_ref())),
        message: of_reason(|reason| reason.message.as_ref()),
        headline: of_reason(|reason| reason.headline.as_ref()),
        culprit: maybe(culprit.and_then(|frame| frame.function.as_ref())),
        culprit_module: maybe(culprit.and_then(|frame| frame.module.as_ref())),
        signature: of_reason(|reason| reason.signature.as_ref())
            .or_else(|| maybe(manifest.signature.as_ref())),
        signature_version: reason.and_then(|reason| reason.signature_version),
        frames: report.frames(),
        stack_modules: report.stack_modules(),
        tainted_modules: report.tainted_modules(),
        taint: maybe(oops.and_then(|oops| oops.tainted.as_ref())),
        trust: maybe(reason.and_then(|reason| reason.trust.as_ref()?.verdict.as_ref())),
        uptime_s: report.uptime_seconds.or(manifest.uptime_s),
        cpus: system.and_then(|system| system.cpus_online),
        memory_bytes: system.and_then(|system| system.memory_bytes),
        hardware: maybe(oops.and_then(|oops| oops.hardware.as_ref())),
        verdict: maybe(manifest.verdict.as_ref()),
        level_asked: maybe(core.and_then(|core| core.asked.as_ref())),
        level: maybe(core.and_then(|core| core.level.as_ref())),
        pages_missing: core.and_then(|core| core.pages.as_ref()?.missing).map(size),
        why: manifest.why(),
        core_bytes: core.and_then(|core| core.size).map(size),
        shipped_bytes: size(found.bytes),
        sealed: found.files.iter().any(|(name, _)| name.ends_with(".age"))
            || core
                .and_then(|core| core.file.as_ref())
                .is_some_and(|name| name.ends_with(".age")),
        clock,
        path: key.dir(),
        report_path: found
            .path(|name| name == "report.html")
            .or_else(|| found.path(|name| name == "report.txt"))
            .or_else(|| found.path(|name| name.starts_with("report."))),
        essential_path: found.path(|name| name.starts_with("essential.")),
        core_path: found.path(|name| name.starts_with("vmcore.")),
        arrived: found.arrived,
        indexed: now,
        manifest_tag: found.tag.clone(),
        version: maybe(manifest.afterpanic.as_ref()),
        report: json,
    }
}

/// Days since 1970 of `2026-11-29`.
pub(super) fn day(text: &str) -> i32 {
    let epoch = jiff::civil::Date::constant(1970, 1, 1);
    let days = text
        .parse::<jiff::civil::Date>()
        .ok()
        .and_then(|date| epoch.until(date).ok());
    days.map_or(0, |days| days.get_days())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str) -> Found {
        let machine = "0".repeat(32);
        let crash = Crash::parse(Path::new(name)).unwrap();
        Found {
            key: CrashKey::new(&machine, &crash),
            files: vec![("report.txt".into(), 5), ("vmcore.elf.zst.age".into(), 7)],
            bytes: 12,
            tag: "t".into(),
            arrived: 0,
        }
    }

    #[test]
    fn days_are_counted() {
        assert_eq!((day("1970-01-01"), day("2026-11-29")), (0, 20_786));
    }

    #[test]
    fn a_wrong_clock_is_marked_and_kept() {
        let now = micros(1_795_000_000);
        let of = |name: &str| {
            row(
                &found(name),
                &Manifest::default(),
                &Report::default(),
                None,
                now,
            )
        };
        assert_eq!(of("a-20261118T010203Z").clock, "ok");
        assert_eq!(of("a-20990101T000000Z").clock, "future");
        assert_eq!(of("a-19700101T000001Z").clock, "past");
        let unknown = of("a-00000000T000000Z");
        assert_eq!(
            (unknown.clock, unknown.time, unknown.day),
            ("unknown", None, 0)
        );
    }

    #[test]
    fn a_sealed_crash_has_what_its_manifest_says() {
        let text = br#"{"signature":"bug:x:1","class":"bug","release":"6.12","core":{"file":"vmcore.elf.zst.age"}}"#;
        let manifest: Manifest = facts::read(FILE, text).unwrap();
        let row = row(
            &found("a-20261118T010203Z"),
            &manifest,
            &Report::default(),
            None,
            0,
        );
        assert!(row.sealed && row.report.is_none());
        assert_eq!(row.signature.as_deref(), Some("bug:x:1"));
        assert_eq!((row.node.as_deref(), row.shipped_bytes), (Some("a"), 12));
        assert!(row.core_path.unwrap().ends_with("/vmcore.elf.zst.age"));
    }
}
