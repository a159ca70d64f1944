//! Waiters on made-up stacks.

use super::*;
use std::collections::BTreeMap;

const LIST: Layout = Layout {
    owner: 0,
    waiters: Waiters::List(24),
    link: 0,
    task: 16,
    stack: 32,
    stack_bytes: 0x1000,
};
const FIRST: Layout = Layout {
    owner: 8,
    waiters: Waiters::First(24),
    link: 0,
    task: 16,
    stack: 32,
    stack_bytes: 0x1000,
};

/// A stack at 0x1000 with a waiter at 0x1040 of the task 0x9000, another waiter at 0x2040, a lock
/// at 0x5000 owned by 0x7001.
fn memory(layout: Layout) -> BTreeMap<u64, u64> {
    let mut memory: BTreeMap<u64, u64> = (0x0f00..0x1100).step_by(8).map(|a| (a, 0)).collect();
    let mut ring = vec![0x1040, 0x2040];
    match layout.waiters {
        Waiters::List(offset) => ring.push(0x5000 + offset),
        Waiters::First(offset) => {
            memory.insert(0x5000 + offset, 0x2040);
        }
    }
    for (i, &link) in ring.iter().enumerate() {
        let next = ring[(i + 1) % ring.len()];
        memory.insert(link, next);
        memory.insert(next + 8, link);
    }
    memory.insert(0x1040 + 16, 0x9000);
    memory.insert(0x2040 + 16, 0x9040);
    memory.insert(0x5000 + layout.owner, 0x7001);
    // The task's address stands elsewhere as well, and so do other pointers.
    memory.insert(0x1008, 0x9000);
    memory.insert(0x1018, 0x2000);
    // Where the tasks' stacks are, and a pointer into the lock.
    memory.insert(0x9000 + 32, 0x1000);
    memory.insert(0x9040 + 32, 0x2000);
    // A place on the stack that looks like a lock, found first.
    memory.insert(0x1070, 0x2040);
    memory.insert(0x0fe0, 0x1070 - 24);
    memory.insert(0x0fe8, 0x5010);
    memory
}

#[test]
fn the_lock_is_found_through_its_waiter() {
    for layout in [LIST, FIRST] {
        let memory = memory(layout);
        let word = |at: u64| memory.get(&at).copied();
        let found = layout.find(&word, 0x9000, 0x1000..0x1100);
        assert_eq!(found, Some((0x5000, 0x7001)), "{layout:?}");
    }
}

#[test]
fn a_lock_that_does_not_lead_back_is_none() {
    let mut memory = memory(FIRST);
    memory.insert(0x5000 + 24, 0x3000);
    let word = |at: u64| memory.get(&at).copied();
    assert_eq!(FIRST.find(&word, 0x9000, 0x1000..0x1100), None);
}

#[test]
fn a_ring_with_two_strangers_is_none() {
    let mut memory = memory(LIST);
    memory.insert(0x9040 + 32, 0x7000);
    let word = |at: u64| memory.get(&at).copied();
    assert_eq!(LIST.find(&word, 0x9000, 0x1000..0x1100), None);
}

#[test]
fn a_broken_ring_is_none() {
    let mut memory = memory(LIST);
    memory.insert(0x2040, 0x1040);
    let word = |at: u64| memory.get(&at).copied();
    assert_eq!(LIST.find(&word, 0x9000, 0x1000..0x1100), None);
}

proptest::proptest! {
    #[test]
    fn garbage_is_survived(words in proptest::collection::vec(0u64..0x400, 128), task in 0u64..0x400) {
        let words: Vec<u64> = words.iter().map(|w| w & !7).collect();
        let word = |at: u64| words.get(usize::try_from(at / 8).ok()?).copied();
        for layout in [LIST, FIRST] {
            let _ = layout.find(&word, task & !7, 0..0x400);
            let _ = layout.find(&word, task & !7, 0x80..u64::MAX);
        }
    }
}
