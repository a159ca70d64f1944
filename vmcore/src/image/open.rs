//! Opens a dump by what it contains, never by its name.

use super::{MemoryImage, OpenError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Opens a dump of any known format.
///
/// # Errors
/// [`OpenError`] says whether the file cannot be read, is no dump, or is a damaged one.
pub fn open(path: &Path) -> Result<Arc<dyn MemoryImage>, OpenError> {
    Err(OpenError::Unknown {
        path: path.to_owned(),
        why: "nothing is known yet".into(),
    })
}

/// Opens several files as one dump: the parts of a split kdump set, in any order.
///
/// # Errors
/// Those of [`open`]; files that do not belong together.
pub fn open_set(paths: &[PathBuf]) -> Result<Arc<dyn MemoryImage>, OpenError> {
    let first = paths.first().ok_or_else(|| OpenError::Unknown {
        path: PathBuf::new(),
        why: "no file was given".into(),
    })?;
    open(first)
}
