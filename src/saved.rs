//! The crashes saved on this machine, over all stores.

use crate::output::Context;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use store::{Crash, Foreign, Store};

/// What was found.
pub(crate) struct Saved {
    /// Crash directories, oldest first.
    pub crashes: Vec<Crash>,
    /// Those of other suites.
    pub foreign: Vec<Foreign>,
    /// Targets that are not mounted here or cannot be listed, one sentence each.
    pub elsewhere: Vec<String>,
    /// Where was looked, for a message: `/var/crash and /srv/crash`.
    pub places: String,
}

/// The crashes of one store that the user named, or of all stores of the config. A store of the config
/// that does not exist is empty: nothing has crashed yet. One that cannot be listed is warned about, as
/// strangers' directories are, unless no other can be listed.
pub(crate) fn crashes(context: &Context, given: Option<&Path>) -> anyhow::Result<Saved> {
    let (paths, mut elsewhere) = match given {
        Some(path) => (vec![path.to_path_buf()], Vec::new()),
        None => {
            let stores = context.stores();
            (stores.paths, stores.elsewhere)
        }
    };
    let (mut crashes, mut foreign) = (Vec::new(), Vec::new());
    let (mut places, mut failed) = (Vec::new(), Vec::new());
    for path in paths {
        let listing = match Store::open(&path).and_then(|store| store.list()) {
            Err(error) if error.kind() == ErrorKind::NotFound && given.is_none() => {
                places.push(path);
                continue;
            }
            Err(error) => {
                failed.push(
                    anyhow::Error::new(error).context(format!("Cannot list {}", path.display())),
                );
                continue;
            }
            Ok(listing) => listing,
        };
        if let Some(warning) = listing.warning() {
            context.warn(&format!("{}: {warning}", path.display()));
        }
        crashes.extend(listing.crashes);
        foreign.extend(listing.foreign);
        places.push(path);
    }
    if places.is_empty()
        && let Some(why) = failed.pop()
    {
        return Err(why);
    }
    for why in &failed {
        context.warn(&format!("{why:#}"));
        elsewhere.push(format!("{why:#}"));
    }
    crashes.sort_by(Crash::order);
    Ok(Saved {
        crashes,
        foreign,
        elsewhere,
        places: shown(&places, &context.root),
    })
}

/// The stores as the config names them, without the root prefix.
fn shown(paths: &[PathBuf], root: &Path) -> String {
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
