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
        "{device} is {what}, and the capture kernel has no network. Choose a target on a local disk"
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
}
