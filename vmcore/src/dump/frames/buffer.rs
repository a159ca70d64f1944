//! Buffers for the content of frames, in huge pages where the system has them.
//!
//! A frame is 64 pages. Fresh memory costs a page fault for each of them, and together these take as
//! long as unpacking the frame; one fault brings in the 512 pages of a huge page. So buffers are
//! pieces of a few mappings. A buffer that is dropped goes to the next user, for whatever file, and
//! never back to the system: a process keeps as much as it once used at a time, which the caches
//! bound.

use memmap2::{Advice, MmapMut, MmapOptions};
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// Bytes of a buffer: a frame of ours.
const PIECE: usize = 256 << 10;
/// Bytes mapped at a time: a few huge pages. Linux 6.7 and later begin such a mapping where one may
/// begin; before, the pieces at its ends may be of ordinary pages.
const MAPPED: usize = 4 << 20;

/// Pieces that nobody uses, the last used last: its memory is the warmest.
static FREE: Mutex<Vec<&'static mut [u8]>> = Mutex::new(Vec::new());

/// Bytes that can be written over, whatever they hold.
pub(super) struct FrameBuffer {
    /// From a mapping, or empty.
    piece: &'static mut [u8],
    /// Used when no piece is long enough.
    own: Vec<u8>,
    len: usize,
}

impl FrameBuffer {
    /// A buffer of `len` bytes.
    pub(super) fn new(len: usize) -> Self {
        let piece = if len <= PIECE { piece() } else { None };
        Self {
            own: vec![0; if piece.is_some() { 0 } else { len }],
            piece: piece.unwrap_or_default(),
            len,
        }
    }
}

/// A piece of a mapping; `None` when the system does not give one.
fn piece() -> Option<&'static mut [u8]> {
    let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    if free.is_empty() {
        let map = MmapOptions::new().len(MAPPED).map_anon().ok()?;
        // A system without huge pages says no, and the pieces are ordinary memory.
        let _ = map.advise(Advice::HugePage);
        let all: &'static mut MmapMut = Box::leak(Box::new(map));
        free.extend(all.chunks_exact_mut(PIECE).rev());
    }
    free.pop()
}

impl Drop for FrameBuffer {
    fn drop(&mut self) {
        let piece = std::mem::take(&mut self.piece);
        if !piece.is_empty() {
            let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
            free.push(piece);
        }
    }
}

impl Deref for FrameBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.piece.get(..self.len).unwrap_or(&self.own)
    }
}

impl DerefMut for FrameBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.piece.get_mut(..self.len).unwrap_or(&mut self.own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_apart_and_of_the_length_asked_for() {
        let lengths = [0, 1, 4096, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE];
        let mut buffers: Vec<FrameBuffer> = (0..100)
            .map(|n| FrameBuffer::new(lengths[n % lengths.len()]))
            .collect();
        for (n, buffer) in buffers.iter_mut().enumerate() {
            assert_eq!(buffer.len(), lengths[n % lengths.len()]);
            buffer.fill(n as u8);
        }
        // Those that go are taken again, and no other is touched by it.
        buffers.truncate(70);
        let mut again: Vec<FrameBuffer> = (0..60).map(|_| FrameBuffer::new(PIECE)).collect();
        for buffer in &mut again {
            buffer.fill(0xff);
        }
        for (n, buffer) in buffers.iter().enumerate() {
            assert!(buffer.iter().all(|byte| *byte == n as u8), "{n}");
        }
    }
}
