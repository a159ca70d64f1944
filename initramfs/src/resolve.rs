//! From the config's targets to devices, drivers and proofs: all that is known about this machine.
//!
//! Facts: Documentation/filesystems/proc.rst (mountinfo), Documentation/ABI/{stable,testing}/sysfs-*,
//! Linux 5.10 to 7.2. Everything is read below a root prefix. Nothing is written, and no ioctl is
//! made.

mod block;
mod error;
mod luks;
mod lvm;
mod md;
pub mod mountinfo;
mod multipath;
mod network;
mod nfs;
mod resolved;
mod ssh;
mod sysfs;
mod target;
mod transport;
mod watchdog;

pub use error::ResolveError;
pub use resolved::{LeftOut, Resolved, Secret};
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

/// The ways that lead from the machine at `root` to a target's server now.
///
/// # Errors
/// The server has no address, no way that the capture kernel can take leads to it, or an account cannot
/// be logged in to.
pub fn ways(
    root: &Root,
    index: &Index,
    target: &config::Target,
) -> Result<Vec<plan::Way>, ResolveError> {
    let machine = sysfs::Machine {
        root,
        index,
        same_kernel: true,
    };
    let (network, wanted) = (network::Running, &mut Vec::new());
    if let Some(account) = &target.ssh {
        return ssh::ways(&machine, &network, target, account, wanted);
    }
    let (_, server) = target.server().unwrap_or_default();
    network::ways(&machine, &network, target, &server, wanted)
}

/// The descriptions of the `logon` keys that the kernel under a root prefix could hand to a capture kernel.
#[must_use]
pub fn keys_in_keyring(root: &std::path::Path) -> Vec<String> {
    luks::in_keyring(&Root::new(root))
}

/// The addresses of a server's name, by this machine's own name service.
///
/// # Errors
/// It has none, or the name service cannot be asked.
pub fn addresses(server: &str) -> Result<Vec<std::net::IpAddr>, ResolveError> {
    network::addresses(&network::Running, server)
}

/// The address of ours that packets to a server carry.
///
/// # Errors
/// No route leads there.
pub fn own_address(server: std::net::IpAddr) -> std::io::Result<std::net::IpAddr> {
    network::Network::source(&network::Running, server)
}

/// The versions of NFS to try for a target, in this order, and the other mount options.
///
/// # Errors
/// An option that cannot be followed.
pub fn nfs_options(target: &config::Target) -> Result<(Vec<String>, Vec<String>), ResolveError> {
    nfs::options(target)
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
    let mut refused = None;
    let targets = config.target.iter().enumerate();
    // The others get what is saved, after the reboot.
    for (at, target) in targets.filter(|(_, target)| !target.at_boot) {
        let before = (out.wanted.len(), out.options.len());
        let resolved = match (&target.nfs, &target.ssh) {
            (Some(export), _) => nfs::resolve(&machine, network, target, export, &mut out),
            (_, Some(account)) => ssh::resolve(&machine, network, target, account, &mut out),
            _ => target::resolve(&machine, target, &mut out),
        };
        match resolved {
            Ok(resolved) => {
                for wanted in out.wanted.iter_mut().skip(before.0) {
                    wanted.target = out.targets.len();
                }
                out.targets.push(resolved);
                out.of.push(at);
            }
            Err(error) if error.is_of_the_network() => {
                out.wanted.truncate(before.0);
                out.options.truncate(before.1);
                out.left_out.push(LeftOut::new(at, target, &error));
                refused = refused.or(Some(error));
            }
            Err(error) => return Err(error),
        }
    }
    match refused {
        // A machine without any target is not armed.
        Some(error) if out.targets.is_empty() => Err(error),
        _ => Ok(out),
    }
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
