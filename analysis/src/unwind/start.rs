//! Where traces begin: the registers of a CPU, or the context that the scheduler saved.
//!
//! Facts: kernel/sched/sched.h, include/linux/sched.h, 5.10 to 7.x. What an architecture's stacks look
//! like and how they are followed is its own ([`super::Machine`]).

use super::error::UnwindError;
use super::memory::Pages;
use super::stacks::{self, Areas};
use super::{End, Frame, StackKind, Start, Trace, machine};
use vmcore::addr::VirtAddr;
use vmcore::arch::Registers;
use vmcore::kernel::{Kernel, KernelError, Member, chain};

/// What the panic notifiers and the tasks of CPUs ask for, besides what an architecture's unwinder does: looked
/// up together, because each look-up goes through the whole table.
const SYMBOLS: [&str; 6] = [
    "runqueues",
    PANICKED[0],
    PANICKED[1],
    "crash_kexec_post_notifiers",
    "panic_notifier_list",
    "dump_list",
];

/// An architecture's unwinder.
pub(super) trait Engine {
    /// The frames of a task from the context that the scheduler saved. `areas` has its own stack alone.
    ///
    /// # Errors
    /// The context cannot be read.
    fn sleeping(
        &self,
        pages: &Pages<'_>,
        areas: &Areas,
        task: VirtAddr,
    ) -> Result<(Vec<Frame>, End), UnwindError>;

    /// The frames from registers on.
    fn registers(
        &self,
        pages: &Pages<'_>,
        areas: &Areas,
        task: Option<VirtAddr>,
        registers: &Registers,
    ) -> (Vec<Frame>, End);

    /// The code addresses that lie on a stack from `sp` on.
    fn scan(&self, pages: &Pages<'_>, areas: &Areas, task: Option<VirtAddr>, sp: u64)
    -> Vec<Frame>;
}

/// Unwinds the stacks of one kernel.
pub struct Unwinder<'k> {
    kernel: &'k Kernel,
    pages: Pages<'k>,
    engine: Option<Box<dyn Engine + 'k>>,
    members: Option<Members>,
    stack_bytes: u64,
    warnings: Vec<String>,
}

/// Offsets of the members that lead to a task's stack.
struct Members {
    stack: u64,
    on_cpu: Member,
    cpu: u64,
}

impl Members {
    fn of(kernel: &Kernel) -> Result<Self, KernelError> {
        let task = |member: &str| kernel.offset_of("task_struct", member);
        Ok(Self {
            stack: task("stack")?,
            on_cpu: kernel.member("task_struct", "on_cpu")?,
            // task_struct.cpu moved into thread_info with 5.16.
            cpu: task("thread_info.cpu").or_else(|_| task("cpu"))?,
        })
    }
}

impl<'k> Unwinder<'k> {
    /// Finds the tables and the stacks. What cannot be found is in [`Self::warnings`]; traces are
    /// then scans.
    #[must_use]
    pub fn new(kernel: &'k Kernel) -> Self {
        let mut warnings = Vec::new();
        // Modules first: from then on the table answers for their symbols too, and remembers what
        // is not there.
        let _ = kernel.modules();
        let machine = machine(kernel);
        let wanted: Vec<&str> = SYMBOLS
            .iter()
            .chain(machine.map_or(&[][..], |machine| machine.symbols))
            .copied()
            .collect();
        let _ = kernel.symbols().map(|symbols| symbols.lookup_many(&wanted));
        let engine = machine.map(|machine| (machine.engine)(kernel, &mut warnings));
        let members = Members::of(kernel).map_err(|error| {
            let why = chain(&error);
            warnings.push(format!("stacks of tasks cannot be found: {why}"));
        });
        Self {
            kernel,
            pages: Pages::new(kernel),
            engine,
            members: members.ok(),
            stack_bytes: super::stack_bytes(kernel),
            warnings,
        }
    }

    /// What could not be found, and what that means.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// A word of memory, through the pages remembered.
    pub(crate) fn word(&self, at: VirtAddr) -> Option<u64> {
        self.pages.word(at)
    }

    /// The task that a CPU ran: `rq.curr`.
    #[must_use]
    pub fn current(&self, cpu: u32) -> Option<VirtAddr> {
        let queues = self.kernel.symbol("runqueues").ok()?;
        let queue = self.kernel.per_cpu(queues, cpu).ok()?;
        let curr = self.kernel.offset_of("rq", "curr").ok()?;
        let task = self.pages.word_at(queue, curr)?;
        (task != 0).then_some(VirtAddr(task))
    }

    /// The stack of a CPU at the crash, across all its stacks. A CPU that saved no registers shows a
    /// scan of its task's stack.
    #[must_use]
    pub fn cpu(&self, cpu: u32) -> Trace {
        let task = self.current(cpu);
        let Some(registers) = self.kernel.prstatus(cpu) else {
            let why = format!("CPU {cpu} saved no registers");
            return self.whole_stack(task, why);
        };
        let mut trace = self.registers(&registers, Some(cpu), task);
        trace.start = Start::Cpu(cpu);
        trace
    }

    /// The stack of a task: from the saved context when it sleeps, from its CPU's registers when it
    /// runs. `task` is the address of its `task_struct`.
    #[must_use]
    pub fn task(&self, task: VirtAddr) -> Trace {
        if let Some(cpu) = self.running_on(task) {
            return self.cpu(cpu);
        }
        let (frames, end) = self
            .sleeping(task)
            .unwrap_or_else(|why| (Vec::new(), End::Broken(why.to_string())));
        Trace {
            task: Some(task),
            start: Start::Sleeping,
            frames,
            end,
        }
    }

    /// The stack that these registers stand on. `cpu` and `task` let its stacks be told apart.
    #[must_use]
    pub fn registers(
        &self,
        registers: &Registers,
        cpu: Option<u32>,
        task: Option<VirtAddr>,
    ) -> Trace {
        let mut areas = Areas::default();
        areas.add(task.and_then(|task| self.task_area(task)));
        let (frames, end) = match &self.engine {
            Some(engine) => {
                if let Some(cpu) = cpu {
                    let others = super::areas(self.kernel, cpu).into_iter();
                    others.for_each(|area| areas.add(Some(area)));
                }
                engine.registers(&self.pages, &areas, task, registers)
            }
            None => (Vec::new(), End::Broken(UnwindError::Machine.to_string())),
        };
        Trace {
            task,
            start: Start::Given,
            frames,
            end,
        }
    }

    /// The CPU that a task runs on, if the CPU agrees.
    fn running_on(&self, task: VirtAddr) -> Option<u32> {
        let members = self.members.as_ref()?;
        // An int that is 0 or 1, a byte since 7.2.
        let at = task.checked_add(members.on_cpu.offset)?;
        let running = match members.on_cpu.size {
            1 => self.pages.bytes::<1>(at).map(|[byte]| u32::from(byte)),
            _ => self.pages.half(at),
        };
        if running? == 0 {
            return None;
        }
        let cpu = self.pages.half(task.checked_add(members.cpu)?)?;
        (self.current(cpu) == Some(task)).then_some(cpu)
    }

    fn task_area(&self, task: VirtAddr) -> Option<stacks::Area> {
        let members = self.members.as_ref()?;
        let base = self.pages.word_at(task, members.stack)?;
        stacks::task(base, self.stack_bytes)
    }

    /// The frames from the context that the scheduler saved.
    fn sleeping(&self, task: VirtAddr) -> Result<(Vec<Frame>, End), UnwindError> {
        let members = self.members.as_ref().ok_or(UnwindError::Layout)?;
        let engine = self.engine.as_ref().ok_or(UnwindError::Machine)?;
        let base = self
            .pages
            .word_at(task, members.stack)
            .ok_or(UnwindError::Task(task))?;
        if base == 0 {
            return Err(UnwindError::NoStack);
        }
        let mut areas = Areas::default();
        areas.add(stacks::task(base, self.stack_bytes));
        engine.sleeping(&self.pages, &areas, task)
    }

    /// A scan of all of a task's stack.
    fn whole_stack(&self, task: Option<VirtAddr>, why: String) -> Trace {
        let mut areas = Areas::default();
        areas.add(task.and_then(|task| self.task_area(task)));
        let frames = match (areas.of_kind(StackKind::Task), &self.engine) {
            (Some(area), Some(engine)) => engine.scan(&self.pages, &areas, task, area.range.start),
            _ => Vec::new(),
        };
        Trace {
            task,
            start: Start::Scan,
            frames,
            end: End::Broken(why),
        }
    }
}

/// The variables that name the CPU that panicked: the second one when an oops led straight to the capture
/// kernel.
const PANICKED: [&str; 2] = ["panic_cpu", "crashing_cpu"];

/// The CPU that panicked. `None` while nobody has, and where the symbol table has no variables
/// (CONFIG_KALLSYMS_ALL is off).
#[must_use]
pub fn panic_cpu(kernel: &Kernel) -> Option<u32> {
    let found = kernel.symbols().ok()?.lookup_many(&PANICKED);
    found
        .into_iter()
        .flatten()
        .filter_map(|at| kernel.read_i32(at).ok())
        .find_map(|cpu| u32::try_from(cpu).ok())
}

/// The same, and where the symbol table has no variables, the CPU that reported the trouble in the log.
#[must_use]
pub fn panic_cpu_or(kernel: &Kernel, reported: impl FnOnce() -> Option<u32>) -> Option<u32> {
    let known = PANICKED.iter().any(|name| kernel.symbol(name).is_ok());
    match known {
        true => panic_cpu(kernel),
        false => reported(),
    }
}
