//! Logs that are packed, as logrotate and people who send them leave them: gzip, xz, UTF-16.

use flate2::read::MultiGzDecoder;
use lzma_rust2::XzReader;
use std::fmt;
use std::io::{self, Read};

/// Bytes of a log that are unpacked at most: a packed file may say anything.
const MOST: u64 = 1 << 30;

/// How a file is packed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Packing {
    Gzip,
    Xz,
    /// Two bytes a character, the lower first, as Windows tools write a text.
    Utf16,
}

impl fmt::Display for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Utf16 => "UTF-16",
        })
    }
}

impl Packing {
    /// The packing of a file that begins so.
    pub(super) fn of(start: &[u8]) -> Option<Self> {
        let known: [(&[u8], Self); 3] = [
            (&[0x1f, 0x8b, 8], Self::Gzip),
            (b"\xfd7zXZ\0", Self::Xz),
            (&[0xff, 0xfe], Self::Utf16),
        ];
        let found = known.iter().find(|(magic, _)| start.starts_with(magic));
        found.map(|(_, packing)| *packing)
    }

    /// The bytes of the file, unpacked. Reading fails behind [`MOST`] bytes.
    pub(super) fn unpack(self, input: impl Read + 'static) -> Box<dyn Read> {
        match self {
            Self::Gzip => Box::new(Capped::new(MultiGzDecoder::new(input))),
            Self::Xz => Box::new(Capped::new(XzReader::new(input, true))),
            Self::Utf16 => Box::new(Capped::new(Utf16 {
                input: io::BufReader::new(input),
                left: Vec::new(),
            })),
        }
    }
}

/// Fails instead of reading more than [`MOST`] bytes.
struct Capped<R> {
    input: R,
    left: u64,
}

impl<R> Capped<R> {
    fn new(input: R) -> Self {
        Self { input, left: MOST }
    }
}

impl<R: Read> Read for Capped<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(out)?;
        let left = self.left.checked_sub(read as u64);
        self.left = left.ok_or_else(|| {
            io::Error::other(format!("it holds more than {} MiB unpacked", MOST >> 20))
        })?;
        Ok(read)
    }
}

/// UTF-16, the lower byte first, as UTF-8.
struct Utf16<R> {
    input: R,
    /// Bytes of a character that did not fit.
    left: Vec<u8>,
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.left.is_empty() {
            let Some(first) = self.unit()? else {
                return Ok(0);
            };
            let mut units = vec![first];
            // The second half of a pair.
            if (0xd800..0xdc00).contains(&first) {
                units.extend(self.unit()?);
            }
            let text = String::from_utf16_lossy(&units);
            self.left = text.trim_start_matches('\u{feff}').bytes().collect();
        }
        let count = self.left.len().min(out.len());
        for (to, from) in out.iter_mut().zip(self.left.drain(..count)) {
            *to = from;
        }
        Ok(count)
    }
}

impl<R: Read> Utf16<R> {
    /// The next two bytes; a last odd one is dropped.
    fn unit(&mut self) -> io::Result<Option<u16>> {
        let mut unit = [0; 2];
        match self.input.read_exact(&mut unit) {
            Ok(()) => Ok(Some(u16::from_le_bytes(unit))),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn unpacked(bytes: Vec<u8>) -> String {
        let packing = Packing::of(&bytes).expect("a known packing");
        let mut text = String::new();
        let mut input = packing.unpack(io::Cursor::new(bytes));
        input.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn packed_logs_are_read() {
        let log = "[    1.000000] acmé: gone\n".repeat(100);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(log.as_bytes()).unwrap();
        assert_eq!(unpacked(gzip.finish().unwrap()), log);
        let mut wide = vec![0xff, 0xfe];
        wide.extend(log.encode_utf16().flat_map(u16::to_le_bytes));
        assert_eq!(unpacked(wide), log);
        assert_eq!(Packing::of(b"[    1.000000] x"), None);
    }

    #[test]
    fn a_file_that_unpacks_to_too_much_is_refused() {
        let mut input = Capped {
            input: io::repeat(b'x'),
            left: 10,
        };
        let error = io::copy(&mut input, &mut io::sink()).unwrap_err();
        assert!(error.to_string().contains("1024 MiB"), "{error}");
    }

    #[test]
    fn byte_order_marks_alone_are_an_empty_text() {
        assert_eq!(unpacked([0xff, 0xfe].repeat(100_000)), "");
    }
}
