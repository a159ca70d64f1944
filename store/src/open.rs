//! The best core of a crash directory.

use crate::foreign;
use crate::manifest::ESSENTIAL;
use dump::seal::{Identities, SUFFIX, open_dump};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vmcore::dump::layered::Layered;
use vmcore::dump::{Completeness, MemoryDump, OpenError};

/// Our cores, the best first.
const CORES: [&str; 5] = [
    "vmcore.elf.zst",
    "vmcore.elf.lz4",
    "vmcore.kdump",
    "vmcore.elf",
    ESSENTIAL,
];

/// The best core in a crash directory: the main core in any format, else the essential one, else the core
/// of another suite. It may be sealed.
#[must_use]
pub fn core_of(dir: &Path) -> Option<PathBuf> {
    CORES
        .iter()
        .flat_map(|name| [dir.join(name), dir.join(format!("{name}{SUFFIX}"))])
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
/// essential pages that were saved before it fill the gap. Sealed ones are opened with `identities`.
///
/// # Errors
/// Neither can be opened.
pub fn open(dir: &Path, core: &Path, identities: &Identities) -> Result<Opened, OpenError> {
    let opened = |path: &Path, dump, warning| Opened {
        path: path.to_path_buf(),
        dump,
        warning,
    };
    let sealed = dir.join(format!("{ESSENTIAL}{SUFFIX}"));
    let essential = match sealed.is_file() {
        true => sealed,
        false => dir.join(ESSENTIAL),
    };
    let upper = open_dump(core, identities);
    let is_whole = |dump: &Arc<dyn MemoryDump>| {
        !matches!(dump.info().completeness, Completeness::Incomplete(_))
    };
    if upper.as_ref().is_ok_and(is_whole) || core == essential || !essential.is_file() {
        return Ok(opened(core, upper?, None));
    }
    match (upper, open_dump(&essential, identities)) {
        (Ok(upper), Ok(lower)) => match Layered::new(Arc::clone(&upper), lower) {
            Some(both) => Ok(opened(core, Arc::new(both), None)),
            None => Ok(opened(core, upper, None)),
        },
        (Ok(upper), Err(_)) => Ok(opened(core, upper, None)),
        (Err(why), Ok(lower)) => Ok(opened(&essential, lower, Some(why))),
        (Err(why), Err(_)) => Err(why),
    }
}
