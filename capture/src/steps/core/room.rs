//! Room on the target for a core: what fits, and what is removed for it.
//!
//! No failure in reading what is there already costs the new core: then nothing is removed.

use super::Request;
use crate::protocol;
use dump::save::Estimate;
use store::Store;
use store::rotation::{self, Earlier, History, Need, Removals};

/// The store, and the crashes that are in it already.
pub(super) struct Room {
    store: Store,
    earlier: Vec<Earlier>,
}

/// Whether a core may be written.
pub(super) enum Fit {
    /// Once these are removed.
    Yes(Removals),
    /// And why not.
    No(String),
}

impl Room {
    pub(super) fn of(request: &Request<'_>) -> Result<Self, String> {
        let store = Store::open(request.base)
            .map_err(|error| format!("Cannot open {}: {error}", request.base.display()))?;
        let history = rotation::earlier(&store).unwrap_or_else(|error| {
            protocol::soft(format!(
                "Cannot list {}: {error}. Nothing is removed there",
                request.base.display()
            ));
            History::default()
        });
        if let Some(warning) = history.warning {
            protocol::log(format!("{}: {warning}", request.base.display()));
        }
        Ok(Self {
            store,
            earlier: history.crashes,
        })
    }

    pub(super) fn earlier(&self) -> &[Earlier] {
        &self.earlier
    }

    /// Asks `max_size` and the free space of the target.
    pub(super) fn check(&self, request: &Request<'_>, estimate: Estimate) -> Fit {
        let need = estimate.bytes;
        let mib = need >> 20;
        protocol::log(format!(
            "{} pages to write in {} runs, about {mib} MiB",
            estimate.pages, estimate.runs
        ));
        if let Some(most) = request.plan.dump.max_size.filter(|most| need > *most) {
            return Fit::No(format!(
                "it needs about {mib} MiB, and max_size is {} MiB",
                most >> 20
            ));
        }
        let removals = self.plan(request, Need::Core(need));
        if removals.fits {
            return Fit::Yes(removals);
        }
        Fit::No(format!(
            "it needs about {mib} MiB, {} MiB are free on the target, and {} MiB must stay free",
            self.store.place().room().unwrap_or(0) >> 20,
            request.plan.keep.free >> 20
        ))
    }

    /// What must be removed. A target whose free space is unknown counts as large enough.
    pub(super) fn plan(&self, request: &Request<'_>, need: Need) -> Removals {
        match self.store.place().room() {
            Ok(free) => {
                let keep = &request.plan.keep;
                rotation::removals(&self.earlier, request.crash, keep, free, need)
            }
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
