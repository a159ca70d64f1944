//! Frames back into content. What a frame needs is kept for the next, one for each thread at work,
//! and no buffer is cleared before it is filled: both cost as much as a tenth of the unpacking.

use crate::layout::frames::Codec;
use std::io::{self, BufRead};
use std::sync::{Mutex, PoisonError};

/// Bytes of a frame that a [`Desk`] may keep room for; a rare longer one is let go.
const KEPT: usize = 1 << 20;

/// Unpacks frames of one codec.
pub(super) struct Unpackers {
    codec: Codec,
    idle: Mutex<Vec<Desk>>,
}

/// What one thread needs to unpack a frame.
#[derive(Default)]
struct Desk {
    /// Made for the first zstd frame.
    zstd: Option<zstd::bulk::Decompressor<'static>>,
    /// Room for a frame as it is in the file.
    packed: Vec<u8>,
}

impl Unpackers {
    pub fn new(codec: Codec) -> Self {
        Self {
            codec,
            idle: Mutex::default(),
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Desk>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The content of the frame that `read` puts into a buffer of `packed` bytes. It must be `len`
    /// bytes. Beside it, the frame's last 4 bytes.
    ///
    /// # Errors
    /// Those of `read`, and what `corrupt` makes of a sentence about the frame.
    pub fn unpack<E>(
        &self,
        packed: usize,
        len: usize,
        read: impl FnOnce(&mut [u8]) -> Result<(), E>,
        corrupt: impl FnOnce(String) -> E,
    ) -> Result<(Vec<u8>, Option<[u8; 4]>), E> {
        let mut desk = self.idle().pop().unwrap_or_default();
        if desk.packed.len() < packed {
            desk.packed.resize(packed, 0);
        }
        let frame = desk.packed.get_mut(..packed).unwrap_or_default();
        let result = read(frame).and_then(|()| {
            let content = content(self.codec, &mut desk.zstd, frame, len).map_err(corrupt)?;
            Ok((content, frame.last_chunk().copied()))
        });
        if desk.packed.len() > KEPT {
            desk.packed = Vec::new();
        }
        self.idle().push(desk);
        result
    }
}

/// The content of `frame`, which must be `len` bytes.
fn content(
    codec: Codec,
    zstd: &mut Option<zstd::bulk::Decompressor<'static>>,
    frame: &[u8],
    len: usize,
) -> Result<Vec<u8>, String> {
    let mut content = Vec::with_capacity(len);
    let got = match codec {
        Codec::Zstd => {
            let zstd = match zstd {
                Some(zstd) => zstd,
                None => zstd.insert(zstd::bulk::Decompressor::new().map_err(|e| e.to_string())?),
            };
            zstd.decompress_to_buffer(frame, &mut content)
                .map_err(|e| e.to_string())?
        }
        Codec::Lz4 => {
            let lz4 = lz4_flex::frame::FrameDecoder::new(frame);
            take(lz4, &mut content, len).map_err(|e| e.to_string())?
        }
    };
    if got != len || content.len() != len {
        return Err(format!(
            "the frame holds {got:#x} bytes of content, not {len:#x}"
        ));
    }
    Ok(content)
}

/// Takes `len` bytes, and looks whether there are more: the content checksum is compared at the end.
fn take(mut from: impl BufRead, content: &mut Vec<u8>, len: usize) -> io::Result<usize> {
    loop {
        let here = from.fill_buf()?;
        let n = here.len().min(len - content.len());
        if n == 0 {
            return Ok(content.len() + here.len());
        }
        content.extend_from_slice(here.get(..n).unwrap_or_default());
        from.consume(n);
    }
}
