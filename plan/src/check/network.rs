//! What the network part of a plan must satisfy.

use super::{PlanError, absolute, check_options, no_nul, wrong};
use crate::{Link, LinkKind, Nfs, Ssh, Way};
use std::net::IpAddr;

/// Interfaces stacked deeper than this are a mistake.
const MAX_LINKS: usize = 4;

pub(super) fn check(key: &str, nfs: &Nfs) -> Result<(), PlanError> {
    absolute(&format!("{key}.path"), &nfs.path)?;
    absolute(&format!("{key}.export"), &nfs.export)?;
    check_options(key, &nfs.options)?;
    check_options(key, &nfs.versions)?;
    if nfs.versions.is_empty() {
        return wrong(format!("{key}.versions"), "there is none");
    }
    check_ways(key, &nfs.ways)
}

pub(super) fn check_ssh(key: &str, ssh: &Ssh) -> Result<(), PlanError> {
    absolute(&format!("{key}.path"), &ssh.path)?;
    absolute(&format!("{key}.key"), &ssh.key)?;
    if ssh.user.is_empty() || ssh.port == 0 {
        return wrong(format!("{key}.user or port"), "it is empty");
    }
    if ssh.host_keys.is_empty() {
        return wrong(format!("{key}.host_keys"), "no host key is given");
    }
    check_ways(key, &ssh.ways)
}

fn check_ways(key: &str, ways: &[Way]) -> Result<(), PlanError> {
    if ways.is_empty() {
        return wrong(format!("{key}.ways"), "there is none");
    }
    for (at, way) in ways.iter().enumerate() {
        let key = format!("{key}.ways[{at}]");
        let bits = if way.source.is_ipv4() { 32 } else { 128 };
        if way.prefix > bits {
            return wrong(format!("{key}.prefix"), format!("it is {}", way.prefix));
        }
        let same = |other: &IpAddr| other.is_ipv4() == way.source.is_ipv4();
        if !same(&way.server) || !way.gateway.iter().all(same) {
            return wrong(key, "it mixes IPv4 and IPv6");
        }
        check_link(&format!("{key}.link"), &way.link, 0)?;
    }
    Ok(())
}

fn check_link(key: &str, link: &Link, depth: usize) -> Result<(), PlanError> {
    if depth > MAX_LINKS {
        return wrong(key, "interfaces are stacked too deep");
    }
    match &link.kind {
        LinkKind::Card { mac, .. } if mac.is_empty() => wrong(format!("{key}.mac"), "it is empty"),
        LinkKind::Card { .. } => Ok(()),
        LinkKind::Vlan { id, .. } if !(1..=4094).contains(id) => {
            wrong(format!("{key}.id"), format!("{id} is no VLAN number"))
        }
        LinkKind::Vlan { below, .. } => check_link(key, below, depth + 1),
        LinkKind::Bond { ports, mode } => {
            no_nul(&format!("{key}.mode"), mode)?;
            if ports.is_empty() {
                return wrong(format!("{key}.ports"), "there is none");
            }
            ports
                .iter()
                .try_for_each(|port| check_link(key, port, depth + 1))
        }
    }
}
