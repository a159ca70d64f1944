//! The crashed kernel's userspace in a rehearsal, both sides of it.
//!
//! The host writes a [`Script`] into an initramfs ([`image`]); in the guest, `afterpanic
//! guest-init` is PID 1 and follows it ([`init`]). Nothing else runs there: no shell, no busybox.
//! What it does is told on the console in lines that begin with [`SAYS`].

mod hotplug;
pub mod image;
pub mod init;
mod live;
pub mod panic;
mod pipes;
pub mod tar;
pub mod work;

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
/// The line with which the guest asks the host for a non-maskable interrupt.
pub const WANTS_NMI: &str = "waits for a non-maskable interrupt";
/// The line with which the guest asks the host for a fatal machine check.
pub const WANTS_MACHINE_CHECK: &str = "waits for a machine check";
/// The line with which the guest asks the host for more memory.
pub const WANTS_MEMORY: &str = "waits for more memory";
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
    /// Files under /proc/sys and /sys to write before the work begins.
    pub settings: Vec<Setting>,
    /// What goes on in the machine.
    pub work: Work,
    /// Modules to load after the work has begun, with their parameters.
    pub later_modules: Vec<PathBuf>,
    /// Commands to run, each a program and its arguments: this is where `afterpanic load` stands.
    pub run: Vec<Step>,
    /// Disks whose first MiB is wiped just before the end: nobody finds them afterwards.
    pub wipe: Vec<String>,
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

/// A file and what to write into it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// Its path.
    pub path: PathBuf,
    /// The value.
    pub value: String,
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

/// The load on the machine when it dies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// MiB of files in a tmpfs.
    pub files_mib: u32,
    /// A string that one process holds in its memory, many times over.
    pub secret: String,
    /// Processes that only sleep.
    pub sleepers: u32,
    /// Processes that spin.
    pub spinners: u32,
    /// Pages in pipes with as many free pages between them.
    pub pipe_pages: u32,
    /// Processes that write files on the target and sync them, over and over.
    pub writers: u32,
    /// Take memory until only so many MiB are available, and keep using it.
    pub press_leave_mib: Option<u64>,
    /// Processes of a hundred threads each, all asleep.
    #[serde(default)]
    pub crowds: u32,
    /// Processes that leave a child behind which has ended.
    #[serde(default)]
    pub zombies: u32,
    /// Fill this directory until only so many KiB are free.
    pub fill: Option<Fill>,
}

/// A filesystem to fill up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fill {
    /// A directory on it.
    pub dir: PathBuf,
    /// What to leave.
    pub leave_kib: u64,
}

/// How the script ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum End {
    /// The kernel panics.
    Panic(How),
    /// A directory is written to the disk with this serial as a tar stream; then power off.
    HandOut {
        /// The directory.
        dir: PathBuf,
        /// The raw disk.
        serial: String,
    },
    /// Power off.
    PowerOff,
}

/// What makes the kernel panic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum How {
    /// `echo c > /proc/sysrq-trigger`, on that CPU if given.
    Sysrq {
        /// The CPU that panics.
        cpu: Option<u32>,
    },
    /// PID 1 exits.
    InitExits,
    /// A process eats all memory with `vm.panic_on_oom=2`.
    OutOfMemory,
    /// The host sends a non-maskable interrupt, with `kernel.unknown_nmi_panic=1`.
    Nmi,
    /// The host reports an uncorrected error of the processor.
    MachineCheck,
    /// A module is loaded that does it.
    Module {
        /// Its path.
        path: PathBuf,
        /// Its parameters.
        parameters: String,
    },
    /// A command is run that does it.
    Command(Vec<String>),
}
