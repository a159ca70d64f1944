//! A target on an NFS server: its export, our directory in it, the ways there, and the modules.

use super::error::ResolveError;
use super::network::{self, Network};
use super::resolved::Resolved;
use super::sysfs::Machine;
use crate::closure::Wanted;
use crate::machine;
use config::Export;
use plan::{Nfs, TargetKind};

/// Seconds that a network card may take until it has a link.
const LINK_WAIT: u64 = 60;

/// Versions in the order in which they are tried when the options name none.
const VERSIONS: [&str; 4] = ["4.2", "4.1", "4.0", "3"];

/// Resolves a target of the config that names an export.
///
/// # Errors
/// The server cannot be reached, or this machine has no id for its directory.
pub(super) fn resolve(
    machine: &Machine,
    network: &dyn Network,
    target: &config::Target,
    export: &Export,
    out: &mut Resolved,
) -> Result<plan::Target, ResolveError> {
    let what = export.to_string();
    let own = machine::store_name(machine.root).ok_or(ResolveError::NoMachineId)?;
    let (versions, options) = options(target)?;
    let ways = network::ways(machine, network, target, &what, &mut out.wanted)?;
    let why = format!("{what}: it is an NFS export");
    if versions.iter().any(|version| version.starts_with('4')) {
        out.wanted.push(Wanted::required("nfsv4", why.clone()));
    }
    if versions.iter().any(|version| version == "3") {
        // Some kernels have version 4 only.
        let only = versions.len() == 1;
        out.wanted.push(Wanted {
            required: only,
            ..Wanted::required("nfsv3", why)
        });
    }
    // Machines that panic at the same time must not look like one client to the server
    // (Documentation/admin-guide/nfs/nfs-client.rst, Linux 5.10 to 7.2).
    let id = ("nfs".to_owned(), format!("nfs4_unique_id={own}"));
    if !out.options.contains(&id) {
        out.options.push(id);
    }
    Ok(plan::Target {
        kind: TargetKind::Nfs(Nfs {
            server: export.server.clone(),
            export: export.directory.to_string_lossy().into_owned(),
            path: target.path.join(own).to_string_lossy().into_owned(),
            versions,
            options,
            ways,
        }),
        deadline_s: target.deadline.seconds(),
        device_wait_s: LINK_WAIT,
        takes: target.copy.takes(),
        keep: target.keep,
    })
}

/// The versions to try, and the other mount options.
pub(super) fn options(target: &config::Target) -> Result<(Vec<String>, Vec<String>), ResolveError> {
    let mut versions: Vec<String> = Vec::new();
    let mut options = Vec::new();
    let words = target.options.iter().flat_map(|words| words.split(','));
    for word in words.map(str::trim).filter(|word| !word.is_empty()) {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        match (key, value) {
            ("vers" | "nfsvers", "4") => {
                versions.extend(
                    VERSIONS
                        .iter()
                        .filter(|v| **v != "3")
                        .map(|v| (*v).to_owned()),
                );
            }
            ("vers" | "nfsvers", version) if VERSIONS.contains(&version) => {
                versions.push(version.to_owned());
            }
            ("vers" | "nfsvers", _) => return Err(refused(word, "no version is called so")),
            ("sec", "sys") | ("rw" | "defaults" | "hard" | "soft" | "softerr" | "_netdev", "") => {}
            ("sec", _) => {
                return Err(refused(word, "the capture kernel has no Kerberos ticket"));
            }
            ("ro", "") => return Err(refused(word, "a core could not be written")),
            ("addr" | "clientaddr" | "proto", _) => {
                return Err(refused(word, "it is found while loading"));
            }
            _ => options.push(word.to_owned()),
        }
    }
    if versions.is_empty() {
        versions = VERSIONS.map(str::to_owned).to_vec();
    }
    Ok((versions, options))
}

fn refused(option: &str, why: &'static str) -> ResolveError {
    ResolveError::NfsOption {
        option: option.to_owned(),
        why,
    }
}
