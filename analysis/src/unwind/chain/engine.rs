//! The unwinder of an architecture whose frames are a chain.

use super::{Links, State, Walk};
use crate::unwind::error::UnwindError;
use crate::unwind::memory::Pages;
use crate::unwind::stacks::Areas;
use crate::unwind::start::Engine;
use crate::unwind::text::Text;
use crate::unwind::{End, Frame, Saved, StackKind, saved_sp};
use vmcore::addr::VirtAddr;
use vmcore::arch::Registers;
use vmcore::kernel::Kernel;

/// Where an architecture's chains begin.
pub(in crate::unwind) trait Port: Links {
    /// What registers say of a frame; `None` for those of another architecture.
    fn state(&self, registers: &Registers) -> Option<State>;

    /// Where a task goes on whose stack pointer the scheduler saved as `sp`; but not whether it ran before.
    ///
    /// # Errors
    /// It cannot be read.
    fn resumed(
        &self,
        kernel: &Kernel,
        pages: &Pages<'_>,
        task: VirtAddr,
        sp: u64,
    ) -> Result<State, UnwindError>;
}

/// The unwinder.
pub(in crate::unwind) struct Chained<'k, P> {
    kernel: &'k Kernel,
    text: Text,
    port: P,
    /// The offset of the saved stack pointer in a task.
    saved_sp: Option<u64>,
}

impl<'k, P: Port> Chained<'k, P> {
    /// Finds the kernel's code. What is missing goes to `warnings`.
    pub(in crate::unwind) fn new(kernel: &'k Kernel, port: P, warnings: &mut Vec<String>) -> Self {
        let saved_sp = kernel.offset_of("task_struct", saved_sp(kernel));
        Self {
            kernel,
            text: Text::of(kernel, warnings),
            port,
            saved_sp: saved_sp.ok(),
        }
    }

    /// What the scheduler saved of a task.
    fn saved(
        &self,
        pages: &Pages<'_>,
        areas: &Areas,
        task: VirtAddr,
    ) -> Result<State, UnwindError> {
        let stack = areas.of_kind(StackKind::Task).ok_or(UnwindError::NoStack)?;
        let offset = self.saved_sp.ok_or(UnwindError::Layout)?;
        let sp = pages.word_at(task, offset);
        let sp = sp.ok_or(UnwindError::Task(task))?;
        if !stack.range.contains(sp) {
            return Err(UnwindError::Elsewhere(sp));
        }
        let state = self.port.resumed(self.kernel, pages, task, sp)?;
        // A new task has not run yet: its address is the first of its function, not behind a call.
        let begins = self.kernel.resolve(VirtAddr(self.port.stripped(state.pc)));
        Ok(State {
            signal: begins.is_some_and(|symbol| symbol.offset == 0),
            ..state
        })
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
            links: &self.port,
        })
    }
}

impl<P: Port> Engine for Chained<'_, P> {
    fn sleeping(
        &self,
        pages: &Pages<'_>,
        areas: &Areas,
        task: VirtAddr,
    ) -> Result<(Vec<Frame>, End), UnwindError> {
        let state = self.saved(pages, areas, task)?;
        Ok(self.with_walk(pages, areas, |walk| walk.run(state, None)))
    }

    fn registers(
        &self,
        pages: &Pages<'_>,
        areas: &Areas,
        _task: Option<VirtAddr>,
        registers: &Registers,
    ) -> (Vec<Frame>, End) {
        let Some(state) = self.port.state(registers) else {
            return (Vec::new(), End::Broken(UnwindError::Machine.to_string()));
        };
        let saved = Saved {
            at: None,
            registers: *registers,
            full: true,
        };
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
