//! Opens a dump by what it contains, never by its name.

use super::elf::{ElfImage, ElfOptions};
use super::frames::FramedSource;
use super::mapping::on_procfs;
use super::source::{ByteSource, FileSource};
use super::{Format, MemoryImage, OpenError};
use crate::layout::elf::is_elf;
use crate::layout::frames::Codec;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes looked at to tell formats apart.
const PROBE: usize = 4096;

/// Opens a dump of any known format.
///
/// # Errors
/// [`OpenError`] says whether the file cannot be read, is no dump, or is a damaged one.
pub fn open(path: &Path) -> Result<Arc<dyn MemoryImage>, OpenError> {
    let io = |source| OpenError::Io {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(io)?;
    let len = file.metadata().map_err(io)?.len();
    let place = Place {
        path,
        file_size: len,
        procfs: on_procfs(&file),
    };
    let source: Arc<dyn ByteSource> = if place.procfs {
        Arc::new(FileSource::mapped(file, len))
    } else {
        // A block device says 0.
        let len = if len == 0 {
            end_of(&file).map_err(io)?
        } else {
            len
        };
        Arc::new(FileSource::new(file, len))
    };
    place.open(source)
}

/// Opens several files as one dump: the parts of a split kdump set, in any order.
///
/// # Errors
/// Those of [`open`]; files that do not belong together.
pub fn open_set(paths: &[PathBuf]) -> Result<Arc<dyn MemoryImage>, OpenError> {
    let first = paths.first().ok_or_else(|| OpenError::Unknown {
        path: PathBuf::new(),
        why: "no file was given".into(),
    })?;
    open(first)
}

struct Place<'a> {
    path: &'a Path,
    file_size: u64,
    procfs: bool,
}

impl Place<'_> {
    fn open(&self, file: Arc<dyn ByteSource>) -> Result<Arc<dyn MemoryImage>, OpenError> {
        let mut head = self.head(&*file)?;
        let mut source = file;
        let mut format = Format::Elf;
        if let Some(codec) = Codec::probe(&head) {
            let framed = FramedSource::open(source, codec).map_err(|why| self.malformed(why))?;
            source = Arc::new(framed);
            head = self.head(&*source)?;
            format = match codec {
                Codec::Zstd => Format::ElfZst,
                Codec::Lz4 => Format::ElfLz4,
            };
        }
        if is_elf(&head) {
            let options = ElfOptions {
                format,
                file_size: self.file_size,
                widened: self.procfs,
            };
            let image = ElfImage::open(source, options).map_err(|why| self.malformed(why))?;
            return Ok(Arc::new(image));
        }
        Err(self.unknown(&head))
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
            Err(other) => Err(self.malformed(other.to_string())),
        }
    }

    fn malformed(&self, why: String) -> OpenError {
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
