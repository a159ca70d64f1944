//! One page out of its compressed form.

use crate::layout::FormatError;
use crate::layout::kdump::{LZO, METHODS, SNAPPY, ZLIB, ZSTD};
use flate2::{Decompress, FlushDecompress, Status};
use std::sync::{Mutex, PoisonError};

/// The codecs' contexts, one of each for every thread at work.
#[derive(Default)]
pub(super) struct Unpackers {
    idle: Mutex<Vec<Contexts>>,
}

#[derive(Default)]
struct Contexts {
    zlib: Option<Decompress>,
    zstd: Option<zstd::bulk::Decompressor<'static>>,
}

impl Unpackers {
    /// Unpacks `data` into the page `to`.
    ///
    /// # Errors
    /// What is wrong with the data.
    pub(super) fn unpack(&self, flags: u32, data: &[u8], to: &mut [u8]) -> Result<(), FormatError> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let mut contexts = idle.unwrap_or_default();
        let page = to.len();
        let result = contexts.unpack(flags, data, to);
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(contexts);
        let got = result?;
        if got != page {
            return Err(FormatError::damaged(format!(
                "a page unpacks to {got} bytes"
            )));
        }
        Ok(())
    }
}

impl Contexts {
    /// Bytes that the data unpacks to.
    fn unpack(&mut self, flags: u32, data: &[u8], to: &mut [u8]) -> Result<usize, FormatError> {
        match flags & METHODS {
            0 => {
                let short = || FormatError::damaged("a raw page is shorter than a page");
                let page = data.get(..to.len()).ok_or_else(short)?;
                to.copy_from_slice(page);
                Ok(data.len())
            }
            ZLIB => {
                let zlib = self.zlib.get_or_insert_with(|| Decompress::new(true));
                zlib.reset(true);
                let status = zlib.decompress(data, to, FlushDecompress::Finish);
                match status.map_err(|e| failed("zlib", &e))? {
                    Status::StreamEnd => Ok(usize::try_from(zlib.total_out()).unwrap_or(0)),
                    _ => Err(FormatError::damaged(
                        "zlib: the stream does not end where the page does",
                    )),
                }
            }
            LZO => lzokay::decompress::decompress(data, to)
                .map_err(|e| FormatError::damaged(format!("lzo: {e:?}"))),
            SNAPPY => {
                let len = snap::raw::decompress_len(data).map_err(|e| failed("snappy", &e))?;
                if len != to.len() {
                    return Ok(len);
                }
                let mut snappy = snap::raw::Decoder::new();
                snappy
                    .decompress(data, to)
                    .map_err(|e| failed("snappy", &e))
            }
            ZSTD => {
                let zstd = match &mut self.zstd {
                    Some(zstd) => zstd,
                    none => none
                        .insert(zstd::bulk::Decompressor::new().map_err(|e| failed("zstd", &e))?),
                };
                zstd.decompress_to_buffer(data, to)
                    .map_err(|e| failed("zstd", &e))
            }
            other => Err(FormatError::damaged(format!(
                "unknown compression {other:#x}"
            ))),
        }
    }
}

fn failed(method: &str, error: &dyn std::fmt::Display) -> FormatError {
    FormatError::damaged(format!("{method}: {error}"))
}
