//! Why a stack cannot be followed.

use vmcore::addr::VirtAddr;

/// Why a trace cannot begin where the scheduler left the task, or cannot go on. [`super::End`] keeps
/// the text.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum UnwindError {
    #[error("Stacks of this architecture are not unwound by this program")]
    Machine,
    #[error("The layout of task_struct is not known")]
    Layout,
    #[error("The task_struct at {0} cannot be read")]
    Task(VirtAddr),
    #[error("The task has no stack any more")]
    NoStack,
    #[error("The saved stack pointer {0:#x} is not on the task's stack")]
    Elsewhere(u64),
    #[error("The stack cannot be read at {0:#x}")]
    Stack(u64),
    #[error("the return address {0:#x} is not in any code")]
    NotCode(u64),
    #[error("the caller's stack pointer {to:#x} does not lie above {from:#x}")]
    Downwards { from: u64, to: u64 },
    #[error("the stack pointer {0:#x} leads back to a stack that was left before")]
    Circle(u64),
}
