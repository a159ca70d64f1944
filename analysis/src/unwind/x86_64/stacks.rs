//! The stacks of x86_64: of each CPU those for interrupts, exceptions and entry.
//!
//! Facts: arch/x86/kernel/{dumpstack_64,irq_64}.c, arch/x86/mm/cpu_entry_area.c,
//! arch/x86/include/asm/{cpu_entry_area,processor,page_64_types}.h, 5.8 to 7.x. THREAD_SIZE has no
//! type of its own; IRQ_STACK_SIZE is computed by the same formula and is the size of
//! `struct irq_stack`. All other sizes and places are members in BTF.

use crate::unwind::StackKind;
use crate::unwind::stacks::{Area, Range};
use vmcore::addr::VirtAddr;
use vmcore::kernel::{Kernel, KernelError};

/// THREAD_SIZE and IRQ_STACK_SIZE without KASAN, 4.x to 7.x: used only when BTF does not tell.
const STACK_BYTES: u64 = 16 << 10;

/// The exception stacks by the kernel's name, with their members of `cea_exception_stacks`.
const EXCEPTIONS: [(&str, &str); 6] = [
    ("DF", "DF_stack"),
    ("NMI", "NMI_stack"),
    ("DB", "DB_stack"),
    ("MCE", "MCE_stack"),
    ("VC", "VC_stack"),
    ("VC2", "VC2_stack"),
];

/// THREAD_SIZE, which is IRQ_STACK_SIZE too.
#[must_use]
pub(super) fn stack_bytes(kernel: &Kernel) -> u64 {
    kernel
        .types()
        .and_then(|types| types.size_of("irq_stack"))
        .ok()
        .filter(|bytes| (4096..=1 << 20).contains(bytes))
        .unwrap_or(STACK_BYTES)
}

/// The stacks of one CPU. What cannot be found is left out: its frames then show as unknown.
#[must_use]
pub(super) fn of_cpu(kernel: &Kernel, cpu: u32) -> Vec<Area> {
    let mut out = Vec::new();
    out.extend(irq(kernel, cpu).ok().flatten());
    let _ = exceptions(kernel, cpu, &mut out);
    out
}

fn irq(kernel: &Kernel, cpu: u32) -> Result<Option<Area>, KernelError> {
    // The pointer stood alone up to 6.1, in `pcpu_hot` from 6.2 to 6.14, and alone again since.
    let at = match kernel.symbol("hardirq_stack_ptr") {
        Ok(symbol) => kernel.per_cpu(symbol, cpu)?,
        Err(_) => {
            let hot = kernel.per_cpu(kernel.symbol("pcpu_hot")?, cpu)?;
            hot.wrapping_add(kernel.offset_of("pcpu_hot", "hardirq_stack_ptr")?)
        }
    };
    let Ok(pointer) = kernel.read_u64(at) else {
        return Ok(None);
    };
    // It points past the end up to 5.11, to the last word since.
    let end = match pointer % 16 {
        8 => pointer.saturating_add(8),
        _ => pointer,
    };
    let bytes = stack_bytes(kernel);
    let range = end
        .checked_sub(bytes)
        .filter(|_| pointer != 0)
        .and_then(|start| Range::sized(start, bytes));
    Ok(range.map(|range| Area {
        kind: StackKind::Irq(cpu),
        range,
    }))
}

fn exceptions(kernel: &Kernel, cpu: u32, out: &mut Vec<Area>) -> Result<(), KernelError> {
    let types = kernel.types()?;
    let at = kernel.per_cpu(kernel.symbol("cea_exception_stacks")?, cpu)?;
    let Ok(base) = kernel.read_u64(at) else {
        return Ok(());
    };
    if base == 0 {
        return Ok(());
    }
    for (name, member) in EXCEPTIONS {
        // VC stacks came with 5.10.
        let Ok(found) = types.member("cea_exception_stacks", member) else {
            continue;
        };
        let range = base
            .checked_add(found.offset)
            .and_then(|start| Range::sized(start, found.size));
        out.extend(range.map(|range| Area {
            kind: StackKind::Exception(cpu, name),
            range,
        }));
    }
    // Both lie in the CPU's cpu_entry_area, which nothing points to directly.
    let stacks = types.member("cpu_entry_area", "estacks")?;
    let entry = types.member("cpu_entry_area", "entry_stack_page")?;
    let range = base
        .checked_sub(stacks.offset)
        .and_then(|area| area.checked_add(entry.offset))
        .and_then(|start| Range::sized(start, entry.size));
    out.extend(range.map(|range| Area {
        kind: StackKind::Entry(cpu),
        range,
    }));
    Ok(())
}

/// Where the stack before this one was left, for a scan that has come to its end: the word that the
/// interrupt entry pushes first, or the `pt_regs` that the CPU pushes.
#[must_use]
pub(super) fn previous(area: &Area, word: impl Fn(VirtAddr) -> Option<u64>) -> Option<u64> {
    let below = |bytes: u64| area.range.end.checked_sub(bytes).map(VirtAddr);
    match area.kind {
        StackKind::Irq(_) => word(below(8)?),
        // rsp is the last but one word of pt_regs.
        StackKind::Exception(..) | StackKind::Entry(_) => word(below(16)?),
        _ => None,
    }
}
