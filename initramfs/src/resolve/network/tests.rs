//! Servers and interfaces of machines made of files.

use super::*;
use crate::closure;
use crate::resolve::fixture::{Fixture, RUNNING, ext4};
use crate::resolve::{Resolved, resolve_with};
use config::Config;
use plan::{LinkKind, Nfs, TargetKind};

/// A network of one answer each.
struct Net {
    names: Vec<(&'static str, &'static str)>,
    source: &'static str,
    own: Vec<(&'static str, &'static str, u8)>,
}

impl Network for Net {
    fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let found = self.names.iter().filter(|(known, _)| *known == name);
        Ok(found.map(|(_, address)| address.parse().unwrap()).collect())
    }

    fn source(&self, server: IpAddr) -> io::Result<IpAddr> {
        let source: IpAddr = self.source.parse().unwrap();
        match source.is_ipv4() == server.is_ipv4() {
            true => Ok(source),
            false => Err(io::ErrorKind::NetworkUnreachable.into()),
        }
    }

    fn own(&self) -> io::Result<Vec<Own>> {
        let own = self.own.iter().map(|(interface, address, prefix)| Own {
            interface: (*interface).to_owned(),
            address: address.parse().unwrap(),
            prefix: *prefix,
        });
        Ok(own.collect())
    }
}

fn on(interface: &'static str) -> Net {
    Net {
        names: vec![("nas", "192.0.2.7"), ("nas", "2001:db8::7")],
        source: "10.0.2.15",
        own: vec![("lo", "127.0.0.1", 8), (interface, "10.0.2.15", 24)],
    }
}

/// A machine with two cards, a bond of them, a VLAN on it and a bridge on that.
fn machine() -> Fixture {
    let fixture = Fixture::new();
    fixture.file("etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    for (n, name) in ["eth0", "eth1"].into_iter().enumerate() {
        let device = format!("pci0000:00/0000:00:0{n}.0");
        fixture.device(&device, "nic", Some("nic"), "pci:v1");
        fixture.file(
            &format!("sys/devices/{device}/net/{name}/address"),
            "52:54:00:00:00:99\n",
        );
        fixture.file(&format!("sys/devices/{device}/net/{name}/mtu"), "9000\n");
        let sys = format!("/sys/devices/{device}");
        fixture.link(&format!("{sys}/net/{name}/device"), &sys);
        fixture.file(
            &format!("{sys}/net/{name}/bonding_slave/perm_hwaddr"),
            format!("52:54:00:00:00:0{n}\n"),
        );
        fixture.link(
            &format!("sys/class/net/{name}"),
            &format!("{sys}/net/{name}"),
        );
    }
    fixture.file("sys/class/net/bond0/bonding/mode", "802.3ad 4\n");
    fixture.file("sys/class/net/bond0/bonding/slaves", "eth0 eth1\n");
    fixture.file(
        "sys/class/net/bond0.5/uevent",
        "DEVTYPE=vlan\nINTERFACE=bond0.5\n",
    );
    fixture.file(
        "proc/net/vlan/config",
        "VLAN Dev name    | VLAN ID\nName-Type: VLAN_NAME_TYPE_RAW_PLUS_VID_NO_PAD\nbond0.5        | 5  | bond0\n",
    );
    for (bridge, ports) in [("br0", ["bond0.5", "vnet0"]), ("br1", ["eth0", "eth1"])] {
        fixture.file(&format!("sys/class/net/{bridge}/bridge/stp_state"), "0\n");
        for port in ports {
            fixture.file(&format!("sys/class/net/{bridge}/brif/{port}/state"), "3\n");
        }
    }
    fixture.file("sys/class/net/vnet0/tun_flags", "0x1002\n");
    fixture.file("sys/class/net/wg0/uevent", "DEVTYPE=wireguard\n");
    fixture.file(
        "proc/net/route",
        "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
         eth0 00000000 0202000A 0003 0 0 100 00000000 0 0 0\n",
    );
    fixture.modules(&[
        "drivers/net/nic",
        "net/8021q/8021q",
        "drivers/net/bonding/bonding",
    ]);
    fixture.modules(&["fs/nfs/nfs", "fs/nfs/nfsv4", "fs/nfs/nfsv3"]);
    fixture
}

const TARGET: &str = "[[target]]\nnfs = \"nas:/srv/dumps\"\n";

fn try_resolve(fixture: &Fixture, net: &Net, text: &str) -> Result<Resolved, ResolveError> {
    let config = Config::parse(text).unwrap();
    resolve_with(&fixture.root(), &config, &fixture.index(RUNNING), net)
}

fn nfs(resolved: &Resolved) -> &Nfs {
    match &resolved.targets[0].kind {
        TargetKind::Nfs(nfs) => nfs,
        other => panic!("{other:?}"),
    }
}

fn loaded(fixture: &Fixture, resolved: &Resolved) -> Vec<String> {
    let closure = closure::resolve(&fixture.index(RUNNING), &resolved.wanted, &[]).unwrap();
    closure
        .modules
        .into_iter()
        .map(|picked| picked.name)
        .collect()
}

#[test]
fn a_server_behind_a_router_is_reached_by_a_card() {
    let fixture = machine();
    let resolved = try_resolve(&fixture, &on("eth0"), TARGET).unwrap();
    let nfs = nfs(&resolved);
    let [way] = nfs.ways.as_slice() else {
        panic!("{:?}", nfs.ways);
    };
    assert_eq!(way.server.to_string(), "192.0.2.7");
    assert_eq!(
        (way.source.to_string().as_str(), way.prefix),
        ("10.0.2.15", 24)
    );
    assert_eq!(way.gateway.unwrap().to_string(), "10.0.2.2");
    assert_eq!(way.link.mtu, 9000);
    assert_eq!(
        way.link.kind,
        LinkKind::Card {
            mac: "52:54:00:00:00:00".into(),
            device: "0000:00:00.0".into()
        }
    );
    assert_eq!(nfs.versions, ["4.2", "4.1", "4.0", "3"]);
    let own = nfs.path.strip_prefix("/var/crash/").unwrap();
    assert_eq!(own.len(), 32);
    let options = resolved.options.as_slice();
    assert_eq!(options, [("nfs".into(), format!("nfs4_unique_id={own}"))]);
    assert_eq!(loaded(&fixture, &resolved), ["nic", "nfsv4", "nfsv3"]);
}

#[test]
fn bridges_vlans_and_bonds_are_followed_to_their_cards() {
    let fixture = machine();
    let resolved = try_resolve(&fixture, &on("br0"), TARGET).unwrap();
    let way = &nfs(&resolved).ways[0];
    let LinkKind::Vlan { id: 5, below } = &way.link.kind else {
        panic!("{:?}", way.link);
    };
    let LinkKind::Bond { mode, ports } = &below.kind else {
        panic!("{below:?}");
    };
    assert_eq!((mode.as_str(), ports.len()), ("802.3ad", 2));
    let names: Vec<&str> = way.link.cards().iter().map(|l| l.name.as_str()).collect();
    assert_eq!(names, ["eth0", "eth1"]);
    assert_eq!(
        loaded(&fixture, &resolved),
        ["nic", "bonding", "8021q", "nfsv4", "nfsv3"]
    );
}

#[test]
fn what_cannot_be_put_together_is_named() {
    let fixture = machine();
    for (interface, words) in [
        ("br1", "several network cards"),
        ("vnet0", "tun or tap"),
        ("wg0", "wireguard"),
    ] {
        let error = try_resolve(&fixture, &on(interface), TARGET).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
    let error = |net: &Net, text: &str| try_resolve(&fixture, net, text).unwrap_err().to_string();
    let unknown = "[[target]]\nnfs = \"nowhere:/srv\"\n";
    assert!(error(&on("eth0"), unknown).contains("nowhere"));
    let itself = "[[target]]\nnfs = \"10.0.2.15:/srv\"\n";
    assert!(error(&on("eth0"), itself).contains("this machine"));
    for option in ["sec=krb5", "ro", "vers=5", "proto=udp"] {
        let text = format!("{TARGET}options = \"{option}\"\n");
        assert!(error(&on("eth0"), &text).contains(option));
    }
    std::fs::remove_file(fixture.path().join("etc/machine-id")).unwrap();
    assert!(error(&on("eth0"), TARGET).contains("machine-id"));
}

#[test]
fn options_choose_the_version() {
    let fixture = machine();
    let text = format!("{TARGET}options = \"vers=3,nolock,hard,rsize=65536\"\n");
    let resolved = try_resolve(&fixture, &on("eth0"), &text).unwrap();
    assert_eq!(nfs(&resolved).versions, ["3"]);
    assert_eq!(nfs(&resolved).options, ["nolock", "rsize=65536"]);
    assert_eq!(loaded(&fixture, &resolved), ["nic", "nfsv3"]);
}

/// The same machine with a disk, for a second target.
fn with_a_disk() -> Fixture {
    let fixture = machine();
    fixture.virtio(&ext4());
    fixture.mounts(&[("254:1", "/", "/", "ext4", "/dev/vda1")]);
    fixture
}

const BOTH: &str = "[[target]]\nnfs = \"nas:/srv/dumps\"\n[[target]]\npath = \"/var/crash\"\n";

#[test]
fn a_server_that_cannot_be_reached_now_leaves_the_other_targets() {
    let fixture = with_a_disk();
    let mut net = on("eth0");
    let all = try_resolve(&fixture, &net, BOTH).unwrap();
    assert_eq!((all.of.as_slice(), all.left_out.len()), (&[0, 1][..], 0));
    let last = |resolved: &Resolved| resolved.wanted.last().map(|wanted| wanted.target);
    assert_eq!(last(&all), Some(1));

    // No name; no way; an interface that the capture kernel cannot bring up.
    let nameless = Net {
        names: Vec::new(),
        ..on("eth0")
    };
    net.source = "10.9.9.9";
    for (net, why) in [
        (nameless, "The server nas has no address here"),
        (net, "no interface has the address 10.9.9.9"),
        (on("wg0"), "wireguard"),
    ] {
        let found = try_resolve(&fixture, &net, BOTH).unwrap();
        assert_eq!(found.of, [1]);
        assert!(matches!(found.targets[0].kind, TargetKind::Filesystem(_)));
        assert!(found.wanted.iter().all(|wanted| wanted.target == 0));
        assert_eq!(loaded(&fixture, &found), ["virtio_blk"]);
        assert!(found.options.is_empty(), "{:?}", found.options);
        let [left] = found.left_out.as_slice() else {
            panic!("{:?}", found.left_out);
        };
        assert_eq!((left.target, left.name.as_str()), (0, "nas:/srv/dumps"));
        assert!(left.why.contains(why), "{}", left.why);
        // Alone it is refused: nothing would be armed.
        let alone = try_resolve(&fixture, &net, TARGET).unwrap_err().to_string();
        assert!(alone.contains(why), "{alone}");
    }
    // What another network would not mend is refused.
    let wrong = BOTH.replace("dumps\"\n", "dumps\"\noptions = \"ro\"\n");
    assert!(try_resolve(&fixture, &on("wg0"), &wrong).is_err());
}
