//! A bounded queue for several producers and consumers, which can be closed from any side.
//!
//! A change wakes one thread that waits for it, and makes no system call where none
//! does: 64 pages are compressed in half a millisecond, and a wake-up costs a tenth of that in a virtual
//! machine.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The queue. Nothing here panics while the lock is held, so a poisoned lock is taken as it is.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    /// There is an item, or there will be none.
    filled: Condvar,
    /// It is half empty again, or of no more use.
    drained: Condvar,
    capacity: usize,
}

struct State<T> {
    items: VecDeque<T>,
    closed: bool,
    /// Producers still at work and whether their number is known.
    producers: Option<usize>,
    left: usize,
    /// Who waits for an item, and who for room.
    takers: usize,
    givers: usize,
}

impl<T> Queue<T> {
    /// An empty queue for at most `capacity` items.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::new(State {
                items: VecDeque::with_capacity(capacity),
                closed: false,
                producers: None,
                left: 0,
                takers: 0,
                givers: 0,
            }),
            filled: Condvar::new(),
            drained: Condvar::new(),
            capacity,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an item, waiting for room; false when the queue is closed.
    pub(super) fn push(&self, item: T) -> bool {
        let mut state = self.lock();
        while state.items.len() >= self.capacity && !state.closed {
            state.givers += 1;
            state = self
                .drained
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.givers -= 1;
        }
        if state.closed {
            return false;
        }
        state.items.push_back(item);
        let wanted = state.takers > 0;
        drop(state);
        if wanted {
            self.filled.notify_one();
        }
        true
    }

    /// Takes the oldest item, waiting for one; `None` when the queue is closed, or when every
    /// producer has left, and nothing is in it.
    pub(super) fn pop(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if let Some(item) = state.items.pop_front() {
                // Half empty, so that who fills it is not woken for each item.
                let wanted = state.givers > 0 && state.items.len() <= self.capacity / 2;
                drop(state);
                if wanted {
                    self.drained.notify_all();
                }
                return Some(item);
            }
            if state.closed || state.producers.is_some_and(|n| state.left >= n) {
                return None;
            }
            state.takers += 1;
            state = self
                .filled
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.takers -= 1;
        }
    }

    /// Items that wait.
    pub(super) fn len(&self) -> usize {
        self.lock().items.len()
    }

    /// No more items come in; those inside may still be taken.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
        self.drained.notify_all();
    }

    /// Says how many producers there are. Each of them calls [`Queue::leave`].
    pub(super) fn producers(&self, count: usize) {
        self.lock().producers = Some(count);
        self.filled.notify_all();
    }

    /// A producer has pushed its last.
    pub(super) fn leave(&self) {
        self.lock().left += 1;
        self.filled.notify_all();
    }
}
