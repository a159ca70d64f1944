//! How the capture kernel reaches a server: interfaces, addresses and gateways as they were while arming.
//!
//! Everything is resolved while arming. The capture kernel asks no name server, and a DHCP server only where a
//! target says so.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// An export of an NFS server.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nfs {
    /// The server as the config names it, for messages only.
    pub server: String,
    /// The exported directory: `/srv/dumps`.
    pub export: String,
    /// The directory for crashes inside the export, this machine's own one included:
    /// `/var/crash/<machine-id hash>`.
    pub path: String,
    /// Versions of the protocol to try, in this order: `4.2`, `4.1`, `4.0`, `3`.
    pub versions: Vec<String>,
    /// More mount options.
    #[serde(default)]
    pub options: Vec<String>,
    /// The ways to the server, one for each of its addresses, to be tried in this order.
    pub ways: Vec<Way>,
}

impl fmt::Display for Nfs {
    /// As the config names it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.server.contains(':') {
            true => write!(f, "[{}]:{}", self.server, self.export),
            false => write!(f, "{}:{}", self.server, self.export),
        }
    }
}

/// A directory of an account on a server, over SFTP.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ssh {
    /// The server as the config names it, for messages only.
    pub server: String,
    /// Its port.
    pub port: u16,
    /// The account.
    pub user: String,
    /// The directory for crashes on the server, this machine's own one included:
    /// `/var/crash/<machine-id hash>`.
    pub path: String,
    /// The account's private key, in the image.
    pub key: String,
    /// The keys that the server may have: `ssh-ed25519 AAAA…`.
    pub host_keys: Vec<String>,
    /// The ways to the server, one for each of its addresses, to be tried in this order.
    pub ways: Vec<Way>,
}

impl fmt::Display for Ssh {
    /// As the config names it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.server.contains(':'), self.port) {
            (false, 22) => write!(f, "{}@{}", self.user, self.server),
            (true, 22) => write!(f, "{}@[{}]", self.user, self.server),
            (false, port) => write!(f, "{}@{}:{port}", self.user, self.server),
            (true, port) => write!(f, "{}@[{}]:{port}", self.user, self.server),
        }
    }
}

/// The server of a target, and how it was reached while arming.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Server {
    /// The target as the config names it: `nas:/srv/dumps`.
    pub target: String,
    /// The server's name or address, as the config names it.
    pub name: String,
    /// The ways there.
    pub ways: Vec<Way>,
}

/// One way to one address of a server.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Way {
    /// The server's address.
    pub server: IpAddr,
    /// Our own address on the way there.
    pub source: IpAddr,
    /// The length of the source address's network prefix, in bits.
    pub prefix: u8,
    /// The first router, if the server is not on the same link.
    #[serde(default)]
    pub gateway: Option<IpAddr>,
    /// A DHCP server is asked for an address in place of the recorded one, which is used if none answers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dhcp: bool,
    /// The interface that has the source address.
    pub link: Link,
}

/// A network interface.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Its name while arming (`eth0`), for messages only: names change.
    pub name: String,
    /// Its largest packet in bytes.
    pub mtu: u32,
    /// What it is made of.
    pub kind: LinkKind,
}

/// What a network interface is made of.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum LinkKind {
    /// A network card.
    Card {
        /// Its own hardware address, `52:54:00:12:34:56`.
        mac: String,
        /// Its device while arming (`0000:00:03.0`): tells two cards with one address apart.
        device: String,
    },
    /// A VLAN on another interface.
    Vlan {
        /// Its number, 1 to 4094.
        id: u16,
        /// The interface below.
        below: Box<Link>,
    },
    /// Several cards as one.
    Bond {
        /// `802.3ad`, `active-backup` and so on, as the kernel names it.
        mode: String,
        /// The interfaces below.
        ports: Vec<Link>,
    },
}

impl Link {
    /// The cards at the bottom.
    #[must_use]
    pub fn cards(&self) -> Vec<&Link> {
        match &self.kind {
            LinkKind::Card { .. } => vec![self],
            LinkKind::Vlan { below, .. } => below.cards(),
            LinkKind::Bond { ports, .. } => ports.iter().flat_map(Link::cards).collect(),
        }
    }
}
