//! The crashed kernel's userspace in a rehearsal, both sides of it.
//!
//! The host writes a [`Script`] into an initramfs ([`image`]); in the guest, `afterpanic`
//! is PID 1 and follows it ([`init`]). There is no shell and no busybox; a script may name programs
//! that its image brings along.
//! What it does is told on the console in lines that begin with [`SAYS`].

pub mod image;
pub mod init;
mod nfsd;

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How every console line of the guest's init begins.
pub const SAYS: &str = "guest: ";
/// Where the script lies in the initramfs.
pub const SCRIPT: &str = "/guest.json";
/// The last line before the panic is asked for.
pub const PANICS_NOW: &str = "panics now";
/// The line that says how many bytes the kernel has reserved for a capture kernel begins so.
pub const RESERVED: &str = "reserved: ";
/// The line of a server that waits for its clients.
pub const SERVES: &str = "serves";
/// The line after everything was handed out.
pub const HANDED_OUT: &str = "handed out";

/// What the guest does, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// The node name; it becomes part of the crash directory's.
    pub hostname: String,
    /// Kernel modules to load, by path, in order.
    pub modules: Vec<PathBuf>,
    /// Commands that put disks together before anything is mounted.
    pub before: Vec<Step>,
    /// Filesystems to mount.
    pub mounts: Vec<Mount>,
    /// Directories to make on them.
    #[serde(default)]
    pub folders: Vec<Folder>,
    /// Commands to run, each a program and its arguments: this is where `afterpanic load` stands.
    pub run: Vec<Step>,
    /// How it ends.
    pub end: End,
    /// What the machine does in its next boots, one after the other, instead of all that stands
    /// between mounting and the end. Not empty: boots are counted on the first mount, which also
    /// holds /var/lib/afterpanic.
    pub later: Vec<Boot>,
}

/// A later boot of the same machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boot {
    /// Commands to run.
    pub run: Vec<Step>,
    /// How it ends.
    pub end: End,
}

/// What finds a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Which {
    /// A virtio disk by its serial number.
    Serial(String),
    /// The device that holds the filesystem with this UUID.
    Uuid(String),
}

/// A disk, mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// The disk.
    pub disk: Which,
    /// The filesystem type.
    pub fs: String,
    /// The mount point.
    pub at: PathBuf,
    /// Whether nothing may be written.
    pub read_only: bool,
}

/// A directory to make, with its parents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Folder {
    /// The directory.
    pub path: PathBuf,
    /// The user id of its owner.
    pub owner: u32,
}

/// A command to run and what is expected of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Exit statuses that let the script go on.
    pub ok: Vec<i32>,
}

/// How the script ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum End {
    /// The kernel panics by `echo c > /proc/sysrq-trigger`.
    Panic,
    /// PID 1 becomes this program, with these arguments; it says [`PANICS_NOW`] and panics.
    Become(Vec<String>),
    /// A directory is written to the disk with this serial as a tar stream; then power off.
    HandOut {
        /// The directory.
        dir: PathBuf,
        /// The raw disk.
        serial: String,
    },
    /// Says [`SERVES`] and waits until the power is taken away.
    Serve {
        /// The kernel's NFS server exports this directory as the root of its exports.
        export: PathBuf,
        /// The addresses that it is exported to; none: no NFS server is started.
        to: Vec<String>,
    },
    /// Power off.
    PowerOff,
}
