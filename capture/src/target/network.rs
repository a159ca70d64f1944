//! The network of the capture kernel: only what leads to the target's server.
//!
//! The plan has everything: cards by hardware address, our address, the router. Nothing is asked for:
//! no names, and an address only where the target says so. Facts: Documentation/ABI/testing/sysfs-class-net,
//! Documentation/networking/bonding.rst, Linux 5.10 to 7.2.

use super::dhcp;
use super::netlink::Netlink;
use crate::protocol;
use plan::{Link, LinkKind, Way};
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

const CLASS: &str = "/sys/class/net";

/// How often a card or a link is looked for.
const LOOK: Duration = Duration::from_millis(20);

/// Brings up the way to a server. Answers our own address on it.
///
/// # Errors
/// What is missing or what the kernel refused, in one sentence.
pub(super) fn bring_up(way: &Way, until: Instant) -> Result<IpAddr, String> {
    let netlink =
        Netlink::open().map_err(|error| format!("Cannot configure a network: {error}"))?;
    let name = link(&netlink, &way.link, until)?;
    wait_for_carrier(&name, until)?;
    let index = index(&name)?;
    let failed = |what: &str, error: io::Error| format!("Cannot set {what} on {name}: {error}");
    let (source, prefix, router) = address(way, &name);
    netlink
        .address(index, source, prefix)
        .map_err(|error| failed("the address", error))?;
    let near = same_network(way.server, source, prefix);
    let gateway = match way.dhcp && near {
        // The recorded network may have been another one.
        true => None,
        false => router,
    };
    if gateway.is_some() || !near {
        netlink
            .route(index, way.server, gateway)
            .map_err(|error| failed("the route", error))?;
    }
    let by = gateway.map_or(String::new(), |router| format!(" by {router}"));
    protocol::log(format!("{name} is up: {source} to {}{by}", way.server));
    Ok(source)
}

/// Our address, the length of its prefix and the first router: recorded, or from a DHCP server where the target
/// says so and one answers.
fn address(way: &Way, name: &str) -> (IpAddr, u8, Option<IpAddr>) {
    if let (true, IpAddr::V4(before)) = (way.dhcp, way.source) {
        let mac = text(&Path::new(CLASS).join(name).join("address"));
        match dhcp::ask(name, &mac, before) {
            Ok(lease) => {
                let (address, server) = (lease.address, lease.server);
                protocol::log(format!("{name} got {address} by DHCP from {server}"));
                let router = lease.router.map(IpAddr::V4);
                let prefix = lease.prefix.unwrap_or(way.prefix);
                return (address.into(), prefix, router.or(way.gateway));
            }
            Err(why) => protocol::log(format!("{why}; it takes {before}, as while arming")),
        }
    }
    (way.source, way.prefix, way.gateway)
}

/// Whether the server is in the network of our address.
fn same_network(server: IpAddr, source: IpAddr, prefix: u8) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => u128::from(u32::from(address)) << 96,
        IpAddr::V6(address) => u128::from(address),
    };
    let rest = 128_u32.saturating_sub(u32::from(prefix));
    let network = |address| bits(address).checked_shr(rest).unwrap_or(0);
    network(server) == network(source)
}

/// Puts an interface together and brings it up. Answers its name.
fn link(netlink: &Netlink, link: &Link, until: Instant) -> Result<String, String> {
    let name = match &link.kind {
        LinkKind::Card { mac, device } => card(link, mac, device, until)?,
        LinkKind::Vlan { id, below } => {
            let below = self::link(netlink, below, until)?;
            let name = short(&below, &format!(".{id}"));
            let made = netlink.vlan(index(&below)?, &name, *id);
            there_already(made)
                .map_err(|error| format!("Cannot make the VLAN {id} on {below}: {error}"))?;
            name
        }
        LinkKind::Bond { mode, ports } => bond(netlink, mode, ports, until)?,
    };
    netlink
        .up(index(&name)?, link.mtu)
        .map_err(|error| format!("Cannot bring up {name}: {error}"))?;
    Ok(name)
}

/// A name for an interface on top of another; the kernel takes 15 bytes (IFNAMSIZ).
fn short(below: &str, end: &str) -> String {
    let room = 15_usize.saturating_sub(end.len());
    let start: String = below.chars().take(room).collect();
    format!("{start}{end}")
}

/// A second attempt finds what the first one made.
fn there_already(made: io::Result<()>) -> io::Result<()> {
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// The name that a card has in this kernel, waiting for its driver.
fn card(link: &Link, mac: &str, device: &str, until: Instant) -> Result<String, String> {
    loop {
        if let Some(name) = find_card(Path::new(CLASS), mac, device) {
            return Ok(name);
        }
        if Instant::now() >= until {
            return Err(format!(
                "No network card has the address {mac} ({} while arming)",
                link.name
            ));
        }
        sleep(LOOK);
    }
}

/// The card with a hardware address; of several, as behind one adapter, the one on the same device.
fn find_card(class: &Path, mac: &str, device: &str) -> Option<String> {
    let mut found: Vec<(bool, String)> = Vec::new();
    for entry in fs::read_dir(class).ok()?.flatten() {
        let dir = entry.path();
        let Ok(at) = fs::canonicalize(dir.join("device")) else {
            continue;
        };
        if text(&dir.join("address")).eq_ignore_ascii_case(mac) {
            let other = at.file_name().is_none_or(|name| name != device);
            found.push((other, entry.file_name().to_string_lossy().into_owned()));
        }
    }
    found.sort();
    found.into_iter().next().map(|(_, name)| name)
}

/// Makes a bond of its ports.
fn bond(netlink: &Netlink, mode: &str, ports: &[Link], until: Instant) -> Result<String, String> {
    let name = "afterpanic0".to_owned();
    let dir = PathBuf::from(CLASS).join(&name);
    let set = |file: &str, value: &str| {
        let path = dir.join("bonding").join(file);
        fs::write(&path, value)
            .map_err(|error| format!("Cannot write {value} to {}: {error}", path.display()))
    };
    if !dir.exists() {
        fs::write(Path::new(CLASS).join("bonding_masters"), format!("+{name}"))
            .map_err(|error| format!("Cannot make a bond: {error}"))?;
        set("mode", mode)?;
        // Without it the state of the links is not watched.
        set("miimon", "100")?;
    }
    let mut joined = false;
    let mut why = String::new();
    for port in ports {
        // One dead card is what bonds are for.
        let joins = match &port.kind {
            LinkKind::Card { mac, device } => {
                // The first port is waited for, the others are there by then.
                let until = if joined { Instant::now() } else { until };
                card(port, mac, device, until).and_then(|port| set("slaves", &format!("+{port}")))
            }
            _ => link(netlink, port, until).and_then(|port| set("slaves", &format!("+{port}"))),
        };
        match joins {
            Ok(()) => joined = true,
            Err(error) => {
                protocol::log(error.clone());
                why = error;
            }
        }
    }
    if joined { Ok(name) } else { Err(why) }
}

/// Waits until an interface has a link.
fn wait_for_carrier(name: &str, until: Instant) -> Result<(), String> {
    let carrier = Path::new(CLASS).join(name).join("carrier");
    loop {
        if text(&carrier) == "1" {
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(format!("{name} has no link; is its cable in?"));
        }
        sleep(LOOK);
    }
}

fn index(name: &str) -> Result<u32, String> {
    text(&Path::new(CLASS).join(name).join("ifindex"))
        .parse()
        .map_err(|_| format!("The interface {name} is gone"))
}

fn text(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_card_is_found_by_address_then_by_device() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for (name, device, mac) in [
            ("ens3", "0000:00:03.0", "52:54:00:AA:00:01"),
            ("ens4", "0000:00:04.0", "52:54:00:aa:00:01"),
            ("ens5", "0000:00:05.0", "52:54:00:aa:00:02"),
        ] {
            fs::create_dir_all(at("devices").join(device)).unwrap();
            fs::create_dir_all(at("class").join(name)).unwrap();
            symlink(
                at("devices").join(device),
                at("class").join(name).join("device"),
            )
            .unwrap();
            fs::write(at("class").join(name).join("address"), format!("{mac}\n")).unwrap();
        }
        // An interface without a device has the address of what is below it.
        fs::create_dir_all(at("class/bond0")).unwrap();
        fs::write(at("class/bond0/address"), "52:54:00:aa:00:02\n").unwrap();
        let found = |mac: &str, device: &str| find_card(&at("class"), mac, device);
        assert_eq!(found("52:54:00:aa:00:02", "").as_deref(), Some("ens5"));
        let of = |device: &str| found("52:54:00:aa:00:01", device).unwrap();
        assert_eq!(
            (of("0000:00:04.0"), of("0000:00:09.0")),
            ("ens4".into(), "ens3".into())
        );
        assert_eq!(found("52:54:00:aa:00:03", ""), None);
    }

    #[test]
    fn names_fit_the_kernel() {
        assert_eq!(short("eth0", ".5"), "eth0.5");
        assert_eq!(short("enp129s0f0np0v12", ".4094"), "enp129s0f0.4094");
    }

    #[test]
    fn networks_are_told_apart() {
        let same = |server: &str, source: &str, prefix| {
            same_network(server.parse().unwrap(), source.parse().unwrap(), prefix)
        };
        assert!(same("10.0.2.9", "10.0.2.15", 24));
        assert!(!same("10.0.3.9", "10.0.2.15", 24));
        assert!(!same("10.0.2.9", "10.0.2.15", 32));
        assert!(same("fd00::7", "fd00::1", 64));
        assert!(same("192.0.2.1", "10.0.2.15", 0));
    }
}
