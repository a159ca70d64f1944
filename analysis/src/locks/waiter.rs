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
mod tests;
