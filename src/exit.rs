//! The exit codes, documented in docs/exit-codes.md.

/// How a command ended. Errors end with [`Exit::Failed`], wrong usage and config with
/// [`Exit::Usage`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// Done and complete; the answer is yes.
    Done = 0,
    /// Failed: nothing stands under a final name, or the core cannot be read.
    Failed = 1,
    /// Wrong usage or config.
    Usage = 2,
    /// The answer is no: not armed, a FAIL in doctor, a stale image.
    No = 3,
    /// Done, degraded: more kept than asked, soft errors, warnings only.
    Degraded = 4,
    /// Done, incomplete or damaged: pages are lost.
    Incomplete = 5,
}

impl Exit {
    /// The same for an answer out of a core that is not whole.
    #[must_use]
    pub fn of_incomplete(self, incomplete: bool) -> Self {
        match self {
            Self::Done | Self::Degraded if incomplete => Self::Incomplete,
            other => other,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
