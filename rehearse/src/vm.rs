//! Running a virtual machine under QEMU: what it is made of, what it says, how it ends.
//!
//! Every run has a deadline, after which QEMU is killed, and no run leaves a process behind. The
//! serial console goes to a file, and line by line to the caller while it runs; QMP tells resets
//! from power-off. Nothing here knows what runs inside.

pub mod accel;
pub mod console;
pub mod machine;
pub mod qemu;
pub mod qmp;
pub mod spawn;

pub use accel::Accel;
pub use machine::Machine;
pub use qemu::{Bus, Control, DiskImage, Firmware, Running, Vm};

use std::path::PathBuf;
use std::time::Duration;

/// Why a virtual machine could not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VmError {
    /// QEMU is not there.
    #[error("QEMU ({program}) was not found; install it with: apt-get install {package}")]
    NoQemu {
        /// The name looked for.
        program: &'static str,
        /// Debian's package that holds it.
        package: &'static str,
    },
    /// There is no UEFI firmware image.
    #[error("No UEFI firmware for QEMU was found; install it with: apt-get install {0}")]
    NoFirmware(&'static str),
    /// QEMU ended before the guest started.
    #[error("QEMU ended at once ({status}): {said}")]
    Died {
        /// Its exit status.
        status: String,
        /// The last line of its standard error.
        said: String,
    },
    /// QEMU did not connect its control socket.
    #[error("QEMU did not open its control socket within {0:?}; is the machine overloaded?")]
    NoQmp(Duration),
    /// A file or socket failed.
    #[error("Cannot {what} {path}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
}

impl VmError {
    pub(crate) fn io(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| VmError::Io { what, path, source }
    }
}

/// What a running machine tells, in the order it happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A line of the serial console, without its end and without escape sequences.
    Line(String),
    /// A QMP event such as `RESET` or `SHUTDOWN`.
    Qmp {
        /// Its name.
        name: String,
        /// Its data object, or null.
        data: serde_json::Value,
    },
}

/// What the caller wants after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Let it run on.
    Continue,
    /// Kill it now.
    Stop,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The guest switched itself off.
    PowerOff,
    /// The guest rebooted, and the machine was told not to.
    Reset,
    /// The caller stopped it.
    Stopped,
    /// It was killed at its deadline.
    Deadline,
    /// QEMU itself failed: its status and the last it said.
    Failed(String),
}

/// A finished run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// Resets of the guest that the machine went through (one more at the end for [`End::Reset`]).
    pub resets: u32,
    /// From the start of QEMU to its end.
    pub took: Duration,
}
