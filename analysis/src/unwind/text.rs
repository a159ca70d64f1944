//! Where the kernel's code is, of any architecture.

use super::stacks::Range;
use vmcore::addr::VirtAddr;
use vmcore::kernel::{AreaKind, Kernel, KernelError, chain};

/// All code of a kernel.
pub(super) struct Text {
    ranges: Vec<Range>,
    /// Where code is put that is made while the kernel runs.
    generated: Range,
    /// Return addresses that no call instruction stands before.
    by_hand: Vec<u64>,
}

impl Text {
    /// Puts it together.
    #[must_use]
    pub(super) fn new(ranges: Vec<Range>, generated: Range, by_hand: Vec<u64>) -> Self {
        Self {
            ranges,
            generated,
            by_hand,
        }
    }

    /// Finds it in a dump. What is missing goes to `warnings`.
    #[must_use]
    pub(super) fn of(kernel: &Kernel, warnings: &mut Vec<String>) -> Self {
        let mut ranges = kernel_text(kernel).unwrap_or_else(|error| {
            warnings.push(format!("where the kernel's code is: {}", chain(&error)));
            Vec::new()
        });
        let modules = kernel.modules().unwrap_or_default().iter();
        let areas = modules.flat_map(|module| &module.areas);
        let text = areas.filter(|area| matches!(area.kind, AreaKind::Text | AreaKind::Init));
        ranges.extend(text.filter_map(|area| Range::sized(area.base.0, area.size)));
        let layout = kernel.layout();
        let names = [
            "ret_from_fork",
            "return_to_handler",
            "arch_rethook_trampoline",
            "ret_from_exception",
            "ret_from_syscall",
        ];
        let by_hand = kernel
            .symbols()
            .map(|symbols| symbols.lookup_many(&names))
            .unwrap_or_default();
        Self::new(
            ranges,
            Range {
                start: layout.generated_start,
                end: layout.generated_end,
            },
            by_hand
                .into_iter()
                .flatten()
                .map(|va: VirtAddr| va.0)
                .collect(),
        )
    }

    /// Whether `addr` is in the text of the kernel or of a module.
    #[must_use]
    pub(super) fn is_text(&self, addr: u64) -> bool {
        self.ranges.iter().any(|range| range.contains(addr))
    }

    /// Whether `addr` may be code that the kernel made while it ran.
    #[must_use]
    pub(super) fn may_be_generated(&self, addr: u64) -> bool {
        self.generated.contains(addr) && !self.is_text(addr)
    }

    /// Whether `addr` is one that assembler puts into the link register by itself.
    #[must_use]
    pub(super) fn is_by_hand(&self, addr: u64) -> bool {
        self.by_hand.contains(&addr)
    }
}

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
