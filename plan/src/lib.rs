//! The plan: everything that was decided before the panic, as `plan.json` inside the capture image.
//!
//! It also holds the readers of superblocks ([`superblock`]) and LVM metadata ([`lvm`]) that run while
//! arming and again in the capture kernel, and [`BUILD`], the fingerprint of all that is in the capture
//! binary. This crate names `store` and below; it never opens a device for writing.
//!
//! It is filled while arming (crate `initramfs`) from the config and from what this machine looks
//! like, and read once in the capture kernel, where nothing else is parsed. Times are in seconds,
//! sizes in bytes. It knows nothing of the config's syntax; unknown keys are errors, because a
//! plan and its binary always come from the same build.

mod check;
mod hook;
pub mod lvm;
pub mod mount;
mod network;
pub mod superblock;
mod target;

pub use check::PlanError;
pub use hook::{Hook, LONGEST_HOOK, LONGEST_RESCUE, MOST_HOOKS, Rescue, When};
pub use network::{Link, LinkKind, Nfs, Server, Ssh, Way};
pub use target::{
    DeviceMapper, Directory, Filesystem, FsType, Identity, Layer, Segment, Takes, Target,
    TargetKind,
};

use dump::Dump;
use serde::{Deserialize, Serialize};
use store::Keep;

/// The version and a fingerprint of the sources: equal in the CLI and in the capture binary only when
/// both were built from the same ones.
pub const BUILD: &str = concat!(env!("CARGO_PKG_VERSION"), "+", env!("AFTERPANIC_SOURCES"));

/// What `afterpanic-capture --version` prints: one piece of text, so that it can be found in the file.
pub const BANNER: &str = concat!(
    "afterpanic-capture ",
    env!("CARGO_PKG_VERSION"),
    "+",
    env!("AFTERPANIC_SOURCES"),
    "\n"
);

/// The version of the plan's shape; a plan with another one is refused.
pub const VERSION: u32 = 1;

/// Path of the plan in the image.
pub const PATH: &str = "/plan.json";

/// Everything that is decided before the panic.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`VERSION`].
    pub version: u32,
    /// The version of afterpanic that wrote the plan.
    pub made_by: String,
    /// The kernel that is being watched over, as it was while arming.
    pub kernel: FirstKernel,
    /// The crashed kernel's memory: `/proc/vmcore`, or a core file by hand.
    #[serde(default = "default_source")]
    pub source: String,
    /// What is dumped and how.
    #[serde(default)]
    pub dump: Dump,
    /// Where to, first choice first.
    pub targets: Vec<Target>,
    /// Kernel modules in load order, each after those it needs.
    #[serde(default)]
    pub modules: Vec<Module>,
    /// Hardware watchdogs that were running while arming.
    #[serde(default)]
    pub watchdogs: Vec<Watchdog>,
    /// How many dumps stay and what stays free.
    #[serde(default)]
    pub keep: Keep,
    /// What happens when all is done, or nothing works.
    #[serde(default)]
    pub after: After,
    /// Programs of the operator, in the order in which they run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<Hook>,
}

/// The kernel that was running while arming.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirstKernel {
    /// `uname -r`. A core with another release is captured all the same, marked degraded.
    pub release: String,
    /// Its build id in hex, when it could be read.
    #[serde(default)]
    pub build_id: Option<String>,
    /// Addresses that this kernel's VMCOREINFO does not have: distances from `_stext`, by name
    /// ([`vmcore::kernel::recorded`]). Empty for a kernel whose VMCOREINFO has them.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub addresses: vmcore::kernel::recorded::RecordedAddresses,
    /// `uname -n`, used when the crashed kernel's own cannot be read.
    #[serde(default)]
    pub nodename: String,
}

/// One kernel module inside the image.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Module {
    /// Its path in the image, uncompressed: `/lib/modules/virtio_blk.ko`.
    pub path: String,
    /// Its name as the kernel says it: `virtio_blk`.
    pub name: String,
    /// Its parameters, as for insmod.
    #[serde(default)]
    pub options: String,
    /// Whether the target cannot be reached without it. The others may fail without an error.
    #[serde(default = "yes")]
    pub required: bool,
    /// The first target that needs it, by its place in [`Plan::targets`]: it is loaded when that one
    /// is tried. Watchdogs' drivers come first and belong to the first target.
    #[serde(default)]
    pub target: usize,
}

/// A watchdog that bites unless it is fed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watchdog {
    /// What the crashed kernel called it: `i6300esb`. Its module is in [`Plan::modules`].
    pub identity: String,
    /// The timeout to set, if another than the driver's own is wanted.
    #[serde(default)]
    pub timeout_s: Option<u32>,
}

/// The last act.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FinalAction {
    /// Start the machine again.
    #[default]
    Reboot,
    /// Switch it off.
    Poweroff,
    /// Stop and stay.
    Halt,
    /// Do nothing and exit: only where the capture binary is not PID 1.
    Exit,
}

impl FinalAction {
    /// The name used in the plan and in the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Reboot => "reboot",
            Self::Poweroff => "poweroff",
            Self::Halt => "halt",
            Self::Exit => "exit",
        }
    }
}

/// What happens at the end.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct After {
    /// When a dump arrived, complete or degraded.
    pub success: FinalAction,
    /// When none did, or not all of it.
    pub failure: FinalAction,
    /// Seconds for all steps. After that only what finishes runs, then the failure action.
    pub deadline_s: u64,
    /// Whether watchdogs are fed while the dump makes progress.
    pub feed_watchdog: bool,
    /// A shell on the console before the failure action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rescue: Option<Rescue>,
}

impl Default for After {
    fn default() -> Self {
        Self {
            success: FinalAction::Reboot,
            failure: FinalAction::Reboot,
            deadline_s: 3600,
            feed_watchdog: true,
            rescue: None,
        }
    }
}

fn default_source() -> String {
    "/proc/vmcore".to_owned()
}

fn yes() -> bool {
    true
}

impl Plan {
    /// A plan with every default and no target, for a kernel.
    #[must_use]
    pub fn new(kernel: FirstKernel) -> Self {
        Self {
            version: VERSION,
            made_by: env!("CARGO_PKG_VERSION").to_owned(),
            kernel,
            source: default_source(),
            dump: Dump::default(),
            targets: Vec::new(),
            modules: Vec::new(),
            watchdogs: Vec::new(),
            keep: Keep::default(),
            after: After::default(),
            hooks: Vec::new(),
        }
    }

    /// What stays on a target. On a server nothing is removed unless its target says how much stays.
    #[must_use]
    pub fn keep_on(&self, target: usize) -> Keep {
        let mut keep = self.keep.clone();
        if let Some(target) = self.targets.get(target) {
            let unsaid = match target.kind.server() {
                Some(_) => 0,
                None => keep.dumps,
            };
            keep.dumps = target.keep.unwrap_or(unsaid);
        }
        keep
    }

    /// Reads and validates a plan.
    ///
    /// # Errors
    /// [`PlanError`] with the key that is wrong.
    pub fn parse(text: &[u8]) -> Result<Self, PlanError> {
        let plan: Self = serde_json::from_slice(text)?;
        plan.validate()?;
        Ok(plan)
    }

    /// The plan as the bytes of `plan.json`.
    ///
    /// # Errors
    /// Those of [`Plan::validate`], so that no image is built with a plan that will be refused.
    pub fn to_json(&self) -> Result<Vec<u8>, PlanError> {
        self.validate()?;
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        Ok(text)
    }
}

#[cfg(test)]
mod tests;
