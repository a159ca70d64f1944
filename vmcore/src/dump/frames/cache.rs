//! The frames unpacked last, within a fixed number of bytes.

use super::buffer::FrameBuffer;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes kept: 30 frames of ours, 8 MiB together with one that is being unpacked. A capture that reads
/// such a core has 24 MiB in all.
const BUDGET: usize = 30 * (256 << 10);

/// Unpacked frames by their place in the file; the least recently used go first.
#[derive(Default)]
pub(super) struct Cache {
    /// The most recently used last.
    kept: Mutex<Vec<(u64, Arc<FrameBuffer>)>>,
}

impl Cache {
    /// The content of the frame at `at`, if it is here.
    pub(super) fn get(&self, at: u64) -> Option<Arc<FrameBuffer>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let place = kept.iter().rposition(|(key, _)| *key == at)?;
        let found = kept.remove(place);
        let content = Arc::clone(&found.1);
        kept.push(found);
        Some(content)
    }

    /// Lets go what is not kept once a frame of `len` bytes is put in.
    pub(super) fn make_way(&self, len: u64) {
        if len > BUDGET as u64 {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.clear();
        }
    }

    /// Keeps `content`, and lets others go for it: all of them for one longer than the budget, which
    /// would else be unpacked again for each of its bytes.
    pub(super) fn put(&self, at: u64, content: &Arc<FrameBuffer>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(key, _)| *key != at);
        let mut bytes: usize = kept.iter().map(|(_, content)| content.len()).sum();
        let mut drop = 0;
        for (_, old) in kept.iter() {
            if bytes + content.len() <= BUDGET {
                break;
            }
            bytes -= old.len();
            drop += 1;
        }
        kept.drain(..drop);
        kept.push((at, Arc::clone(content)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes_first_and_the_budget_holds() {
        let cache = Cache::default();
        let quarter = Arc::new(FrameBuffer::new(BUDGET / 4));
        for at in 0..4 {
            cache.put(at, &quarter);
        }
        assert!(cache.get(0).is_some());
        cache.put(9, &quarter);
        assert!(cache.get(0).is_some());
        assert!(cache.get(1).is_none());
        cache.put(10, &Arc::new(FrameBuffer::new(BUDGET + 1)));
        assert!(cache.get(10).is_some());
        assert!(cache.get(9).is_none());
    }
}
