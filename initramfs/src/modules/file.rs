//! A module's bytes, decompressed and otherwise untouched: their signature covers every one of them.

use std::io::{Cursor, Read};
use std::path::Path;

use super::error::ModuleError;
use super::index::{Index, Module};

/// The largest module that is read, decompressed; a distribution kernel's largest is near 30 MiB.
const MAX_MODULE: u64 = 512 << 20;

/// Reads and decompresses the file of a module.
pub fn read(index: &Index, module: &Module) -> Result<Vec<u8>, ModuleError> {
    let path = index.path(module);
    let bytes = std::fs::read(&path).map_err(|source| ModuleError::File {
        path: path.clone(),
        source,
    })?;
    decompress(&path, bytes)
}

/// The plain module of a file's bytes, by the ending of its name.
pub fn decompress(path: &Path, bytes: Vec<u8>) -> Result<Vec<u8>, ModuleError> {
    let damaged = |what: String| ModuleError::Damaged {
        path: path.to_owned(),
        what,
    };
    let input = Cursor::new(&bytes);
    let plain = match path.extension().and_then(|ending| ending.to_str()) {
        Some("xz") => unpack(lzma_rust2::XzReader::new(input, true)),
        Some("gz") => unpack(flate2::read::MultiGzDecoder::new(input)),
        Some("zst") => zstd::stream::read::Decoder::new(input).and_then(unpack),
        _ => Ok(bytes),
    };
    let plain = plain.map_err(|error| damaged(error.to_string()))?;
    if !plain.starts_with(b"\x7fELF") {
        return Err(damaged("it is no ELF file".to_owned()));
    }
    Ok(plain)
}

fn unpack(reader: impl Read) -> std::io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    let read = reader.take(MAX_MODULE + 1).read_to_end(&mut plain)?;
    if read as u64 > MAX_MODULE {
        return Err(std::io::Error::other("it unpacks to more than 512 MiB"));
    }
    Ok(plain)
}
