//! A bounded queue for several producers and consumers, which can be closed from any side.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The queue. Nothing here panics while the lock is held, so a poisoned lock is taken as it is.
pub struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    capacity: usize,
}

struct State<T> {
    items: VecDeque<T>,
    closed: bool,
    /// Producers still at work and whether their number is known.
    producers: Option<usize>,
    left: usize,
}

impl<T> Queue<T> {
    /// An empty queue for at most `capacity` items.
    pub fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::new(State {
                items: VecDeque::with_capacity(capacity),
                closed: false,
                producers: None,
                left: 0,
            }),
            changed: Condvar::new(),
            capacity,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, guard: MutexGuard<'a, State<T>>) -> MutexGuard<'a, State<T>> {
        self.changed
            .wait(guard)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an item, waiting for room; false when the queue is closed.
    pub fn push(&self, item: T) -> bool {
        let mut state = self.lock();
        while state.items.len() >= self.capacity && !state.closed {
            state = self.wait(state);
        }
        if state.closed {
            return false;
        }
        state.items.push_back(item);
        self.changed.notify_all();
        true
    }

    /// Takes the oldest item, waiting for one; `None` when the queue is closed, or when every
    /// producer has left, and nothing is in it.
    pub fn pop(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if let Some(item) = state.items.pop_front() {
                self.changed.notify_all();
                return Some(item);
            }
            if state.closed || state.producers.is_some_and(|n| state.left >= n) {
                return None;
            }
            state = self.wait(state);
        }
    }

    /// No more items come in; those inside may still be taken.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Says how many producers there are, each of which will [`Queue::leave`].
    pub fn producers(&self, count: usize) {
        self.lock().producers = Some(count);
        self.changed.notify_all();
    }

    /// A producer has pushed its last.
    pub fn leave(&self) {
        self.lock().left += 1;
        self.changed.notify_all();
    }
}
