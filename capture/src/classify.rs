//! The one pass over the memory map: every page's kind into `pages.map`.

use crate::directory;
use crate::manifest::{PAGES_MAP, RuleOff};
use std::io::BufWriter;
use std::path::Path;
use std::time::{Duration, Instant};
use vmcore::image::map::{MapReader, MapWriter};
use vmcore::kernel::{Kernel, chain};
use vmcore::mm::{self, Rules, Summary, check};

/// A finished `pages.map`.
pub struct Classified {
    /// The file, to be gone over as often as wanted.
    pub reader: MapReader,
    /// Rules that this kernel's vmcoreinfo does not carry, each with the reason.
    pub rules_off: Vec<RuleOff>,
    /// What the pass counted.
    pub summary: Summary,
    /// The checks made, and the pages to keep beside those of the kept kinds.
    pub checked: check::Report,
    /// Why no check was made, if so.
    pub unchecked: Option<String>,
}

/// Time for the checks; those not made by then say so.
const CHECKS: Duration = Duration::from_secs(20);

/// Classifies every page into `dir/pages.map`, which must not exist. `progress` is told the pages
/// seen so far.
///
/// # Errors
/// One sentence: the memory map cannot be walked, or the file not be written.
pub fn classify(
    kernel: &Kernel,
    dir: &Path,
    threads: usize,
    progress: &mut dyn FnMut(u64),
) -> Result<Classified, String> {
    let rules = Rules::of(kernel);
    let write = |error: std::io::Error| format!("Cannot write {PAGES_MAP}: {error}");
    let file = directory::create_file(dir, PAGES_MAP).map_err(write)?;
    let reading = file.try_clone().map_err(write)?;
    let mut writer = MapWriter::new(BufWriter::new(file)).map_err(write)?;
    let mut seen = 0_u64;
    let walked = mm::walk_threads(kernel, &rules, threads, &mut |run| {
        seen = seen.saturating_add(run.pages.len());
        progress(seen);
        writer.push(run)
    });
    let summary = walked.map_err(|error| chain(&error))?;
    writer.finish().map_err(write)?;
    reading.sync_all().map_err(write)?;
    let reader = MapReader::open(Box::new(reading)).map_err(|error| chain(&error))?;
    let rules_off = rules
        .off()
        .iter()
        .map(|off| RuleOff {
            rule: off.rule.name().into(),
            reason: off.reason.clone(),
            degrades: off.degrades,
        })
        .collect();
    let options = check::Options {
        deadline: Some(Instant::now() + CHECKS),
    };
    let (checked, unchecked) = match check::run(kernel, &summary, &reader, options) {
        Ok(report) => (report, None),
        Err(error) => (check::Report::default(), Some(error.to_string())),
    };
    Ok(Classified {
        reader,
        rules_off,
        summary,
        checked,
        unchecked,
    })
}
