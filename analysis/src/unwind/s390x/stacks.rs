//! The stacks of s390x: of each CPU those that its lowcore names.
//!
//! Facts: arch/s390/kernel/{setup.c,smp.c,dumpstack.c}, arch/s390/include/asm/{lowcore.h,thread_info.h}, 5.10 to
//! 7.2. All are as large as a task's and begin at a multiple of it.

use crate::unwind::StackKind;
use crate::unwind::stacks::{Area, Range, thread_size};
use vmcore::addr::VirtAddr;
use vmcore::kernel::Kernel;

/// Members of `lowcore`, and what the stack is for; the first is that of interrupts.
const STACKS: [(&str, &str); 4] = [
    ("async_stack", ""),
    ("nodat_stack", "nodat"),
    ("restart_stack", "restart"),
    ("mcck_stack", "MCCK"),
];

/// The stacks of one CPU. What cannot be found is left out: its frames then show as unknown.
#[must_use]
pub(super) fn of_cpu(kernel: &Kernel, cpu: u32) -> Vec<Area> {
    let bytes = thread_size(kernel);
    let lowcores = kernel.symbol("lowcore_ptr").ok();
    let lowcore = lowcores.and_then(|array| {
        let slot = array.checked_add(u64::from(cpu) * 8)?;
        kernel.read_ptr(slot).ok()
    });
    let found = STACKS.into_iter().filter_map(|(member, name)| {
        let offset = kernel.offset_of("lowcore", member).ok()?;
        let at = lowcore.and_then(|lowcore: VirtAddr| lowcore.checked_add(offset))?;
        let top = kernel.read_u64(at).ok().filter(|top| *top != 0)?;
        let kind = match name {
            "" => StackKind::Irq(cpu),
            name => StackKind::Exception(cpu, name),
        };
        let range = Range::sized(top & !(bytes - 1), bytes)?;
        Some(Area { kind, range })
    });
    found.collect()
}
