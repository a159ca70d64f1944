//! The unwinder of an architecture whose frames are a chain.

use super::{Links, State, Walk};
use crate::unwind::error::UnwindError;
use crate::unwind::memory::Pages;
use crate::unwind::stacks::{Area, Areas};
use crate::unwind::start::Engine;
use crate::unwind::text::Text;
use crate::unwind::{End, Frame, Saved, StackKind};
use vmcore::addr::VirtAddr;
use vmcore::arch::Registers;
use vmcore::kernel::Kernel;

/// Where an architecture's chains begin.
pub(in crate::unwind) trait Port: Links {
    /// The stacks of a CPU besides its task's.
    fn of_cpu(&self, kernel: &Kernel, cpu: u32) -> Vec<Area>;

    /// What registers say of a frame; `None` for those of another architecture.
    fn state(&self, registers: &Registers) -> Option<State>;

    /// What the scheduler saved of a task, whose own stack is `stack`.
    ///
    /// # Errors
    /// It cannot be read.
    fn saved(
        &self,
        kernel: &Kernel,
        pages: &Pages<'_>,
        stack: Area,
        task: VirtAddr,
    ) -> Result<State, UnwindError>;
}

/// The unwinder.
pub(in crate::unwind) struct Chained<'k, P> {
    kernel: &'k Kernel,
    text: Text,
    port: P,
}

impl<'k, P: Port> Chained<'k, P> {
    /// Finds the kernel's code. What is missing goes to `warnings`.
    pub(in crate::unwind) fn new(kernel: &'k Kernel, port: P, warnings: &mut Vec<String>) -> Self {
        Self {
            kernel,
            text: Text::of(kernel, warnings),
            port,
        }
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
    fn of_cpu(&self, cpu: u32) -> Vec<Area> {
        self.port.of_cpu(self.kernel, cpu)
    }

    fn sleeping(
        &self,
        pages: &Pages<'_>,
        areas: &Areas,
        task: VirtAddr,
    ) -> Result<(Vec<Frame>, End), UnwindError> {
        let stack = areas.of_kind(StackKind::Task).ok_or(UnwindError::NoStack)?;
        let state = self.port.saved(self.kernel, pages, stack, task)?;
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
