//! An image's files written to a new folder, and never outside it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Component, Path};

use super::contents::Contents;
use super::error::ImageError;
use crate::cpio::Kind;

/// What came out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extracted {
    /// Files and links written.
    pub files: usize,
    /// Device nodes and the like, which are left out.
    pub skipped: usize,
    /// Private keys, which are left out, too.
    pub private: usize,
}

/// Writes every file, folder and link to `dir`, which must not exist yet.
pub fn extract(contents: &Contents, dir: &Path) -> Result<Extracted, ImageError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| ImageError::Write { path, source }
    };
    fs::create_dir(dir).map_err(failed(dir))?;
    let mut done = Extracted::default();
    for entry in contents.entries()? {
        let relative = Path::new(&entry.path);
        if relative == Path::new("") || relative == Path::new(".") {
            continue;
        }
        let plain = relative
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        let escape = || ImageError::Escape {
            path: entry.path.clone(),
        };
        if !plain || through_a_link(dir, relative) {
            return Err(escape());
        }
        if super::is_private(&entry.path) {
            done.private += 1;
            continue;
        }
        let path = dir.join(relative);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed(parent))?;
        }
        let is_dir = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir());
        match entry.kind() {
            Kind::Directory if is_dir => {}
            Kind::Directory => fs::create_dir(&path).map_err(failed(&path))?,
            Kind::File | Kind::Symlink if is_dir => return Err(escape()),
            Kind::File => {
                let _ = fs::remove_file(&path);
                fs::OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(&path)
                    .and_then(|mut file| {
                        file.write_all(entry.data)?;
                        let mode = entry.mode & 0o777 | 0o600;
                        file.set_permissions(fs::Permissions::from_mode(mode))
                    })
                    .map_err(failed(&path))?;
                done.files += 1;
            }
            Kind::Symlink => {
                let target = String::from_utf8_lossy(entry.data);
                let _ = fs::remove_file(&path);
                symlink(target.trim_end_matches('\0'), &path).map_err(failed(&path))?;
                done.files += 1;
            }
            Kind::Device | Kind::Other => done.skipped += 1,
        }
    }
    Ok(done)
}

/// Whether a parent of `relative` is a link, which could lead anywhere. Images with `lib -> usr/lib`
/// list their files under `usr/lib`, so this costs nothing honest.
fn through_a_link(dir: &Path, relative: &Path) -> bool {
    relative
        .ancestors()
        .skip(1)
        .filter(|parent| *parent != Path::new(""))
        .any(|parent| fs::symlink_metadata(dir.join(parent)).is_ok_and(|meta| !meta.is_dir()))
}
