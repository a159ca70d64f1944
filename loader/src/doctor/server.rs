//! Whether the server of a network target answers, over each planned way.

use super::finding::{Finding, Level, finding, size};
use crate::root;
use ::ssh::{Login, PrivateKey, Remote, Sftp};
use plan::{Nfs, Ssh, Way};
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;
use store::place::Place;

const CHECK: &str = "target";

/// The port of an NFS server.
const NFS: u16 = 2049;

/// The directory that `doctor` makes and removes on a server.
const PROBE: &str = "afterpanic-doctor";

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// One finding a way to a server that is reached by SSH, and one of a directory that is written, renamed and
/// removed there as the capture kernel does it. `key` is the account's, where it can be read.
pub(super) fn check_ssh(on: &Path, ssh: &Ssh, key: Option<&Path>) -> Vec<Finding> {
    let name = format!("{ssh}:{}", ssh.path);
    let dead: Vec<Finding> = ssh
        .ways
        .iter()
        .filter_map(|way| without_link(on, &name, way))
        .collect();
    if !dead.is_empty() {
        return dead;
    }
    vec![match probe(ssh, key) {
        Ok(free) => finding(
            CHECK,
            Level::Ok,
            format!("{name}: written, renamed and removed as by the capture kernel; {free} free"),
        ),
        Err(None) => finding(
            CHECK,
            Level::NotMade,
            format!("{name}: not checked (only root can read the key)"),
        ),
        Err(Some(why)) => finding(CHECK, Level::Fail, format!("{name}: {why}")).fix(format!(
            "check it with: sftp -P {} {}@{}; name a second [[target]] on a local disk",
            ssh.port, ssh.user, ssh.server
        )),
    }]
}

/// Does there what the capture kernel does; how much is free. `None` where the key cannot be read here.
fn probe(ssh: &Ssh, key: Option<&Path>) -> Result<String, Option<String>> {
    let text = key.and_then(|key| fs::read(key).ok()).ok_or(None)?;
    let said = |error: &dyn std::fmt::Display| Some(error.to_string());
    let hosts = ssh.host_keys.iter().map(|key| key.parse());
    let login = Login {
        user: ssh.user.clone(),
        key: PrivateKey::parse(&text).map_err(|error| said(&error))?,
        hosts: hosts
            .collect::<Result<_, _>>()
            .map_err(|error| said(&error))?,
    };
    let to = |way: &Way| SocketAddr::new(way.server, ssh.port);
    let sftp = Sftp::connect(::ssh::Server {
        addresses: ssh.ways.iter().map(to).collect(),
        login,
        patience: PATIENCE,
        persist: Duration::ZERO,
    })
    .map_err(|error| said(&error))?;
    let remote = Remote::open(sftp, &ssh.path);
    let written = remote.and_then(|remote| write_and_remove(&remote));
    written.map(size).map_err(|error| Some(error.to_string()))
}

/// Does in a store what the capture kernel does there; how many bytes are free.
///
/// # Errors
/// What the server said.
pub(super) fn write_and_remove(remote: &dyn Place) -> std::io::Result<u64> {
    let (first, second) = (PROBE.to_owned() + ".partial", PROBE);
    // What an earlier check left.
    for name in [first.as_str(), second] {
        if remote.exists(name) {
            remote.remove(name)?;
        }
    }
    remote.create(&first)?;
    remote.write(&first, "probe", &mut &b"afterpanic doctor\n"[..])?;
    remote.rename(&first, second)?;
    remote.remove(second)?;
    remote.room()
}

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
    if let Some(dead) = without_link(on, &name, way) {
        return dead;
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

/// A finding where a card on the way has no link.
fn without_link(on: &Path, name: &str, way: &Way) -> Option<Finding> {
    for card in way.link.cards() {
        let carrier = format!("/sys/class/net/{}/carrier", card.name);
        let carrier = fs::read_to_string(root::under(on, carrier)).unwrap_or_default();
        if carrier.trim() == "0" {
            let text = format!("{name}: {} has no link", card.name);
            return Some(finding(CHECK, Level::Fail, text).fix(format!(
                "check the cable and the switch: ip link show {}",
                card.name
            )));
        }
    }
    None
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
                dhcp: false,
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
