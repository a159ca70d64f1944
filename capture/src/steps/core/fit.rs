//! Whether a core fits on the target, and what is removed for it.

use super::Request;
use crate::protocol;
use crate::steps::room::Room;
use dump::save::Estimate;
use store::rotation::{Need, Removals};

/// Whether a core may be written.
pub(super) enum Fit {
    /// Once these are removed.
    Yes(Removals),
    /// And why not.
    No(String),
}

/// Whether a core that is an eighth larger than estimated fits as well.
pub(super) fn has_spare(room: &Room, request: &Request<'_>, estimate: Estimate) -> bool {
    let need = estimate.bytes.saturating_add(estimate.bytes / 8);
    let dump = &request.plan.dump;
    let free = room.free().unwrap_or(0);
    dump.max_size.is_none_or(|most| need <= most)
        && need.saturating_add(request.plan.keep.free) <= free
}

/// Asks `max_size` and the free space of the target.
pub(super) fn check(room: &Room, request: &Request<'_>, estimate: Estimate) -> Fit {
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
    let removals = room.plan(&request.plan.keep, request.crash, Need::Core(need));
    if removals.fits {
        return Fit::Yes(removals);
    }
    Fit::No(format!(
        "it needs about {mib} MiB, {} MiB are free on the target, and {} MiB must stay free",
        room.free().unwrap_or(0) >> 20,
        request.plan.keep.free >> 20
    ))
}
