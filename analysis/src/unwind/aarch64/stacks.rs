//! The stacks of aarch64: of each CPU those for interrupts, overflows and firmware events.
//!
//! Facts: arch/arm64/kernel/{irq.c,traps.c,sdei.c}, arch/arm64/include/asm/memory.h (THREAD_SIZE,
//! IRQ_STACK_SIZE, SDEI_STACK_SIZE, OVERFLOW_STACK_SIZE), 5.10 to 7.2.

use crate::unwind::StackKind;
use crate::unwind::stacks::{Area, Range, thread_size};
use vmcore::kernel::Kernel;

/// OVERFLOW_STACK_SIZE, 4.14 to 7.2.
const OVERFLOW_BYTES: u64 = 4096;

/// The per-CPU pointers to stacks, and what each is for. All are as large as a task's.
const POINTERS: [(&str, Option<&str>); 3] = [
    ("irq_stack_ptr", None),
    ("sdei_stack_normal_ptr", Some("SDEI")),
    ("sdei_stack_critical_ptr", Some("SDEI critical")),
];

/// The stacks of one CPU. What cannot be found is left out: its frames then show as unknown.
#[must_use]
pub(super) fn of_cpu(kernel: &Kernel, cpu: u32) -> Vec<Area> {
    let bytes = thread_size(kernel);
    let own = |name: &str| kernel.per_cpu(kernel.symbol(name)?, cpu);
    let mut out = Vec::new();
    for (name, exception) in POINTERS {
        let base = own(name).ok().and_then(|at| kernel.read_u64(at).ok());
        let range = base
            .filter(|base| *base != 0)
            .and_then(|base| Range::sized(base, bytes));
        out.extend(range.map(|range| Area {
            kind: match exception {
                None => StackKind::Irq(cpu),
                Some(name) => StackKind::Exception(cpu, name),
            },
            range,
        }));
    }
    let overflow = own("overflow_stack").ok();
    let range = overflow.and_then(|at| Range::sized(at.0, OVERFLOW_BYTES));
    out.extend(range.map(|range| Area {
        kind: StackKind::Exception(cpu, "overflow"),
        range,
    }));
    out
}
