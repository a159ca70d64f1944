//! The result of looking at the machine.

use crate::closure::Wanted;

/// What this machine's targets and watchdogs came to.
#[derive(Clone, Debug, Default)]
pub struct Resolved {
    /// The targets of the plan, in the config's order.
    pub targets: Vec<plan::Target>,
    /// The watchdogs of the plan.
    pub watchdogs: Vec<plan::Watchdog>,
    /// The modules to load, watchdogs first, then from the bus to the filesystem.
    pub wanted: Vec<Wanted>,
    /// Options of modules, by name.
    pub options: Vec<(String, String)>,
    /// What is worth saying.
    pub notes: Vec<String>,
}
