//! Every key of the file as a type, each with the default that `dist/afterpanic.toml` states.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};

use crate::units::{Size, Time};
use checks::{absolute_list, positive};

mod auto;
mod capture_kernel;
mod checks;
mod dump;
mod notify;
mod target;

pub use auto::Auto;
pub use capture_kernel::{CaptureKernel, KernelChoice, Syscall};
pub use dump::Dump;
pub use notify::Notify;
pub use target::{Device, Target};

/// The whole file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What is saved, and in which form.
    pub dump: Dump,
    /// Where it goes, in the order in which they are tried; never empty.
    #[serde(deserialize_with = "targets")]
    pub target: Vec<Target>,
    /// How many crashes stay.
    pub keep: Keep,
    /// The kernel that captures. Earlier versions called this section `panic_kernel`.
    #[serde(alias = "panic_kernel")]
    pub capture_kernel: CaptureKernel,
    /// What goes into its image besides what the target needs.
    pub image: Image,
    /// What happens when the dump is done, or cannot be.
    pub after: After,
    /// Who is told at the next boot.
    pub notify: Notify,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            dump: Dump::default(),
            target: vec![Target::default()],
            keep: Keep::default(),
            capture_kernel: CaptureKernel::default(),
            image: Image::default(),
            after: After::default(),
            notify: Notify::default(),
        }
    }
}

/// `[keep]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keep {
    /// How many crashes stay; 0 removes none.
    pub dumps: u32,
    /// Always left free on the target.
    pub free: Size,
    /// A machine that crashes in a loop stops writing cores.
    pub loop_guard: bool,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            dumps: 5,
            free: Size(1 << 30),
            loop_guard: true,
        }
    }
}

/// `[image]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Image {
    /// Modules besides those that the target needs.
    pub extra_modules: Vec<String>,
    /// Modules left out although something asks for them.
    pub omit_modules: Vec<String>,
    /// Files, with the libraries they need.
    #[serde(deserialize_with = "absolute_list")]
    pub extra_files: Vec<PathBuf>,
}

/// `[after]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct After {
    /// When the dump is done.
    pub success: Action,
    /// When it cannot be.
    pub failure: Action,
    /// For everything; then the failure action.
    #[serde(deserialize_with = "positive")]
    pub deadline: Time,
    /// The watchdog is fed while the dump makes progress.
    pub watchdog: bool,
}

impl Default for After {
    fn default() -> Self {
        Self {
            success: Action::Reboot,
            failure: Action::Reboot,
            deadline: Time(3600),
            watchdog: true,
        }
    }
}

/// The last act of the capture kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Start the machine again.
    Reboot,
    /// Switch it off.
    Poweroff,
    /// Stop and wait for somebody.
    Halt,
}

fn targets<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<Target>, D::Error> {
    let targets = Vec::<Target>::deserialize(d)?;
    if targets.is_empty() {
        return Err(serde::de::Error::custom(
            "the list of targets is empty; leave it out and cores go to /var/crash",
        ));
    }
    Ok(targets)
}
