//! The answer, made before the pages are classified: `report.json` and `report.txt`.
//!
//! One of the two doors from capture into analysis; it runs in a child with a deadline of its own,
//! and its failure is a soft error.

use super::source;
use crate::directory;
use crate::manifest::{REPORT_JSON, REPORT_TXT};
use crate::plan::Plan;
use analysis::report::{self, Options};
use std::io::Write;
use std::path::Path;

pub fn run(plan: &Plan, dir: &Path) -> Result<(), String> {
    let kernel = source::kernel(plan)?;
    let report = report::build(&kernel, Options::default());
    let json = serde_json::to_vec_pretty(&report).map_err(|error| error.to_string())?;
    write(dir, REPORT_JSON, &json)?;
    let mut text = String::new();
    report::text::write(&report, &mut text).map_err(|error| error.to_string())?;
    write(dir, REPORT_TXT, text.as_bytes())
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), String> {
    directory::create_file(dir, name)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .map_err(|error| format!("Cannot write {name}: {error}"))
}
