//! Room for the content of frames, in huge pages where the system has them.
//!
//! A frame is 64 pages. Memory fresh from the system costs a page fault for each of them, and together
//! those took as long as unpacking the frame; one fault brings in the 512 pages of a huge page. So
//! rooms are pieces of a few mappings. A room that nobody uses any more goes to the next who wants
//! one, for whatever file, and never back to the system: a process keeps as much as it once used
//! at a time, which the caches bound.

use memmap2::{Advice, MmapMut, MmapOptions};
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// Bytes of a room: a frame of ours.
const ROOM: usize = 256 << 10;
/// Bytes mapped at a time: a few huge pages. Linux 6.7 and later begin such a mapping where one may
/// begin; before, the pieces at its ends may be of ordinary pages.
const MAPPED: usize = 4 << 20;

/// Rooms that nobody uses, the last used last: its memory is the warmest.
static FREE: Mutex<Vec<&'static mut [u8]>> = Mutex::new(Vec::new());

/// Bytes that can be written over, whatever they hold.
pub(super) struct Room {
    /// From a mapping, or empty.
    piece: &'static mut [u8],
    /// For what no piece has room for.
    own: Vec<u8>,
    len: usize,
}

impl Room {
    /// Room for `len` bytes.
    pub fn new(len: usize) -> Self {
        let piece = if len <= ROOM { piece() } else { None };
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
        // A system without huge pages says no, and the rooms are ordinary memory.
        let _ = map.advise(Advice::HugePage);
        let all: &'static mut MmapMut = Box::leak(Box::new(map));
        free.extend(all.chunks_exact_mut(ROOM).rev());
    }
    free.pop()
}

impl Drop for Room {
    fn drop(&mut self) {
        let piece = std::mem::take(&mut self.piece);
        if !piece.is_empty() {
            let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
            free.push(piece);
        }
    }
}

impl Deref for Room {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.piece.get(..self.len).unwrap_or(&self.own)
    }
}

impl DerefMut for Room {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.piece.get_mut(..self.len).unwrap_or(&mut self.own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_are_apart_and_of_the_length_asked_for() {
        let lengths = [0, 1, 4096, ROOM - 1, ROOM, ROOM + 1, 3 * ROOM];
        let mut rooms: Vec<Room> = (0..100)
            .map(|n| Room::new(lengths[n % lengths.len()]))
            .collect();
        for (n, room) in rooms.iter_mut().enumerate() {
            assert_eq!(room.len(), lengths[n % lengths.len()]);
            room.fill(n as u8);
        }
        // Those that go are taken again, and no other is touched by it.
        rooms.truncate(70);
        let mut again: Vec<Room> = (0..60).map(|_| Room::new(ROOM)).collect();
        for room in &mut again {
            room.fill(0xff);
        }
        for (n, room) in rooms.iter().enumerate() {
            assert!(room.iter().all(|byte| *byte == n as u8), "{n}");
        }
    }
}
