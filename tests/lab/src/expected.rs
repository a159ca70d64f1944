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

/// Pages of one kind on which makedumpfile's bitmap differs, for one series.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BitmapPages {
    /// Kernel releases that begin so.
    pub series: String,
    /// Our kind.
    pub kind: String,
    /// Whether we keep them.
    pub kept: bool,
    /// How many, at most.
    pub pages: u64,
    /// Why.
    pub reason: String,
}

/// How many pages may change between /proc/kpageflags and the panic, for one series.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kinds {
    /// Kernel releases that begin so.
    pub series: String,
    /// Pages whose kind may be another, at most.
    pub changed: u64,
    /// Why.
    pub reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    pages: Vec<Pages>,
    #[serde(default)]
    bitmap: Vec<BitmapPages>,
    #[serde(default)]
    kinds: Vec<Kinds>,
}

fn file() -> Result<File> {
    let path = crate::root().join("tests/lab/expected/pages.toml");
    let text =
        fs::read_to_string(&path).with_context(|| format!("Cannot read {}", path.display()))?;
    Ok(toml::from_str(&text)?)
}

/// What is known of makedumpfile's bitmaps of a release.
///
/// # Errors
/// The file is not right.
pub fn bitmaps(release: &str) -> Result<Vec<BitmapPages>> {
    let mut known = file()?.bitmap;
    known.retain(|pages| release.starts_with(&pages.series));
    Ok(known)
}

/// How far the kernel's own word may be from ours.
///
/// # Errors
/// The file is not right, or says nothing of this release.
pub fn kinds(release: &str) -> Result<Kinds> {
    let known = file()?.kinds.into_iter();
    let mut known = known.filter(|kinds| release.starts_with(&kinds.series));
    known
        .next()
        .with_context(|| format!("expected/pages.toml has no [[kinds]] for {release}"))
}

/// Answers of the analysis that differ from drgn's, for one series.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Differs {
    /// Kernel releases that begin so; empty: all.
    series: String,
    /// `tasks`, `stacks`, `types` and so on.
    section: String,
    /// How many, exactly.
    count: usize,
    /// Why.
    reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnalysisFile {
    #[serde(default)]
    differs: Vec<Differs>,
}

fn differs() -> Result<Vec<Differs>> {
    let path = crate::root().join("tests/lab/expected/analysis.toml");
    let text =
        fs::read_to_string(&path).with_context(|| format!("Cannot read {}", path.display()))?;
    let file: AnalysisFile = toml::from_str(&text)?;
    Ok(file.differs)
}

/// How many answers of a section are known to differ from drgn's for a release, and why.
///
/// # Errors
/// The file is not right.
pub fn analysis(release: &str, section: &str) -> Result<(usize, String)> {
    let known = differs()?.into_iter();
    let known = known.filter(|d| d.section == section && release.starts_with(&d.series));
    let (counts, why): (Vec<_>, Vec<_>) = known.map(|d| (d.count, d.reason)).unzip();
    Ok((counts.iter().sum(), why.join("; ")))
}

/// Lines that a debugger prints otherwise with our vmlinux than with the debug vmlinux.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vmlinux {
    /// Kernel releases that begin so; empty: all.
    #[serde(default)]
    pub series: String,
    /// `crash`, `drgn`, `gdb`; `unknown`: crash where the table of globals has no row of the kernel;
    /// `layouts`.
    pub tool: String,
    /// Questions that begin so; of `layouts` the structure: `struct page`.
    pub question: String,
    /// `shorter`: our line ends where the source file would stand. `other`: the lines hold `ours` and
    /// `theirs`; a layout differs. `whole`: all lines of this very question. `data`: lines
    /// beside a frame at an address that is among the kernel's data.
    pub how: String,
    /// For `other`: what our line holds; empty: there is no line.
    #[serde(default)]
    pub ours: String,
    /// For `other`: what the other line holds; empty: there is no line.
    #[serde(default)]
    pub theirs: String,
    /// Why.
    pub reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct VmlinuxFile {
    #[serde(default)]
    differs: Vec<Vmlinux>,
}

fn vmlinux_differs() -> Result<Vec<Vmlinux>> {
    let path = crate::root().join("tests/lab/expected/vmlinux.toml");
    let text =
        fs::read_to_string(&path).with_context(|| format!("Cannot read {}", path.display()))?;
    let file: VmlinuxFile = toml::from_str(&text)?;
    Ok(file.differs)
}

/// What a debugger is known to print otherwise with our vmlinux.
///
/// # Errors
/// The file is not right.
pub fn vmlinux(tool: &str, release: &str) -> Result<Vec<Vmlinux>> {
    let mut known = vmlinux_differs()?;
    // A kernel that the table does not know differs in more.
    let is = |known: &Vmlinux| known.tool == tool || (tool == "unknown" && known.tool == "crash");
    known.retain(|known| is(known) && release.starts_with(&known.series));
    Ok(known)
}

/// What is known for a release; nothing may differ where nothing is.
///
/// # Errors
/// The file is not right.
pub fn pages(release: &str) -> Result<Pages> {
    let known = file()?
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
        for known in differs().unwrap() {
            assert!(known.reason.len() > 20, "{known:?}");
            assert!(known.count > 0, "{known:?}");
        }
        for known in vmlinux_differs().unwrap() {
            assert!(known.reason.len() > 20, "{known:?}");
            let is_layout = known.tool == "layouts";
            let said = known.ours.len() + known.theirs.len() > 3 || is_layout;
            let other = known.how == "other" && said;
            assert!(
                ["shorter", "whole", "data"].contains(&&*known.how) || other,
                "{known:?}"
            );
            assert!(
                ["crash", "drgn", "gdb", "layouts", "unknown"].contains(&known.tool.as_str()),
                "{known:?}"
            );
        }
        for release in ["5.10.0-1", "6.1.0-1", "6.12.1", "7.2.1"] {
            let known = pages(release).unwrap();
            assert!(
                known.missing + known.more == 0 || known.reason.len() > 20,
                "{release}"
            );
            assert!(kinds(release).unwrap().reason.len() > 20, "{release}");
            let bitmaps = bitmaps(release).unwrap();
            assert!(
                bitmaps.iter().all(|known| known.reason.len() > 20),
                "{release}"
            );
        }
    }
}
