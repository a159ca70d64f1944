//! The answer, made before the pages are classified: `report.json`, `report.txt`, and `panic.log` with
//! what was registered for a panic.
//!
//! One of the two doors from capture into analysis; it runs in a child with a deadline of its own,
//! and its failure is a soft error.

use super::source;
use crate::directory;
use crate::manifest::{PANIC_LOG, REPORT_JSON, REPORT_TXT};
use crate::plan::Plan;
use crate::protocol;
use analysis::notifiers;
use analysis::report::{self, Options, Report};
use analysis::unwind::Unwinder;
use std::io::Write;
use std::path::Path;
use std::time::Instant;
use vmcore::kernel::{Kernel, chain};

pub fn run(plan: &Plan, dir: &Path) -> Result<(), String> {
    let begun = Instant::now();
    let kernel = source::guarded(plan)?;
    let report = report::build(&kernel, Options::default());
    let json = serde_json::to_vec_pretty(&report).map_err(|error| error.to_string())?;
    write(dir, REPORT_JSON, &json)?;
    let mut text = String::new();
    report::text::write(&report, &mut text).map_err(|error| error.to_string())?;
    write(dir, REPORT_TXT, text.as_bytes())?;
    if let Err(why) = panic_log(&kernel, &report, dir) {
        protocol::soft(format!("No {PANIC_LOG}: {why}"));
    }
    protocol::log(format!(
        "{REPORT_JSON}: {:.1} s, peak {} KiB",
        begun.elapsed().as_secs_f64(),
        super::core::peak_rss_kib()
    ));
    Ok(())
}

fn panic_log(kernel: &Kernel, report: &Report, dir: &Path) -> Result<(), String> {
    let (log, _) = report::log_lines(kernel).map_err(|error| chain(&error))?;
    let unwinder = Unwinder::new(kernel);
    let notifiers = notifiers::read(kernel, &unwinder, &report.reason, &log);
    let mut text = Vec::new();
    notifiers::write_panic_log(&mut text, &report.reason, &log, &notifiers)
        .map_err(|error| error.to_string())?;
    write(dir, PANIC_LOG, &text)
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), String> {
    directory::create_file(dir, name)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .map_err(|error| format!("Cannot write {name}: {error}"))
}
