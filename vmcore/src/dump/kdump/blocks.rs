//! Small pieces of the file that are asked for again and again.

use super::super::source::{ByteSource, SourceError};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of a piece at most.
pub(super) const BLOCK: usize = 4096;

/// A piece and its key.
type Slot = Mutex<Option<(u64, Arc<Vec<u8>>)>>;

/// Pieces by their place in the file; each place has one slot it may take.
#[derive(Debug)]
pub(super) struct Blocks {
    slots: Vec<Slot>,
}

impl Blocks {
    /// A cache of `slots` pieces.
    pub(super) fn new(slots: usize) -> Self {
        Self {
            slots: (0..slots.max(1)).map(|_| Mutex::default()).collect(),
        }
    }

    /// The piece kept under `key`.
    pub(super) fn kept(&self, key: u64) -> Option<Arc<Vec<u8>>> {
        let slot = self.slot(key)?;
        let slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        slot.as_ref()
            .filter(|(at, _)| *at == key)
            .map(|(_, piece)| Arc::clone(piece))
    }

    /// Keeps `piece` under `key`.
    pub(super) fn keep(&self, key: u64, piece: &Arc<Vec<u8>>) {
        if let Some(slot) = self.slot(key) {
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            *slot = Some((key, Arc::clone(piece)));
        }
    }

    fn slot(&self, key: u64) -> Option<&Slot> {
        let spread = (key / BLOCK as u64) ^ (key % BLOCK as u64);
        let at = spread % u64::try_from(self.slots.len()).ok()?;
        self.slots.get(usize::try_from(at).ok()?)
    }

    /// `len` bytes at `at` of the file, as many each time the place is asked for.
    ///
    /// # Errors
    /// Those of the file.
    pub(super) fn get(
        &self,
        file: &dyn ByteSource,
        at: u64,
        len: usize,
    ) -> Result<Arc<Vec<u8>>, SourceError> {
        if let Some(piece) = self.kept(at).filter(|piece| piece.len() == len) {
            return Ok(piece);
        }
        let mut buf = vec![0; len];
        file.read_at(at, &mut buf)?;
        let piece = Arc::new(buf);
        self.keep(at, &piece);
        Ok(piece)
    }
}
