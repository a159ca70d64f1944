//! Opens a dump by what it contains, never by its name.

use super::elf::{ElfCore, ElfOptions};
use super::file::open_random;
use super::flattened::FlattenedSource;
use super::foreign;
use super::frames::FramedSource;
use super::kdump::KdumpFile;
use super::mapping::{cannot_shrink, on_procfs};
use super::source::{ByteSource, FileSource};
use super::{Format, MemoryDump, OpenError, stand_alone};
use crate::layout::FormatError;
use crate::layout::elf::is_elf;
use crate::layout::frames::Codec;
use crate::layout::kdump;
use std::borrow::Cow;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// A container that only some machines write: `None` for a file that is none.
type Container = fn(
    source: &Arc<dyn ByteSource>,
    head: &[u8],
) -> Result<Option<Arc<dyn ByteSource>>, FormatError>;

/// Set by [`read_all`] alone, so that the linker drops it where nobody calls that.
static MORE: OnceLock<Container> = OnceLock::new();

/// From now on dumps are read, too, that other architectures alone have.
pub fn read_all() {
    MORE.get_or_init(|| stand_alone::open);
}

/// Bytes looked at to tell formats apart.
const PROBE: usize = 4096;

/// Sizes of /proc/kcore are the virtual address space's; no /proc/vmcore comes near.
const KCORE_MIN: u64 = 1 << 45;

/// Opens a dump of any known format.
///
/// # Errors
/// [`OpenError`] says whether the file cannot be read, is no dump, or is a damaged one.
pub fn open(path: &Path) -> Result<Arc<dyn MemoryDump>, OpenError> {
    let (place, source) = Place::of(path)?;
    let content = place.content(source)?;
    place.dump(content)
}

/// The same for bytes that are not a file of their own; `path` is what errors call them.
///
/// # Errors
/// Those of [`open`].
pub fn open_source(
    path: &Path,
    source: Arc<dyn ByteSource>,
) -> Result<Arc<dyn MemoryDump>, OpenError> {
    let place = Place {
        path,
        len: source.len(),
        procfs: false,
    };
    let content = place.content(source)?;
    place.dump(content)
}

/// Opens several files as one dump: the parts of a split kdump set, in any order.
///
/// # Errors
/// Those of [`open`]; files that do not belong together.
pub fn open_set(paths: &[PathBuf]) -> Result<Arc<dyn MemoryDump>, OpenError> {
    if let [path] = paths {
        return open(path);
    }
    let mut files = Vec::new();
    let mut size = 0;
    let mut format = Format::Kdump;
    for path in paths {
        let (place, source) = Place::of(path)?;
        let content = place.content(source)?;
        if !content.head.starts_with(kdump::SIGNATURE) {
            return Err(place.unsupported(
                "only kdump files can be parts of one dump; give each other file alone",
            ));
        }
        size += place.len;
        if content.format != Format::Elf {
            format = content.format;
        }
        files.push(content.source);
    }
    let path = paths.first().cloned().unwrap_or_default();
    match KdumpFile::open(files, format, size) {
        Ok(dump) => Ok(Arc::new(dump)),
        Err(why) => Err(OpenError::Malformed { path, why }),
    }
}

/// A file that was opened.
struct Place<'a> {
    path: &'a Path,
    len: u64,
    procfs: bool,
}

/// A file's bytes, out of all their containers.
struct Content {
    source: Arc<dyn ByteSource>,
    head: Vec<u8>,
    format: Format,
}

impl<'a> Place<'a> {
    fn of(path: &'a Path) -> Result<(Self, Arc<dyn ByteSource>), OpenError> {
        let io = |source| OpenError::Io {
            path: path.to_owned(),
            source,
        };
        let file = open_random(path).map_err(io)?;
        let meta = file.metadata().map_err(io)?;
        let len = match meta.len() {
            // A block device says 0.
            0 => end_of(&file).map_err(io)?,
            len => len,
        };
        let procfs = on_procfs(&file);
        let place = Self { path, len, procfs };
        let source: Arc<dyn ByteSource> = if cannot_shrink(&file) && len < KCORE_MIN {
            Arc::new(FileSource::mapped(file, len))
        } else {
            Arc::new(FileSource::new(file, len))
        };
        Ok((place, source))
    }

    /// Takes the file out of its containers: frames, a flattened stream, or one in the other.
    fn content(&self, mut source: Arc<dyn ByteSource>) -> Result<Content, OpenError> {
        let mut format = Format::Elf;
        let mut head = self.head(&*source)?;
        if let Some(codec) = Codec::probe(&head) {
            let framed = FramedSource::open(source, codec).map_err(|why| self.malformed(why))?;
            source = Arc::new(framed);
            head = self.head(&*source)?;
            format = match codec {
                Codec::Zstd => Format::ElfZst,
                Codec::Lz4 => Format::ElfLz4,
            };
        }
        if kdump::is_flattened(&head).map_err(|why| self.malformed(why))? {
            let flat = FlattenedSource::open(source).map_err(|why| self.malformed(why))?;
            source = Arc::new(flat);
            head = self.head(&*source)?;
            format = Format::Flattened;
        }
        Ok(Content {
            source,
            head,
            format,
        })
    }

    fn dump(&self, content: Content) -> Result<Arc<dyn MemoryDump>, OpenError> {
        let Content {
            mut source,
            mut head,
            mut format,
        } = content;
        #[cfg(test)]
        read_all();
        if let Some(more) = MORE.get()
            && let Some(core) = more(&source, &head).map_err(|why| self.malformed(why))?
        {
            source = core;
            head = self.head(&*source)?;
            format = Format::StandAlone;
        }
        if head.starts_with(kdump::SIGNATURE) {
            if format == Format::Elf {
                format = Format::Kdump;
            }
            let dump = KdumpFile::open(vec![source], format, self.len);
            return Ok(Arc::new(dump.map_err(|why| self.malformed(why))?));
        }
        if kdump::is_old_diskdump(&head) {
            return Err(self.unsupported("it is a DISKDUMP file of before 2006, not kdump"));
        }
        if !is_elf(&head) {
            return Err(foreign::name(&*source, &head).map_or_else(
                || self.unknown(&head),
                |what| self.unsupported(format!("it is {what}, which is not read")),
            ));
        }
        if foreign::is_xen_guest(&*source, &head) {
            return Err(self.unsupported(
                "it is a guest dumped by Xen (xl dump-core), which is not read: its pages are in \
                 ELF sections",
            ));
        }
        let live = self.procfs && self.len >= KCORE_MIN;
        if live {
            format = Format::Kcore;
        }
        let options = ElfOptions {
            format,
            file_size: if live { 0 } else { self.len },
            widened: self.procfs && !live,
        };
        let dump = ElfCore::open(source, options).map_err(|why| self.malformed(why))?;
        Ok(Arc::new(dump))
    }

    fn head(&self, source: &dyn ByteSource) -> Result<Vec<u8>, OpenError> {
        let len = usize::try_from(source.len()).unwrap_or(PROBE).min(PROBE);
        let mut head = vec![0; len];
        match source.read_at(0, &mut head) {
            Ok(()) => Ok(head),
            Err(super::source::SourceError::Io { source, .. }) => Err(OpenError::Io {
                path: self.path.to_owned(),
                source,
            }),
            Err(other) => Err(self.malformed(other.into())),
        }
    }

    fn unsupported(&self, why: impl Into<Cow<'static, str>>) -> OpenError {
        self.malformed(FormatError::unsupported(why))
    }

    fn malformed(&self, why: FormatError) -> OpenError {
        OpenError::Malformed {
            path: self.path.to_owned(),
            why,
        }
    }

    fn unknown(&self, head: &[u8]) -> OpenError {
        let unpack =
            |tool: &str| format!("it is compressed as a whole; unpack it with {tool} first");
        let why = match head {
            [] => "it is empty".to_owned(),
            [0x1f, 0x8b, ..] => unpack("gzip -d"),
            [0xfd, b'7', b'z', b'X', b'Z', ..] => unpack("xz -d"),
            [b'B', b'Z', b'h', ..] => unpack("bzip2 -d"),
            head if head.starts_with(b"age-encryption.org/") => {
                "it is sealed by age; give the identity that opens it: --identity FILE".to_owned()
            }
            _ => {
                let start: Vec<String> = head.iter().take(8).map(|b| format!("{b:02x}")).collect();
                format!(
                    "it begins with {}, which is neither ELF, kdump, flattened, zstd nor LZ4",
                    start.join(" ")
                )
            }
        };
        OpenError::Unknown {
            path: self.path.to_owned(),
            why,
        }
    }
}

/// The length of something whose metadata does not say: a block device.
fn end_of(file: &File) -> std::io::Result<u64> {
    use std::io::{Seek, SeekFrom};
    let mut probe = [0; 1];
    if file.read_at(&mut probe, 0).is_err() {
        return Ok(0);
    }
    let mut handle = file.try_clone()?;
    handle.seek(SeekFrom::End(0))
}
