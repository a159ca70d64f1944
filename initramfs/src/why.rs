//! `/why.json` inside the image: who asked for each file, and what the image was made from.

use serde::{Deserialize, Serialize};

/// Where it lies in the image.
pub const PATH: &str = "why.json";

/// The version of its shape.
pub const SCHEMA: u32 = 1;

/// The record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The version of afterpanic that made the image.
    pub made_by: String,
    /// The kernel it is for.
    pub release: String,
    /// What it was made from.
    pub inputs: Inputs,
    /// Every file with its reason, sorted by path.
    pub files: Vec<File>,
    /// What is needed and part of the kernel itself, with who asked.
    pub builtin: Vec<(String, String)>,
    /// What is worth saying.
    pub notes: Vec<String>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its path in the image.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// Who asked for it.
    pub why: String,
}

/// Digests of what the image was made from, each of a part that can change on its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// The version of afterpanic.
    pub afterpanic: String,
    /// The kernel release.
    pub kernel: String,
    /// The capture binary.
    pub capture: String,
    /// What the config says of the dump, its keeping and its end.
    pub config: String,
    /// The targets and watchdogs as they were found on the machine.
    pub target: String,
    /// The files of the modules, in load order.
    pub modules: String,
    /// The extra files and programs.
    pub files: String,
    /// How it is packed.
    pub compression: String,
}

impl Inputs {
    /// The parts that differ, by name; none if an image made from `self` is still the right one.
    #[must_use]
    pub fn changed(&self, now: &Self) -> Vec<&'static str> {
        [
            ("afterpanic's version", &self.afterpanic, &now.afterpanic),
            ("the kernel release", &self.kernel, &now.kernel),
            ("afterpanic-capture", &self.capture, &now.capture),
            ("the config", &self.config, &now.config),
            ("the target", &self.target, &now.target),
            ("the kernel modules", &self.modules, &now.modules),
            ("the extra files", &self.files, &now.files),
            ("the compression", &self.compression, &now.compression),
        ]
        .into_iter()
        .filter(|(_, was, is)| was != is)
        .map(|(name, _, _)| name)
        .collect()
    }
}
