//! Stacks of aarch64, unwound by the frame records that every function of the kernel keeps.
//!
//! Facts: arch/arm64/kernel/{stacktrace.c,entry.S,process.c,irq.c}, arch/arm64/include/asm/{stacktrace/*.h,
//! ptrace.h,memory.h}, 5.10 to 7.2; AAPCS64, "The Frame Pointer". A record is {fp, lr}; the chain ends with
//! {0, 0}. An exception's entry keeps its record inside the `pt_regs` that it saves; since 6.13 a word
//! behind that record says so.

mod code;
mod records;
mod stacks;

#[cfg(test)]
mod tests;

use self::records::Records;
use super::chain::{State, Walk};
use super::error::UnwindError;
use super::memory::Pages;
use super::stacks::{Area, Areas, Range};
use super::start::Engine;
use super::text::Text;
use super::{End, Frame, Machine, Saved, StackKind};
use vmcore::addr::VirtAddr;
use vmcore::arch::Registers;
use vmcore::kernel::{Kernel, KernelError};

/// aarch64.
pub(super) static MACHINE: Machine = Machine {
    arch: &vmcore::arch::aarch64::ARCH,
    symbols: &[
        "_etext",
        "_sinittext",
        "_einittext",
        "ret_from_fork",
        "__entry_text_start",
        "__entry_text_end",
        "irq_stack_ptr",
        "overflow_stack",
        "sdei_stack_normal_ptr",
        "sdei_stack_critical_ptr",
    ],
    engine: |kernel, warnings| Box::new(Arm::new(kernel, warnings)),
    cpu_stacks: stacks::of_cpu,
    stack_bytes: stacks::stack_bytes,
};

struct Arm<'k> {
    kernel: &'k Kernel,
    text: Text,
    context: Option<Context>,
    /// Where a new task begins, as if interrupted.
    fork: Option<u64>,
    records: Records,
}

/// Offsets of `thread.cpu_context` in a task: what the scheduler saves.
struct Context {
    fp: u64,
    sp: u64,
    pc: u64,
}

impl Context {
    fn of(kernel: &Kernel) -> Result<Self, KernelError> {
        let at =
            |name: &str| kernel.offset_of("task_struct", &format!("thread.cpu_context.{name}"));
        Ok(Self {
            fp: at("fp")?,
            sp: at("sp")?,
            pc: at("pc")?,
        })
    }
}

impl<'k> Arm<'k> {
    fn new(kernel: &'k Kernel, warnings: &mut Vec<String>) -> Self {
        let record = kernel.offset_of("pt_regs", "stackframe");
        if let Err(error) = &record {
            let why = vmcore::kernel::chain(error);
            warnings.push(format!("registers of exceptions cannot be found: {why}"));
        }
        Self {
            kernel,
            text: Text::of(kernel, warnings),
            context: Context::of(kernel).ok(),
            fork: kernel.symbol("ret_from_fork").ok().map(|va| va.0),
            records: Records {
                record: record.ok(),
                entry: match ["__entry_text_start", "__entry_text_end"]
                    .map(|name| kernel.symbol(name))
                {
                    [Ok(start), Ok(end)] => Some(Range {
                        start: start.0,
                        end: end.0,
                    }),
                    _ => None,
                },
                pac_mask: kernel.layout().pac_mask,
            },
        }
    }

    fn with_walk<T>(
        &self,
        pages: &Pages<'_>,
        areas: &Areas,
        run: impl FnOnce(&Walk<'_>) -> T,
    ) -> T {
        let name = |addr: u64| self.kernel.resolve(VirtAddr(addr));
        run(&Walk {
            pages,
            text: &self.text,
            areas,
            name: &name,
            links: &self.records,
        })
    }
}

impl Engine for Arm<'_> {
    fn of_cpu(&self, cpu: u32) -> Vec<Area> {
        stacks::of_cpu(self.kernel, cpu)
    }

    fn sleeping(
        &self,
        pages: &Pages<'_>,
        areas: &Areas,
        task: VirtAddr,
    ) -> Result<(Vec<Frame>, End), UnwindError> {
        let context = self.context.as_ref().ok_or(UnwindError::Layout)?;
        let word = |offset| pages.word_at(task, offset).ok_or(UnwindError::Task(task));
        let sp = word(context.sp)?;
        areas
            .of_kind(StackKind::Task)
            // A new task's pointer stands at its registers.
            .filter(|area| area.range.contains(sp))
            .ok_or(UnwindError::Elsewhere(sp))?;
        let pc = word(context.pc)?;
        let state = State {
            pc,
            sp,
            fp: word(context.fp)?,
            lr: None,
            signal: Some(pc) == self.fork,
        };
        Ok(self.with_walk(pages, areas, |walk| walk.run(state, None)))
    }

    fn registers(
        &self,
        pages: &Pages<'_>,
        areas: &Areas,
        _task: Option<VirtAddr>,
        registers: &Registers,
    ) -> (Vec<Frame>, End) {
        let Registers::Aarch64(own) = registers else {
            return (Vec::new(), End::Broken(UnwindError::Machine.to_string()));
        };
        let saved = Saved {
            at: None,
            registers: *registers,
            full: true,
        };
        let state = records::state(own);
        self.with_walk(pages, areas, |walk| walk.run(state, Some(saved)))
    }

    fn scan(
        &self,
        pages: &Pages<'_>,
        areas: &Areas,
        _task: Option<VirtAddr>,
        sp: u64,
    ) -> Vec<Frame> {
        let mut frames = Vec::new();
        self.with_walk(pages, areas, |walk| walk.scan(&mut frames, sp));
        frames
    }
}
