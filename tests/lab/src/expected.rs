//! Differences that are known and why: the files under `expected/`.

use anyhow::{Context, Result};
use serde::Deserialize;
use std::fs;

/// How far the kept pages may be from makedumpfile's, for one series.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pages {
    /// Kernel releases that begin so.
    pub series: String,
    /// Pages that we leave out and makedumpfile keeps, at most.
    pub missing: u64,
    /// Pages that we keep and makedumpfile leaves out, at most.
    pub more: u64,
    /// Why.
    pub reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    pages: Vec<Pages>,
}

/// What is known for a release; nothing may differ where nothing is.
///
/// # Errors
/// The file is not right.
pub fn pages(release: &str) -> Result<Pages> {
    let path = crate::root().join("tests/lab/expected/pages.toml");
    let text =
        fs::read_to_string(&path).with_context(|| format!("Cannot read {}", path.display()))?;
    let file: File = toml::from_str(&text)?;
    let known = file
        .pages
        .into_iter()
        .find(|p| release.starts_with(&p.series));
    Ok(known.unwrap_or(Pages {
        series: String::new(),
        missing: 0,
        more: 0,
        reason: String::new(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_difference_has_a_reason() {
        for release in ["5.10.0-1", "6.1.0-1", "6.12.1", "7.2.1"] {
            let known = pages(release).unwrap();
            assert!(
                known.missing + known.more == 0 || known.reason.len() > 20,
                "{release}"
            );
        }
    }
}
