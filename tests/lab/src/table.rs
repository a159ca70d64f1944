//! Results as a table and as JSON.

use serde::Serialize;

/// One judged expectation.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// What was looked at.
    pub what: String,
    /// Empty when it holds, else what is wrong.
    pub wrong: String,
}

impl Check {
    /// A check that holds when `wrong` is `Ok`.
    pub fn new(what: impl Into<String>, result: Result<(), String>) -> Self {
        Check {
            what: what.into(),
            wrong: result.err().unwrap_or_default(),
        }
    }

    /// Whether it holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.wrong.is_empty()
    }
}

/// What a scenario gave.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// The kernel's release.
    pub kernel: String,
    /// KVM or TCG.
    pub accel: String,
    /// Whether every check holds.
    pub passed: bool,
    /// Every check.
    pub checks: Vec<Check>,
    /// What was saved: the verdict.
    pub saved: String,
    /// Seconds of the whole scenario.
    pub seconds: f64,
    /// Seconds from the panic to the end of the capture kernel.
    pub panic_to_end: Option<f64>,
    /// The core's size in bytes.
    pub core_bytes: Option<u64>,
    /// Where console and files were kept, if they were.
    pub kept: Option<String>,
}

/// Prints the rows for people.
pub fn print(rows: &[Row]) {
    println!(
        "{:<22} {:<30} {:<11} {:>7} {:>8} {:>9}  result",
        "scenario", "kernel", "saved", "total", "panic to", "core"
    );
    println!(
        "{:<22} {:<30} {:<11} {:>7} {:>8} {:>9}",
        "", "", "", "", "reboot", ""
    );
    for row in rows {
        let end = row.panic_to_end.map_or("-".into(), |s| format!("{s:.1} s"));
        let core = row.core_bytes.map_or("-".into(), mib);
        let good = row.checks.iter().filter(|c| c.holds()).count();
        let word = if row.passed { "ok" } else { "FAILED" };
        println!(
            "{:<22} {:<30} {:<11} {:>5.0} s {end:>8} {core:>9}  {word} ({good} of {} checks)",
            row.name,
            row.kernel,
            row.saved,
            row.seconds,
            row.checks.len()
        );
        for check in row.checks.iter().filter(|c| !c.holds()) {
            println!("    {}: {}", check.what, check.wrong);
        }
        if let (false, Some(kept)) = (row.passed, &row.kept) {
            println!("    console and files: {kept}");
        }
    }
}

fn mib(bytes: u64) -> String {
    format!("{}.{} MiB", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20)
}

/// The rows for programs.
#[must_use]
pub fn json(rows: &[Row]) -> serde_json::Value {
    let failed = rows.iter().filter(|r| !r.passed).count();
    serde_json::json!({
        "schema": "afterpanic.lab/1",
        "warnings": [],
        "passed": rows.len() - failed,
        "failed": failed,
        "scenarios": rows,
    })
}
