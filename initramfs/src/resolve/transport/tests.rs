//! Made-up /sys trees: which transports are a network and which are not.

use crate::resolve::fixture::{Fixture, RUNNING, xfs};
use crate::resolve::{ResolveError, Resolved, resolve};

fn resolved(fixture: &Fixture) -> Result<Resolved, ResolveError> {
    let config = config::Config::default();
    resolve(&fixture.root(), &config, &fixture.index(RUNNING))
}

fn refusal(fixture: &Fixture) -> String {
    resolved(fixture).unwrap_err().to_string()
}

/// A disk `sda` at this path below /sys/devices, mounted on /.
fn mounted(path: &str) -> Fixture {
    let fixture = Fixture::new();
    fixture.block(path, "8:0", 1 << 20, &xfs());
    fixture.mounts(&[("8:0", "/", "/", "xfs", "/dev/sda")]);
    fixture
}

#[test]
fn an_iscsi_session_is_a_network() {
    let fixture = mounted("platform/host3/session1/target3:0:0/3:0:0:0/block/sda");
    fixture.file("/sys/class/iscsi_session/session1/state", "LOGGED_IN\n");
    let message = refusal(&fixture);
    assert!(
        message.contains("sda is a disk over iSCSI (session1),"),
        "{message}"
    );
    // A folder of that name alone proves nothing.
    let fixture = mounted("platform/host3/session1/target3:0:0/3:0:0:0/block/sda");
    assert!(resolved(&fixture).is_ok());
}

#[test]
fn fcoe_is_a_network_and_an_adapter_is_not() {
    let adapter = "pci0000:00/0000:05:00.0/host5/rport-5:0-1/target5:0:1/5:0:1:0/block/sda";
    let fixture = mounted(adapter);
    fixture.file("/sys/class/fc_host/host5/port_state", "Online\n");
    fixture.file("/sys/class/scsi_host/host5/proc_name", "lpfc\n");
    assert!(resolved(&fixture).is_ok());
    let fixture = mounted(
        "pci0000:00/0000:05:00.0/net/eth2/ctlr_0/host6/rport-6:0-1/target6:0:0/6:0:0:0/block/sda",
    );
    let message = refusal(&fixture);
    assert!(
        message.contains("the network interface eth2 (FCoE)"),
        "{message}"
    );
}

#[test]
fn srp_is_a_network() {
    let fixture = mounted("pci0000:00/0000:05:00.0/host7/port-7:1/target7:0:0/7:0:0:0/block/sda");
    fixture.file("/sys/class/scsi_host/host7/proc_name", "ib_srp\n");
    assert!(refusal(&fixture).contains("a disk over SRP (host7)"));
}

#[test]
fn nvme_over_fabrics_is_a_network_and_over_pcie_is_not() {
    for (transport, local) in [
        ("tcp", false),
        ("rdma", false),
        ("fc", false),
        ("pcie", true),
    ] {
        let fixture = Fixture::new();
        let controller = "virtual/nvme-fabrics/ctl/nvme0";
        fixture.block(&format!("{controller}/nvme0n1"), "259:0", 1 << 20, &xfs());
        fixture.file(
            &format!("/sys/devices/{controller}/transport"),
            format!("{transport}\n"),
        );
        fixture.mounts(&[("259:0", "/", "/", "xfs", "/dev/nvme0n1")]);
        match resolved(&fixture) {
            Ok(_) => assert!(local, "{transport}"),
            Err(why) => {
                let part = format!("nvme0n1 is a disk over NVMe/{transport},");
                assert!(!local && why.to_string().contains(&part), "{why}");
            }
        }
    }
}

#[test]
fn one_local_path_of_a_namespace_is_enough() {
    for (second, local) in [("pcie", true), ("tcp", false)] {
        let fixture = Fixture::new();
        let subsystem = "/sys/devices/virtual/nvme-subsystem/nvme-subsys0";
        for (controller, transport) in [("nvme0", "tcp"), ("nvme1", second)] {
            let home = format!("/sys/devices/somewhere/nvme/{controller}");
            fixture.file(&format!("{home}/transport"), transport);
            fixture.link(&format!("{subsystem}/{controller}"), &home);
        }
        let disk = "virtual/nvme-subsystem/nvme-subsys0/nvme0n1";
        fixture.block(disk, "259:0", 1 << 20, &xfs());
        fixture.mounts(&[("259:0", "/", "/", "xfs", "/dev/nvme0n1")]);
        assert_eq!(resolved(&fixture).is_ok(), local, "{second}");
    }
}

#[test]
fn ata_over_ethernet_is_a_network() {
    let fixture = Fixture::new();
    fixture.block("virtual/block/etherd!e0.0", "152:0", 1 << 20, &xfs());
    fixture.mounts(&[("152:0", "/", "/", "xfs", "/dev/etherd/e0.0")]);
    assert!(refusal(&fixture).contains("a disk over ATA over Ethernet"));
}
