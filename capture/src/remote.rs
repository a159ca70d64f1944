//! Targets on servers that are reached by SSH: not with this binary.

use plan::{Ssh, Way};
use std::path::Path;

/// # Errors
/// Always: the image of a plan with such a target holds `afterpanic-capture-ssh`.
pub(crate) fn mount(
    ssh: &Ssh,
    _: &Path,
    _: &dyn Fn(&Way) -> Result<(), String>,
) -> Result<(), String> {
    Err(format!("{ssh}: this binary has no SSH"))
}
