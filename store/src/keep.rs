//! How many crash directories stay and what stays free: the config's `[keep]` section, as the plan
//! carries it.

use serde::{Deserialize, Serialize};

/// What stays on the target.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keep {
    /// Dumps that stay, the new one among them; 0 removes none ever.
    pub dumps: u32,
    /// Bytes that always stay free.
    pub free: u64,
    /// Whether a machine that panics in a loop stops writing cores. Off by hand.
    #[serde(default = "yes")]
    pub loop_guard: bool,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            dumps: 5,
            free: 1 << 30,
            loop_guard: true,
        }
    }
}

fn yes() -> bool {
    true
}
