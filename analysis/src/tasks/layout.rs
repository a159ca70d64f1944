//! The offsets of the members of `task_struct` in this kernel.
//!
//! Names that changed: `state` became `__state` in 5.14; the CPU moved from `cpu` to
//! `thread_info.cpu` in 5.16; the idle of both is asked for.

use vmcore::kernel::{Kernel, KernelError, Member};

/// The members that a task is read from.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Layout {
    pub tasks: Member,
    pub thread_node: u64,
    pub thread_head: u64,
    pub signal: Member,
    pub state: Member,
    pub exit_state: Member,
    pub flags: Member,
    pub pid: Member,
    pub tgid: Member,
    pub comm: Member,
    pub mm: Member,
    pub real_parent: Member,
    pub stack: Member,
    pub cpu: Option<Member>,
    pub on_cpu: Option<Member>,
    pub start_time: Option<Member>,
    pub utime: Option<Member>,
    pub stime: Option<Member>,
    pub nr_threads: Option<Member>,
}

impl Layout {
    /// Finds them.
    ///
    /// # Errors
    /// When there is no BTF, or a member without which no task can be read is missing.
    pub fn of(kernel: &Kernel) -> Result<Self, KernelError> {
        let task = |path: &str| kernel.member("task_struct", path);
        let either = |new: &str, old: &str| task(new).or_else(|_| task(old));
        Ok(Self {
            tasks: task("tasks")?,
            thread_node: task("thread_node")?.offset,
            thread_head: kernel.member("signal_struct", "thread_head")?.offset,
            signal: task("signal")?,
            state: either("__state", "state")?,
            exit_state: task("exit_state")?,
            flags: task("flags")?,
            pid: task("pid")?,
            tgid: task("tgid")?,
            comm: task("comm")?,
            mm: task("mm")?,
            real_parent: task("real_parent")?,
            stack: task("stack")?,
            cpu: either("thread_info.cpu", "cpu").ok(),
            on_cpu: task("on_cpu").ok(),
            start_time: task("start_time").ok(),
            utime: task("utime").ok(),
            stime: task("stime").ok(),
            nr_threads: kernel.member("signal_struct", "nr_threads").ok(),
        })
    }
}
