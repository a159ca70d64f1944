//! One page out of its compressed form.

use crate::addr::PAGE_BYTES;
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
    /// A sentence that says what is wrong with the data.
    pub(super) fn unpack(&self, flags: u32, data: &[u8], to: &mut [u8]) -> Result<(), String> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let mut contexts = idle.unwrap_or_default();
        let result = contexts.unpack(flags, data, to);
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(contexts);
        let got = result?;
        if got != PAGE_BYTES {
            return Err(format!("a page unpacks to {got} bytes"));
        }
        Ok(())
    }
}

impl Contexts {
    fn unpack(&mut self, flags: u32, data: &[u8], to: &mut [u8]) -> Result<usize, String> {
        match flags & METHODS {
            0 => {
                let page = data
                    .get(..PAGE_BYTES)
                    .ok_or("a raw page is shorter than a page")?;
                to.copy_from_slice(page);
                Ok(data.len())
            }
            ZLIB => {
                let zlib = self.zlib.get_or_insert_with(|| Decompress::new(true));
                zlib.reset(true);
                let status = zlib.decompress(data, to, FlushDecompress::Finish);
                match status.map_err(|e| format!("zlib: {e}"))? {
                    Status::StreamEnd => Ok(usize::try_from(zlib.total_out()).unwrap_or(0)),
                    _ => Err("zlib: the stream does not end where the page does".into()),
                }
            }
            LZO => lzokay::decompress::decompress(data, to).map_err(|e| format!("lzo: {e:?}")),
            SNAPPY => {
                let len = snap::raw::decompress_len(data).map_err(|e| format!("snappy: {e}"))?;
                if len != to.len() {
                    return Ok(len);
                }
                let mut snappy = snap::raw::Decoder::new();
                snappy
                    .decompress(data, to)
                    .map_err(|e| format!("snappy: {e}"))
            }
            ZSTD => {
                let zstd = match &mut self.zstd {
                    Some(zstd) => zstd,
                    none => none
                        .insert(zstd::bulk::Decompressor::new().map_err(|e| format!("zstd: {e}"))?),
                };
                zstd.decompress_to_buffer(data, to)
                    .map_err(|e| format!("zstd: {e}"))
            }
            other => Err(format!("unknown compression {other:#x}")),
        }
    }
}
