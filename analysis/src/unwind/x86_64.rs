//! Stacks of x86_64, unwound by the kernel's own ORC tables.
//!
//! Facts: arch/x86/kernel/{unwind_orc,dumpstack_64,irq_64,process}.c and
//! arch/x86/include/asm/{orc_types,switch_to}.h (`inactive_task_frame`), 5.10 to 7.x. The tables come from
//! the dump through kallsyms and `module.arch`; they are searched where they lie and never copied; what is
//! kept is of fixed size.

mod code;
#[cfg(any(test, fuzz_targets))]
#[allow(missing_docs, clippy::panic, clippy::indexing_slicing)]
pub mod garbage;
mod orc;
pub mod rules;
mod scan;
mod stacks;
mod step;
mod tables;
mod trampolines;
mod walk;

#[cfg(test)]
mod tests;

pub use orc::{Base, Bp, Entry, Register, Rule};

use self::step::State;
use self::tables::Tables;
use self::trampolines::Trampolines;
use self::walk::Walk;
use super::error::UnwindError;
use super::memory::Pages;
use super::stacks::Areas;
use super::start::Engine;
use super::{End, Frame, Machine, Saved, StackKind};
use vmcore::addr::VirtAddr;
use vmcore::arch::Registers;
use vmcore::kernel::{Kernel, KernelError};

/// x86_64.
pub(super) static MACHINE: Machine = Machine {
    arch: &vmcore::arch::x86_64::ARCH,
    symbols: &SYMBOLS,
    engine: |kernel, warnings| Box::new(X86::new(kernel, warnings)),
    cpu_stacks: stacks::of_cpu,
    stack_bytes: stacks::stack_bytes,
    saved_sp: "thread.sp",
};

/// The symbols that unwinding asks for.
const SYMBOLS: [&str; 16] = [
    "__start_orc_unwind_ip",
    "__stop_orc_unwind_ip",
    "__start_orc_unwind",
    "__stop_orc_unwind",
    "_etext",
    "_sinittext",
    "_einittext",
    "ret_from_fork_asm",
    "ret_from_fork",
    "hardirq_stack_ptr",
    "pcpu_hot",
    "cea_exception_stacks",
    "arch_rethook_trampoline",
    "__kretprobe_trampoline",
    "kretprobe_trampoline",
    "return_to_handler",
];

struct X86<'k> {
    kernel: &'k Kernel,
    tables: Tables,
    trampolines: Trampolines,
    members: Option<Members>,
    /// Where a new task begins, as if interrupted.
    fork: Option<u64>,
}

/// Offsets of the saved stack pointer in the task and of what it points to, `inactive_task_frame`, whose
/// size is the last.
struct Members {
    saved_sp: u64,
    bp: u64,
    ret: u64,
    size: u64,
}

impl Members {
    fn of(kernel: &Kernel) -> Result<Self, KernelError> {
        let frame = |member: &str| kernel.offset_of("inactive_task_frame", member);
        Ok(Self {
            saved_sp: kernel.offset_of("task_struct", "thread.sp")?,
            bp: frame("bp")?,
            ret: frame("ret_addr")?,
            size: kernel.types()?.size_of("inactive_task_frame")?,
        })
    }
}

impl<'k> X86<'k> {
    fn new(kernel: &'k Kernel, warnings: &mut Vec<String>) -> Self {
        let tables = Tables::find(kernel, warnings);
        // ret_from_fork was split in two with 6.6; the assembler half kept the role.
        let fork = kernel
            .symbols()
            .map(|symbols| symbols.lookup_many(&["ret_from_fork_asm", "ret_from_fork"]))
            .unwrap_or_default();
        Self {
            kernel,
            tables,
            trampolines: Trampolines::find(kernel),
            members: Members::of(kernel).ok(),
            fork: fork.into_iter().flatten().next().map(|va| va.0),
        }
    }

    /// The context that the scheduler saved.
    fn saved(
        &self,
        pages: &Pages<'_>,
        areas: &Areas,
        task: VirtAddr,
    ) -> Result<State, UnwindError> {
        let members = self.members.as_ref().ok_or(UnwindError::Layout)?;
        let sp = pages
            .word_at(task, members.saved_sp)
            .ok_or(UnwindError::Task(task))?;
        areas
            .of_kind(StackKind::Task)
            .filter(|area| area.range.contains(sp))
            .ok_or(UnwindError::Elsewhere(sp))?;
        let word = |offset: u64| {
            pages
                .word_at(VirtAddr(sp), offset)
                .ok_or(UnwindError::Stack(sp))
        };
        let pc = word(members.ret)?;
        Ok(State {
            pc,
            sp: sp.wrapping_add(members.size),
            bp: word(members.bp)?,
            others: None,
            signal: Some(pc) == self.fork,
        })
    }

    fn with_walk<T>(
        &self,
        pages: &Pages<'_>,
        areas: &Areas,
        task: Option<VirtAddr>,
        run: impl FnOnce(&Walk<'_>) -> T,
    ) -> T {
        let name = |addr: u64| self.kernel.resolve(VirtAddr(addr));
        let hidden =
            |pc: u64, slot: VirtAddr| self.trampolines.hidden(pages, &self.tables, task, pc, slot);
        run(&Walk {
            pages,
            tables: &self.tables,
            areas,
            name: &name,
            hidden: &hidden,
        })
    }
}

impl Engine for X86<'_> {
    fn sleeping(
        &self,
        pages: &Pages<'_>,
        areas: &Areas,
        task: VirtAddr,
    ) -> Result<(Vec<Frame>, End), UnwindError> {
        let state = self.saved(pages, areas, task)?;
        Ok(self.with_walk(pages, areas, Some(task), |walk| walk.run(state, None)))
    }

    fn registers(
        &self,
        pages: &Pages<'_>,
        areas: &Areas,
        task: Option<VirtAddr>,
        registers: &Registers,
    ) -> (Vec<Frame>, End) {
        let Registers::X86_64(own) = registers else {
            return (Vec::new(), End::Broken(UnwindError::Machine.to_string()));
        };
        let saved = Saved {
            at: None,
            registers: *registers,
            full: true,
        };
        let state = State::of_registers(own);
        self.with_walk(pages, areas, task, |walk| walk.run(state, Some(saved)))
    }

    fn scan(
        &self,
        pages: &Pages<'_>,
        areas: &Areas,
        task: Option<VirtAddr>,
        sp: u64,
    ) -> Vec<Frame> {
        let mut frames = Vec::new();
        self.with_walk(pages, areas, task, |walk| walk.scan(&mut frames, sp));
        frames
    }
}
