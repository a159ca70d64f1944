//! What a run left: the crash directories that were fetched, and the core in the last one.

use crate::scenario::Scenario;
use rehearse::guest::image::Binaries;
use rehearse::session::Crash;
use std::fs;
use std::path::{Path, PathBuf};

/// What a run left.
#[derive(Debug)]
pub struct Found<'a> {
    /// The run.
    pub crash: &'a Crash,
    /// The crash directory, copied to this machine.
    pub dir: Option<PathBuf>,
    /// More than one: all of them.
    pub dirs: Vec<PathBuf>,
    /// The core in it.
    pub core: Option<PathBuf>,
    /// The verdict.
    pub saved: String,
    /// Our binaries, for questions to the core.
    pub binaries: &'a Binaries,
    /// The main program for other architectures, as far as it was built.
    pub others: Vec<(String, PathBuf)>,
    /// The machine ran the programs as they ship.
    pub as_shipped: bool,
}

impl<'a> Found<'a> {
    /// Looks into what was fetched.
    #[must_use]
    pub fn new(
        s: &Scenario,
        crash: &'a Crash,
        fetched: Option<&Path>,
        binaries: &'a Binaries,
    ) -> Self {
        let _ = s;
        let entries = fetched
            .and_then(|f| fs::read_dir(f).ok())
            .into_iter()
            .flatten()
            .flatten();
        let mut dirs: Vec<PathBuf> = entries
            .map(|e| e.path())
            .filter(|p| p.is_dir() && name_of(p).starts_with("lab-"))
            .collect();
        dirs.sort();
        let dir = dirs.last().cloned();
        let core = dir.as_ref().and_then(|d| {
            [
                "vmcore.elf.zst",
                "vmcore.elf.lz4",
                "vmcore.kdump",
                "vmcore.elf",
            ]
            .iter()
            .flat_map(|name| [d.join(name), d.join(format!("{name}.age"))])
            .find(|p| p.exists())
        });
        let saved = dir.as_deref().map_or("nothing".into(), verdict);
        Found {
            crash,
            dir,
            dirs,
            core,
            saved,
            binaries,
            others: Vec::new(),
            as_shipped: false,
        }
    }

    /// A file of the crash directory as text; empty when it is not there.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        let Some(dir) = &self.dir else {
            return String::new();
        };
        String::from_utf8_lossy(&fs::read(dir.join(name)).unwrap_or_default()).into_owned()
    }
}

pub(super) fn name_of(path: &Path) -> String {
    path.file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// The manifest's verdict, or what the directory's name says without one.
pub(super) fn verdict(dir: &Path) -> String {
    let manifest = fs::read(dir.join("manifest.json")).unwrap_or_default();
    let said = serde_json::from_slice::<serde_json::Value>(&manifest)
        .ok()
        .and_then(|m| Some(m.get("verdict")?.as_str()?.to_owned()));
    match said {
        Some(verdict) => verdict,
        None if name_of(dir).ends_with(".partial") => "partial".into(),
        None => "no manifest".into(),
    }
}
