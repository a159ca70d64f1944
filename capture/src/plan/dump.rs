//! What is dumped and how. Which kinds of pages that means stands in [`crate::policy`].

use crate::policy::Level;
use serde::{Deserialize, Serialize};

/// The form of the core.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// A standard ELF core inside the Zstandard seekable format.
    #[default]
    ElfZst,
    /// The same inside LZ4 frames: faster, larger.
    ElfLz4,
    /// A plain ELF core.
    Elf,
    /// kdump-compressed with zstd pages.
    KdumpZstd,
    /// kdump-compressed with zlib pages.
    KdumpZlib,
    /// No core: log, report and essentials only.
    None,
}

impl Format {
    /// Every form, in the order of the documentation.
    pub const ALL: [Self; 6] = [
        Self::ElfZst,
        Self::ElfLz4,
        Self::Elf,
        Self::KdumpZstd,
        Self::KdumpZlib,
        Self::None,
    ];

    /// The name used in the config, in the plan and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ElfZst => "elf-zst",
            Self::ElfLz4 => "elf-lz4",
            Self::Elf => "elf",
            Self::KdumpZstd => "kdump-zstd",
            Self::KdumpZlib => "kdump-zlib",
            Self::None => "none",
        }
    }

    /// The form of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.name() == name)
    }

    /// The core's file name, or `None` where there is no core.
    #[must_use]
    pub fn file_name(self) -> Option<&'static str> {
        match self {
            Self::ElfZst => Some("vmcore.elf.zst"),
            Self::ElfLz4 => Some("vmcore.elf.lz4"),
            Self::Elf => Some("vmcore.elf"),
            Self::KdumpZstd | Self::KdumpZlib => Some("vmcore.kdump"),
            Self::None => None,
        }
    }
}

/// What is dumped and how.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dump {
    /// Which pages.
    pub level: Level,
    /// In which form.
    pub format: Format,
    /// Kinds kept whatever the level says, by name or group (`afterpanic pages --kinds`).
    pub keep_kinds: Vec<String>,
    /// Kinds never written, whatever falls back.
    pub never: Vec<String>,
    /// Whether everything that fits is copied as a last resort.
    pub allow_unfiltered: bool,
    /// A core estimated larger is written at level essential; `None`: no cap.
    pub max_size: Option<u64>,
    /// The cap of `essential.elf.zst`.
    pub essential_max: u64,
    /// Keep `essential.elf.zst` beside a complete core.
    pub keep_essential: bool,
    /// Worker threads; `None`: by the CPUs and memory of the capture kernel.
    pub threads: Option<u32>,
    /// The worker's limit on heap and stacks; `None`: derived from MemAvailable, 24 MiB at most.
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
            format: Format::default(),
            keep_kinds: Vec::new(),
            never: Vec::new(),
            allow_unfiltered: false,
            max_size: None,
            essential_max: 256 << 20,
            keep_essential: false,
            threads: None,
            worker_memory: None,
            report_deadline_s: 60,
            stall_s: 120,
        }
    }
}
