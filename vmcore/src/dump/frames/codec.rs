//! Frames back into content. What a frame needs is kept for the next, one for each thread at work,
//! and no buffer is cleared before it is filled: both cost as much as a tenth of the unpacking.

use super::room::Room;
use crate::layout::frames::Codec;
use std::io::{self, BufRead};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of a frame that a [`Desk`] keeps room for at least, and at most.
const KEPT: std::ops::RangeInclusive<usize> = 256 << 10..=1 << 20;

/// The desks at which nobody works.
static IDLE: Mutex<Vec<Desk>> = Mutex::new(Vec::new());

fn idle() -> MutexGuard<'static, Vec<Desk>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What one thread needs to unpack a frame of whatever file.
struct Desk {
    /// Made for the first zstd frame.
    zstd: Option<zstd::bulk::Decompressor<'static>>,
    /// Room for a frame as it is in the file.
    packed: Room,
}

/// The content of the frame that `read` puts into a buffer of `packed` bytes. It must be `len`
/// bytes. Beside it, the frame's last 4 bytes.
///
/// # Errors
/// Those of `read`, and what `corrupt` makes of a sentence about the frame.
pub(super) fn unpack<E>(
    codec: Codec,
    packed: usize,
    len: usize,
    read: impl FnOnce(&mut [u8]) -> Result<(), E>,
    corrupt: impl FnOnce(String) -> E,
) -> Result<(Room, Option<[u8; 4]>), E> {
    let kept = idle().pop();
    let mut desk = kept.unwrap_or_else(|| Desk {
        zstd: None,
        packed: Room::new(*KEPT.start()),
    });
    if desk.packed.len() < packed {
        desk.packed = Room::new(packed);
    }
    let frame = desk.packed.get_mut(..packed).unwrap_or_default();
    let result = read(frame).and_then(|()| {
        let mut content = Room::new(len);
        unpack_into(codec, &mut desk.zstd, frame, &mut content).map_err(corrupt)?;
        Ok((content, frame.last_chunk().copied()))
    });
    // A rare longer one is let go.
    if KEPT.contains(&desk.packed.len()) {
        idle().push(desk);
    }
    result
}

/// Fills `content` with what is in `frame`, which must be as long.
fn unpack_into(
    codec: Codec,
    zstd: &mut Option<zstd::bulk::Decompressor<'static>>,
    frame: &[u8],
    content: &mut [u8],
) -> Result<(), String> {
    let got = match codec {
        Codec::Zstd => {
            let zstd = match zstd {
                Some(zstd) => zstd,
                None => zstd.insert(zstd::bulk::Decompressor::new().map_err(|e| e.to_string())?),
            };
            zstd.decompress_to_buffer(frame, content)
                .map_err(|e| e.to_string())?
        }
        Codec::Lz4 => {
            let lz4 = lz4_flex::frame::FrameDecoder::new(frame);
            take(lz4, content).map_err(|e| e.to_string())?
        }
    };
    let len = content.len();
    if got != len {
        return Err(format!(
            "the frame holds {got:#x} bytes of content, not {len:#x}"
        ));
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
