//! A core that was cut off: by power, a watchdog, a full disk. Whatever is left of it, `report` on
//! the crash directory has to answer what it answers from all of it.
//!
//! The directory is what the capture kernel leaves when it stops while it writes the core: the log, the
//! essential pages, the map of the pages, and so much of the core. There is no manifest yet. The
//! report that the capture kernel made beside them is left out, so that none is shown that was made
//! from the whole.

use crate::artefacts;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The formats that are cut.
const FORMATS: [&str; 2] = ["elf-zst", "kdump-zstd"];

/// What stands beside a core while it is written.
const BESIDE: [&str; 3] = ["dmesg.txt", "essential.elf.zst", "panic.log"];

/// What is cut.
#[derive(Debug)]
pub struct Request {
    /// The core that is captured first.
    pub core: PathBuf,
    /// At how many places each format is cut.
    pub points: u64,
    /// The cargo profile of the binaries.
    pub profile: String,
}

/// Cuts, asks and compares. Whether every report was right.
///
/// # Errors
/// A core cannot be captured, a file cannot be written.
pub fn run(request: &Request) -> Result<bool> {
    let program = artefacts::build(&request.profile)?.afterpanic;
    let dir = crate::cache().join("cut");
    let _ = fs::remove_dir_all(&dir);
    let without = captured(&program, &request.core, &dir.join("none"), "none")?;
    let mut good = true;
    for format in FORMATS {
        let whole = captured(&program, &request.core, &dir.join(format), format)?;
        let core = core_in(&whole)?;
        let name = core.file_name().context("The core has no name")?.to_owned();
        let (status, wanted) = report(&program, &whole)?;
        ensure!(
            status == Some(0) && wanted.is_object(),
            "The report on the whole core answers {status:?}"
        );
        let partial = dir.join(format!("{format}.partial"));
        fs::create_dir_all(&partial)?;
        for file in BESIDE {
            fs::copy(without.join(file), partial.join(file)).with_context(|| file.to_string())?;
        }
        fs::copy(whole.join("pages.map"), partial.join("pages.map"))?;
        let cut = partial.join(name);
        let len = fs::metadata(&core)?.len();
        let mut right = 0;
        for at in places(len, request.points) {
            beginning(&core, at, &cut)?;
            match difference(&wanted, &report(&program, &partial)?) {
                None => right += 1,
                Some(why) => println!("{format} cut at {at} of {len}: {why}"),
            }
        }
        println!("{format}: {right} of {} reports are right", request.points);
        good &= right == request.points;
    }
    let _ = fs::remove_dir_all(&dir);
    Ok(good)
}

/// Lengths below `len`, the same in every run: one anywhere in each of equal stretches.
fn places(len: u64, points: u64) -> impl Iterator<Item = u64> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    (0..points).map(move |n| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let stretch = (len / points.max(1)).max(1);
        (n * stretch + state % stretch).min(len.saturating_sub(1))
    })
}

/// The crash directory of a capture by hand.
fn captured(program: &Path, core: &Path, to: &Path, format: &str) -> Result<PathBuf> {
    fs::create_dir_all(to)?;
    let ended = Command::new(program)
        // Not what this machine's own config says.
        .args(["--config", "/dev/null", "capture"])
        .args([core, to])
        .args(["--format", format])
        .output()?;
    ensure!(
        matches!(ended.status.code(), Some(0 | 4 | 5)),
        "afterpanic capture --format {format}: {}",
        String::from_utf8_lossy(&ended.stderr)
    );
    let mut entries = fs::read_dir(to)?.flatten().map(|entry| entry.path());
    entries
        .find(|path| path.is_dir())
        .context("afterpanic capture left no directory")
}

fn core_in(dir: &Path) -> Result<PathBuf> {
    let mut entries = fs::read_dir(dir)?.flatten().map(|entry| entry.path());
    entries
        .find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("vmcore.")
        })
        .with_context(|| format!("There is no core in {}", dir.display()))
}

/// Writes the first `len` bytes of a file into another.
fn beginning(from: &Path, len: u64, to: &Path) -> Result<()> {
    let mut out = match File::options().write(true).open(to) {
        Ok(file) => file,
        Err(_) => File::create(to)?,
    };
    // The places ascend: what is there already is right.
    let there = out.metadata()?.len();
    if there > len {
        out.set_len(len)?;
        return Ok(());
    }
    let mut from = File::open(from)?;
    from.seek(std::io::SeekFrom::Start(there))?;
    out.seek(std::io::SeekFrom::Start(there))?;
    std::io::copy(&mut from.take(len - there), &mut out)?;
    Ok(())
}

/// What `report` answers: its exit code and its object.
fn report(program: &Path, dir: &Path) -> Result<(Option<i32>, Value)> {
    let ended = Command::new(program)
        .args(["report", "--json"])
        .arg(dir)
        .output()?;
    let value = serde_json::from_slice(&ended.stdout).unwrap_or(Value::Null);
    Ok((ended.status.code(), value))
}

/// Why an answer is not the one from the whole core. The answer may say more of what is lacking, and
/// so may the exit code.
fn difference(wanted: &Value, answer: &(Option<i32>, Value)) -> Option<String> {
    let (status, found) = answer;
    let (Some(wanted), Some(found)) = (wanted.as_object(), found.as_object()) else {
        return Some(format!("no report, exit code {status:?}"));
    };
    let mut keys: Vec<&str> = (wanted.iter())
        .filter(|(key, value)| *key != "warnings" && found.get(*key) != Some(value))
        .map(|(key, _)| key.as_str())
        .collect();
    if !matches!(status, Some(0 | 4 | 5)) {
        keys.push("the exit code");
    }
    (!keys.is_empty()).then(|| format!("other than from the whole core: {}", keys.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn places_are_spread_and_inside() {
        let places: Vec<u64> = places(10_000, 20).collect();
        assert_eq!(places.len(), 20);
        for (n, at) in (0..).zip(&places) {
            assert_eq!(at / 500, n);
        }
        assert_eq!(super::places(3, 5).max(), Some(2));
    }

    #[test]
    fn a_report_that_lacks_something_is_another() {
        let wanted = json!({"schema": 1, "warnings": [], "tasks": 80});
        let same = json!({"schema": 1, "warnings": ["cut off"], "tasks": 80});
        assert_eq!(difference(&wanted, &(Some(5), same)), None);
        let fewer = json!({"schema": 1, "warnings": [], "tasks": 79});
        assert!(difference(&wanted, &(Some(0), fewer)).is_some_and(|why| why.ends_with("tasks")));
        assert!(difference(&wanted, &(Some(1), Value::Null)).is_some());
    }
}
