//! Where each CPU stood when it was stopped.
//!
//! Facts: the NT_PRSTATUS notes that every CPU writes before the capture kernel starts (kernel/crash_core.c,
//! `crash_save_cpu`).

use crate::reason::Location;
use crate::report::build::locations;
use crate::unwind::{End, Unwinder};
use serde::{Deserialize, Serialize};
use vmcore::kernel::{Kernel, KernelError};

/// CPUs looked at.
const MAX_CPUS: usize = 1024;
/// Frames kept of each stack.
const MAX_FRAMES: usize = 32;

/// Where a CPU stood.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CpuState {
    /// Its number.
    pub cpu: u32,
    /// Whether it took interrupts; absent when it saved no registers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interrupts: Option<bool>,
    /// Whether it was in user mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<bool>,
    /// Its stack, innermost first; of a long one the innermost frames.
    pub stack: Vec<Location>,
    /// Why the stack ends early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
}

/// Every CPU that was online.
pub(super) fn read(kernel: &Kernel, unwinder: &Unwinder<'_>) -> Result<Vec<CpuState>, KernelError> {
    let online = kernel.online_cpus()?;
    let state = |cpu: u32| {
        let trace = unwinder.cpu(cpu);
        let registers = kernel.prstatus(cpu);
        let mut stack = locations(&trace);
        stack.truncate(MAX_FRAMES);
        CpuState {
            cpu,
            interrupts: registers.and_then(|all| all.takes_interrupts()),
            user: registers.map(|all| all.user_mode()),
            stack,
            broken: match trace.end {
                End::Broken(why) => Some(why),
                _ => None,
            },
        }
    };
    Ok(online.iter().take(MAX_CPUS).map(state).collect())
}
