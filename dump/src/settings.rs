//! What the config's `[dump]` section asks for, as the plan carries it.

use crate::level::Level;
use crate::seal::{Recipient, Scope, Sealer};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use vmcore::write::OutputFormat;

/// The word for "no core: log, report and essential pages only", where a format is named.
pub const NO_CORE: &str = "none";

/// The word for a format, or for no core.
#[must_use]
pub fn format_name(format: Option<OutputFormat>) -> &'static str {
    format.map_or(NO_CORE, OutputFormat::name)
}

/// The format of a name in the config; the outer `None` for an unknown name.
#[must_use]
pub fn format_from_name(name: &str) -> Option<Option<OutputFormat>> {
    match name {
        NO_CORE => Some(None),
        name => OutputFormat::from_name(name).map(Some),
    }
}

/// The name of a format in the plan or the config.
pub mod format {
    use super::{Deserialize, Deserializer, OutputFormat, Serializer, de};

    /// Writes the word.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(
        format: &Option<OutputFormat>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_str(super::format_name(*format))
    }

    /// Reads the word.
    ///
    /// # Errors
    /// A word that names no format.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<OutputFormat>, D::Error> {
        let text = String::deserialize(from)?;
        super::format_from_name(&text)
            .ok_or_else(|| de::Error::custom(format!("\"{text}\" is no format of a core")))
    }
}

/// What the manifest of a sealed crash says in clear.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ManifestWords {
    /// Kind of death, signature, release and uptime too, so that `list`, the loop guard and a fleet's
    /// index work.
    #[default]
    Full,
    /// Not these. Times, sizes, hashes, page counts, steps, soft errors and the verdict stay.
    Minimal,
}

/// What is dumped and how.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dump {
    /// Which pages.
    pub level: Level,
    /// In which format; `None`: no core.
    #[serde(with = "format")]
    pub format: Option<OutputFormat>,
    /// Kinds kept at every level, by name or group (`afterpanic pages --kinds`).
    pub keep_kinds: Vec<String>,
    /// Kinds never written, at any level and on any fallback.
    pub never: Vec<String>,
    /// Whether everything that fits is copied as a last resort.
    pub allow_unfiltered: bool,
    /// A core estimated larger is written at level standard, else the essential pages stay; `None`: no
    /// cap.
    pub max_size: Option<u64>,
    /// The cap of `essential.elf.zst`.
    pub essential_max: u64,
    /// Keep `essential.elf.zst` next to a complete core.
    pub keep_essential: bool,
    /// Whom the files are sealed to; nobody: they stay open.
    pub recipients: Vec<Recipient>,
    /// Which files are sealed.
    pub seal: Scope,
    /// What a manifest says in clear.
    pub manifest: ManifestWords,
    /// What crash directories begin with; `None`: the crashed kernel's host name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_tag: Option<String>,
    /// Worker threads; `None`: by the CPUs and memory of the capture kernel.
    pub threads: Option<u32>,
    /// How much processor time compression gets, 1 (fastest) to 4 (smallest); `None`: as the device leaves time
    /// for.
    pub effort: Option<u32>,
    /// The worker's limit on heap and stacks; `None`: a third of MemAvailable ([`crate::budget`]).
    pub worker_memory: Option<u64>,
    /// Seconds that the report may take before it is given up.
    pub report_deadline_s: u64,
    /// Seconds without any progress after which the worker counts as hung.
    pub stall_s: u64,
}

impl Default for Dump {
    fn default() -> Self {
        Self {
            level: Level::STANDARD,
            format: Some(OutputFormat::ElfZst),
            keep_kinds: Vec::new(),
            never: Vec::new(),
            allow_unfiltered: false,
            max_size: None,
            essential_max: 256 << 20,
            keep_essential: false,
            recipients: Vec::new(),
            seal: Scope::default(),
            manifest: ManifestWords::default(),
            host_tag: None,
            threads: None,
            effort: None,
            worker_memory: None,
            report_deadline_s: 60,
            stall_s: 120,
        }
    }
}

impl Dump {
    /// What seals the files.
    #[must_use]
    pub fn sealer(&self) -> Sealer {
        Sealer::new(self.recipients.clone(), self.seal)
    }
}
