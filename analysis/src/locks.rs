//! Blocked tasks: what each waits for, who holds it, and cycles among them.
//!
//! Facts: kernel/locking/{mutex,rwsem,semaphore}.c, include/linux/{mutex,rwsem}_types.h, 5.10 to 7.x.
//! What kind of thing it is tells the stack ([`kind`]); which lock it is, the waiter on the stack
//! (`waiter`), believed only when the lock itself leads back to that waiter.

mod kind;
mod waiter;

use crate::hex::Hex;
use crate::tasks::{self, State, Task};
use crate::unwind::{Trust, Unwinder};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use vmcore::addr::VirtAddr;
use vmcore::kernel::{Kernel, chain};
use waiter::Layouts;

/// The low bits of an owner word that are flags, in mutexes and semaphores.
const OWNER_FLAGS: u64 = 7;
/// RWSEM_READER_OWNED.
const READER: u64 = 1;

/// The blocked tasks of a kernel.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Blocked {
    /// Each blocked task, in the order given.
    pub waiters: Vec<Waiter>,
    /// Tasks that wait for each other in a ring: pids, each waiting for the next, the last for the
    /// first.
    pub cycles: Vec<Vec<i32>>,
    /// What could not be read.
    pub warnings: Vec<String>,
}

/// A blocked task.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Waiter {
    /// The task.
    pub task: Who,
    /// What kind of thing it waits for.
    pub kind: WaitKind,
    /// The function that decided to wait: the first frame outside the scheduler and the locks.
    pub function: Option<String>,
    /// The lock, for kinds that have one.
    pub lock: Option<Hex>,
    /// The global variable it is in, if it is in one: `name` or `name+0x10`.
    pub symbol: Option<String>,
    /// Who holds it.
    pub holder: Option<Holder>,
}

/// What a task waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WaitKind {
    /// A mutex.
    Mutex,
    /// A read-write semaphore, to read.
    RwsemRead,
    /// A read-write semaphore, to write.
    RwsemWrite,
    /// A counting semaphore, which has no owner.
    Semaphore,
    /// A per-CPU read-write semaphore (file system freeze, CPU hotplug).
    PercpuRwsem,
    /// A completion, which has no owner.
    Completion,
    /// Input or output.
    Io,
    /// A bit of a page, buffer or inode.
    Bit,
    /// Something else, see the function.
    Other,
}

/// A task by name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Who {
    /// Its `task_struct`.
    pub address: Hex,
    /// Its thread id.
    pub pid: i32,
    /// Its name.
    pub comm: String,
    /// What it was doing.
    pub state: State,
}

impl From<&Task> for Who {
    fn from(task: &Task) -> Self {
        Self {
            address: task.address,
            pid: task.pid,
            comm: task.comm.clone(),
            state: task.state,
        }
    }
}

/// The holder of a lock.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Holder {
    /// The task.
    pub task: Who,
    /// True for a semaphore held for reading: the task is only the last that took it, others may
    /// hold it too and this one may have let go.
    pub reader: bool,
}

/// A lock that somebody waits for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Lock {
    /// Where it is.
    pub address: Hex,
    /// What it is, as its first waiter sees it.
    pub kind: WaitKind,
    /// The global variable it is in, if it is in one.
    pub symbol: Option<String>,
    /// Who holds it.
    pub holder: Option<Holder>,
    /// Who waits, in the order of the list of tasks.
    pub waiters: Vec<Who>,
}

/// The locks that were found, most waited for first.
#[must_use]
pub fn by_lock(blocked: &Blocked) -> Vec<Lock> {
    let mut locks: BTreeMap<u64, Lock> = BTreeMap::new();
    for waiter in &blocked.waiters {
        let Some(address) = waiter.lock else {
            continue;
        };
        let lock = locks.entry(address.0).or_insert_with(|| Lock {
            address,
            kind: waiter.kind,
            symbol: waiter.symbol.clone(),
            holder: None,
            waiters: Vec::new(),
        });
        lock.holder = lock.holder.take().or_else(|| waiter.holder.clone());
        lock.waiters.push(waiter.task.clone());
    }
    let mut locks: Vec<Lock> = locks.into_values().collect();
    locks.sort_by_key(|lock| std::cmp::Reverse(lock.waiters.len()));
    locks
}

/// Says what the blocked ones among these tasks wait for. Holders need not be among them.
#[must_use]
pub fn blocked(kernel: &Kernel, unwinder: &Unwinder<'_>, tasks: &[Task]) -> Blocked {
    let layouts = Layouts::of(kernel);
    let mut out = Blocked::default();
    for task in tasks.iter().filter(|task| task.state == State::Blocked) {
        out.waiters
            .push(waiter(kernel, unwinder, &layouts, task, &mut out.warnings));
    }
    out.cycles = cycles(&out.waiters);
    out
}

fn waiter(
    kernel: &Kernel,
    unwinder: &Unwinder<'_>,
    layouts: &Layouts,
    task: &Task,
    warnings: &mut Vec<String>,
) -> Waiter {
    let address = VirtAddr::from(task.address);
    let trace = unwinder.task(address);
    let frames: Vec<(&str, u64)> = trace
        .frames
        .iter()
        .filter(|frame| frame.trust != Trust::Guess)
        .filter_map(|frame| Some((frame.symbol.as_ref()?.name.as_str(), frame.sp.0)))
        .collect();
    let wait = kind::of(&frames);
    let word = |at: u64| unwinder.word(VirtAddr(at));
    let lock = layouts
        .lock_of(wait.kind)
        .zip(frames.first())
        .and_then(|(layout, first)| layout.find(&word, task.address.0, first.1..wait.outer_sp));
    let holder = lock.and_then(|(lock, owner)| {
        let holder = owner & !OWNER_FLAGS;
        if holder == 0 {
            return None;
        }
        match tasks::one(kernel, VirtAddr(holder), tasks::Options::default()) {
            Ok(found) if plausible(&found) => Some(Holder {
                task: Who::from(&found),
                reader: wait.kind != WaitKind::Mutex && owner & READER != 0,
            }),
            Ok(_) => {
                warnings.push(format!(
                    "the owner {holder:#x} of the lock at {lock:#x} is no task"
                ));
                None
            }
            Err(error) => {
                let why = chain(&error);
                warnings.push(format!("the owner of the lock at {lock:#x}: {why}"));
                None
            }
        }
    });
    let symbol = lock
        .and_then(|(lock, _)| kernel.resolve(VirtAddr(lock)))
        .map(|symbol| match symbol.offset {
            0 => symbol.name,
            _ => symbol.to_string(),
        });
    Waiter {
        task: Who::from(task),
        kind: wait.kind,
        function: wait.function.map(str::to_string),
        lock: lock.map(|(lock, _)| Hex(lock)),
        symbol,
        holder,
    }
}

/// The owner of a semaphore held for reading may long be gone, its memory used for something else.
fn plausible(task: &Task) -> bool {
    task.pid >= 0 && !task.comm.is_empty() && !task.comm.contains(|c: char| c.is_control())
}

/// The rings among the tasks: who waits for whom, following sure holders only.
fn cycles(waiters: &[Waiter]) -> Vec<Vec<i32>> {
    let waits_for: BTreeMap<u64, (u64, i32)> = waiters
        .iter()
        .filter_map(|waiter| {
            let holder = waiter.holder.as_ref().filter(|holder| !holder.reader)?;
            let own = waiter.task.address.0;
            Some((own, (holder.task.address.0, waiter.task.pid)))
        })
        .collect();
    let mut out = Vec::new();
    let mut seen: BTreeMap<u64, u64> = BTreeMap::new();
    for &start in waits_for.keys() {
        let mut path: Vec<(u64, i32)> = Vec::new();
        let mut at = start;
        while let Some(&(next, pid)) = waits_for.get(&at) {
            match seen.insert(at, start) {
                None => path.push((at, pid)),
                // Back on this very path: the ring is its tail.
                Some(by) if by == start => {
                    let ring = path.iter().skip_while(|(task, _)| *task != at);
                    out.push(ring.map(|(_, pid)| *pid).collect());
                    break;
                }
                Some(_) => break,
            }
            at = next;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(pid: i32, for_pid: i32, reader: bool) -> Waiter {
        let who = |pid: i32| Who {
            address: Hex(u64::from(pid.unsigned_abs()) << 6),
            pid,
            comm: "x".into(),
            state: State::Blocked,
        };
        Waiter {
            task: who(pid),
            kind: WaitKind::Mutex,
            function: None,
            lock: None,
            symbol: None,
            holder: Some(Holder {
                task: who(for_pid),
                reader,
            }),
        }
    }

    #[test]
    fn rings_are_named_once_and_their_tails_left_out() {
        let waiters = [
            waits(1, 2, false),
            waits(2, 3, false),
            waits(3, 4, false),
            waits(4, 2, false),
            waits(5, 3, false),
            waits(6, 7, false),
            waits(8, 8, false),
        ];
        assert_eq!(cycles(&waiters), [vec![2, 3, 4], vec![8]]);
    }

    #[test]
    fn a_lock_gathers_its_waiters() {
        let at = |lock: u64, pid: i32| Waiter {
            lock: Some(Hex(lock)),
            ..waits(pid, 9, false)
        };
        let without = Waiter {
            lock: None,
            ..waits(4, 9, false)
        };
        let blocked = Blocked {
            waiters: vec![at(0x10, 1), at(0x20, 2), at(0x20, 3), without],
            ..Blocked::default()
        };
        let locks = by_lock(&blocked);
        let seen: Vec<_> = locks
            .iter()
            .map(|lock| (lock.address.0, lock.waiters.len()))
            .collect();
        assert_eq!(seen, [(0x20, 2), (0x10, 1)]);
        assert_eq!(locks[0].holder.as_ref().map(|h| h.task.pid), Some(9));
    }

    #[test]
    fn a_last_reader_closes_no_ring() {
        assert!(cycles(&[waits(1, 2, false), waits(2, 1, true)]).is_empty());
        assert!(cycles(&[]).is_empty());
    }
}
