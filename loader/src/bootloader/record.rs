//! What `reserve --apply` changed, kept in the state for `reserve --undo`.

use serde::{Deserialize, Serialize};

use super::change::Edit;
use super::kind::BootLoader;

/// One change that was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserved {
    /// The value that was set.
    pub value: String,
    /// The values of `crashkernel=` that the configuration had before.
    pub former: Vec<String>,
    /// What was in charge.
    pub boot_loader: BootLoader,
    /// The files, with what they held before the first change.
    pub edits: Vec<Edit>,
    /// Seconds since 1970.
    pub at: i64,
}
