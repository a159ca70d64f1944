//! Disks that are reached over a network. The capture kernel has none, so such a disk is refused.
//!
//! Facts, Linux 5.10 to 7.2: drivers/scsi/scsi_transport_iscsi.c (`session%u` between host and target),
//! drivers/nvme/host/sysfs.c (`transport` of a controller: pcie, apple-nvme, tcp, rdma, fc, loop),
//! drivers/scsi/fcoe/fcoe.c and drivers/scsi/bnx2fc (the FCoE controller is a child of its network
//! interface), drivers/infiniband/ulp/srp/ib_srp.c (proc_name). Fibre Channel adapters, and iSCSI or
//! FCoE firmware that shows plain SCSI disks, are local here: their driver is all they need.

use std::path::Path;

use super::sysfs::{Machine, name_of};

/// Block devices whose driver needs the network, by the beginning of their names.
const DRIVERS: [(&str, &str); 4] = [
    ("nbd", "a disk over the network (nbd)"),
    ("rbd", "a disk over the network (Ceph)"),
    ("drbd", "a disk over the network (DRBD)"),
    ("etherd", "a disk over ATA over Ethernet"),
];

/// Values of `transport` that need no network.
const LOCAL_NVME: [&str; 2] = ["pcie", "apple-nvme"];

/// What the disk at `sys` is, if a network lies between it and this machine: `a disk over iSCSI
/// (session1)`.
pub(super) fn over_network(machine: &Machine, sys: &Path) -> Option<String> {
    let root = machine.root;
    let device = name_of(sys);
    if let Some((_, what)) = DRIVERS
        .iter()
        .find(|(prefix, _)| is_numbered(&device, prefix))
    {
        return Some((*what).to_owned());
    }
    for dir in sys.ancestors() {
        let name = name_of(dir);
        if is_numbered(&name, "session")
            && root.exists(Path::new("/sys/class/iscsi_session").join(&name))
        {
            return Some(format!("a disk over iSCSI ({name})"));
        }
        if dir.parent().is_some_and(|parent| name_of(parent) == "net") {
            return Some(format!("a disk over the network interface {name} (FCoE)"));
        }
        if is_numbered(&name, "host") {
            let host = Path::new("/sys/class/scsi_host").join(&name);
            if root.text(host.join("proc_name")).as_deref() == Some("ib_srp") {
                return Some(format!("a disk over SRP ({name})"));
            }
        }
    }
    let transports: Vec<String> = machine
        .ways_up(sys)
        .iter()
        .filter_map(|way| {
            let mut above = way.ancestors();
            above.find_map(|dir| root.text(dir.join("transport")))
        })
        .collect();
    let local = |transport: &String| LOCAL_NVME.contains(&transport.as_str());
    // One path over PCIe is enough.
    if transports.iter().any(local) {
        return None;
    }
    transports
        .first()
        .map(|transport| format!("a disk over NVMe/{transport}"))
}

/// Whether a name is `prefix` and a number, with whatever follows a `!` or `p` (`etherd!e0.0`, `nbd0p1`).
pub(super) fn is_numbered(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix)
        .is_some_and(|n| n.starts_with(|c: char| c.is_ascii_digit() || c == '!'))
}

#[cfg(test)]
mod tests;
