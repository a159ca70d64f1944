//! What each CPU was running, from its run queue.
//!
//! Facts: kernel/sched/sched.h (`struct rq`, per-CPU `runqueues`), 5.10 to 7.2.

use crate::hex::Hex;
use crate::unwind::panic_cpu;
use serde::{Deserialize, Serialize};
use vmcore::addr::VirtAddr;
use vmcore::kernel::{Kernel, KernelError, Member};

/// One CPU.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Cpu {
    /// Its number.
    pub cpu: u32,
    /// The `task_struct` of what it ran (`rq.curr`).
    pub task: Hex,
    /// That task's thread id, 0 when the CPU was idle.
    pub pid: i32,
    /// That task's name.
    pub comm: String,
    /// Whether that was the CPU's idle task.
    pub idle: bool,
    /// Tasks ready to run there, the running one among them.
    pub nr_running: u64,
    /// The run queue's clock in nanoseconds: how far each CPU had got.
    pub clock_ns: Option<u64>,
    /// The thread id that the CPU saved with its registers; it should be the same as `pid`.
    pub saved_pid: Option<i32>,
    /// Whether it is the CPU that panicked.
    pub panicked: bool,
}

/// Reads every CPU that was online.
///
/// # Errors
/// When the run queues or their layout are not to be had.
pub fn read(kernel: &Kernel) -> Result<Vec<Cpu>, KernelError> {
    let runqueues = kernel.symbol("runqueues")?;
    let rq = |path: &str| kernel.member("rq", path);
    let (curr, idle) = (rq("curr")?, rq("idle")?);
    let (nr_running, clock) = (rq("nr_running")?, rq("clock").ok());
    let pid = kernel.member("task_struct", "pid")?;
    let comm = kernel.member("task_struct", "comm")?;
    let panic_cpu = panic_cpu(kernel);
    kernel
        .online_cpus()?
        .iter()
        .map(|cpu| {
            let rq = kernel.per_cpu(runqueues, cpu)?;
            let number = |member: &Member| kernel.read_member(rq, member);
            let task = VirtAddr(number(&curr)?);
            let name = kernel
                .read_cstr(task.wrapping_add(comm.offset), 16)
                .unwrap_or_default();
            Ok(Cpu {
                cpu,
                task: task.into(),
                pid: (kernel.read_member(task, &pid)? as u32).cast_signed(),
                comm: String::from_utf8_lossy(&name).into_owned(),
                idle: number(&idle)? == task.0,
                nr_running: number(&nr_running)?,
                clock_ns: clock.as_ref().and_then(|clock| number(clock).ok()),
                saved_pid: kernel.prstatus_pid(cpu),
                panicked: panic_cpu == Some(cpu),
            })
        })
        .collect()
}

/// The kernel's own clock in nanoseconds since it started, which the log's stamps are of, too: that of
/// the run queue that was brought up to date last. One of an idle CPU stands still.
#[must_use]
pub fn clock(kernel: &Kernel) -> Option<u64> {
    let runqueues = kernel.symbol("runqueues").ok()?;
    let clock = kernel.member("rq", "clock").ok()?;
    let cpus = kernel.online_cpus().ok()?;
    let clocks = cpus.iter().filter_map(|cpu| {
        let rq = kernel.per_cpu(runqueues, cpu).ok()?;
        kernel.read_member(rq, &clock).ok()
    });
    // What is longer than any machine has been up is no clock.
    clocks.filter(|clock| *clock < LONGEST_UP).max()
}

/// A hundred years in nanoseconds.
const LONGEST_UP: u64 = 100 * 365 * 86_400 * 1_000_000_000;
