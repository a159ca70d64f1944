//! The stacks of ppc64le: of each CPU those for interrupts and for emergencies.
//!
//! Facts: arch/powerpc/kernel/{irq.c,setup_64.c}, arch/powerpc/include/asm/{paca.h,thread_info.h}, 5.2 to 7.2.
//! All are as large as a task's; `paca_struct` holds the ends of those for emergencies.

use crate::unwind::StackKind;
use crate::unwind::stacks::{Area, Range, thread_size};
use vmcore::addr::VirtAddr;
use vmcore::kernel::Kernel;

/// Members of `paca_struct`, and what the stack is for.
const EMERGENCY: [(&str, &str); 3] = [
    ("emergency_sp", "emergency"),
    ("nmi_emergency_sp", "NMI"),
    ("mc_emergency_sp", "MCE"),
];

/// The stacks of one CPU. What cannot be found is left out: its frames then show as unknown.
#[must_use]
pub(super) fn of_cpu(kernel: &Kernel, cpu: u32) -> Vec<Area> {
    let bytes = thread_size(kernel);
    // Arrays with a pointer for each CPU.
    let slot = |name: &str| {
        let at = kernel.symbol(name).ok()?.checked_add(u64::from(cpu) * 8)?;
        kernel.read_u64(at).ok().filter(|pointer| *pointer != 0)
    };
    let mut out = Vec::new();
    let mut add = |kind, base: Option<u64>| {
        let range = base.and_then(|base| Range::sized(base, bytes));
        out.extend(range.map(|range| Area { kind, range }));
    };
    add(StackKind::Irq(cpu), slot("hardirq_ctx"));
    add(StackKind::Exception(cpu, "softirq"), slot("softirq_ctx"));
    // paca_ptrs is a pointer to the array.
    let pacas = kernel.symbol("paca_ptrs").ok();
    let paca = pacas.and_then(|at| kernel.read_ptr(at).ok());
    let paca = paca.and_then(|array| kernel.read_ptr(array.checked_add(u64::from(cpu) * 8)?).ok());
    for (member, name) in EMERGENCY {
        let end = paca.and_then(|paca: VirtAddr| {
            let offset = kernel.offset_of("paca_struct", member).ok()?;
            kernel.read_u64(paca.checked_add(offset)?).ok()
        });
        let base = end.and_then(|end| end.checked_sub(bytes));
        add(StackKind::Exception(cpu, name), base);
    }
    out
}
