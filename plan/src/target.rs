//! Where the dump goes, and what proves that a device is the one that was armed.
//!
//! The stack of devices under a filesystem is recorded from the filesystem down: the first layer
//! is what is mounted, the last ones are disks. In the capture kernel it is what tells two devices
//! with one UUID apart, and what an assembled device is built from.

use crate::network::{Nfs, Server, Ssh};
use serde::{Deserialize, Serialize};

/// One place to write to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// What kind of place.
    pub kind: TargetKind,
    /// For all of it: device, mount, dump, umount. Then the next target.
    #[serde(default = "half_an_hour")]
    pub deadline_s: u64,
    /// How long to wait for the device to appear, within the deadline.
    #[serde(default = "half_a_minute")]
    pub device_wait_s: u64,
    /// What goes there.
    #[serde(default)]
    pub takes: Takes,
    /// How many crash directories stay there, in place of the plan's own number.
    #[serde(default)]
    pub keep: Option<u32>,
}

/// What a target takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Takes {
    /// The dump with everything else, if no target before it took that.
    #[default]
    Dump,
    /// Log and report, after the dump is safe.
    Report,
}

fn half_an_hour() -> u64 {
    1800
}

fn half_a_minute() -> u64 {
    30
}

/// The kinds of places.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetKind {
    /// A local filesystem that is mounted by us, or a device without one ([`FsType::Raw`]).
    Filesystem(Filesystem),
    /// An export of an NFS server, reached over the network.
    Nfs(Nfs),
    /// A directory of an account on a server, reached by SSH.
    Ssh(Ssh),
    /// A directory that is there already: by hand on a file, and in tests.
    Directory(Directory),
}

impl TargetKind {
    /// The server of a target that is reached over the network.
    #[must_use]
    pub fn server(&self) -> Option<Server> {
        match self {
            Self::Nfs(nfs) => Some(Server {
                target: nfs.to_string(),
                name: nfs.server.clone(),
                ways: nfs.ways.clone(),
            }),
            Self::Ssh(ssh) => Some(Server {
                target: ssh.to_string(),
                name: ssh.server.clone(),
                ways: ssh.ways.clone(),
            }),
            Self::Filesystem(_) | Self::Directory(_) => None,
        }
    }
}

/// A directory that is there already.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// Crash directories are made below it.
    pub path: String,
}

/// A local filesystem.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filesystem {
    /// Its type, proven by its superblock before the mount.
    pub fstype: FsType,
    /// What finds its device.
    pub identity: Identity,
    /// The filesystem's own UUID as recorded while arming, checked even when a label or a
    /// partition UUID finds the device. In the form that blkid prints.
    #[serde(default)]
    pub uuid: Option<String>,
    /// The directory for crashes, inside the filesystem: `/var/crash`.
    pub path: String,
    /// Mount options, without `rw`.
    #[serde(default)]
    pub options: Vec<String>,
    /// The device stack, from the mounted device down to the disks.
    #[serde(default)]
    pub stack: Vec<Layer>,
}

/// Filesystems that can be probed and mounted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum FsType {
    Ext2,
    Ext3,
    Ext4,
    Xfs,
    Btrfs,
    Vfat,
    /// None: the crash directory is a stream on the device (`store::raw`).
    Raw,
}

impl FsType {
    /// Every type that is mounted.
    pub const ALL: [Self; 6] = [
        Self::Ext2,
        Self::Ext3,
        Self::Ext4,
        Self::Xfs,
        Self::Btrfs,
        Self::Vfat,
    ];

    /// The kernel's name, for mount(2).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext2 => "ext2",
            Self::Ext3 => "ext3",
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
            Self::Vfat => "vfat",
            Self::Raw => "raw",
        }
    }

    /// The type of a kernel name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fs| fs.name() == name)
    }
}

/// What finds a filesystem's device. All comparisons ignore case.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Identity {
    /// The filesystem's UUID as blkid prints it (vfat: `1234-ABCD`).
    Uuid(String),
    /// The filesystem's label.
    Label(String),
    /// The partition's UUID (GPT, or `1234abcd-01` for MBR).
    Partuuid(String),
    /// The device stack, which must prove it: what has no filesystem has no name of its own.
    Stack,
}

/// One device of the stack under a filesystem.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Layer {
    /// A whole disk.
    Disk {
        /// Its name while arming (`vda`), for messages only.
        name: String,
        /// Its WWID (`/sys/block/*/device/wwid`, `/sys/block/*/wwid`), if it has one.
        #[serde(default)]
        wwid: Option<String>,
        /// Its serial number, if it has one.
        #[serde(default)]
        serial: Option<String>,
        /// Its size in 512-byte sectors.
        sectors: u64,
    },
    /// A partition of the next disk in the stack.
    Partition {
        /// Its name while arming (`vda1`), for messages only.
        name: String,
        /// Its number.
        number: u32,
        /// Its UUID (PARTUUID), if the table has them.
        #[serde(default)]
        partuuid: Option<String>,
        /// Its first 512-byte sector.
        start: u64,
        /// Its size in 512-byte sectors.
        sectors: u64,
    },
    /// An md array.
    Md {
        /// Its name while arming (`md0`), for messages only.
        name: String,
        /// Its UUID, 32 hex digits.
        uuid: String,
        /// `raid1` and so on.
        level: String,
        /// The superblock's version: `1.2`, `1.0`, `0.90`.
        metadata: String,
        /// Number of member devices.
        members: u32,
        /// The members' event count: one with a smaller count had left the array before.
        #[serde(default)]
        events: u64,
    },
    /// A device-mapper device: an LVM volume, an opened LUKS2 volume.
    Dm(DeviceMapper),
}

/// A device-mapper device as it was while arming.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceMapper {
    /// Its name while arming: `vg0-crash`.
    pub name: String,
    /// Its dm UUID: `LVM-…`, `CRYPT-LUKS2-…`.
    pub uuid: String,
    /// LVM's volume group UUID, as vgs prints it.
    #[serde(default)]
    pub vg_uuid: Option<String>,
    /// LVM's logical volume UUID.
    #[serde(default)]
    pub lv_uuid: Option<String>,
    /// The volume group's metadata sequence number; another one on disk makes the table stale.
    #[serde(default)]
    pub vg_seqno: Option<u64>,
    /// The table, one entry a segment, in order.
    pub table: Vec<Segment>,
}

impl DeviceMapper {
    /// Whether it is an opened LUKS volume.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.uuid.starts_with("CRYPT-")
    }

    /// The description of the key that dm-crypt takes out of a keyring, if the device is encrypted. The kernel that
    /// panicked has it as a `logon` key; the capture kernel gets it as a `user` key
    /// (kernel/crash_dump_dm_crypt.c, Linux 6.16 and later), so the table has `:SIZE:user:DESCRIPTION`.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        let line = self.table.first().filter(|_| self.is_encrypted())?;
        let key = line.params.split(' ').nth(1)?;
        key.strip_prefix(':')?
            .split_once(":user:")
            .map(|(_, key)| key)
    }
}

/// One line of a device-mapper table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// First 512-byte sector.
    pub start: u64,
    /// Sectors.
    pub sectors: u64,
    /// `linear`, `striped`, `crypt`.
    pub target: String,
    /// The parameters, with `{0}`, `{1}` … where a device number stands.
    pub params: String,
    /// The UUIDs of LVM physical volumes, or of a LUKS volume, by these numbers.
    pub devices: Vec<String>,
}
