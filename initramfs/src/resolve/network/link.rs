//! A network interface down to its cards, and their modules.
//!
//! Facts: Documentation/ABI/testing/sysfs-class-net, Documentation/networking/bonding.rst,
//! net/8021q/vlanproc.c, Linux 5.10 to 7.2.

use super::super::error::ResolveError;
use super::super::sysfs::{Machine, name_of};
use crate::closure::Wanted;
use plan::{Link, LinkKind};
use std::path::{Path, PathBuf};

/// Interfaces stacked deeper than this are a circle.
const MAX_DEPTH: usize = 4;

/// The largest packet of plain Ethernet, in bytes.
const ETHERNET_MTU: u32 = 1500;

/// The interface of a name, with what is below it.
///
/// # Errors
/// It is of a kind that the capture kernel cannot put together.
pub(super) fn resolve(
    machine: &Machine,
    name: &str,
    what: &str,
    wanted: &mut Vec<Wanted>,
) -> Result<Link, ResolveError> {
    descend(machine, name, what, wanted, 0)
}

fn descend(
    machine: &Machine,
    name: &str,
    what: &str,
    wanted: &mut Vec<Wanted>,
    depth: usize,
) -> Result<Link, ResolveError> {
    let root = machine.root;
    let dir = Path::new("/sys/class/net").join(name);
    let refuse = |kind: String| ResolveError::Interface {
        name: name.to_owned(),
        what: kind,
    };
    if depth > MAX_DEPTH {
        return Err(refuse("an interface that stands on itself".to_owned()));
    }
    let mtu = root
        .number(dir.join("mtu"))
        .and_then(|mtu| u32::try_from(mtu).ok());
    let link = |kind| Link {
        name: name.to_owned(),
        mtu: mtu.unwrap_or(ETHERNET_MTU),
        kind,
    };
    let below = |name: &str, wanted: &mut Vec<Wanted>| {
        descend(machine, name, what, wanted, depth.saturating_add(1))
    };
    if root.exists(dir.join("bonding")) {
        let mode = root.text(dir.join("bonding/mode")).unwrap_or_default();
        let mode = mode.split_whitespace().next().unwrap_or_default();
        let names = root.text(dir.join("bonding/slaves")).unwrap_or_default();
        let ports = names
            .split_whitespace()
            .map(|port| below(port, wanted))
            .collect::<Result<Vec<_>, _>>()?;
        if ports.is_empty() {
            return Err(refuse("a bond without ports".to_owned()));
        }
        wanted.push(Wanted::required(
            "bonding",
            format!("{what}: {name} is a bond"),
        ));
        return Ok(link(LinkKind::Bond {
            mode: mode.to_owned(),
            ports,
        }));
    }
    if root.exists(dir.join("bridge")) {
        // A bridge's address belongs on what leads out of the machine, not to its guests.
        let ports = root.names(dir.join("brif"));
        let mut out = ports.iter().filter(|port| leads_out(machine, port));
        return match (out.next(), out.next()) {
            (Some(port), None) => below(port, wanted),
            (None, _) => Err(refuse("a bridge without a network card".to_owned())),
            (Some(_), Some(_)) => Err(refuse("a bridge with several network cards".to_owned())),
        };
    }
    let uevent = machine.uevent(&dir, "DEVTYPE").unwrap_or_default();
    if uevent == "vlan" {
        let (id, lower) = vlan(machine, name).ok_or_else(|| {
            refuse("a VLAN whose number /proc/net/vlan/config does not say".to_owned())
        })?;
        let lower = below(&lower, wanted)?;
        wanted.push(Wanted::required(
            "8021q",
            format!("{what}: {name} is a VLAN"),
        ));
        return Ok(link(LinkKind::Vlan {
            id,
            below: Box::new(lower),
        }));
    }
    if root.exists(dir.join("phy80211")) || root.exists(dir.join("wireless")) {
        return Err(refuse("a wireless card".to_owned()));
    }
    let Ok(device) = root.resolve(dir.join("device")) else {
        return Err(refuse(kind_of(machine, &dir, &uevent)));
    };
    // A port of a bond has the bond's address while it is one.
    let mac = root
        .text(dir.join("bonding_slave/perm_hwaddr"))
        .or_else(|| root.text(dir.join("address")))
        .unwrap_or_default();
    for driver in machine.modules(&device, what) {
        if !wanted.contains(&driver) {
            wanted.push(driver);
        }
    }
    Ok(link(LinkKind::Card {
        mac,
        device: name_of(&device),
    }))
}

/// Whether an interface leads to a card of this machine.
fn leads_out(machine: &Machine, name: &str) -> bool {
    let dir = Path::new("/sys/class/net").join(name);
    let has = |file: &str| machine.root.exists(dir.join(file));
    has("device") || has("bonding") || machine.uevent(&dir, "DEVTYPE").as_deref() == Some("vlan")
}

/// Number and lower interface of a VLAN: `eth0.5 | 5 | eth0` in `/proc/net/vlan/config`.
fn vlan(machine: &Machine, name: &str) -> Option<(u16, String)> {
    let table = machine.root.text("/proc/net/vlan/config")?;
    table.lines().find_map(|line| {
        let mut fields = line.split('|').map(str::trim);
        (fields.next()? == name).then_some(())?;
        Some((fields.next()?.parse().ok()?, fields.next()?.to_owned()))
    })
}

/// What an interface without a device is, in words.
fn kind_of(machine: &Machine, dir: &Path, uevent: &str) -> String {
    let has = |file: &str| machine.root.exists(dir.join(file));
    let master = |dir: &Path| -> Option<PathBuf> { machine.root.resolve(dir.join("master")).ok() };
    if master(dir).is_some_and(|master| name_of(&master) == "ovs-system") {
        return "a port of Open vSwitch".to_owned();
    }
    if has("tun_flags") {
        return "a tunnel to a program (tun or tap)".to_owned();
    }
    match uevent {
        "" => "an interface without a network card, perhaps a team or Open vSwitch".to_owned(),
        kind => format!("an interface of the kind {kind}"),
    }
}
