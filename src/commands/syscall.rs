//! Which system call loads a kernel: the option that `load` and `reboot` share.

use clap::ValueEnum;
use loader::arm::Choice;

/// The system calls.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Call {
    /// kexec_file_load, then kexec_load where that makes sense.
    Auto,
    /// kexec_file_load only.
    File,
    /// kexec_load only.
    Load,
}

impl From<Call> for Choice {
    fn from(call: Call) -> Self {
        match call {
            Call::Auto => Self::Auto,
            Call::File => Self::File,
            Call::Load => Self::Load,
        }
    }
}
