//! The image kept on this machine: built again only when an input changed, and replaced whole.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::build::{self, BuildError, Prepared, Request};
use crate::read::{Contents, ImageError};
use crate::resolve::LeftOut;
use crate::root::Root;
use crate::why::Inputs;
use plan::{Plan, Target};

/// Where images are kept, below the root.
pub const DIR: &str = "/var/lib/afterpanic/images";

/// Why the kept image cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// It cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// It cannot be written.
    #[error("Cannot write the image {}; the old one, if any, stays", path.display())]
    Write {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// The kept image, which is right now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ensured {
    /// What became of it.
    pub outcome: Outcome,
    /// Targets of the config whose server cannot be reached now. They are not in its plan, or
    /// [`Self::as_it_was`].
    pub left_out: Vec<LeftOut>,
    /// The way to these targets is that of an earlier time.
    pub as_it_was: bool,
}

/// What became of the kept image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was right as it is.
    Kept,
    /// It was built, because of this.
    Built(String),
}

/// The image that is kept for a release.
#[must_use]
pub fn path(root: &Path, release: &str) -> PathBuf {
    Root::new(root).host(DIR).join(format!("{release}.img"))
}

/// Makes sure that the image kept at `path` is the one that `request` asks for.
pub fn ensure(request: &Request, path: &Path) -> Result<Ensured, CacheError> {
    let prepared = build::prepare(request)?;
    let left_out = prepared.left_out().to_vec();
    if request.keep_servers && !left_out.is_empty() && differs_in_servers(path, &prepared) {
        return Ok(Ensured {
            outcome: Outcome::Kept,
            left_out,
            as_it_was: true,
        });
    }
    let outcome = match stale(path, prepared.inputs()) {
        None => Outcome::Kept,
        Some(reason) => {
            replace(path, &prepared.finish()?.bytes)?;
            Outcome::Built(reason)
        }
    };
    Ok(Ensured {
        outcome,
        left_out,
        as_it_was: false,
    })
}

/// Whether the image at `path` has a server that cannot be reached now, and differs in nothing else: every
/// other target, those on servers too, is planned for as it would be now.
fn differs_in_servers(path: &Path, prepared: &Prepared) -> bool {
    let kept = || {
        let contents = Contents::open(path).ok()?;
        let plan = Plan::parse(&contents.file(plan::PATH).ok()?).ok()?;
        Some((plan, contents.why().ok()??))
    };
    let Some((plan, why)) = kept() else {
        return false;
    };
    let is_left_out = |target: &&Target| {
        let server = target.kind.server();
        server.is_some_and(|server| {
            prepared
                .left_out()
                .iter()
                .any(|one| one.name == server.target)
        })
    };
    let (unreachable, others): (Vec<&Target>, Vec<&Target>) =
        plan.targets.iter().partition(is_left_out);
    let only = ["the target", "the kernel modules"];
    let changed = why.inputs.changed(prepared.inputs());
    changed.iter().all(|what| only.contains(what))
        && !unreachable.is_empty()
        && others.into_iter().eq(&prepared.plan().targets)
        && plan.watchdogs == prepared.plan().watchdogs
}

/// Why the image at `path` is not the one made from these inputs; nothing if it is.
#[must_use]
pub fn stale(path: &Path, now: &Inputs) -> Option<String> {
    let why = match Contents::open(path).and_then(|contents| contents.why()) {
        Ok(Some(why)) => why,
        Ok(None) => return Some("the image is not afterpanic's".to_owned()),
        Err(ImageError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            return Some("there was none".to_owned());
        }
        Err(error) => return Some(format!("the old one cannot be read ({error})")),
    };
    let changed = why.inputs.changed(now);
    (!changed.is_empty()).then(|| format!("changed: {}", changed.join(", ")))
}

/// Writes a file beside its place and renames it there, so that the old one is whole until then.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), CacheError> {
    let failed = |source| CacheError::Write {
        path: path.to_owned(),
        source,
    };
    let dir = match path.parent() {
        Some(dir) if dir != Path::new("") => dir,
        _ => Path::new("."),
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(failed)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = dir.join(format!(".{name}.{}", std::process::id()));
    let write = || {
        // The image holds the plan, and extra files that may be secret.
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        fs::File::open(dir)?.sync_all()
    };
    write().map_err(|source| {
        let _ = fs::remove_file(&temporary);
        failed(source)
    })
}
