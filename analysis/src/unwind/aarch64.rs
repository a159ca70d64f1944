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
use super::chain::{Chained, Links, Port, State, Step, Walk};
use super::error::UnwindError;
use super::memory::Pages;
use super::stacks::Range;
use super::{Machine, stacks as all};
use vmcore::addr::VirtAddr;
use vmcore::arch::Registers;
use vmcore::kernel::Kernel;

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
    engine: |kernel, warnings| {
        let arm = Arm::new(kernel, warnings);
        Box::new(Chained::new(kernel, arm, warnings))
    },
    cpu_stacks: stacks::of_cpu,
    stack_bytes: all::thread_size,
    saved_sp: "thread.cpu_context.sp",
};

struct Arm {
    /// Offsets in a task of what the scheduler saves: pc and fp.
    context: Option<(u64, u64)>,
    records: Records,
}

impl Arm {
    fn new(kernel: &Kernel, warnings: &mut Vec<String>) -> Self {
        let record = kernel.offset_of("pt_regs", "stackframe");
        if let Err(error) = &record {
            let why = vmcore::kernel::chain(error);
            warnings.push(format!("registers of exceptions cannot be found: {why}"));
        }
        let at = |name| kernel.offset_of("task_struct", name).ok();
        Self {
            context: at("thread.cpu_context.pc").zip(at("thread.cpu_context.fp")),
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
}

impl Links for Arm {
    fn caller(&self, walk: &Walk<'_>, state: &State) -> Result<Option<Step>, UnwindError> {
        self.records.caller(walk, state)
    }

    fn follows_call(&self, pages: &Pages<'_>, pc: u64) -> Option<bool> {
        self.records.follows_call(pages, pc)
    }

    fn found(&self, pages: &Pages<'_>, slot: u64, pc: u64) -> State {
        self.records.found(pages, slot, pc)
    }

    fn stripped(&self, pc: u64) -> u64 {
        self.records.stripped(pc)
    }
}

impl Port for Arm {
    fn state(&self, registers: &Registers) -> Option<State> {
        match registers {
            Registers::Aarch64(own) => Some(records::state(own)),
            _ => None,
        }
    }

    fn resumed(
        &self,
        _: &Kernel,
        pages: &Pages<'_>,
        task: VirtAddr,
        sp: u64,
    ) -> Result<State, UnwindError> {
        let (pc, fp) = self.context.ok_or(UnwindError::Layout)?;
        let word = |offset| pages.word_at(task, offset).ok_or(UnwindError::Task(task));
        Ok(State {
            pc: word(pc)?,
            sp,
            fp: word(fp)?,
            ..State::default()
        })
    }
}
