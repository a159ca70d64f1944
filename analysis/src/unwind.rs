//! Kernel stacks, unwound by what the kernel itself unwinds them with: one folder an architecture.
//!
//! Everything comes from the dump: code and tables through kallsyms, the stacks through BTF, the names
//! through kallsyms. Inlined functions leave no trace in the dump and are not shown; stacks of user mode are
//! not walked, their first address ends the trace.

mod aarch64;
mod chain;
mod error;
mod memory;
mod ppc64le;
mod riscv64;
mod s390x;
mod stacks;
mod start;
mod text;
mod x86_64;

pub use start::{Unwinder, panic_cpu, panic_cpu_or};
#[cfg(any(test, fuzz_targets))]
pub use x86_64::garbage;
pub use x86_64::{Base, Bp, Entry, Register, Rule, rules};

use self::stacks::Area;
use self::start::Engine;
use std::sync::OnceLock;
use vmcore::addr::VirtAddr;
use vmcore::arch::{Arch, Registers};
use vmcore::kernel::{Kernel, Resolved};

/// Most frames of one trace. A 16 KiB stack holds at most 2048 return addresses.
pub const MAX_FRAMES: usize = 512;

/// What differs from one architecture to the next: its unwinder, and the stacks besides the tasks' own.
struct Machine {
    arch: &'static Arch,
    /// The symbols that the engine asks for, to be looked up together.
    symbols: &'static [&'static str],
    engine: for<'k> fn(&'k Kernel, &mut Vec<String>) -> Box<dyn Engine + 'k>,
    cpu_stacks: fn(&Kernel, u32) -> Vec<Area>,
    stack_bytes: fn(&Kernel) -> u64,
    /// The member of `task_struct` with the stack pointer of a task that does not run.
    saved_sp: &'static str,
}

/// The machine that this program was compiled for.
#[cfg(target_arch = "aarch64")]
static HOST: &[&Machine] = &[&aarch64::MACHINE];
#[cfg(not(target_arch = "aarch64"))]
static HOST: &[&Machine] = &[&x86_64::MACHINE];

/// As [`vmcore::arch::read_all`] has it: set by [`read_all`] alone.
static KNOWN: OnceLock<&[&Machine]> = OnceLock::new();

/// From now on dumps of every architecture are read, their stacks unwound and the syndromes in their logs put
/// into words, not only of the host's.
pub fn read_all() {
    static ALL: &[&Machine] = &[
        &x86_64::MACHINE,
        &aarch64::MACHINE,
        &riscv64::MACHINE,
        &ppc64le::MACHINE,
        &s390x::MACHINE,
    ];
    vmcore::arch::read_all();
    vmcore::dump::read_all();
    crate::reason::read_all_syndromes();
    KNOWN.get_or_init(|| ALL);
}

fn machine(kernel: &Kernel) -> Option<&'static Machine> {
    #[cfg(test)]
    read_all();
    let known = KNOWN.get().copied().unwrap_or(HOST);
    let own = known
        .iter()
        .find(|m| m.arch.machine == kernel.arch().machine);
    own.copied()
}

/// THREAD_SIZE in bytes; 0 for an architecture that is not known.
#[must_use]
pub(crate) fn stack_bytes(kernel: &Kernel) -> u64 {
    machine(kernel).map_or(0, |machine| (machine.stack_bytes)(kernel))
}

/// The member of `task_struct` with the stack pointer of a task that does not run; empty for an architecture that
/// is not known.
pub(crate) fn saved_sp(kernel: &Kernel) -> &'static str {
    machine(kernel).map_or("", |machine| machine.saved_sp)
}

/// The stacks of a CPU besides its task's. What cannot be found is left out: its frames then show as unknown.
fn areas(kernel: &Kernel, cpu: u32) -> Vec<Area> {
    machine(kernel).map_or(Vec::new(), |machine| (machine.cpu_stacks)(kernel, cpu))
}

/// The interrupt, exception and entry stacks of one CPU: what each is for, its first address, and the one
/// after its last.
#[must_use]
pub(crate) fn cpu_stacks(kernel: &Kernel, cpu: u32) -> Vec<(StackKind, u64, u64)> {
    let known = areas(kernel, cpu).into_iter();
    let known = known.map(|area| (area.kind, area.range.start, area.range.end));
    known.collect()
}

/// A stack from its innermost frame outwards.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trace {
    /// The task whose stack it is, when one was asked for or found.
    pub task: Option<VirtAddr>,
    /// Where the first frame came from.
    pub start: Start,
    /// The frames, innermost first.
    pub frames: Vec<Frame>,
    /// Why there are no more.
    pub end: End,
}

/// Where a trace began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// The registers that this CPU saved when it was stopped (PRSTATUS).
    Cpu(u32),
    /// The context that the scheduler saved when the task was switched away.
    Sleeping,
    /// Registers given by the caller.
    Given,
    /// No registers are to be had for a running task: its whole stack was scanned, so that also
    /// what it left behind in earlier calls shows.
    Scan,
}

/// One frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// Where it will go on: the return address, or the interrupted instruction.
    pub pc: VirtAddr,
    /// Its stack pointer.
    pub sp: VirtAddr,
    /// What `pc` belongs to; the call's own function for return addresses, even if the call was its
    /// last instruction. `None` in user mode and for addresses nobody owns.
    pub symbol: Option<Resolved>,
    /// The stack that `sp` lies on.
    pub stack: StackKind,
    /// How it was found.
    pub trust: Trust,
    /// How it came to be left.
    pub kind: FrameKind,
    /// The registers it had, where an interrupt, exception or system call saved them.
    pub registers: Option<Box<Saved>>,
}

/// How a frame came to be left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameKind {
    /// It called the frame before it in the list.
    Call,
    /// It was interrupted, or is where the CPU stood: `pc` is not a return address.
    Interrupted,
    /// It is user mode, where the trace ends.
    User,
    /// `pc` is a return trampoline (kretprobe, rethook, function graph tracer) that hides the
    /// caller; the next frame is the caller if the kernel's records still told it.
    Trampoline,
}

/// How far a frame can be believed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Trust {
    /// From registers, or by the ORC table of its callee.
    Orc,
    /// By following the instructions of the callee, where the kernel left it out of its tables, or where it
    /// kept no frame record yet.
    Code,
    /// By the frame pointer: every frame of aarch64 and riscv64; on x86_64 where there is no ORC, in BPF
    /// programs and other generated code.
    FramePointer,
    /// An address of code that was found on the stack, marked `?`: it may be left over from an
    /// earlier call.
    Guess,
}

/// Registers as an interrupt, exception or system call saved them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Saved {
    /// Where their `pt_regs` lies (its part before rip is something else when not `full`); `None`
    /// for those of PRSTATUS.
    pub at: Option<VirtAddr>,
    /// The values; when not `full` only rip, cs, rflags, rsp and ss mean anything.
    pub registers: Registers,
    /// Whether all of them had been saved.
    pub full: bool,
}

/// What a stack is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum StackKind {
    /// The task's own.
    Task,
    /// The interrupt stack of a CPU.
    Irq(u32),
    /// An exception stack of a CPU, by the kernel's name for it: `DF`, `NMI`, `DB`, `MCE`, `VC`; on aarch64
    /// `overflow`, `SDEI`.
    Exception(u32, &'static str),
    /// The stack on which a CPU enters from user mode, before it changes to the task's.
    Entry(u32),
    /// A stack of user mode.
    User,
    /// None that is known.
    Unknown,
}

/// Why a trace has no more frames.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// It came from user mode, which is the last frame.
    User,
    /// The outermost frame of a kernel thread or of an idle CPU.
    Kernel,
    /// It could not be followed further: what stood in the way. What comes after it in the list, if
    /// anything, was found by scanning.
    Broken(String),
    /// It is longer than [`MAX_FRAMES`].
    TooLong,
}
