//! From the config's targets to devices, drivers and proofs: all that is known about this machine.
//!
//! Facts: Documentation/filesystems/proc.rst (mountinfo), Documentation/ABI/{stable,testing}/sysfs-*,
//! Linux 5.10 to 7.2. Everything is read below a root prefix. Nothing is written, and no ioctl is
//! made.

mod block;
mod error;
mod lvm;
mod md;
pub mod mountinfo;
mod network;
mod nfs;
mod resolved;
mod sysfs;
mod target;
mod transport;
mod watchdog;

pub use error::ResolveError;
pub use resolved::Resolved;
pub use sysfs::Driver;
pub(crate) use target::{elsewhere, filesystem_wanted};

use crate::modules::Index;
use crate::root::Root;

/// Resolves the targets and watchdogs of the machine at `root` for the kernel of `index`.
pub fn resolve(
    root: &Root,
    config: &config::Config,
    index: &Index,
) -> Result<Resolved, ResolveError> {
    resolve_with(root, config, index, &network::Running)
}

fn resolve_with(
    root: &Root,
    config: &config::Config,
    index: &Index,
    network: &dyn network::Network,
) -> Result<Resolved, ResolveError> {
    let running = root.text("/proc/sys/kernel/osrelease");
    let machine = sysfs::Machine {
        root,
        index,
        same_kernel: running.as_deref() == Some(index.release()),
    };
    let mut out = Resolved::default();
    if config.after.watchdog {
        watchdog::resolve(&machine, &mut out);
    }
    for (at, target) in config.target.iter().enumerate() {
        let before = out.wanted.len();
        let resolved = match &target.nfs {
            Some(export) => nfs::resolve(&machine, network, target, export, &mut out)?,
            None => target::resolve(&machine, target, &mut out)?,
        };
        for wanted in out.wanted.iter_mut().skip(before) {
            wanted.target = at;
        }
        out.targets.push(resolved);
    }
    Ok(out)
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
