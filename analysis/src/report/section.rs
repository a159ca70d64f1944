//! The parts of a report that can be asked for by name.

/// A part of a report.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Section {
    /// Why it died.
    Reason,
    /// The panicked CPU's stack, and what the others ran.
    Stacks,
    /// How many tasks there were in which state.
    Tasks,
    /// Tasks that wait in D state, for what, and who holds it.
    Blocked,
    /// The locks that they wait for.
    Locks,
    /// The machine's memory by counter and zone.
    Memory,
    /// The slab caches that take most.
    Slabs,
    /// The modules loaded.
    Modules,
    /// What was mounted.
    Mounts,
    /// What was registered to run at a panic, and whether it did.
    Notifiers,
    /// The end of the log.
    Log,
    /// Whether the dump hangs together and which tables of it could be used.
    Checks,
}

impl Section {
    /// Every section, in the order of printing.
    pub const ALL: [Self; 12] = [
        Self::Reason,
        Self::Stacks,
        Self::Tasks,
        Self::Blocked,
        Self::Locks,
        Self::Memory,
        Self::Slabs,
        Self::Modules,
        Self::Mounts,
        Self::Notifiers,
        Self::Log,
        Self::Checks,
    ];

    /// What `afterpanic report` shows unless told otherwise, and what the capture kernel writes.
    pub const USUAL: [Self; 5] = [
        Self::Reason,
        Self::Stacks,
        Self::Tasks,
        Self::Blocked,
        Self::Log,
    ];

    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Reason => "reason",
            Self::Stacks => "stacks",
            Self::Tasks => "tasks",
            Self::Blocked => "blocked",
            Self::Locks => "locks",
            Self::Memory => "memory",
            Self::Slabs => "slabs",
            Self::Modules => "modules",
            Self::Mounts => "mounts",
            Self::Notifiers => "notifiers",
            Self::Log => "log",
            Self::Checks => "checks",
        }
    }

    /// The section of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|section| section.name() == name)
    }
}
