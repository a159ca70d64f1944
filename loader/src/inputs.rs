//! A file that a load or a proof depends on, as it looked then.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::root;

/// A file that the image depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Its path.
    pub path: PathBuf,
    /// Its size then, `None` if it did not exist.
    pub size: Option<u64>,
    /// Its modification time then, in seconds since 1970.
    pub mtime: Option<i64>,
}

impl Input {
    /// How the file looks now.
    #[must_use]
    pub fn of(root: &Path, path: &Path) -> Self {
        let meta = fs::metadata(root::under(root, path)).ok();
        Self {
            path: path.to_owned(),
            size: meta.as_ref().map(fs::Metadata::len),
            mtime: meta.as_ref().map(MetadataExt::mtime),
        }
    }
}
