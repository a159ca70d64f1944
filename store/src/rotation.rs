//! Room in a store: what is removed before a new core is written.
//!
//! Only directories of ours with a manifest are ever removed, oldest first: those without a whole core
//! before those with one. Never the only whole core, nor the first crash with the signature of the
//! present one: it explains the others. A crash that brings no core never costs one.
//!
//! Room is made twice: for the log, the report and the essential pages on a target that is nearly full,
//! then for the core, whose size is known only after classification.

use crate::keep::Keep;
use crate::manifest::CrashFacts;
use crate::names::State;
use crate::store::Store;
use dump::facts::Verdict;
use std::io;

/// An earlier crash, as far as its removal and the loop guard are concerned.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Earlier {
    /// Its directory's name.
    pub name: String,
    /// Bytes that its removal gives back.
    pub bytes: u64,
    /// Whether its core is whole.
    pub whole: bool,
    /// Its signature.
    pub signature: Option<String>,
    /// When it happened, seconds since 1970.
    pub crash_time: Option<u64>,
    /// Uptime at the crash, in seconds.
    pub uptime_s: Option<u64>,
}

/// The earlier crashes of a store.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct History {
    /// Those that have a manifest of ours, oldest first.
    pub crashes: Vec<Earlier>,
    /// One sentence about directories that were skipped, see [`crate::Listing::warning`].
    pub warning: Option<String>,
}

/// The earlier crashes of a store, from one listing. One that is being written, or was cut off, has no
/// manifest and is not removed here.
///
/// # Errors
/// The store cannot be listed. A directory that cannot be read is left out.
pub fn earlier(store: &Store) -> io::Result<History> {
    let listing = store.list()?;
    let warning = listing.warning();
    let found = (listing.crashes.into_iter()).filter(|crash| crash.state != State::Partial);
    let read = found.filter_map(|crash| {
        let name = crash.name();
        let manifest = store.manifest(&name).ok()?;
        let whole = |core: &dump::facts::CoreFacts| core.verdict != Verdict::Incomplete;
        Some(Earlier {
            bytes: store.place().size(&name),
            name,
            whole: manifest.core.as_ref().is_some_and(whole),
            signature: manifest.signature,
            crash_time: manifest.crash_time,
            uptime_s: manifest.uptime_s,
        })
    });
    Ok(History {
        crashes: read.collect(),
        warning,
    })
}

/// What the new crash brings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// The log, the report and the essential pages, of at most so many bytes. What must stay free counts
    /// for the core only.
    Essential {
        /// Bytes.
        bytes: u64,
        /// Whether a core is to be written afterwards.
        core_follows: bool,
    },
    /// A core of about so many bytes.
    Core(u64),
    /// Small files only.
    SmallFiles,
}

/// What must be removed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Removals {
    /// The directories, in the order of their removal.
    pub names: Vec<String>,
    /// Whether the new core fits then.
    pub fits: bool,
}

/// Decides what must be removed, so that the new files fit and `keep.free` stays free.
/// `keep.dumps` counts crashes with a whole core and crashes without one apart.
#[must_use]
pub fn removals(
    earlier: &[Earlier],
    this: &CrashFacts,
    keep: &Keep,
    free: u64,
    need: Need,
) -> Removals {
    let (wanted, brings_core) = match need {
        Need::Essential {
            bytes,
            core_follows,
        } => (bytes, core_follows),
        Need::Core(bytes) => (bytes.saturating_add(keep.free), true),
        Need::SmallFiles => (keep.free, false),
    };
    let early = matches!(need, Need::Essential { .. });
    if keep.dumps == 0 {
        return Removals {
            names: Vec::new(),
            fits: free >= wanted,
        };
    }
    let first = this.signature.as_ref().and_then(|signature| {
        let same = |crash: &Earlier| crash.signature.as_ref() == Some(signature);
        earlier.iter().position(same)
    });
    let most = usize::try_from(keep.dumps).unwrap_or(usize::MAX);
    let (mut names, mut gone) = (Vec::new(), 0_u64);
    for whole in [false, true] {
        if whole && !brings_core {
            break;
        }
        let all = || (0..).zip(earlier).filter(|(_, crash)| crash.whole == whole);
        let mut left = all().count();
        // The new crash takes one place among those of its kind.
        let stay = most.saturating_sub(usize::from(whole == brings_core));
        for (at, crash) in all() {
            // The number of crashes that stay is judged once the core's size is known.
            let surplus = !early && left > stay;
            let fits = free.saturating_add(gone) >= wanted;
            let only = whole && left == 1;
            if (!surplus && fits) || only || Some(at) == first {
                continue;
            }
            left -= 1;
            gone = gone.saturating_add(crash.bytes);
            // A part of the room for small files is worth having.
            names.push((surplus || early && !whole, crash.name.clone()));
        }
    }
    let fits = free.saturating_add(gone) >= wanted;
    if !fits {
        // Removing more is useless where the core does not fit anyway. The count still holds.
        names.retain(|(goes, _)| *goes);
    }
    Removals {
        names: names.into_iter().map(|(_, name)| name).collect(),
        fits,
    }
}

#[cfg(test)]
mod tests;
