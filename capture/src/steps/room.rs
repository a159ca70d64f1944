//! Room on the target: the crashes that are there already, and which of them are removed for the new one.
//!
//! No failure in reading what is there already costs the new crash: then nothing is removed.

use super::raw;
use crate::protocol;
use std::io;
use std::path::Path;
use store::manifest::CrashFacts;
use store::rotation::{self, Earlier, History, Need, Removals};
use store::{Keep, Store};

/// The store, and the crashes that are in it already.
pub(super) struct Room {
    /// Bytes left of the stream that the crash directory goes to, where it goes to one.
    streamed: Option<u64>,
    store: Store,
    earlier: Vec<Earlier>,
}

impl Room {
    /// Opens the store with the crash directory, and lists it.
    pub(super) fn of(base: &Path) -> Result<Self, String> {
        let store = Store::open(base)
            .map_err(|error| format!("Cannot open {}: {error}", base.display()))?;
        let history = rotation::earlier(&store).unwrap_or_else(|error| {
            protocol::soft(format!(
                "Cannot list {}: {error}. Nothing is removed there",
                base.display()
            ));
            History::default()
        });
        if let Some(warning) = history.warning {
            protocol::log(format!("{}: {warning}", base.display()));
        }
        Ok(Self {
            streamed: raw::room(base)?,
            store,
            earlier: history.crashes,
        })
    }

    pub(super) fn earlier(&self) -> &[Earlier] {
        &self.earlier
    }

    /// Free bytes of the target.
    pub(super) fn free(&self) -> io::Result<u64> {
        self.streamed.map_or_else(|| self.store.place().room(), Ok)
    }

    /// What must be removed. A target whose free space is unknown counts as large enough.
    pub(super) fn plan(&self, keep: &Keep, crash: &CrashFacts, need: Need) -> Removals {
        // Nobody else writes to a raw device.
        let keep = match self.streamed {
            Some(_) => &Keep {
                free: 0,
                ..keep.clone()
            },
            None => keep,
        };
        match self.free() {
            Ok(free) => rotation::removals(&self.earlier, crash, keep, free, need),
            Err(error) => {
                protocol::soft(format!("Cannot tell the free space: {error}"));
                Removals {
                    names: Vec::new(),
                    fits: true,
                }
            }
        }
    }

    /// Removes crash directories; whether all of them are gone.
    pub(super) fn make(&self, removals: &Removals) -> bool {
        let mut all = true;
        for name in &removals.names {
            let path = self.store.path_of(name);
            match self.store.place().remove(name) {
                Ok(()) => protocol::log(format!("removed {}", path.display())),
                Err(error) => {
                    all = false;
                    protocol::soft(format!("Cannot remove {}: {error}", path.display()));
                }
            }
        }
        all
    }
}
