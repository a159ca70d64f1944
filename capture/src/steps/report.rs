//! The report, made before the pages are classified: `report.json`, `report.txt`, and `panic.log` with
//! what was registered for a panic.
//!
//! The essential step makes a report to find the pages that one reads, and writes it. This step runs
//! when that one failed. It runs in a child with a deadline of its own, and its failure is a soft error.

use super::source;
use crate::protocol::{self, Event, say};
use analysis::essential::Made;
use analysis::report::{self, model::Report};
use dump::files;
use dump::seal::Sealer;
use plan::Plan;
use std::io::Write;
use std::path::Path;
use std::time::Instant;
use store::manifest::CrashFacts;
use store::manifest::{PANIC_LOG, REPORT_JSON, REPORT_TXT};
use vmcore::kernel::chain;

pub(super) fn run(plan: &Plan, dir: &Path) -> Result<(), String> {
    let begun = Instant::now();
    write(&Made::of(&source::kernel(plan)?), dir, &plan.dump.sealer())?;
    protocol::log(format!(
        "{REPORT_JSON}: {:.1} s, peak {} KiB",
        begun.elapsed().as_secs_f64(),
        super::peak_rss_kib()
    ));
    Ok(())
}

/// Writes the three files, `report.json` last: where it is, all of it was made.
pub(super) fn write(made: &Made, dir: &Path, sealer: &Sealer) -> Result<(), String> {
    match &made.panic_log {
        Ok(text) => file(dir, sealer, PANIC_LOG, text)?,
        Err(why) => protocol::soft(format!("No {PANIC_LOG}: {}", chain(why))),
    }
    let mut text = String::new();
    report::text::write(&made.report, &mut text).map_err(|error| error.to_string())?;
    file(dir, sealer, REPORT_TXT, text.as_bytes())?;
    let json = serde_json::to_vec_pretty(&made.report).map_err(|error| error.to_string())?;
    file(dir, sealer, REPORT_JSON, &json)?;
    files::sync(dir).map_err(|error| format!("Cannot sync {}: {error}", dir.display()))?;
    say(&Event::Reported(Box::new(facts(&made.report))));
    Ok(())
}

/// The crash facts for later steps.
pub(super) fn facts(report: &Report) -> CrashFacts {
    let release = &report.system.uts.release;
    CrashFacts {
        release: (!release.is_empty()).then(|| release.clone()),
        crash_time: report.crash_time,
        uptime_s: report.uptime_seconds,
        signature: Some(report.reason.signature.clone()),
        class: Some(report.reason.class.name().to_owned()),
    }
}

fn file(dir: &Path, sealer: &Sealer, name: &str, bytes: &[u8]) -> Result<(), String> {
    // A file of an earlier try.
    let _ = std::fs::remove_file(dir.join(sealer.log_name(name)));
    sealer
        .create(dir, name)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.close()
        })
        .map_err(|error| format!("Cannot write {name}: {error}"))
}
