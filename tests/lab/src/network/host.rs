//! A server on this machine, which the guest reaches by QEMU's user network.

use super::Kind;
use crate::{nfs, ssh};
use anyhow::Result;
use rehearse::guest::Step;
use std::path::{Path, PathBuf};

/// The address of the guest, the only one in QEMU's user network.
pub(crate) const ADDRESS: &str = "10.0.2.15";
/// The hardware address of its card.
pub(crate) const MAC: &str = "52:54:00:12:34:56";

/// A running server.
#[derive(Debug)]
pub(crate) enum Host {
    Nfs(nfs::Server),
    Ssh(ssh::Server),
}

impl Host {
    /// Starts a server that takes dumps in `store` and has its other files in `dir`. With `squash` an NFS server
    /// makes another user of root.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn start(
        kind: Kind,
        dir: &Path,
        store: &Path,
        ipv6: bool,
        squash: bool,
    ) -> Result<Self> {
        Ok(match kind {
            Kind::Nfs => Host::Nfs(nfs::Server::start(dir, store, ipv6, squash)?),
            Kind::Ssh => Host::Ssh(ssh::Server::start(dir, store, ipv6)?),
        })
    }

    /// The target of the guest's config, in which this machine is called `host`.
    pub(crate) fn target(&self, host: &str, options: &str) -> String {
        match self {
            Host::Nfs(server) => server.target(host, options),
            Host::Ssh(server) => server.target(host),
        }
    }

    /// Files that the guest has for it; without `right` it has another host key on record.
    ///
    /// # Errors
    /// A file fails.
    pub(crate) fn files(&self, right: bool, host: &str) -> Result<Vec<(String, PathBuf)>> {
        match self {
            Host::Nfs(_) => Ok(Vec::new()),
            Host::Ssh(server) => server.files(right, host),
        }
    }

    /// Its TCP port.
    pub(crate) fn port(&self) -> u16 {
        match self {
            Host::Nfs(server) => server.port(),
            Host::Ssh(server) => server.port(),
        }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        match self {
            Host::Nfs(server) => server.pid(),
            Host::Ssh(server) => server.pid(),
        }
    }

    /// Where machines make their directories.
    pub(crate) fn machines(&self) -> PathBuf {
        match self {
            Host::Nfs(server) => server.machines(),
            Host::Ssh(server) => server.machines(),
        }
    }

    /// The one machine's directory that a guest made.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub(crate) fn saved(&self) -> Result<PathBuf> {
        match self {
            Host::Nfs(server) => server.saved(),
            Host::Ssh(server) => server.saved(),
        }
    }
}

/// QEMU's arguments for a card in the user network, by QEMU's name of the card.
pub(super) fn card(device: &str) -> Vec<String> {
    let device = format!("{device},netdev=net0,mac={MAC},romfile=");
    ["-netdev", "user,id=net0", "-device", &device]
        .map(String::from)
        .to_vec()
}

/// What the guest runs to be in the user network. With `dhcp` its address is another than the one that QEMU's DHCP server
/// gives, which are up to 10.0.2.30.
pub(super) fn up(ipv6: bool, dhcp: bool) -> Vec<Step> {
    let v4 = if dhcp { "10.0.2.77" } else { ADDRESS };
    let mut lines = vec!["/sbin/ip link set eth0 up".to_owned()];
    match ipv6 {
        true => lines.push("/sbin/ip address add fec0::15/64 dev eth0 nodad".into()),
        false => lines.extend([
            format!("/sbin/ip address add {v4}/24 dev eth0"),
            "/sbin/ip route add default via 10.0.2.2".into(),
        ]),
    }
    let step = |line: &String| Step {
        command: line.split(' ').map(str::to_owned).collect(),
        ok: vec![0],
    };
    lines.iter().map(step).collect()
}
