//! The last step: reboot(2), in a child, because drivers may hang in it.

use crate::protocol;
use nix::sys::reboot::{RebootMode, reboot};
use plan::FinalAction;

/// Reboots, powers off or halts. Returns only when that failed.
pub(super) fn run(action: FinalAction) {
    let mode = match action {
        FinalAction::Reboot => RebootMode::RB_AUTOBOOT,
        FinalAction::Poweroff => RebootMode::RB_POWER_OFF,
        FinalAction::Halt => RebootMode::RB_HALT_SYSTEM,
        FinalAction::Exit => return,
    };
    let Err(error) = reboot(mode);
    protocol::soft(format!("reboot(2) failed: {error}"));
}
