//! Why a target cannot be one.

use std::path::PathBuf;

/// Why a target cannot be reached by a capture kernel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The mount table cannot be read.
    #[error("Cannot read the mounts in {}; is /proc mounted?", path.display())]
    Mounts {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No filesystem is mounted there.
    #[error("No filesystem is mounted at or above {}; mount it, or give the target a device", path.display())]
    NotMounted {
        /// The path.
        path: PathBuf,
    },
    /// The filesystem has no block device.
    #[error(
        "{} lies on {fstype}, which has no disk of its own, so a capture kernel cannot write there; choose a path on a local disk, or give the target a device",
        path.display()
    )]
    NoDisk {
        /// The path.
        path: PathBuf,
        /// The filesystem's type.
        fstype: String,
    },
    /// No such device here.
    #[error("No block device here is {wanted}; see the ones there are with: lsblk -f")]
    NoDevice {
        /// What was asked for.
        wanted: String,
    },
    /// Several devices answer to the same name.
    #[error("{} and {} are both {wanted}; a dump must not go to the wrong one, so make it unique", devices.first().map_or("", String::as_str), devices.get(1).map_or("", String::as_str))]
    Ambiguous {
        /// What was asked for.
        wanted: String,
        /// The devices.
        devices: Vec<String>,
    },
    /// The kernel does not show the device.
    #[error("The device {device} of {what} is not in /sys; is /sys mounted?")]
    NotInSys {
        /// Name or number of the device.
        device: String,
        /// What it is wanted for.
        what: String,
    },
    /// The filesystem's identity cannot be read.
    #[error("Cannot read the superblock of {}; run this as root", path.display())]
    Superblock {
        /// The device node.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No filesystem, or one that is not known.
    #[error(
        "{device} holds {found}; a capture kernel writes to ext2, ext3, ext4, xfs, btrfs and vfat only"
    )]
    Filesystem {
        /// The device.
        device: String,
        /// What is there instead.
        found: String,
    },
    /// A device that a stream must not be written to.
    #[error(
        "{device} cannot be a raw target: it {found}. If nothing on it is needed: sudo wipefs -a {0} && sudo dd if=/dev/zero of={0} bs=1M count=1", node.display()
    )]
    Raw {
        /// The device.
        device: String,
        /// Its node.
        node: PathBuf,
        /// What speaks against it, as "is …" or "holds …".
        found: String,
    },
    /// An encrypted device whose key does not get into the capture kernel.
    #[error(
        "{device} is the encrypted device {map}, and nobody can type its passphrase after the panic: {what}. Choose a target on another disk"
    )]
    Encrypted {
        /// The device.
        device: String,
        /// Its name.
        map: String,
        /// Why the key does not get there.
        what: String,
    },
    /// A layer that the capture kernel cannot put together.
    #[error(
        "{device} is {what}. The capture kernel cannot assemble it. Choose a target on another disk"
    )]
    Layer {
        /// The device.
        device: String,
        /// What it is.
        what: String,
    },
    /// A disk that is reached over a network.
    #[error(
        "{device} is {what}, and the capture kernel does not log in to it. Choose a target on a local disk or an NFS export"
    )]
    Network {
        /// The device.
        device: String,
        /// What it is.
        what: String,
    },
    /// LVM's description on disk cannot be read.
    #[error(
        "LVM's volume {device} on {pv} cannot be put together after a panic: {what}; run this as root, and check with: vgck"
    )]
    Lvm {
        /// The volume.
        device: String,
        /// The physical volume.
        pv: String,
        /// What is wrong.
        what: String,
    },
    /// A name without an address.
    #[error("The server {server} has no address here; check it with: getent ahosts {server}")]
    NoAddress {
        /// The name.
        server: String,
        /// Why it could not be asked.
        source: Option<std::io::Error>,
    },
    /// No way to a server.
    #[error("Cannot reach the server {server}: {why}; check it with: ip route get {server}")]
    NoWay {
        /// Its address.
        server: std::net::IpAddr,
        /// Why not.
        why: String,
    },
    /// An interface that the capture kernel cannot bring up.
    #[error(
        "The way to the server leads over {name}, {what}. The capture kernel cannot bring it up. Choose a target on a local disk, or a server that is reached by a network card, a VLAN or a bond"
    )]
    Interface {
        /// The interface.
        name: String,
        /// What it is.
        what: String,
    },
    /// A mount option of an NFS target that cannot hold.
    #[error("The NFS option {option} cannot be used: {why}; take it out of the target's options")]
    NfsOption {
        /// The option.
        option: String,
        /// Why not.
        why: &'static str,
    },
    /// A server that nobody vouched for.
    #[error(
        "No host key of {account} is on record. Record it, and compare the fingerprint with the server's: sudo afterpanic load --record-host-keys"
    )]
    UnknownHost {
        /// The account, as the config names it.
        account: String,
    },
    /// A private key that opens nothing.
    #[error("The key {} of {account} cannot be used: {why}", path.display())]
    Key {
        /// The account, as the config names it.
        account: String,
        /// The key's file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// A machine without an id.
    #[error(
        "This machine has no id in /etc/machine-id, so its directory on a shared store has no name; make one with: systemd-machine-id-setup"
    )]
    NoMachineId,
}

impl ResolveError {
    /// Whether it is about a server and the way to it: the other targets are used until it goes away.
    pub(super) fn is_of_the_network(&self) -> bool {
        matches!(
            self,
            Self::NoAddress { .. }
                | Self::NoWay { .. }
                | Self::Interface { .. }
                | Self::UnknownHost { .. }
                | Self::Key { .. }
        )
    }
}
