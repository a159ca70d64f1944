//! What the capture kernel wrote to a device without a filesystem becomes a crash directory.
//!
//! It is copied into a hidden directory of the store first, so that a copy that was cut off is begun anew, and the
//! stream is given up only when the crash directory is on the disk. A sandboxed unit may not open the device: then
//! that is a problem with a sentence of its own.

use config::Config;
use std::io;
use std::path::{Path, PathBuf};
use store::raw::Stream;
use store::rotation::{self, Need};
use store::{Crash, Store, directory};

use crate::under;

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    /// The new crash directories.
    pub paths: Vec<PathBuf>,
    /// What could not be done, a sentence each.
    pub problems: Vec<String>,
}

/// Recovers the streams of all raw targets.
pub(crate) fn recover(root: &Path, config: &Config) -> Recovered {
    let mut done = Recovered::default();
    for target in &config.target {
        let Some(node) = loader::stores::raw_device(target) else {
            continue;
        };
        let device = under(root, &node.to_string_lossy());
        match one(root, &device, &target.path, config) {
            Ok(Some(path)) => done.paths.push(path),
            Ok(None) => {}
            Err(error) => done.problems.push(format!(
                "cannot make a crash directory of what is on {}: {error}",
                node.display()
            )),
        }
    }
    done
}

/// The crash directory of one stream; `None` where the device has none.
fn one(root: &Path, device: &Path, path: &Path, config: &Config) -> io::Result<Option<PathBuf>> {
    let Some(stream) = Stream::open(device, true)? else {
        return Ok(None);
    };
    let name = match stream.directory() {
        Some(name) if Crash::parse(Path::new(name)).is_some() => name.to_owned(),
        // The capture kernel came as far as the device and no further.
        _ => {
            stream.collected()?;
            return Ok(None);
        }
    };
    let base = directory::ensure(root, &path.to_string_lossy())?;
    let store = Store::open(&base)?;
    let hidden = format!(".raw-{name}");
    if store.place().exists(&hidden) {
        store.place().remove(&hidden)?;
    }
    let files = stream.files();
    let bytes = files
        .iter()
        .map(|(_, len)| *len)
        .fold(0, u64::saturating_add);
    room(&store, config, bytes)?;
    store.place().create(&hidden)?;
    for (file, _) in &files {
        if let Some(mut content) = stream.content(file) {
            store.place().write(&hidden, file, &mut content)?;
        }
    }
    let name = free_name(&store, &name);
    store.place().rename(&hidden, &name)?;
    stream.collected()?;
    Ok(Some(store.path_of(&name)))
}

/// Makes room as the capture kernel does on other targets.
fn room(store: &Store, config: &Config, bytes: u64) -> io::Result<()> {
    let keep = config.keep.settings();
    let history = rotation::earlier(store)?;
    let free = store.place().room()?;
    let crash = Default::default();
    let removals = rotation::removals(&history.crashes, &crash, &keep, free, Need::Core(bytes));
    if !removals.fits && free < bytes {
        return Err(io::Error::new(
            io::ErrorKind::StorageFull,
            format!(
                "it has {} MiB, and {} MiB are free",
                bytes.div_ceil(1 << 20),
                free >> 20
            ),
        ));
    }
    for name in &removals.names {
        store.place().remove(name)?;
    }
    Ok(())
}

/// The name, or the first with a number that is free.
fn free_name(store: &Store, name: &str) -> String {
    let Some(crash) = Crash::parse(Path::new(name)) else {
        return name.to_owned();
    };
    let (stem, suffix) = (
        format!("{}-{}", crash.node, crash.stamp),
        crash.state.suffix(),
    );
    let numbered = (crash.serial.max(2)..1000).map(|n| format!("{stem}-{n}{suffix}"));
    let mut names = std::iter::once(name.to_owned()).chain(numbered);
    names
        .find(|name| !store.place().exists(name))
        .unwrap_or_else(|| name.to_owned())
}

#[cfg(test)]
mod tests;
