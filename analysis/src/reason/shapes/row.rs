//! What a row of the table of shapes says.

use crate::reason::blame::Groups;
use crate::reason::class::Class;

/// How heavy a report is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(in crate::reason) enum Grade {
    /// Worth a count, never the reason if there is another.
    Note,
    /// A bug of the kernel, or a victim of one; the machine goes on.
    Serious,
    /// The task or the machine ends here.
    Fatal,
}

/// Where the function to blame stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::reason) enum Blame {
    /// At the instruction pointer, then in the trace.
    Fault,
    /// In the function that the stack was entered by: a stack ran out, whoever was innermost.
    Entry,
    /// In the trace alone.
    Trace,
    /// In the headline behind ` in `, then in the trace.
    Named,
    /// Behind `at:` or `at` on the line of a lock that follows this phrase, then in the trace.
    At(&'static str),
    /// In the stack whose title holds this phrase: of two users of a lock, the one in the interrupt.
    Titled(&'static str),
    /// The word behind this phrase.
    Word(&'static str),
    /// In the trace below the interrupt that found the CPU busy.
    Stall,
    /// In the trace of a task that waits.
    Waiter,
    /// In the work item that keeps the stuck pool of workers busy.
    Worker,
    /// In nobody: the machine, its configuration or user space.
    Nobody,
}

/// A row.
#[derive(Clone, Copy, Debug)]
pub(in crate::reason) struct Shape {
    /// What the line holds.
    pub(in crate::reason) text: &'static str,
    pub(in crate::reason) class: Class,
    pub(in crate::reason) grade: Grade,
    pub(in crate::reason) blame: Blame,
    /// Helpers passed over besides the common ones.
    pub(in crate::reason) skip: Groups,
    /// The line announces a report whose own header follows: `kernel BUG at`, `WARNING: CPU:`.
    pub(in crate::reason) opens: bool,
}

/// Which reports before it a panic message means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::reason) enum Refers {
    /// Those of a class.
    To(Class),
    /// Whatever is no oops.
    Warning,
    /// The oops that ended a task or the machine.
    Oops,
}
