//! `report.html` beside the report of each crash: made from the core, or where that cannot be read from
//! the stored report and the log. Of what cannot be read at all, and of sealed crashes, there is no page.

use analysis::report::details::{self, FilterCheck, Full, KindOfPage, Saved, SavedStep};
use analysis::report::html;
use dump::seal::Identities;
use std::io::{self, Read};
use std::path::PathBuf;
use store::manifest::{DMESG, REPORT_HTML, REPORT_JSON};
use store::{Crash, Manifest, State, Store};
use vmcore::kernel::Kernel;

/// No stored report is larger, in bytes.
const MAX_REPORT: u64 = 16 << 20;
/// A log larger than this is not read.
const MAX_LOG: u64 = 64 << 20;

/// What was written.
#[derive(Debug, Default)]
pub struct Written {
    /// The pages.
    pub paths: Vec<PathBuf>,
    /// What could not be done, a sentence each.
    pub problems: Vec<String>,
}

/// Writes the page of each crash of these stores that has none. A store that cannot be listed is passed
/// over: [`crate::run`] reports that.
#[must_use]
pub fn write_all(stores: &[PathBuf]) -> Written {
    let mut written = Written::default();
    for path in stores {
        let Ok(store) = Store::open(path) else {
            continue;
        };
        let crashes = store
            .list()
            .map_or_else(|_| Vec::new(), |listing| listing.crashes);
        let settled = crashes.iter().filter(|crash| crash.state != State::Partial);
        for crash in settled {
            match write(&store, crash, &crashes) {
                Ok(true) => written.paths.push(crash.path.join(REPORT_HTML)),
                Ok(false) => {}
                Err(why) => written.problems.push(format!(
                    "cannot write {}: {why}",
                    crash.path.join(REPORT_HTML).display()
                )),
            }
        }
    }
    written
}

/// Whether a page was written.
fn write(store: &Store, crash: &Crash, all: &[Crash]) -> io::Result<bool> {
    let name = crash.name();
    let files = store.place().files(&name)?;
    if files.iter().any(|(file, _)| file == REPORT_HTML) {
        return Ok(false);
    }
    let Some(mut full) = of_core(crash).or_else(|| of_files(store, &name)) else {
        return Ok(false);
    };
    if let Ok(manifest) = store.manifest(&name) {
        add_manifest(&mut full, &manifest);
    }
    full.report.seen = Some(seen(store, crash, all, &full.report.reason.signature));
    let page = html::page(&full);
    match store
        .place()
        .write(&name, REPORT_HTML, &mut page.as_bytes())
    {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        other => other.map(|()| true),
    }
}

/// How many of the crashes have this signature, by their manifests, this one included.
fn seen(store: &Store, crash: &Crash, all: &[Crash], signature: &str) -> usize {
    let others = all.iter().filter(|other| other.path != crash.path);
    let same = others.filter(|other| {
        let manifest = store.manifest(&other.name());
        manifest.is_ok_and(|manifest| manifest.signature.as_deref() == Some(signature))
    });
    same.count().saturating_add(1)
}

/// Out of the core.
fn of_core(crash: &Crash) -> Option<Full> {
    let core = store::open::core_of(&crash.path)?;
    // No identity: what is sealed stays so, and gets no page.
    let opened = store::open::open(&crash.path, &core, &Identities::default()).ok()?;
    let kernel = Kernel::with(opened.dump, vmcore::kernel::Supplement::default()).ok()?;
    Some(details::full(&kernel))
}

/// Out of the stored report and the log, or the log alone.
fn of_files(store: &Store, name: &str) -> Option<Full> {
    let read = |file: &str, max: u64| -> Option<Vec<u8>> {
        let (content, len) = store.place().open(name, file).ok()?;
        let mut bytes = Vec::new();
        content.take(max).read_to_end(&mut bytes).ok()?;
        (len <= max).then_some(bytes)
    };
    of_stored(
        read(REPORT_JSON, MAX_REPORT).as_deref(),
        read(DMESG, MAX_LOG).as_deref(),
    )
}

/// The report of a stored `report.json` with the log beside it, or of the log alone. `None` when neither
/// tells anything.
#[must_use]
pub fn of_stored(report: Option<&[u8]>, log: Option<&[u8]>) -> Option<Full> {
    let stored = report.and_then(|text| serde_json::from_slice::<Full>(text).ok());
    let Some(mut full) = stored else {
        let full = details::full_of_text(&mut log?, DMESG).ok()?;
        return (!full.report.reason.is_blank()).then_some(full);
    };
    if full.details.log.is_none()
        && let Some(mut log) = log
    {
        // Reading out of memory cannot fail.
        let _ = details::add_log(&mut full, &mut log);
    }
    Some(full)
}

/// Adds what the manifest tells of the core to a report.
pub fn add_manifest(full: &mut Full, manifest: &Manifest) {
    let core = manifest.core.as_ref();
    let doubts = core.iter().flat_map(|core| &core.soft_errors);
    full.report.dump = doubts.chain(&manifest.soft_errors).cloned().collect();
    let mut saved = Saved {
        verdict: manifest.verdict.name().to_owned(),
        steps: (manifest.steps.iter())
            .map(|step| SavedStep {
                name: step.name.clone(),
                end: step.end.clone(),
                seconds: step.seconds,
            })
            .collect(),
        ..Saved::default()
    };
    if let Some(core) = core {
        saved = Saved {
            file: Some(core.file.clone()),
            format: Some(core.format.clone()),
            level: Some(core.level.clone()),
            asked: Some(core.asked.clone()),
            bytes: core.size,
            ram_pages: core.pages.ram,
            kept_pages: core.pages.kept,
            missing_pages: core.pages.missing,
            kinds: (core.kinds.iter())
                .map(|(name, kind)| {
                    let (pages, kept) = (kind.pages, kind.kept);
                    (name.clone(), KindOfPage { pages, kept })
                })
                .collect(),
            checks: (core.checks.iter())
                .map(|check| FilterCheck {
                    name: check.name.clone(),
                    found: check.found,
                    expected: check.expected,
                    verdict: check.verdict.clone(),
                })
                .collect(),
            rules_off: (core.rules_off.iter())
                .map(|off| (off.rule.clone(), off.reason.clone()))
                .collect(),
            classify_s: core.classify_s,
            write_s: core.write_s,
            ..saved
        };
    }
    full.details.saved = Some(saved);
}
