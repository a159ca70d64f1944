//! The result of looking at the machine.

use super::error::ResolveError;
use crate::closure::Wanted;
use std::error::Error;
use std::fmt;

/// What this machine's targets and watchdogs came to.
#[derive(Clone, Debug, Default)]
pub struct Resolved {
    /// The targets of the plan, in the config's order.
    pub targets: Vec<plan::Target>,
    /// For each target of the plan its place in the config: targets that were left out have none.
    pub of: Vec<usize>,
    /// Targets that the network does not lead to now.
    pub left_out: Vec<LeftOut>,
    /// The watchdogs of the plan.
    pub watchdogs: Vec<plan::Watchdog>,
    /// The modules to load, watchdogs first, then from the bus to the filesystem.
    pub wanted: Vec<Wanted>,
    /// Options of modules, by name.
    pub options: Vec<(String, String)>,
    /// Files that go into the image and are never shown.
    pub secrets: Vec<Secret>,
    /// What is worth saying.
    pub notes: Vec<String>,
}

/// A private key.
#[derive(Clone)]
pub struct Secret {
    /// Its path in the image.
    pub path: String,
    /// The file as it is here.
    pub bytes: Vec<u8>,
    /// What asked for it.
    pub why: String,
}

impl fmt::Debug for Secret {
    /// Says nothing of the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.path)
    }
}

/// A target on a server that cannot be planned for now: the network may not be up yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeftOut {
    /// Its place in the config.
    pub target: usize,
    /// The server and directory, as the config names them.
    pub name: String,
    /// Why, in sentences.
    pub why: String,
}

impl LeftOut {
    pub(super) fn new(at: usize, target: &config::Target, error: &ResolveError) -> Self {
        let source = error.source().map(|source| format!(" ({source})"));
        Self {
            target: at,
            name: target.server().map(|(name, _)| name).unwrap_or_default(),
            why: format!("{error}{}", source.unwrap_or_default()),
        }
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "The target {} is not in the capture image. {}",
            self.name, self.why
        )
    }
}
