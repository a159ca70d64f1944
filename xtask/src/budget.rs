//! How large the programs in the capture image may be: they take memory from the capture kernel, which has
//! little.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;
use std::process::Command;

/// A program, the most bytes of its file, and the most bytes of it packed by zstd -19.
const BUDGETS: [(&str, Option<u64>, u64); 2] = [
    ("afterpanic-capture", Some(3_700_000), 1_450_000),
    ("afterpanic-capture-ssh", None, 2_200_000),
];

/// Compares the programs in a folder, as released, with their budgets. Answers a line for each.
///
/// # Errors
/// One is missing or too large.
pub(crate) fn check(folder: &Path) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for (name, plain, packed) in BUDGETS {
        let path = folder.join(name);
        lines.push(judge(&path, plain, packed).with_context(|| format!("{name} is too large"))?);
    }
    Ok(lines)
}

fn judge(path: &Path, plain: Option<u64>, packed: u64) -> Result<String> {
    let cannot = || format!("Cannot read {}", path.display());
    let bytes = fs::metadata(path).with_context(cannot)?.len();
    let output = Command::new("zstd")
        .args(["-19", "--stdout", "--quiet"])
        .arg(path)
        .output()
        .context("Cannot run zstd; install it with: apt-get install zstd")?;
    ensure!(
        output.status.success(),
        "zstd -19 {}: {}",
        path.display(),
        output.status
    );
    let size = output.stdout.len() as u64;
    ensure!(
        size <= packed,
        "it has {size} bytes as zstd -19, at most {packed}"
    );
    if let Some(plain) = plain {
        ensure!(bytes <= plain, "it has {bytes} bytes, at most {plain}");
    }
    Ok(format!(
        "{}: {bytes} bytes, {size} as zstd -19 (at most {packed})",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_its_budget_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let made = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            fs::write(&path, bytes).unwrap();
            path
        };
        // It does not pack.
        let mut state = 1_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state.to_be_bytes()[0]
        })
        .take(100_000)
        .collect();
        let (noise, zeros) = (made("noise", &noise), made("zeros", &[0; 100_000]));
        let said = |found: Result<String>| found.unwrap_err().to_string();
        assert!(judge(&zeros, Some(100_000), 1000).is_ok());
        assert!(said(judge(&noise, None, 1000)).contains("as zstd -19, at most 1000"));
        assert!(said(judge(&zeros, Some(99_999), 1000)).contains("100000 bytes, at most 99999"));
        assert!(check(dir.path()).is_err(), "no program is there");
    }
}
