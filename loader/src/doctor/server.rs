//! Whether the server of a network target answers, over each planned way.

use super::finding::{Finding, Level, finding};
use crate::root;
use plan::{Nfs, Way};
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

const CHECK: &str = "target";

/// The port of an NFS server.
const NFS: u16 = 2049;

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// One finding a way. `ask` opens and closes a connection to the server.
pub(super) fn check(on: &Path, nfs: &Nfs) -> Vec<Finding> {
    nfs.ways
        .iter()
        .map(|way| {
            examine(on, nfs, way, &|to| {
                TcpStream::connect_timeout(&to, PATIENCE).map(drop)
            })
        })
        .collect()
}

fn examine(
    on: &Path,
    nfs: &Nfs,
    way: &Way,
    ask: &dyn Fn(SocketAddr) -> std::io::Result<()>,
) -> Finding {
    let name = format!(
        "{}:{} ({}) from {} on {}",
        nfs.server, nfs.export, way.server, way.source, way.link.name
    );
    for card in way.link.cards() {
        let carrier = format!("/sys/class/net/{}/carrier", card.name);
        let carrier = fs::read_to_string(root::under(on, carrier)).unwrap_or_default();
        if carrier.trim() == "0" {
            return finding(
                CHECK,
                Level::Fail,
                format!("{name}: {} has no link", card.name),
            )
            .fix(format!(
                "check the cable and the switch: ip link show {}",
                card.name
            ));
        }
    }
    let port = port(nfs);
    match ask(SocketAddr::new(way.server, port)) {
        Ok(()) => finding(CHECK, Level::Ok, format!("{name}: the NFS server answers")),
        Err(error) => finding(
            CHECK,
            Level::Fail,
            format!("{name}: the NFS server does not answer ({error})"),
        )
        .fix(format!(
            "check it with: nc -vz {} {port}; name a second [[target]] on a local disk",
            way.server
        )),
    }
}

/// The server's port, from the mount options or the usual one.
fn port(nfs: &Nfs) -> u16 {
    let option = |option: &String| option.strip_prefix("port=")?.parse().ok();
    nfs.options.iter().find_map(option).unwrap_or(NFS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use plan::{Link, LinkKind};

    #[test]
    fn links_and_servers_are_asked() {
        let dir = tempfile::tempdir().unwrap();
        let nfs = Nfs {
            server: "nas".into(),
            export: "/srv/dumps".into(),
            path: "/var/crash/x".into(),
            versions: vec!["4.2".into()],
            options: Vec::new(),
            ways: vec![Way {
                server: "192.0.2.7".parse().unwrap(),
                source: "192.0.2.1".parse().unwrap(),
                prefix: 24,
                gateway: None,
                link: Link {
                    name: "eth0".into(),
                    mtu: 1500,
                    kind: LinkKind::Card {
                        mac: "52:54:00:00:00:01".into(),
                        device: String::new(),
                    },
                },
            }],
        };
        let found = |answer: bool| {
            examine(dir.path(), &nfs, &nfs.ways[0], &|to| {
                assert_eq!(to.to_string(), "192.0.2.7:2049");
                answer
                    .then_some(())
                    .ok_or(std::io::ErrorKind::TimedOut.into())
            })
        };
        assert_eq!(found(true).level, Level::Ok);
        let silent = found(false);
        assert!(silent.level == Level::Fail && silent.text.contains("does not answer"));
        let at = dir.path().join("sys/class/net/eth0");
        fs::create_dir_all(&at).unwrap();
        fs::write(at.join("carrier"), "0\n").unwrap();
        let dead = found(true);
        assert!(dead.level == Level::Fail && dead.text.contains("eth0 has no link"));
    }
}
