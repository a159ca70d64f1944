//! Frames back into content. Contexts are kept for the next frame, one for each thread at work.

use crate::layout::frames::Codec;
use std::io::Read;
use std::sync::{Mutex, PoisonError};

/// Unpacks frames of one codec.
pub(super) struct Unpackers {
    codec: Codec,
    idle: Mutex<Vec<zstd::bulk::Decompressor<'static>>>,
}

impl Unpackers {
    pub fn new(codec: Codec) -> Self {
        Self {
            codec,
            idle: Mutex::default(),
        }
    }

    /// The content of `frame`, which must be `len` bytes.
    pub fn unpack(&self, frame: &[u8], len: usize) -> Result<Vec<u8>, String> {
        let mut content = vec![0; len];
        let got = match self.codec {
            Codec::Zstd => {
                let idle = self
                    .idle
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .pop();
                let mut zstd = match idle {
                    Some(zstd) => zstd,
                    None => zstd::bulk::Decompressor::new().map_err(|e| e.to_string())?,
                };
                let got = zstd.decompress_to_buffer(frame, content.as_mut_slice());
                self.idle
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(zstd);
                got.map_err(|e| e.to_string())?
            }
            Codec::Lz4 => {
                let mut lz4 = lz4_flex::frame::FrameDecoder::new(frame);
                lz4.read_exact(&mut content).map_err(|e| e.to_string())?;
                // The content checksum is compared where the frame ends.
                let more = lz4.read(&mut [0]).map_err(|e| e.to_string())?;
                len + more
            }
        };
        if got != len {
            return Err(format!(
                "the frame holds {got:#x} bytes of content, not {len:#x}"
            ));
        }
        Ok(content)
    }
}
