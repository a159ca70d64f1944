//! A storage server in a second guest, for what QEMU's user network cannot be: the kernel's NFS server with
//! version 3, VLANs, bonds, packets that get lost, slow links, OpenSSH of another release.

use crate::network::Kind;
use crate::{guest, kernels, ssh, tools};
use anyhow::{Context, Result};
use initramfs::files::{Taken, TakenKind};
use rehearse::guest::Step;
use rehearse::guest::image::Binaries;
use rehearse::server::sshd::{self, Keys};
use rehearse::server::{Order, STORE, Server};
use rehearse::vm::Accel;
use serde::Deserialize;
use std::path::Path;
use std::time::Duration;

/// The kernel of the server.
const KERNEL: &str = "6.12";
const DEADLINE: Duration = Duration::from_secs(1800);
/// The VLAN, where there is one.
const VLAN: u16 = 5;

/// `[network.guest]` of a scenario: what the way to the server is like.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wires {
    /// What the cards are put together to.
    pub link: Link,
    /// Of a hundred packets so many are lost, each way.
    pub loss: u32,
    /// So many Mbit/s, each way; none: as fast as it goes.
    pub mbit: Option<u32>,
    /// The suite of Debian that OpenSSH comes from.
    pub openssh: Option<String>,
}

/// What the cards at both ends are put together to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Link {
    /// One card.
    #[default]
    Card,
    /// A VLAN on one card.
    Vlan,
    /// Two cards as an 802.3ad bond.
    Bond,
}

impl Link {
    /// How many cards each end has.
    fn cards(self) -> usize {
        match self {
            Link::Bond => 2,
            _ => 1,
        }
    }

    /// The module for it.
    fn module(self) -> Option<&'static str> {
        match self {
            Link::Card => None,
            Link::Vlan => Some("8021q"),
            Link::Bond => Some("bonding"),
        }
    }

    /// What brings it up on the cards from `first` on, with an address.
    fn up(self, first: usize, address: &str) -> Vec<Step> {
        let card = format!("eth{first}");
        let other = format!("eth{}", first.saturating_add(1));
        let (name, mut lines) = match self {
            Link::Card => (card.clone(), vec![format!("link set {card} up")]),
            Link::Vlan => {
                let name = format!("{card}.{VLAN}");
                let lines = vec![
                    format!("link set {card} up"),
                    format!("link add link {card} name {name} type vlan id {VLAN}"),
                    format!("link set {name} up"),
                ];
                (name, lines)
            }
            Link::Bond => {
                let lines = vec![
                    "link add uplink type bond mode 802.3ad miimon 100 lacp_rate fast".to_owned(),
                    format!("link set {card} master uplink"),
                    format!("link set {other} master uplink"),
                    "link set uplink up".to_owned(),
                ];
                ("uplink".to_owned(), lines)
            }
        };
        let end = if address.contains(':') {
            "/64 nodad"
        } else {
            "/24"
        };
        let address = address.to_owned() + end;
        let (address, flag) = address.split_once(' ').unwrap_or((&address, ""));
        lines.push(
            format!("address add {address} dev {name} {flag}")
                .trim_end()
                .to_owned(),
        );
        let ip = |line: &String| step(&format!("/sbin/ip {line}"));
        lines.iter().map(ip).collect()
    }
}

/// What serves, and for whom.
#[derive(Debug, Clone, Copy)]
pub struct Nas<'a> {
    /// What serves.
    pub kind: Kind,
    /// What the way there is like.
    pub wires: &'a Wires,
    /// Addresses are those of IPv6.
    pub ipv6: bool,
    /// So many machines have a network each with it.
    pub machines: usize,
}

impl Nas<'_> {
    /// Starts it; its files go into `dir`. `program` is the laboratory's for guests.
    ///
    /// # Errors
    /// It cannot be built, or does not come up.
    pub fn start(
        &self,
        dir: &Path,
        keys: Option<&Keys>,
        binaries: &Binaries,
        program: &Path,
    ) -> Result<Server> {
        let kernel = kernels::get(KERNEL, None, &mut |line| eprintln!("lab: {line}"))?;
        let wires = self.wires;
        let mut order = Order {
            accel: Accel::choose(&kernel.image, &crate::cache())?,
            kernel: &kernel,
            binaries,
            load: wires.modules(),
            tools: Vec::new(),
            files: vec![(guest::PROGRAM.into(), program.to_owned())],
            folders: Vec::new(),
            run: vec![step("/sbin/ip link set lo up")],
            exported_to: Vec::new(),
            cables: self.machines * wires.link.cards(),
            settles: Duration::ZERO,
            deadline: DEADLINE,
        };
        for machine in 0..self.machines {
            let first = machine * wires.link.cards();
            order
                .run
                .extend(wires.link.up(first, &self.address(machine, 2)));
        }
        order.run.extend(wires.shape());
        match (self.kind, keys) {
            (Kind::Nfs, _) => {
                order.tools.extend(tools::network(&["ip", "tc"])?);
                order.tools.extend(tools::nfs_server()?);
                order.tools.extend(exports());
                order.load.push("nfsd".into());
                order.run.extend(NFS.map(step));
            }
            (Kind::Ssh, keys) => {
                let suite = wires.openssh.as_deref().unwrap_or("trixie");
                let (root, network) = tools::openssh(suite)?;
                order.tools.extend(network);
                let keys = keys.context("An SSH server needs keys")?;
                order.tools.extend(sshd::files(&root, "root", keys)?);
                order.folders.push(sshd::folder());
                order.run.push(sshd::start());
                order.settles = sshd::SETTLES;
            }
        }
        Ok(Server::start(dir, &order)?)
    }

    /// The address of one end of a machine's network with the server: 2 is the server's, 15 the machine's.
    fn address(&self, machine: usize, end: u8) -> String {
        match self.ipv6 {
            true => format!("fd07:{machine}::{end}"),
            false => format!("10.7.{machine}.{end}"),
        }
    }

    /// The server as a machine names it.
    #[must_use]
    pub fn host(&self, machine: usize) -> String {
        self.address(machine, 2)
    }

    /// What a machine runs to be on the network.
    #[must_use]
    pub fn up(&self, machine: usize) -> Vec<Step> {
        self.wires.link.up(0, &self.address(machine, 15))
    }

    /// The module that a machine needs beside its card's.
    #[must_use]
    pub fn module(&self) -> Option<&'static str> {
        self.wires.link.module()
    }

    /// QEMU's arguments for a machine's cards.
    #[must_use]
    pub fn cards(&self, server: &Server, machine: usize, device: &str) -> Vec<String> {
        let cards = self.wires.link.cards();
        let all = (0..cards).map(|card| server.cable(machine * cards + card));
        all.flat_map(|cable| cable.machine(device)).collect()
    }

    /// The target of a machine's config.
    #[must_use]
    pub fn target(&self, machine: usize, options: &str) -> String {
        let host = match self.ipv6 {
            true => format!("[{}]", self.host(machine)),
            false => self.host(machine),
        };
        match self.kind {
            Kind::Ssh => ssh::target(&host, 22, &format!("{STORE}/var/crash")),
            Kind::Nfs => {
                format!("[[target]]\nnfs = \"{host}:{STORE}\"\noptions = \"{options}\"\n")
            }
        }
    }
}

/// What starts the kernel's NFS server as the services of Debian do.
const NFS: [&str; 6] = [
    "/lab/guest mount nfsd /proc/fs/nfsd",
    "/lab/guest set /proc/fs/nfsd/nfsv4gracetime 10",
    "/sbin/rpcbind",
    "/usr/sbin/exportfs -a",
    "/usr/sbin/rpc.nfsd 4",
    "/usr/sbin/rpc.mountd",
];

/// Files that these find.
fn exports() -> Vec<Taken> {
    let exports = format!("{STORE} *(rw,sync,no_subtree_check,no_root_squash,insecure)\n");
    let users = "root:x:0:0:root:/:/bin/sh\n_rpc:x:102:65534::/run/rpcbind:/usr/sbin/nologin\n";
    [
        ("/etc/exports", exports.as_str()),
        ("/etc/passwd", users),
        ("/etc/group", "root:x:0:\nnogroup:x:65534:\n"),
        (
            "/etc/nsswitch.conf",
            "passwd: files\ngroup: files\nhosts: files\n",
        ),
        ("/etc/hosts", "127.0.0.1 localhost\n"),
        ("/var/lib/nfs/etab", ""),
        ("/var/lib/nfs/rmtab", ""),
        ("/var/lib/nfs/v4recovery/.keep", ""),
    ]
    .into_iter()
    .map(|(path, text)| Taken {
        path: path.into(),
        kind: TakenKind::File(0o644, text.as_bytes().to_vec()),
        why: "the laboratory".into(),
    })
    .collect()
}

impl Wires {
    fn modules(&self) -> Vec<String> {
        let shaping: &[&str] = match self.how() {
            None => &[],
            Some(_) => &[
                "sch_netem",
                "sch_ingress",
                "ifb",
                "cls_matchall",
                "act_mirred",
            ],
        };
        let all = self
            .link
            .module()
            .into_iter()
            .chain(shaping.iter().copied());
        all.map(String::from).collect()
    }

    /// What netem(8) is told.
    fn how(&self) -> Option<String> {
        let mut how = String::new();
        if self.loss > 0 {
            how += &format!(" loss {}%", self.loss);
        }
        if let Some(mbit) = self.mbit {
            how += &format!(" rate {mbit}mbit");
        }
        (!how.is_empty()).then_some(how)
    }

    /// What makes the way worse: for what leaves the first card, and for what comes in, by way of an ifb device,
    /// because only what leaves a device can be shaped.
    fn shape(&self) -> Vec<Step> {
        let Some(how) = self.how() else {
            return Vec::new();
        };
        let redirect = "matchall action mirred egress redirect dev ifb0";
        [
            "/sbin/ip link set ifb0 up".to_owned(),
            format!("/sbin/tc qdisc add dev eth0 root netem{how}"),
            "/sbin/tc qdisc add dev eth0 handle ffff: ingress".to_owned(),
            format!("/sbin/tc filter add dev eth0 parent ffff: protocol all {redirect}"),
            format!("/sbin/tc qdisc add dev ifb0 root netem{how}"),
        ]
        .iter()
        .map(|line| step(line))
        .collect()
    }
}

fn step(line: &str) -> Step {
    Step {
        command: line.split(' ').map(str::to_owned).collect(),
        ok: vec![0],
    }
}
