//! Where traces begin: the registers of a CPU, or the context that the scheduler saved.
//!
//! Facts: arch/x86/include/asm/switch_to.h (`inactive_task_frame`), arch/x86/kernel/unwind_orc.c
//! (`__unwind_start`), kernel/sched/sched.h, 5.10 to 7.x.

use super::error::UnwindError;
use super::memory::Pages;
use super::stacks::{self, Areas};
use super::step::State;
use super::tables::Tables;
use super::trampolines::Trampolines;
use super::walk::Walk;
use super::{End, Saved, StackKind, Start, Trace};
use vmcore::addr::VirtAddr;
use vmcore::arch::x86_64::regs::Registers;
use vmcore::kernel::{Kernel, KernelError, chain};

/// All symbols that unwinding and the panic notifiers ask for: looked up together, because each look-up
/// goes through the whole table.
const SYMBOLS: [&str; 22] = [
    "__start_orc_unwind_ip",
    "__stop_orc_unwind_ip",
    "__start_orc_unwind",
    "__stop_orc_unwind",
    "_etext",
    "_sinittext",
    "_einittext",
    "ret_from_fork_asm",
    "ret_from_fork",
    "runqueues",
    "hardirq_stack_ptr",
    "pcpu_hot",
    "cea_exception_stacks",
    "arch_rethook_trampoline",
    "__kretprobe_trampoline",
    "kretprobe_trampoline",
    "return_to_handler",
    "panic_cpu",
    "crashing_cpu",
    "crash_kexec_post_notifiers",
    "panic_notifier_list",
    "dump_list",
];

/// Unwinds the stacks of one kernel.
pub struct Unwinder<'k> {
    kernel: &'k Kernel,
    pages: Pages<'k>,
    tables: Tables,
    trampolines: Trampolines,
    members: Option<Members>,
    stack_bytes: u64,
    /// Where a new task begins, as if interrupted.
    fork: Option<u64>,
    warnings: Vec<String>,
}

/// Offsets of the members that lead to a task's stack.
struct Members {
    stack: u64,
    saved_sp: u64,
    on_cpu: u64,
    cpu: u64,
    frame: SavedFrame,
}

/// Offsets in `inactive_task_frame`, and its size.
struct SavedFrame {
    bp: u64,
    ret: u64,
    size: u64,
}

impl Members {
    fn of(kernel: &Kernel) -> Result<Self, KernelError> {
        let task = |member: &str| kernel.offset_of("task_struct", member);
        let frame = |member: &str| kernel.offset_of("inactive_task_frame", member);
        Ok(Self {
            stack: task("stack")?,
            saved_sp: task("thread.sp")?,
            on_cpu: task("on_cpu")?,
            // task_struct.cpu moved into thread_info with 5.16.
            cpu: task("thread_info.cpu").or_else(|_| task("cpu"))?,
            frame: SavedFrame {
                bp: frame("bp")?,
                ret: frame("ret_addr")?,
                size: kernel.types()?.size_of("inactive_task_frame")?,
            },
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
        let _ = kernel
            .symbols()
            .map(|symbols| symbols.lookup_many(&SYMBOLS));
        let tables = Tables::find(kernel, &mut warnings);
        let members = Members::of(kernel).map_err(|error| {
            let why = chain(&error);
            warnings.push(format!("stacks of tasks cannot be found: {why}"));
        });
        // ret_from_fork was split in two with 6.6; the assembler half kept the role.
        let fork = kernel
            .symbols()
            .map(|symbols| symbols.lookup_many(&["ret_from_fork_asm", "ret_from_fork"]))
            .unwrap_or_default();
        Self {
            kernel,
            pages: Pages::new(kernel),
            tables,
            trampolines: Trampolines::find(kernel),
            members: members.ok(),
            stack_bytes: stacks::stack_bytes(kernel),
            fork: fork.into_iter().flatten().next().map(|va| va.0),
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
        match self.sleeping(task) {
            Ok((state, areas)) => {
                let (frames, end) = self.walk(&areas, Some(task), state, None);
                Trace {
                    task: Some(task),
                    start: Start::Sleeping,
                    frames,
                    end,
                }
            }
            Err(why) => Trace {
                task: Some(task),
                start: Start::Sleeping,
                frames: Vec::new(),
                end: End::Broken(why.to_string()),
            },
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
        for area in cpu
            .into_iter()
            .flat_map(|cpu| stacks::of_cpu(self.kernel, cpu))
        {
            areas.add(Some(area));
        }
        let saved = Saved {
            at: None,
            registers: *registers,
            full: true,
        };
        let state = State::of_registers(registers);
        let (frames, end) = self.walk(&areas, task, state, Some(saved));
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
        // An int that is 0 or 1 (a byte in 7.2): the low byte tells in both.
        let [running] = self.pages.bytes::<1>(task.checked_add(members.on_cpu)?)?;
        if running == 0 {
            return None;
        }
        let cpu = u32::from_le_bytes(self.pages.bytes(task.checked_add(members.cpu)?)?);
        (self.current(cpu) == Some(task)).then_some(cpu)
    }

    fn task_area(&self, task: VirtAddr) -> Option<stacks::Area> {
        let members = self.members.as_ref()?;
        let base = self.pages.word_at(task, members.stack)?;
        stacks::task(base, self.stack_bytes)
    }

    /// The context that the scheduler saved.
    fn sleeping(&self, task: VirtAddr) -> Result<(State, Areas), UnwindError> {
        let members = self.members.as_ref().ok_or(UnwindError::Layout)?;
        let base = self
            .pages
            .word_at(task, members.stack)
            .ok_or(UnwindError::Task(task))?;
        if base == 0 {
            return Err(UnwindError::NoStack);
        }
        let sp = self
            .pages
            .word_at(task, members.saved_sp)
            .ok_or(UnwindError::Task(task))?;
        let area = stacks::task(base, self.stack_bytes)
            .filter(|area| area.range.contains(sp))
            .ok_or(UnwindError::Elsewhere(sp))?;
        let frame = &members.frame;
        let word = |offset: u64| {
            self.pages
                .word_at(VirtAddr(sp), offset)
                .ok_or(UnwindError::Stack(sp))
        };
        let pc = word(frame.ret)?;
        let state = State {
            pc,
            sp: sp.wrapping_add(frame.size),
            bp: word(frame.bp)?,
            others: None,
            signal: Some(pc) == self.fork,
        };
        let mut areas = Areas::default();
        areas.add(Some(area));
        Ok((state, areas))
    }

    /// A scan of all of a task's stack.
    fn whole_stack(&self, task: Option<VirtAddr>, why: String) -> Trace {
        let mut frames = Vec::new();
        let mut areas = Areas::default();
        areas.add(task.and_then(|task| self.task_area(task)));
        if let Some(area) = areas.of_kind(StackKind::Task) {
            self.with_walk(&areas, task, |walk| {
                walk.scan(&mut frames, area.range.start);
            });
        }
        Trace {
            task,
            start: Start::Scan,
            frames,
            end: End::Broken(why),
        }
    }

    fn walk(
        &self,
        areas: &Areas,
        task: Option<VirtAddr>,
        state: State,
        saved: Option<Saved>,
    ) -> (Vec<super::Frame>, End) {
        self.with_walk(areas, task, |walk| walk.run(state, saved))
    }

    fn with_walk<T>(
        &self,
        areas: &Areas,
        task: Option<VirtAddr>,
        run: impl FnOnce(&Walk<'_>) -> T,
    ) -> T {
        let name = |addr: u64| self.kernel.resolve(VirtAddr(addr));
        let hidden = |pc: u64, slot: VirtAddr| {
            self.trampolines
                .hidden(&self.pages, &self.tables, task, pc, slot)
        };
        run(&Walk {
            pages: &self.pages,
            tables: &self.tables,
            areas,
            name: &name,
            hidden: &hidden,
        })
    }
}

/// The CPU that panicked: `panic_cpu`, else the one that stopped the others for the capture kernel.
/// `None` while nobody has.
#[must_use]
pub fn panic_cpu(kernel: &Kernel) -> Option<u32> {
    let names = ["panic_cpu", "crashing_cpu"];
    let found = kernel.symbols().ok()?.lookup_many(&names);
    found
        .into_iter()
        .flatten()
        .filter_map(|at| kernel.read_i32(at).ok())
        .find_map(|cpu| u32::try_from(cpu).ok())
}
