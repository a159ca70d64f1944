//! Kernel messages from any evidence: the log of a core, or a text that holds one. The form of a text
//! is told by its content, line by line: see [`prefix`] for the forms.

pub mod core;
mod journal;
pub mod prefix;
pub mod pstore;
pub mod text;

pub use core::Log;
pub use prefix::{Form, Stripped};
pub use text::{Facts, read};

/// One line of the crashed kernel's log. A printk record of several lines is several of these.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Line {
    /// Nanoseconds since boot; 0 where the log has no times.
    pub ts_nsec: u64,
    /// Who printed the line, as `struct printk_info` stores it: bit 31 set means a CPU number,
    /// otherwise a thread id. `None` where the kernel does not store it.
    pub caller: Option<u32>,
    /// 0 (emergency) to 7 (debug), where the text has it.
    pub level: Option<u8>,
    /// The text, without time, level and caller.
    pub text: String,
    /// It has no time though lines before it have: a serial console shows what programs print, too.
    pub untimed: bool,
}
