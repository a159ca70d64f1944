//! The crashes saved on this machine, over all stores.

use crate::output::Context;
use anyhow::Context as _;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use store::{Crash, Store};

/// What was found.
pub(crate) struct Saved {
    /// Crash directories, oldest first.
    pub crashes: Vec<Crash>,
    /// Targets that are not mounted here, one sentence each.
    pub elsewhere: Vec<String>,
    /// Where was looked, for a message: `/var/crash and /srv/crash`.
    pub places: String,
}

/// The crashes of one store that the user named, or of all stores of the config. A store of the config
/// that does not exist is empty: nothing has crashed yet. Strangers' directories are warned about.
pub(crate) fn crashes(context: &Context, given: Option<&Path>) -> anyhow::Result<Saved> {
    let (paths, elsewhere) = match given {
        Some(path) => (vec![path.to_path_buf()], Vec::new()),
        None => {
            let stores = context.stores();
            (stores.paths, stores.elsewhere)
        }
    };
    let mut crashes = Vec::new();
    for path in &paths {
        let listing = match Store::open(path).and_then(|store| store.list()) {
            Err(error) if error.kind() == ErrorKind::NotFound && given.is_none() => continue,
            other => other.with_context(|| format!("Cannot list {}", path.display()))?,
        };
        if let Some(warning) = listing.warning() {
            context.warn(&format!("{}: {warning}", path.display()));
        }
        crashes.extend(listing.crashes);
    }
    crashes.sort_by(Crash::order);
    Ok(Saved {
        crashes,
        elsewhere,
        places: places(&paths, &context.root),
    })
}

/// The stores as the config names them, without the root prefix.
fn places(paths: &[PathBuf], root: &Path) -> String {
    let plain = |path: &PathBuf| match path.strip_prefix(root) {
        Ok(rest) => Path::new("/").join(rest).display().to_string(),
        Err(_) => path.display().to_string(),
    };
    let shown: Vec<String> = paths.iter().map(plain).collect();
    match shown.is_empty() {
        true => "any mounted target".into(),
        false => shown.join(" and "),
    }
}
