//! What the index takes from `manifest.json` and `report.json` (docs/formats/manifest.md, docs/json/report.md).
//! Every member may be missing: reports of all versions are read. Texts are made safe to print and cut.

use crate::output;
use anyhow::{Context, Result};
use serde::Deserialize;
use vmcore::escape;

/// The most characters of a text.
const LONGEST: usize = 1000;
/// The most entries of a list.
const MOST: usize = 64;

/// `manifest.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Manifest {
    pub afterpanic: Option<String>,
    pub verdict: Option<String>,
    pub release: Option<String>,
    pub crash_time: Option<i64>,
    pub signature: Option<String>,
    pub class: Option<String>,
    pub uptime_s: Option<i64>,
    pub files: Option<Vec<File>>,
    pub core: Option<Core>,
    pub soft_errors: Option<Vec<String>>,
    pub steps: Option<Vec<Step>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct File {
    pub name: Option<String>,
    pub size: Option<u64>,
    pub sha256: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Core {
    pub file: Option<String>,
    pub level: Option<String>,
    pub asked: Option<String>,
    pub size: Option<u64>,
    pub pages: Option<Pages>,
    pub soft_errors: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Pages {
    pub missing: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Step {
    pub name: Option<String>,
    pub end: Option<String>,
}

/// `report.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Report {
    pub system: Option<System>,
    pub crash_time: Option<i64>,
    pub uptime_seconds: Option<i64>,
    pub reason: Option<Reason>,
    pub stack: Option<Vec<Frame>>,
    pub modules: Option<Vec<Module>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct System {
    pub uts: Option<Uts>,
    pub build_id: Option<String>,
    pub cpus_online: Option<i64>,
    pub memory_bytes: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Uts {
    pub nodename: Option<String>,
    pub release: Option<String>,
    pub machine: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Reason {
    pub class: Option<String>,
    pub message: Option<String>,
    pub headline: Option<String>,
    pub signature: Option<String>,
    pub signature_version: Option<i32>,
    pub signature_frames: Option<Vec<Frame>>,
    pub culprit: Option<Frame>,
    pub trust: Option<Trust>,
    pub oops: Option<Oops>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Trust {
    pub verdict: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Oops {
    pub tainted: Option<String>,
    pub hardware: Option<String>,
    pub trace: Option<Vec<Frame>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Frame {
    pub function: Option<String>,
    pub module: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Module {
    pub name: Option<String>,
    pub taints: Option<String>,
}

/// Reads one of the two.
pub(super) fn read<'a, T: Deserialize<'a>>(name: &str, text: &'a [u8]) -> Result<T> {
    serde_json::from_slice(text).with_context(|| format!("{name} cannot be read"))
}

/// A text that is safe to print, in one line.
pub(super) fn text(text: &str) -> String {
    escape::line(output::cut(text, LONGEST)).into_owned()
}

/// The same of one that may be missing or empty.
pub(super) fn maybe(it: Option<&String>) -> Option<String> {
    it.filter(|it| !it.is_empty()).map(|it| text(it))
}

/// Different texts in the order of their first appearance.
fn distinct(all: impl Iterator<Item = String>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for one in all {
        if found.len() < MOST && !found.contains(&one) {
            found.push(one);
        }
    }
    found
}

impl Report {
    /// The functions that make the signature.
    pub(super) fn frames(&self) -> Vec<String> {
        let frames = self
            .reason
            .iter()
            .flat_map(|reason| reason.signature_frames.iter().flatten());
        frames
            .filter_map(|frame| maybe(frame.function.as_ref()))
            .take(MOST)
            .collect()
    }

    /// Modules with code on the stack, innermost first.
    pub(super) fn stack_modules(&self) -> Vec<String> {
        let reason = self.reason.as_ref();
        let culprit = reason.and_then(|reason| reason.culprit.as_ref());
        let trace = reason.and_then(|reason| reason.oops.as_ref()?.trace.as_ref());
        let frames = culprit.into_iter().chain(trace.into_iter().flatten());
        let frames = frames.chain(self.stack.iter().flatten());
        distinct(frames.filter_map(|frame| maybe(frame.module.as_ref())))
    }

    /// Loaded modules that taint the kernel, `name (OE)`.
    pub(super) fn tainted_modules(&self) -> Vec<String> {
        let one = |module: &Module| {
            let taints = maybe(module.taints.as_ref())?;
            Some(format!("{} ({taints})", maybe(module.name.as_ref())?))
        };
        distinct(self.modules.iter().flatten().filter_map(one))
    }
}

impl Manifest {
    /// Why it is not complete, worst first.
    pub(super) fn why(&self) -> Option<String> {
        let core = self
            .core
            .iter()
            .flat_map(|core| core.soft_errors.iter().flatten());
        let ends = self.steps.iter().flatten().filter_map(|step| {
            let end = step.end.as_deref().filter(|end| *end != "done")?;
            Some(format!("{}: {end}", step.name.as_deref().unwrap_or("step")))
        });
        let all = core
            .chain(self.soft_errors.iter().flatten())
            .cloned()
            .chain(ends);
        let said = distinct(all.filter(|one| !one.is_empty()));
        let said: Vec<&str> = said.iter().take(5).map(String::as_str).collect();
        (!said.is_empty()).then(|| text(&said.join("; ")))
    }

    /// What it says of a file.
    pub(super) fn file(&self, name: &str) -> Option<&File> {
        self.files
            .iter()
            .flatten()
            .find(|file| file.name.as_deref() == Some(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_may_lack_everything() {
        let report: Report = read("report.json", b"{\"reason\":null,\"new\":[1]}").unwrap();
        assert!(report.frames().is_empty() && report.stack_modules().is_empty());
        let wrong = read::<Report>("report.json", b"{\"reason\":7}").unwrap_err();
        assert!(
            format!("{wrong:#}").starts_with("report.json cannot be read: "),
            "{wrong:#}"
        );
    }

    #[test]
    fn modules_are_named_once() {
        let text = br#"{"reason":{"culprit":{"module":"acme"},"oops":{"trace":[{"module":"acme"},
            {"module":null},{"module":"xfs"}]}},"modules":[{"name":"acme","taints":"OE"},{"name":"xfs","taints":""}]}"#;
        let report: Report = read("report.json", text).unwrap();
        assert_eq!(report.stack_modules(), ["acme", "xfs"]);
        assert_eq!(report.tainted_modules(), ["acme (OE)"]);
    }

    #[test]
    fn what_is_missing_is_said() {
        let text = br#"{"core":{"soft_errors":["3 pages"]},"soft_errors":["no pstore"],
            "steps":[{"name":"core","end":"failed: full"},{"name":"log","end":"done"}]}"#;
        let manifest: Manifest = read("manifest.json", text).unwrap();
        assert_eq!(
            manifest.why().unwrap(),
            "3 pages; no pstore; core: failed: full"
        );
    }
}
