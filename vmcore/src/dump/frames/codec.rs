//! Frames back into content. What a frame needs is kept for the next, one for each thread at work,
//! and no buffer is cleared before it is filled: both cost as much as a tenth of the unpacking.

use super::buffer::FrameBuffer;
use crate::layout::FormatError;
use crate::layout::frames::Codec;
use std::io::{self, BufRead};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The smallest and the largest buffer that an idle [`UnpackContext`] keeps.
const KEPT: std::ops::RangeInclusive<usize> = 256 << 10..=1 << 20;

/// The contexts that no thread uses.
static IDLE: Mutex<Vec<UnpackContext>> = Mutex::new(Vec::new());

fn idle() -> MutexGuard<'static, Vec<UnpackContext>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What one thread needs to unpack a frame of whatever file.
struct UnpackContext {
    /// Made for the first zstd frame.
    zstd: Option<zstd::bulk::Decompressor<'static>>,
    /// Holds a frame as it is in the file.
    packed: FrameBuffer,
}

/// The content of the frame that `read` puts into a buffer of `packed` bytes. It must be `len`
/// bytes. Also returns the frame's last 4 bytes.
///
/// # Errors
/// Those of `read`, and what `corrupt` makes of a sentence about the frame.
pub(super) fn unpack<E>(
    codec: Codec,
    packed: usize,
    len: usize,
    read: impl FnOnce(&mut [u8]) -> Result<(), E>,
    corrupt: impl FnOnce(String) -> E,
) -> Result<(FrameBuffer, Option<[u8; 4]>), E> {
    let kept = idle().pop();
    let mut context = kept.unwrap_or_else(|| UnpackContext {
        zstd: None,
        packed: FrameBuffer::new(*KEPT.start()),
    });
    if context.packed.len() < packed {
        context.packed = FrameBuffer::new(packed);
    }
    let frame = context.packed.get_mut(..packed).unwrap_or_default();
    let result = read(frame).and_then(|()| {
        let mut content = FrameBuffer::new(len);
        unpack_into(codec, &mut context.zstd, frame, &mut content)
            .map_err(|why| corrupt(why.to_string()))?;
        Ok((content, frame.last_chunk().copied()))
    });
    // A rare longer one is let go.
    if KEPT.contains(&context.packed.len()) {
        idle().push(context);
    }
    result
}

/// Fills `content` with what is in `frame`, which must be as long.
fn unpack_into(
    codec: Codec,
    zstd: &mut Option<zstd::bulk::Decompressor<'static>>,
    frame: &[u8],
    content: &mut [u8],
) -> Result<(), FormatError> {
    let failed = |error: io::Error| FormatError::damaged(error.to_string());
    let got = match codec {
        Codec::Zstd => {
            let zstd = match zstd {
                Some(zstd) => zstd,
                None => zstd.insert(zstd::bulk::Decompressor::new().map_err(failed)?),
            };
            zstd.decompress_to_buffer(frame, content).map_err(failed)?
        }
        Codec::Lz4 => {
            let lz4 = lz4_flex::frame::FrameDecoder::new(frame);
            take(lz4, content).map_err(failed)?
        }
    };
    let len = content.len();
    if got != len {
        return Err(FormatError::damaged(format!(
            "the frame holds {got:#x} bytes of content, not {len:#x}"
        )));
    }
    Ok(())
}

/// Fills `content`, and looks whether there is more: the content checksum is compared at the end.
fn take(mut from: impl BufRead, content: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    loop {
        let here = from.fill_buf()?;
        let rest = content.get_mut(done..).unwrap_or_default();
        let n = here.len().min(rest.len());
        match (rest.get_mut(..n), here.get(..n)) {
            (Some(to), Some(bytes)) if n > 0 => to.copy_from_slice(bytes),
            _ => return Ok(done + here.len()),
        }
        from.consume(n);
        done += n;
    }
}
