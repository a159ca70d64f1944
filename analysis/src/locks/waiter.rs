//! From a task's stack to the lock it waits for.
//!
//! A task that waits for a mutex or a read-write semaphore has a waiter structure on its stack, linked
//! in a ring with the other waiters. Up to 7.0 the lock's own `wait_list` is part of that ring: it is
//! the one link that lies on the stack of no waiter. From 7.1 on the lock only points to its
//! `first_waiter`; but a pointer into the lock is on the waiting task's stack too (the code needs it when
//! it wakes), and is believed when the lock leads to the ring. Facts: kernel/locking/{mutex.h,rwsem.c}.

use super::WaitKind;
use crate::unwind::stack_bytes;
use std::collections::BTreeSet;
use std::ops::Range;
use vmcore::kernel::Kernel;

/// Most waiters of one lock that are followed.
const MAX_WAITERS: usize = 4096;
/// Most of a stack that is searched, in bytes.
const MAX_STACK: u64 = 64 << 10;

/// Where one kind of lock keeps things.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Layout {
    /// In the lock: the owner.
    pub owner: u64,
    /// In the lock: its waiters.
    pub waiters: Waiters,
    /// In the waiter: its place in the list.
    pub link: u64,
    /// In the waiter: the task.
    pub task: u64,
    /// In the task: its stack.
    pub stack: u64,
    /// Bytes of a stack.
    pub stack_bytes: u64,
}

/// How a lock leads to its waiters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Waiters {
    /// By a `list_head` at this offset, which is part of the ring.
    List(u64),
    /// By a pointer to the first waiter at this offset, outside the ring.
    First(u64),
}

/// The layouts of a kernel.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Layouts {
    mutex: Option<Layout>,
    rwsem: Option<Layout>,
}

impl Layouts {
    /// By BTF; a lock whose layout is not known is not looked for.
    #[must_use]
    pub(super) fn of(kernel: &Kernel) -> Self {
        let layout = |lock: &str, waiter: &str| {
            let at = |ty: &str, member: &str| kernel.offset_of(ty, member).ok();
            let waiters = at(lock, "wait_list")
                .map(Waiters::List)
                .or_else(|| at(lock, "first_waiter").map(Waiters::First))?;
            Some(Layout {
                owner: at(lock, "owner")?,
                waiters,
                link: at(waiter, "list")?,
                task: at(waiter, "task")?,
                stack: at("task_struct", "stack")?,
                stack_bytes: stack_bytes(kernel),
            })
        };
        Self {
            mutex: layout("mutex", "mutex_waiter"),
            rwsem: layout("rw_semaphore", "rwsem_waiter"),
        }
    }

    /// The layout of what is waited for, if it has an owner.
    #[must_use]
    pub(super) fn lock_of(&self, kind: WaitKind) -> Option<&Layout> {
        match kind {
            WaitKind::Mutex => self.mutex.as_ref(),
            WaitKind::RwsemRead | WaitKind::RwsemWrite => self.rwsem.as_ref(),
            _ => None,
        }
    }
}

type Word<'w> = dyn Fn(u64) -> Option<u64> + 'w;

impl Layout {
    /// The lock that `task` waits for, by what lies on its stack in `stack`, and its owner word.
    #[must_use]
    pub(super) fn find(&self, word: &Word<'_>, task: u64, stack: Range<u64>) -> Option<(u64, u64)> {
        // Registers that the scheduler pushed last stand below the first frame.
        let start = stack.start.checked_sub(128)?.next_multiple_of(8);
        let end = stack.end.min(start.checked_add(MAX_STACK)?);
        let slots = || (start..end).step_by(8);
        for slot in slots().filter(|&slot| word(slot) == Some(task)) {
            let Some(waiter) = slot.checked_sub(self.task) else {
                continue;
            };
            let Some(ring) = self.ring(word, waiter) else {
                continue;
            };
            let found = match self.waiters {
                Waiters::List(offset) => self
                    .head(word, &ring)
                    .and_then(|head| head.checked_sub(offset)),
                Waiters::First(offset) => {
                    // The waiter and pointers to it are on the stack, and look like a lock there.
                    let own = word(task.checked_add(self.stack)?)?;
                    let on_stack = |at: u64| at.wrapping_sub(own) < self.stack_bytes;
                    slots()
                        .filter_map(word)
                        .flat_map(|at| [0, 8, 16, 24].map(|inside| at.wrapping_sub(inside)))
                        .find(|&lock| !on_stack(lock) && self.leads_to(word, lock, offset, &ring))
                }
            };
            if let Some(lock) = found {
                return Some((lock, word(lock.checked_add(self.owner)?)?));
            }
        }
        None
    }

    /// The links of the ring that a waiter is in; `None` when it is in none.
    fn ring(&self, word: &Word<'_>, waiter: u64) -> Option<BTreeSet<u64>> {
        let first = waiter.checked_add(self.link)?;
        let mut ring = BTreeSet::from([first]);
        let mut at = first;
        loop {
            let next = word(at)?;
            // Each link's neighbour must point back: that is what tells a ring from anything else.
            if word(next.checked_add(8)?)? != at {
                return None;
            }
            if next == first {
                return Some(ring);
            }
            if ring.len() >= MAX_WAITERS || !ring.insert(next) {
                return None;
            }
            at = next;
        }
    }

    /// The only link of a ring that is no waiter's: those lie on the stacks of the tasks they name.
    fn head(&self, word: &Word<'_>, ring: &BTreeSet<u64>) -> Option<u64> {
        let is_waiter = |link: u64| {
            let task = link
                .checked_sub(self.link)
                .and_then(|waiter| word(waiter.checked_add(self.task)?));
            let stack = task.and_then(|task| word(task.checked_add(self.stack)?));
            stack
                .and_then(|stack| link.checked_sub(stack))
                .is_some_and(|inside| inside < self.stack_bytes)
        };
        let mut heads = ring.iter().copied().filter(|&link| !is_waiter(link));
        let head = heads.next()?;
        heads.next().is_none().then_some(head)
    }

    /// Whether a lock's first waiter is in the ring.
    fn leads_to(&self, word: &Word<'_>, lock: u64, offset: u64, ring: &BTreeSet<u64>) -> bool {
        lock.checked_add(offset)
            .and_then(word)
            .and_then(|first| first.checked_add(self.link))
            .is_some_and(|link| ring.contains(&link))
    }
}

#[cfg(test)]
mod tests {
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
}
