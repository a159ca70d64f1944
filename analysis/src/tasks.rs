//! The tasks of the crashed kernel: who they are, what they were doing, what they used.
//!
//! Facts: include/linux/sched.h, include/linux/sched/signal.h, fs/proc/array.c, 5.10 to 7.2. Thread
//! group leaders are on `init_task.tasks`, their threads on `signal->thread_head`; each CPU's idle task is
//! on no list and comes from its run queue. Members are found by name ([`layout`]); a member that a
//! kernel does not have leaves the field empty.

mod layout;
mod memory;
mod state;
#[cfg(test)]
mod tests;

pub use layout::Layout;
pub use memory::Rss;
pub use state::State;

use crate::hex::Hex;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use vmcore::addr::VirtAddr;
use vmcore::kernel::{Kernel, KernelError, Member, chain};

/// PID_MAX_LIMIT: no machine has more tasks.
const MAX_TASKS: u64 = 4 << 20;
/// Soft errors kept of one walk.
const MAX_WARNINGS: usize = 16;
/// PF_KTHREAD (include/linux/sched.h, the same from 5.10 to 7.2).
const PF_KTHREAD: u64 = 0x0020_0000;

/// One task.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Task {
    /// Its `task_struct`.
    pub address: Hex,
    /// Its thread id.
    pub pid: i32,
    /// Its process: the thread id of its group's leader.
    pub tgid: i32,
    /// The process of its real parent.
    pub ppid: Option<i32>,
    /// Its name, at most 15 bytes.
    pub comm: String,
    /// What it was doing.
    pub state: State,
    /// The CPU it ran on or ran on last.
    pub cpu: Option<u32>,
    /// Whether it was on a CPU when the kernel died.
    pub on_cpu: bool,
    /// Whether it is a thread of the kernel.
    pub kernel_thread: bool,
    /// `task_struct.flags` (PF_*).
    pub flags: Hex,
    /// Nanoseconds after boot (suspended time not counted) at which it started.
    pub start_ns: Option<u64>,
    /// Nanoseconds in user mode.
    pub user_ns: Option<u64>,
    /// Nanoseconds in the kernel.
    pub system_ns: Option<u64>,
    /// Its memory; `None` for threads of the kernel and tasks whose memory is gone.
    pub rss: Option<Rss>,
    /// Its command line, when its memory was dumped and asked for.
    pub command_line: Option<String>,
    /// Number of threads of its process.
    pub threads: Option<u32>,
    /// Its `mm_struct`, 0 when it has none.
    pub mm: Hex,
}

impl Task {
    /// Whether it leads its thread group.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.pid == self.tgid
    }
}

/// All tasks.
#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
pub struct Tasks {
    /// In the kernel's order: leaders by start, each followed by its threads.
    pub tasks: Vec<Task>,
    /// What could not be read.
    pub warnings: Vec<String>,
}

/// What a walk should read besides the task itself.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Options {
    /// Read command lines from user memory, where it was dumped.
    pub command_lines: bool,
    /// Show each CPU's idle task too (pid 0).
    pub idle: bool,
}

/// Reads all tasks into memory. For a machine of unknown size prefer [`for_each`].
///
/// # Errors
/// When `init_task` or the layout of `task_struct` is not to be had.
pub fn read(kernel: &Kernel, options: Options) -> Result<Tasks, KernelError> {
    let mut tasks = Vec::new();
    let warnings = for_each(kernel, options, |task| {
        tasks.push(task);
        ControlFlow::Continue(())
    })?;
    Ok(Tasks { tasks, warnings })
}

/// Hands every task to `visit` until it breaks; answers the soft errors.
///
/// # Errors
/// When `init_task` or the layout of `task_struct` is not to be had.
pub fn for_each(
    kernel: &Kernel,
    options: Options,
    mut visit: impl FnMut(Task) -> ControlFlow<()>,
) -> Result<Vec<String>, KernelError> {
    let layout = Layout::of(kernel)?;
    let mut reader = Reader {
        kernel,
        layout: &layout,
        mm: memory::Layout::of(kernel),
        options,
        last: None,
    };
    let mut bad = Vec::new();
    let mut warnings = addresses_with(kernel, &layout, options.idle, |task| {
        match reader.task(task) {
            Ok(task) => visit(task),
            Err(why) => {
                warn(&mut bad, format!("the task at {task}: {}", chain(&why)));
                ControlFlow::Continue(())
            }
        }
    })?;
    warnings.append(&mut bad);
    Ok(warnings)
}

/// The addresses of all `task_struct`s, idle tasks left out, handed to `visit` until it breaks;
/// answers the soft errors.
///
/// # Errors
/// As [`for_each`].
pub fn addresses(
    kernel: &Kernel,
    visit: impl FnMut(VirtAddr) -> ControlFlow<()>,
) -> Result<Vec<String>, KernelError> {
    addresses_with(kernel, &Layout::of(kernel)?, false, visit)
}

/// Reads one task.
///
/// # Errors
/// When it or the layout of `task_struct` is not to be had.
pub fn one(kernel: &Kernel, task: VirtAddr, options: Options) -> Result<Task, KernelError> {
    let layout = Layout::of(kernel)?;
    Reader {
        kernel,
        layout: &layout,
        mm: memory::Layout::of(kernel),
        options,
        last: None,
    }
    .task(task)
}

fn warn(warnings: &mut Vec<String>, text: String) {
    if warnings.len() < MAX_WARNINGS {
        warnings.push(text);
    }
}

fn addresses_with(
    kernel: &Kernel,
    layout: &Layout,
    idle: bool,
    mut visit: impl FnMut(VirtAddr) -> ControlFlow<()>,
) -> Result<Vec<String>, KernelError> {
    let mut warnings = Vec::new();
    if idle {
        match idle_tasks(kernel) {
            Ok(tasks) => {
                for task in tasks {
                    if visit(task).is_break() {
                        return Ok(warnings);
                    }
                }
            }
            Err(why) => warn(&mut warnings, format!("the idle tasks: {}", chain(&why))),
        }
    }
    let init = kernel.symbol("init_task")?;
    let head = init.wrapping_add(layout.tasks.offset);
    let what = "the list of tasks";
    let mut last = init;
    for leader in kernel.list(head, layout.tasks.offset, MAX_TASKS, what) {
        match leader {
            Ok(leader) => {
                last = leader;
                if group(kernel, layout, leader, &mut visit, &mut warnings).is_break() {
                    return Ok(warnings);
                }
            }
            Err(why) => {
                warn(&mut warnings, format!("tasks are missing: {}", chain(&why)));
                // What comes after the break is found from the other end, youngest first.
                for leader in kernel.list_back(head, layout.tasks.offset, MAX_TASKS, what) {
                    let Some(leader) = leader.ok().filter(|leader| *leader != last) else {
                        break;
                    };
                    if group(kernel, layout, leader, &mut visit, &mut warnings).is_break() {
                        return Ok(warnings);
                    }
                }
            }
        }
    }
    Ok(warnings)
}

/// A leader and the threads of its group.
fn group(
    kernel: &Kernel,
    layout: &Layout,
    leader: VirtAddr,
    visit: &mut impl FnMut(VirtAddr) -> ControlFlow<()>,
    warnings: &mut Vec<String>,
) -> ControlFlow<()> {
    visit(leader)?;
    // A leader that cannot be read has been told by `visit`; the list itself may still go on.
    let signal = kernel.read_member(leader, &layout.signal).unwrap_or(0);
    if signal == 0 {
        return ControlFlow::Continue(());
    }
    let head = VirtAddr(signal).wrapping_add(layout.thread_head);
    let what = "the threads of a process";
    for thread in kernel.list(head, layout.thread_node, MAX_TASKS, what) {
        match thread {
            // The leader is on its own list too.
            Ok(thread) if thread == leader => {}
            Ok(thread) => visit(thread)?,
            Err(why) => {
                let text = format!(
                    "threads of the task at {leader} are missing: {}",
                    chain(&why)
                );
                warn(warnings, text);
                break;
            }
        }
    }
    ControlFlow::Continue(())
}

/// The idle task of every CPU that was online.
fn idle_tasks(kernel: &Kernel) -> Result<Vec<VirtAddr>, KernelError> {
    let runqueues = kernel.symbol("runqueues")?;
    let idle = kernel.member("rq", "idle")?;
    kernel
        .online_cpus()?
        .iter()
        .map(|cpu| {
            let rq = kernel.per_cpu(runqueues, cpu)?;
            kernel.read_member(rq, &idle).map(VirtAddr)
        })
        .collect()
}

struct Reader<'k> {
    kernel: &'k Kernel,
    layout: &'k Layout,
    mm: Result<memory::Layout, KernelError>,
    options: Options,
    /// What the memory of the last task is: threads of a process share theirs.
    last: Option<(u64, Option<Rss>, Option<String>)>,
}

impl Reader<'_> {
    fn task(&mut self, task: VirtAddr) -> Result<Task, KernelError> {
        let (kernel, layout) = (self.kernel, self.layout);
        let number = |member: &Member| kernel.read_member(task, member);
        let pid = |member: &Member| number(member).map(|pid| (pid as u32).cast_signed());
        let optional = |member: &Option<Member>| member.as_ref().and_then(|m| number(m).ok());
        let comm = kernel
            .read_cstr(task.wrapping_add(layout.comm.offset), 16)
            .map_err(|source| KernelError::Memory {
                what: "a task's name".to_owned(),
                source,
            })?;
        let flags = number(&layout.flags)?;
        let mm = number(&layout.mm)?;
        let parent = number(&layout.real_parent)?;
        let signal = number(&layout.signal)?;
        let mut this = Task {
            address: task.into(),
            pid: pid(&layout.pid)?,
            tgid: pid(&layout.tgid)?,
            ppid: kernel
                .read_member(VirtAddr(parent), &layout.tgid)
                .ok()
                .map(|pid| (pid as u32).cast_signed()),
            comm: String::from_utf8_lossy(&comm).into_owned(),
            state: State::new(number(&layout.state)?, number(&layout.exit_state)?),
            cpu: optional(&layout.cpu).and_then(|cpu| u32::try_from(cpu).ok()),
            on_cpu: optional(&layout.on_cpu).is_some_and(|on| on != 0),
            kernel_thread: flags & PF_KTHREAD != 0,
            flags: Hex(flags),
            start_ns: optional(&layout.start_time),
            user_ns: optional(&layout.utime),
            system_ns: optional(&layout.stime),
            rss: None,
            command_line: None,
            threads: layout
                .nr_threads
                .as_ref()
                .filter(|_| signal != 0)
                .and_then(|m| kernel.read_member(VirtAddr(signal), m).ok())
                .and_then(|n| u32::try_from(n).ok()),
            mm: Hex(mm),
        };
        if mm != 0 {
            (this.rss, this.command_line) = self.memory(mm);
        }
        Ok(this)
    }

    /// What a process uses and was called with; `mm` is its `mm_struct`.
    fn memory(&mut self, mm: u64) -> (Option<Rss>, Option<String>) {
        let Ok(layout) = &self.mm else {
            return (None, None);
        };
        let known = self.last.as_ref().filter(|(last, ..)| *last == mm);
        if let Some((_, rss, line)) = known {
            return (*rss, line.clone());
        }
        let rss = layout.rss(self.kernel, VirtAddr(mm)).ok();
        let line = self.options.command_lines;
        let line = line.then(|| layout.command_line(self.kernel, VirtAddr(mm)));
        let line = line.flatten();
        self.last = Some((mm, rss, line.clone()));
        (rss, line)
    }
}
