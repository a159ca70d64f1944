//! Programs of the operator that run in the capture kernel, and the rescue console.

use serde::{Deserialize, Serialize};

/// The longest that a hook may take, in seconds.
pub const LONGEST_HOOK: u64 = 600;

/// The longest that the rescue console may stay open, in seconds: a day.
pub const LONGEST_RESCUE: u64 = 24 * 3600;

/// The most hooks of a plan.
pub const MOST_HOOKS: usize = 16;

/// A program that runs in the capture kernel. Whatever it does, the next step follows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    /// When it runs.
    pub when: When,
    /// Its path in the image, absolute.
    pub program: String,
    /// Its arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Seconds until its process group is killed.
    pub deadline_s: u64,
}

/// When a hook runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// Once, before the first target is tried.
    Pre,
    /// On a target, after the core and before the manifest.
    Post,
    /// Once, at the end, when not everything was saved.
    Failure,
}

impl When {
    /// The name in the config, the plan and the hook's environment.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pre => "pre",
            Self::Post => "post",
            Self::Failure => "failure",
        }
    }
}

/// A shell on the console after a failure.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rescue {
    /// The shell's path in the image, absolute.
    pub shell: String,
    /// Seconds until it is killed and the failure action follows.
    pub deadline_s: u64,
}
