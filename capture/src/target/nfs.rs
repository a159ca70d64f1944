//! An export of an NFS server, mounted by mount(2) alone.
//!
//! No helper runs and the kernel asks user space nothing: addresses are given as numbers, `sec=sys`
//! needs no tickets. Mounts are soft: a server that does not answer ends a write with an error, and the
//! next target is tried (fs/nfs/fs_context.c, Linux 5.10 to 7.2).

use super::mount::mount_with;
use super::network;
use crate::protocol;
use nix::errno::Errno;
use plan::mount::{nfs_options, nfs_source};
use plan::{Nfs, Way};
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

/// Brings up the network and mounts the export. Each way to the server is tried with each version.
///
/// # Errors
/// Why the last attempt failed, in one sentence.
pub(super) fn mount(nfs: &Nfs, nodename: &str, point: &Path, wait: Duration) -> Result<(), String> {
    // The server sees it as the client's name.
    if !nodename.is_empty() {
        let _ = nix::unistd::sethostname(nodename);
    }
    let mut why = String::new();
    for way in &nfs.ways {
        // Each way has its own time: the first one's dead link is no reason to give up on the next.
        let until = Instant::now() + wait;
        match network::bring_up(way, until).and_then(|own| versions(nfs, way, own, point)) {
            Ok(()) => return Ok(()),
            Err(error) => {
                protocol::log(error.clone());
                why = error;
            }
        }
    }
    Err(why)
}

fn versions(nfs: &Nfs, way: &Way, own: IpAddr, point: &Path) -> Result<(), String> {
    let source = nfs_source(way.server, &nfs.export);
    let mut why = String::new();
    for version in &nfs.versions {
        let options = nfs_options(version, way.server, own, &nfs.options);
        let begun = Instant::now();
        match mount_with(Path::new(&source), point, "nfs", &options) {
            Ok(()) => {
                protocol::log(format!(
                    "mounted {source} ({}) with NFS {version} in {} ms",
                    nfs.server,
                    begun.elapsed().as_millis()
                ));
                return Ok(());
            }
            Err(errno) => {
                why = format!("Cannot mount {source} with NFS {version}: {}", words(errno));
                // Another version helps only where the server or this kernel lacks this one.
                if !lacks_version(errno) {
                    break;
                }
                protocol::log(why.clone());
            }
        }
    }
    Err(why)
}

fn lacks_version(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::EPROTONOSUPPORT | Errno::EINVAL | Errno::ENODEV | Errno::EOPNOTSUPP
    )
}

fn words(errno: Errno) -> String {
    match errno {
        Errno::ENODEV => "its module is not loaded".to_owned(),
        Errno::EPROTONOSUPPORT => "the server has no such version".to_owned(),
        Errno::EACCES => "the server does not export it to this machine".to_owned(),
        Errno::ENOENT => "the server has no such export".to_owned(),
        Errno::ETIMEDOUT => "the server does not answer".to_owned(),
        Errno::ECONNREFUSED => "no NFS server runs there".to_owned(),
        other => other.desc().to_owned(),
    }
}
