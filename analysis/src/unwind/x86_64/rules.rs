//! The rules of the kernel's own code as a whole, for who makes another unwind table of them.
//!
//! What the unwinder itself needs it searches in place ([`super::tables`]).

use super::code;
use super::orc::{Entry, Rule};
use super::tables;
use crate::unwind::memory::Pages;
use vmcore::addr::VirtAddr;
use vmcore::kernel::{Kernel, KernelError};

/// The longest function that is followed instruction by instruction.
const MAX_FUNCTION: u64 = 16 << 10;

/// Where each rule begins, ascending; it holds up to the next. A rule that says nothing
/// ([`Rule::Undefined`]) ends the one before it.
pub struct Rules {
    /// Address and rule.
    pub rows: Vec<(u64, Entry)>,
    /// What was doubtful.
    pub warnings: Vec<String>,
}

impl Rules {
    /// Reads the kernel's own ORC tables; those of modules are not among them.
    ///
    /// # Errors
    /// There are none (CONFIG_UNWINDER_ORC off), or they cannot be read.
    pub fn of(kernel: &Kernel) -> Result<Self, KernelError> {
        let mut warnings = Vec::new();
        let (format, rows) = tables::all(kernel, &mut warnings)?;
        let rows = rows
            .into_iter()
            .map(|(at, bytes)| (at, format.decode(bytes).unwrap_or(Entry::UNDEFINED)))
            .collect();
        Ok(Self { rows, warnings })
    }

    /// Whether no rule says anything about the code from `start` to `end`.
    #[must_use]
    pub fn is_silent(&self, start: u64, end: u64) -> bool {
        let from = self.rows.partition_point(|(at, _)| *at <= start);
        let rows = self.rows.get(from.saturating_sub(1)..).unwrap_or_default();
        rows.iter()
            .take_while(|(at, _)| *at < end)
            .all(|(_, entry)| entry.rule == Rule::Undefined)
    }
}

/// The rules of a function that ORC leaves out, by following its instructions: one row where the frame
/// changes. Empty where its code cannot be followed.
#[must_use]
pub fn by_code(kernel: &Kernel, start: VirtAddr, size: u64) -> Vec<(u64, Entry)> {
    let pages = Pages::new(kernel);
    let mut rows: Vec<(u64, Entry)> = Vec::new();
    if size > MAX_FUNCTION {
        return rows;
    }
    for (at, entry) in code::frames(&pages, start.0, size) {
        if rows.last().is_none_or(|(_, last)| *last != entry) {
            rows.push((at, entry));
        }
    }
    rows
}
