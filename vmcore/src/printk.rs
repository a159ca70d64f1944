//! The kernel's log as it lies in memory: the lockless ring of 5.10 and newer ([`ring`]), the ring
//! of variable-length records of 3.5 to 5.9 ([`legacy`]), and the text form of both ([`text`]).
//!
//! Facts: kernel/printk/{printk.c,printk_ringbuffer.c} of those versions. Records are handed out one
//! at a time, so that a 16 MiB log costs no memory in the capture kernel. Line splitting, prefixes of
//! continuation lines and the console's view are not rebuilt here.

mod legacy;
mod ring;
#[cfg(test)]
mod tests;
mod text;

pub use text::{write_dmesg, write_record};

use crate::kernel::{Kernel, KernelError};
use std::io;

/// One message.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Record {
    /// Its sequence number. Kernels before 5.10 store none: there it counts from 0.
    pub seq: u64,
    /// Nanoseconds since boot.
    pub ts_nsec: u64,
    /// 0 (emergency) to 7 (debug).
    pub level: u8,
    /// The syslog facility, 0 for the kernel's own.
    pub facility: u8,
    /// Who printed it, as stored: bit 31 set means a CPU number, otherwise a thread id. `None` when
    /// the kernel was built to store none.
    pub caller: Option<u32>,
    /// The text, which may hold several lines and need not be UTF-8.
    pub text: Vec<u8>,
    /// False for a record that has no text block at all: an empty line.
    pub stored: bool,
}

/// A log that could not be read or written out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The log is not to be found or not to be read.
    #[error("The crashed kernel's log cannot be read")]
    Kernel(#[from] KernelError),
    /// Writing failed.
    #[error("Cannot write the crashed kernel's log")]
    Io(#[from] io::Error),
}

/// The whole log with what was wrong in it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Log {
    /// The messages, oldest first.
    pub records: Vec<Record>,
    /// Soft errors: records whose text was lost or is not to be read. At most [`MAX_WARNINGS`].
    pub warnings: Vec<String>,
}

/// Soft errors kept of one log.
pub const MAX_WARNINGS: usize = 16;

/// The log in memory, oldest first. For a log of unknown size prefer [`for_each`].
///
/// # Errors
/// When the ring buffer itself cannot be found or read; single bad records are warnings.
pub fn records(kernel: &Kernel) -> Result<Log, LogError> {
    let mut records = Vec::new();
    let warnings = for_each(kernel, &mut |record| {
        records.push(record);
        Ok(())
    })?;
    Ok(Log { records, warnings })
}

/// Hands every message to `sink`, oldest first; answers the soft errors.
///
/// # Errors
/// When the ring buffer itself cannot be found or read, or `sink` fails.
pub fn for_each(
    kernel: &Kernel,
    sink: &mut dyn FnMut(Record) -> io::Result<()>,
) -> Result<Vec<String>, LogError> {
    let info = kernel.vmcoreinfo();
    if info.symbol("prb").is_none() && info.symbol("log_buf").is_some() {
        legacy::walk(kernel, sink)
    } else {
        ring::walk(kernel, sink)
    }
}

fn warn(warnings: &mut Vec<String>, text: String) {
    if warnings.len() < MAX_WARNINGS {
        warnings.push(text);
    }
}
