//! Whether a directory of this machine can be written to, and has room for a core.

use std::path::Path;

use super::finding::{Examined, Finding, Level, finding, size};
use super::readonly;
use crate::root;

const CHECK: &str = "target";
/// Log, report, manifest and a small essential core.
const LEAST: u64 = 32 << 20;

/// The finding on the directory at `path`, called `name`, for a core of `needed` bytes.
pub(super) fn space(on: &Examined<'_>, path: &Path, name: &str, needed: Option<u64>) -> Finding {
    let host = root::under(on.root, path);
    // The capture kernel makes the directory where it is missing. Until then its parent's filesystem counts.
    let existing = host.ancestors().find(|p| p.exists()).unwrap_or(on.root);
    let Ok(stat) = nix::sys::statvfs::statvfs(existing) else {
        return finding(
            CHECK,
            Level::NotMade,
            format!("{name}, cannot read its free space"),
        );
    };
    let table = readonly::mount_of(on.root, path);
    let here = stat.flags().contains(nix::sys::statvfs::FsFlags::ST_RDONLY);
    if here && on.root == Path::new("/") || table.as_ref().is_some_and(|(.., ro)| *ro) {
        let point = table.map_or_else(|| path.display().to_string(), |(point, ..)| point);
        return finding(CHECK, Level::Fail, format!("{name}, mounted read-only")).fix(format!(
            "{}; or name another [[target]]",
            readonly::writable(on.root, &point)
        ));
    }
    if on.privileged && !writable(existing) {
        return finding(CHECK, Level::Fail, format!("{name}, not writable")).fix(format!(
            "let root write to {}, or name another [[target]]",
            path.display()
        ));
    }
    let free = stat.blocks_available().saturating_mul(stat.fragment_size());
    if free < LEAST {
        return finding(
            CHECK,
            Level::Fail,
            format!(
                "{name}, {} free: not enough for the log and the report",
                size(free)
            ),
        )
        .fix("free some space, or name another [[target]]");
    }
    let keep = on.config.keep.free.bytes();
    let text = match needed {
        Some(needed) => format!("{name}, {} free, about {} needed", size(free), size(needed)),
        None => format!("{name}, {} free", size(free)),
    };
    if needed.is_some_and(|needed| free < needed.saturating_add(keep)) {
        return finding(
            CHECK,
            Level::Warn,
            format!(
                "{text}, and {} must stay free: the core would be written at a smaller level",
                size(keep)
            ),
        )
        .fix("free some space, lower [keep] free, or name another [[target]]");
    }
    finding(CHECK, Level::Ok, text)
}

/// Whether files can be made in a directory, as far as access(2) tells.
fn writable(directory: &Path) -> bool {
    nix::unistd::access(directory, nix::unistd::AccessFlags::W_OK).is_ok()
}
