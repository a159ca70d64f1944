//! The stacks of riscv64: of each CPU those for interrupts and for overflows.
//!
//! Facts: arch/riscv/kernel/{irq.c,traps.c}, arch/riscv/include/asm/{thread_info.h,irq_stack.h}, 5.14 to 7.2.

use crate::unwind::StackKind;
use crate::unwind::stacks::{Area, Range, thread_size};
use vmcore::kernel::Kernel;

/// OVERFLOW_STACK_SIZE, 5.14 to 7.2.
const OVERFLOW_BYTES: u64 = 4096;

/// The stacks of one CPU. What cannot be found is left out: its frames then show as unknown.
#[must_use]
pub(super) fn of_cpu(kernel: &Kernel, cpu: u32) -> Vec<Area> {
    let own = |name: &str| kernel.per_cpu(kernel.symbol(name).ok()?, cpu).ok();
    let irq = own("irq_stack_ptr").and_then(|at| kernel.read_u64(at).ok());
    let irq = irq.filter(|base| *base != 0);
    let overflow = own("overflow_stack").map(|at| at.0);
    let areas = [
        (StackKind::Irq(cpu), irq, thread_size(kernel)),
        (
            StackKind::Exception(cpu, "overflow"),
            overflow,
            OVERFLOW_BYTES,
        ),
    ];
    let found = areas.into_iter();
    let found = found.filter_map(|(kind, base, bytes)| {
        let range = Range::sized(base?, bytes)?;
        Some(Area { kind, range })
    });
    found.collect()
}
