//! The best core of a crash directory.

use crate::foreign;
use crate::manifest::ESSENTIAL;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vmcore::dump::layered::Layered;
use vmcore::dump::{Completeness, MemoryDump, OpenError};

/// The best core in a crash directory: the main core in any format, else the essential one, else the core
/// of another suite.
#[must_use]
pub fn core_of(dir: &Path) -> Option<PathBuf> {
    [
        "vmcore.elf.zst",
        "vmcore.elf.lz4",
        "vmcore.kdump",
        "vmcore.elf",
        "essential.elf.zst",
    ]
    .iter()
    .map(|name| dir.join(name))
    .find(|path| path.is_file())
    .or_else(|| foreign::core_of(dir))
}

/// A core that was opened.
pub struct Opened {
    /// The file.
    pub path: PathBuf,
    /// Its memory, with the essential pages below it where the core was cut off.
    pub dump: Arc<dyn MemoryDump>,
    /// Why the essential pages are used alone, if so.
    pub warning: Option<OpenError>,
}

/// Opens the core of a crash directory. Where it was cut off, or cannot be opened at all, the
/// essential pages that were saved before it fill the gap.
///
/// # Errors
/// Neither can be opened.
pub fn open(dir: &Path, core: &Path) -> Result<Opened, OpenError> {
    let opened = |path: &Path, dump, warning| Opened {
        path: path.to_path_buf(),
        dump,
        warning,
    };
    let essential = dir.join(ESSENTIAL);
    let upper = vmcore::dump::open(core);
    let is_whole = |dump: &Arc<dyn MemoryDump>| {
        !matches!(dump.info().completeness, Completeness::Incomplete(_))
    };
    if upper.as_ref().is_ok_and(is_whole) || core == essential || !essential.is_file() {
        return Ok(opened(core, upper?, None));
    }
    match (upper, vmcore::dump::open(&essential)) {
        (Ok(upper), Ok(lower)) => match Layered::new(Arc::clone(&upper), lower) {
            Some(both) => Ok(opened(core, Arc::new(both), None)),
            None => Ok(opened(core, upper, None)),
        },
        (Ok(upper), Err(_)) => Ok(opened(core, upper, None)),
        (Err(why), Ok(lower)) => Ok(opened(&essential, lower, Some(why))),
        (Err(why), Err(_)) => Err(why),
    }
}
