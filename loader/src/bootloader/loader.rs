//! What each boot loader must answer.

use super::change::{BootLoaderError, Change};
use super::effect::{Effect, Entry, judge};
use super::kind::BootLoader;
use super::machine::Machine;

/// One boot loader, or the tool that owns its configuration.
pub(super) trait Loader: Sync {
    /// Which one.
    fn kind(&self) -> BootLoader;

    /// Whether it is the one that starts this machine.
    fn in_charge(&self, machine: &Machine<'_>) -> bool;

    /// The entries of this system that the boot loader will offer; the error says why that cannot be told.
    fn read(&self, machine: &Machine<'_>) -> Result<Vec<Entry>, String>;

    /// The change after which the next boot has `crashkernel=value` and no other, or none at all. An empty one
    /// when that is so already.
    ///
    /// # Errors
    /// When the configuration cannot be read, or something later in it overrides the value.
    fn propose(
        &self,
        machine: &Machine<'_>,
        value: Option<&str>,
    ) -> Result<Change, BootLoaderError>;

    /// What the next boot will have, after the change was applied.
    fn verify(&self, machine: &Machine<'_>, value: &str) -> Effect {
        judge(self.read(machine), value)
    }
}
