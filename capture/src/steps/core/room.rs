//! Room on the target for a core: what fits, and what is removed for it.

use super::Request;
use crate::protocol;
use dump::save::Estimate;
use store::rotation::{self, Earlier, Removals};

/// Whether a core may be written.
pub(super) enum Fit {
    /// Yes, once these are removed.
    Room(Removals),
    /// No, and why.
    Refused(String),
}

/// Asks `max_size` and the free space of the target.
pub(super) fn check(request: &Request<'_>, earlier: &[Earlier], estimate: Estimate) -> Fit {
    let need = estimate.bytes;
    let mib = need >> 20;
    protocol::log(format!(
        "{} pages to write in {} runs, about {mib} MiB",
        estimate.pages, estimate.runs
    ));
    if let Some(most) = request.plan.dump.max_size.filter(|most| need > *most) {
        return Fit::Refused(format!(
            "it needs about {mib} MiB, and max_size is {} MiB",
            most >> 20
        ));
    }
    let room = plan(request, earlier, need);
    if room.fits {
        return Fit::Room(room);
    }
    Fit::Refused(format!(
        "it needs about {mib} MiB, {} MiB are free on the target, and {} MiB must stay free",
        rotation::free(request.base).unwrap_or(0) >> 20,
        request.plan.keep.free >> 20
    ))
}

/// What must be removed for `need` bytes. A target whose free space is unknown counts as large enough.
pub(super) fn plan(request: &Request<'_>, earlier: &[Earlier], need: u64) -> Removals {
    match rotation::free(request.base) {
        Ok(free) => rotation::removals(earlier, request.crash, &request.plan.keep, free, need),
        Err(error) => {
            protocol::soft(format!("Cannot tell the free space: {error}"));
            Removals {
                paths: Vec::new(),
                fits: true,
            }
        }
    }
}

/// Removes crash directories, oldest first.
pub(super) fn make(room: &Removals) {
    for path in &room.paths {
        match rotation::remove(path) {
            Ok(()) => protocol::log(format!("removed {}", path.display())),
            Err(error) => protocol::soft(format!("Cannot remove {}: {error}", path.display())),
        }
    }
}
