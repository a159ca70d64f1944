//! Logical volumes: the table that the panic kernel builds them from.

use std::path::{Path, PathBuf};

use capture::plan::DeviceMapper;

use super::ResolveError;
use super::sysfs::{Machine, name_of};

/// Describes the volume at `sys`, whose physical volumes are at `below`.
pub(super) fn volume(
    _machine: &Machine,
    sys: &Path,
    _uuid: &str,
    _below: &[PathBuf],
) -> Result<DeviceMapper, ResolveError> {
    Err(ResolveError::Layer {
        device: name_of(sys),
        what: "a logical volume".to_owned(),
    })
}
