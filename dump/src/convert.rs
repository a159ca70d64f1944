//! One core into another: any format in, any format out, filtered further on the way.
//!
//! The same pipeline as in the capture kernel; only the beginning and the end differ. Everything is
//! made in a hidden directory next to OUT and renamed at the end, so that OUT is never half written.

use crate::classify::{Classified, ClassifyError, allowed, classify};
use crate::describe::{describe, describe_copy, trailer};
use crate::files::{self, PAGES_MAP};
use crate::level::Level;
use crate::pipeline::{Pace, Stats};
use crate::policy::Policy;
use crate::save::{Pages, Save, SaveError};
use crate::seal::Sealer;
use analysis::essential;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vmcore::addr::{Pfn, PfnRange};
use vmcore::dump::map::MapWriter;
use vmcore::dump::source::SourceSlice;
use vmcore::dump::{Attachment, MemoryDump};
use vmcore::kernel::{Kernel, KernelError, chain};
use vmcore::mm::{Kind, KindRun};
use vmcore::write::{CoreMeta, OutputFormat};

/// Output buffers, in bytes.
const BUFFER: usize = 4 << 20;

/// What is wanted.
pub struct Request<'a> {
    /// The core.
    pub dump: Arc<dyn MemoryDump>,
    /// The file to make; it must not exist.
    pub out: &'a Path,
    /// Its format.
    pub format: OutputFormat,
    /// The level to filter at; `None`: every page that the core holds.
    pub level: Option<Level>,
    /// The codec's level.
    pub codec_level: Option<i32>,
    /// Worker threads.
    pub threads: usize,
}

/// What was made.
#[derive(Debug)]
pub struct Converted {
    /// Its pages.
    pub stats: Stats,
    /// Its length in bytes.
    pub size: u64,
    /// Why more is kept than asked, or why the filter could not be checked, a sentence each.
    pub doubts: Vec<String>,
    /// What the walk for level essential could not find or take.
    pub warnings: Vec<String>,
}

/// A core that was not converted. There is no file OUT.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConvertError {
    /// OUT is taken.
    #[error("{} exists; give another name or remove it", path.display())]
    Exists {
        /// OUT.
        path: PathBuf,
    },
    /// A file could not be handled.
    #[error("Cannot write {}", path.display())]
    Io {
        /// OUT.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Filtering needs the kernel inside, and it cannot be found.
    #[error("The core cannot be filtered; without --level it is converted as it is")]
    Kernel(#[from] KernelError),
    /// The kinds of pages are not known.
    #[error("The pages cannot be classified; without --level the core is converted as it is")]
    Classify(#[from] ClassifyError),
    /// The core could not be written.
    #[error("Cannot write {}", path.display())]
    Save {
        /// OUT.
        path: PathBuf,
        /// Why.
        source: SaveError,
    },
}

/// A directory that is removed on drop, with everything in it.
pub(crate) struct Workplace(pub(crate) PathBuf);

impl Drop for Workplace {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn folder_of(out: &Path) -> &Path {
    out.parent()
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// The directory in which this process makes OUT; none when OUT names no file.
#[must_use]
pub fn workplace(out: &Path) -> Option<PathBuf> {
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(out.file_name()?);
    hidden.push(format!(".{}.partial", std::process::id()));
    Some(folder_of(out).join(hidden))
}

/// Converts. `progress` gets the pages written and the pages in all.
///
/// # Errors
/// [`ConvertError`]; OUT does not exist then.
pub fn convert(
    request: &Request<'_>,
    progress: &mut dyn FnMut(&Stats, u64),
) -> Result<Converted, ConvertError> {
    let out = request.out;
    let io = |source| ConvertError::Io {
        path: out.to_path_buf(),
        source,
    };
    if fs::symlink_metadata(out).is_ok() {
        return Err(ConvertError::Exists {
            path: out.to_path_buf(),
        });
    }
    let work = Workplace(workplace(out).ok_or_else(|| io(io::ErrorKind::InvalidInput.into()))?);
    DirBuilder::new().mode(0o700).create(&work.0).map_err(io)?;

    let dump = &*request.dump;
    let mut meta = CoreMeta::of(dump.info());
    let chosen = choose(request, &work.0, &mut meta)?;
    let pages = match &chosen {
        Chosen::Kinds(map, level) => Pages::Kept {
            map: &map.reader,
            policy: Policy::new(*level, &[], &[]).with_kept(&map.checked.distrusted()),
            also: &map.checked.also_kept,
        },
        Chosen::Found(found) => Pages::Runs(&found.ranges),
        Chosen::All => Pages::All,
    };
    let map = match &chosen {
        Chosen::Kinds(map, _) => Some(map.content.clone()),
        Chosen::Found(_) => None,
        Chosen::All => carry_map(dump, &work.0).map_err(io)?,
    };
    let saved = Save {
        dump,
        pages,
        meta,
        format: request.format,
        codec_level: request.codec_level,
        dir: &work.0,
        name: "core".into(),
        region: None,
        map,
        recipients: &[],
        threads: request.threads,
        pace: Pace::Own,
        buffer: BUFFER,
        flight: None,
        total: None,
        reserve: 0,
        scan_progress: None,
    }
    .run(&mut trailer, progress)
    .map_err(|source| ConvertError::Save {
        path: out.to_path_buf(),
        source,
    })?;
    publish(&work.0.join("core"), out).map_err(io)?;
    files::sync(folder_of(out)).map_err(io)?;
    let (doubts, warnings) = match chosen {
        Chosen::Kinds(map, _) => {
            let mut doubts = map.doubts();
            let unchecked = map.unchecked.as_ref();
            doubts.extend(unchecked.map(|why| format!("The filter was not checked: {why}")));
            (doubts, Vec::new())
        }
        Chosen::Found(found) => (Vec::new(), found.warnings),
        Chosen::All => Default::default(),
    };
    Ok(Converted {
        stats: saved.stats,
        size: saved.finished.len,
        doubts,
        warnings,
    })
}

/// Gives a finished file the name OUT, never in place of what appeared there meanwhile.
pub(crate) fn publish(file: &Path, out: &Path) -> io::Result<()> {
    match fs::hard_link(file, out) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {}
        other => return other,
    }
    // A filesystem without hard links, such as FAT.
    match renameat2(AT_FDCWD, file, AT_FDCWD, out, RenameFlags::RENAME_NOREPLACE) {
        Ok(()) => Ok(()),
        // One that cannot tell while it renames either (rename(2): EINVAL).
        Err(Errno::EINVAL) if fs::symlink_metadata(out).is_err() => fs::rename(file, out),
        Err(Errno::EINVAL) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(errno) => Err(errno.into()),
    }
}

/// Which pages go over.
enum Chosen {
    All,
    Kinds(Box<Classified>, Level),
    Found(Found),
}

/// The essential pages.
struct Found {
    ranges: Vec<PfnRange>,
    warnings: Vec<String>,
}

/// Classifies the pages when a level is wanted that leaves some out, or walks the kernel's structures
/// for the essential ones.
fn choose(request: &Request<'_>, work: &Path, meta: &mut CoreMeta) -> Result<Chosen, ConvertError> {
    let kernel = Kernel::new(Arc::clone(&request.dump));
    let level = match request.level {
        None | Some(Level::ALL) => {
            if let Ok(kernel) = &kernel {
                describe_copy(meta, kernel, request.dump.info());
            }
            return Ok(Chosen::All);
        }
        Some(level) => level,
    };
    let kernel = kernel?;
    describe(meta, &kernel, level);
    if level == Level::Essential {
        return essential(&kernel).map(Chosen::Found);
    }
    classify(
        &kernel,
        work,
        &Sealer::default(),
        request.threads,
        &mut |_| {},
    )
    .map(|map| Chosen::Kinds(Box::new(map), level))
    .map_err(ConvertError::Classify)
}

/// As in the capture kernel: poisoned and offline pages are left out, where they are known.
fn essential(kernel: &Kernel) -> Result<Found, ConvertError> {
    let found = essential::ranges(kernel, essential::Options::default())?;
    let capped = found.is_capped();
    let mut warnings = found.warnings;
    if capped {
        warnings.push("the cap left something out".into());
    }
    let policy = Policy::new(Level::Essential, &[], &[]);
    let ranges = match allowed(kernel, &found.ranges, policy) {
        Ok((ranges, _)) => ranges,
        Err(why) => {
            warnings.push(format!("the pages were not looked up: {}", chain(&why)));
            found.ranges
        }
    };
    Ok(Found { ranges, warnings })
}

/// Copies the `pages.map` that travels inside the core. A core without one that knows of more RAM than
/// it holds gets a map of that RAM, so that the new core can say what is missing.
fn carry_map(dump: &dyn MemoryDump, work: &Path) -> io::Result<Option<SourceSlice>> {
    let carried = dump.attachment(Attachment::PagesMap);
    let has_more_ram =
        || pages_of(|from| dump.next_ram(from)) != pages_of(|from| dump.next_present(from));
    if carried.is_none() && !has_more_ram() {
        return Ok(None);
    }
    let mut file = Sealer::default().create(work, PAGES_MAP)?;
    match carried {
        Some(mut map) => {
            io::copy(&mut map, &mut file)?;
        }
        None => {
            let mut writer = MapWriter::new(file)?;
            let mut from = Pfn(0);
            while let Some(pages) = dump.next_ram(from).filter(|run| run.end > from) {
                let kind = Kind::Unknown;
                writer.push(KindRun { pages, kind })?;
                from = pages.end;
            }
            file = writer.finish()?.0;
        }
    }
    let source = file.read_again()?;
    let len = source.len();
    Ok(Some(SourceSlice::new(source, 0, len)))
}

/// Pages of the runs that `next` lists.
fn pages_of(next: impl Fn(Pfn) -> Option<PfnRange>) -> u64 {
    let (mut pages, mut from) = (0_u64, Pfn(0));
    while let Some(run) = next(from).filter(|run| run.end > from) {
        pages = pages.saturating_add(run.len());
        from = run.end;
    }
    pages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_appeared_under_the_name_meanwhile_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (core, out) = (dir.path().join("core"), dir.path().join("out"));
        fs::write(&core, "new").unwrap();
        fs::write(&out, "somebody's").unwrap();
        let error = publish(&core, &out).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&out).unwrap(), "somebody's");
        fs::remove_file(&out).unwrap();
        publish(&core, &out).unwrap();
        assert_eq!(fs::read_to_string(&out).unwrap(), "new");
    }
}
