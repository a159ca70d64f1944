//! The stacks there are, of any architecture.

use super::StackKind;
use vmcore::kernel::Kernel;

/// THREAD_SIZE without KASAN: used only when BTF does not tell.
const STACK_BYTES: u64 = 16 << 10;

/// THREAD_SIZE, which most stacks of a CPU have, too (arch/*/include/asm/thread_info.h, a power of two).
#[must_use]
pub(super) fn thread_size(kernel: &Kernel) -> u64 {
    kernel
        .types()
        .and_then(|types| types.size_of("thread_union"))
        .ok()
        .filter(|bytes| (4096..=1 << 20).contains(bytes) && bytes.is_power_of_two())
        .unwrap_or(STACK_BYTES)
}

/// A half-open range of addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Range {
    /// The first address.
    pub start: u64,
    /// The one after the last.
    pub end: u64,
}

impl Range {
    /// `start..start + len`; `None` when that is empty or passes the end.
    #[must_use]
    pub(super) fn sized(start: u64, len: u64) -> Option<Self> {
        let end = start.checked_add(len)?;
        (len > 0).then_some(Self { start, end })
    }

    /// Whether `addr` is in it.
    #[must_use]
    pub(super) fn contains(self, addr: u64) -> bool {
        self.start <= addr && addr < self.end
    }
}

/// One stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Area {
    /// What it is for.
    pub kind: StackKind,
    /// Where it lies.
    pub range: Range,
}

/// The stacks that a trace may cross.
#[derive(Clone, Default, Debug)]
pub(super) struct Areas {
    areas: Vec<Area>,
}

impl Areas {
    /// Adds a stack, if there is one.
    pub(super) fn add(&mut self, area: Option<Area>) {
        self.areas.extend(area);
    }

    /// The stack that `sp` points into. An empty stack's pointer stands at its end, which counts.
    #[must_use]
    pub(super) fn at(&self, sp: u64) -> Option<Area> {
        let inside = |area: &&Area| area.range.contains(sp);
        let end = |area: &&Area| area.range.end == sp;
        let found = self.areas.iter().find(inside);
        found.or_else(|| self.areas.iter().find(end)).copied()
    }

    /// The stack of one kind.
    #[must_use]
    pub(super) fn of_kind(&self, kind: StackKind) -> Option<Area> {
        self.areas.iter().find(|area| area.kind == kind).copied()
    }
}

/// A task's own stack, given `task_struct.stack`.
#[must_use]
pub(super) fn task(base: u64, bytes: u64) -> Option<Area> {
    let range = Range::sized(base, bytes).filter(|_| base != 0)?;
    Some(Area {
        kind: StackKind::Task,
        range,
    })
}
