//! Where the kernel's code is, of any architecture.

use super::stacks::Range;
use vmcore::kernel::{Kernel, KernelError};

/// The text of the kernel image: built-in code, and the code of its start-up, which may be gone.
pub(super) fn kernel_text(kernel: &Kernel) -> Result<Vec<Range>, KernelError> {
    let start = kernel.symbol("_stext")?;
    let names = ["_etext", "_sinittext", "_einittext"];
    let found = kernel.symbols()?.lookup_many(&names);
    let at = |i: usize| found.get(i).copied().flatten().map(|va| va.0);
    let end = at(0).ok_or_else(|| KernelError::NoSymbol {
        name: "_etext".into(),
    })?;
    let mut text = vec![Range {
        start: start.0,
        end,
    }];
    if let (Some(start), Some(end)) = (at(1), at(2)) {
        text.push(Range { start, end });
    }
    Ok(text)
}
