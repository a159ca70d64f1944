//! Kernel stacks of an x86_64 dump, unwound by the kernel's own ORC tables.
//!
//! Facts: arch/x86/kernel/{unwind_orc,dumpstack_64,irq_64,process}.c and
//! arch/x86/include/asm/{orc_types,switch_to}.h, 5.10 to 7.x. Everything comes from the dump: the
//! tables through kallsyms and `module.arch`, the stacks through BTF, the names through kallsyms.
//! The tables are searched where they lie and never copied; what is kept is of fixed size.
//! Inlined functions leave no trace in the dump and are not shown; stacks of user mode are not
//! walked, their first address ends the trace.

mod code;
mod error;
#[cfg(any(test, fuzzing))]
#[allow(missing_docs, clippy::panic, clippy::indexing_slicing)]
pub mod garbage;
mod memory;
mod orc;
pub mod rules;
mod scan;
mod stacks;
mod start;
mod step;
mod tables;
mod trampolines;
mod walk;

#[cfg(test)]
mod tests;

pub use orc::{Base, Bp, Entry, Register, Rule};
pub(crate) use stacks::{cpu_stacks, stack_bytes};
pub use start::{Unwinder, panic_cpu};

use vmcore::addr::VirtAddr;
use vmcore::arch::x86_64::regs::Registers;
use vmcore::kernel::Resolved;

/// Most frames of one trace. A 16 KiB stack holds at most 2048 return addresses.
pub const MAX_FRAMES: usize = 512;

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
    /// By following the instructions of the callee, where the kernel left it out of its tables.
    Code,
    /// By the frame pointer, where there is no ORC: BPF programs and other generated code.
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
    /// An exception stack of a CPU, by the kernel's name for it: `DF`, `NMI`, `DB`, `MCE`, `VC`.
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
