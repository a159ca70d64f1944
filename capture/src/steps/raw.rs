//! A target without a filesystem: the crash directory is in memory, and what is in it goes to a stream.
//!
//! Everything here does nothing for other targets. Cores are on the device alone.

use crate::protocol;
use dump::pipeline::Region;
use std::fs;
use std::io;
use std::path::Path;
use store::manifest::FileFacts;
use store::raw::{self, Stream};

/// The stream of a crash directory.
fn of(dir: &Path) -> io::Result<Option<Stream>> {
    raw::of(dir.parent().unwrap_or(Path::new("/")))
}

fn said(error: &io::Error) -> String {
    format!("Cannot write to the raw target: {error}")
}

/// Bytes left for the crash directories in `base`, where they go to a stream.
pub(super) fn room(base: &Path) -> Result<Option<u64>, String> {
    let stream = raw::of(base).map_err(|error| said(&error))?;
    Ok(stream.map(|stream| stream.room()))
}

/// Tells the stream what the crash directory is called.
pub(super) fn name(dir: &Path) -> Result<(), String> {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let stream = of(dir).map_err(|error| said(&error))?;
    stream.map_or(Ok(()), |mut stream| {
        stream.name(&name).map_err(|error| said(&error))
    })
}

/// Appends what is new in the crash directory. Answers whether there is a stream.
pub(super) fn append(dir: &Path) -> Result<bool, String> {
    match of(dir).map_err(|error| said(&error))? {
        Some(mut stream) => stream
            .append_all(dir)
            .map_err(|error| said(&error))
            .map(|()| true),
        None => Ok(false),
    }
}

/// The same after a step, whose outcome it does not change.
pub(super) fn after(dir: &Path, outcome: Result<(), String>) -> Result<(), String> {
    if let Err(why) = append(dir) {
        protocol::soft(why);
    }
    outcome
}

/// Where a core goes that is written to a stream.
pub(super) fn region(dir: &Path, name: &str) -> Result<Option<Region>, String> {
    let stream = of(dir).map_err(|error| said(&error))?;
    stream
        .map(|stream| stream.region(name))
        .transpose()
        .map_err(|error| said(&error))
}

/// Removes a core, of the stream or of the crash directory.
pub(super) fn remove(dir: &Path, name: &str) {
    let _ = fs::remove_file(dir.join(name));
    if let Ok(Some(mut stream)) = of(dir)
        && let Err(error) = stream.discard(name)
    {
        protocol::soft(said(&error));
    }
}

/// Bytes of a core, in the stream or in the crash directory.
pub(super) fn len_of(dir: &Path, name: &str) -> u64 {
    match of(dir) {
        Ok(Some(stream)) => stream.len_of(name),
        _ => fs::metadata(dir.join(name)).map_or(0, |meta| meta.len()),
    }
}

/// Adds the files that are in the stream alone.
pub(super) fn add_files(dir: &Path, files: &mut Vec<FileFacts>) {
    let streamed = of(dir)
        .ok()
        .flatten()
        .map_or_else(Vec::new, |stream| stream.files());
    for (name, size) in streamed {
        // Those in directories are not in a manifest.
        if name.contains('/') || files.iter().any(|file| file.name == name) {
            continue;
        }
        files.push(FileFacts {
            name,
            size,
            sha256: None,
        });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
}
