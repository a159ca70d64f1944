//! Every key of the file as a type, each with the default that `dist/afterpanic.toml` states.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};

use crate::units::{Size, Time};
use checks::{absolute_list, path_or_none, positive};

mod auto;
mod capture_kernel;
mod checks;
mod dump;
mod hook;
mod notify;
mod target;

pub use auto::Auto;
pub use capture_kernel::{CaptureKernel, KernelChoice, Syscall};
pub use dump::Dump;
pub use hook::Hook;
pub use notify::Notify;
pub(crate) use notify::is_address;
pub use target::{Account, Copy, Device, Export, Target};

/// The whole file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What is saved, and in which format.
    pub dump: Dump,
    /// Where crash directories are written. Targets are tried in order; log and report go to the first that
    /// works.
    #[serde(deserialize_with = "targets")]
    pub target: Vec<Target>,
    /// Which crash directories stay.
    pub keep: Keep,
    /// The capture kernel. Earlier versions called this section `panic_kernel`.
    #[serde(alias = "panic_kernel")]
    pub capture_kernel: CaptureKernel,
    /// What the capture image holds besides what the target needs.
    pub image: Image,
    /// What the capture kernel does at the end.
    pub after: After,
    /// How a crash is announced at the next boot.
    pub notify: Notify,
    /// What is made of a crash at the next boot.
    pub report: Report,
    /// Programs that run in the capture kernel, in this order.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "hook::hooks"
    )]
    pub hook: Vec<Hook>,
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
            report: Report::default(),
            hook: Vec::new(),
        }
    }
}

/// `[keep]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keep {
    /// How many crash directories with a whole core stay, and how many without one. The oldest are removed
    /// before a new one is written, but never the only whole core and never the first crash with the
    /// signature of the new one. 0 removes none.
    ///
    /// Example: `dumps = 10`
    pub dumps: u32,
    /// Space on the target that is always left free. A core that does not fit is written at level standard;
    /// if that does not fit, either, only the essential pages are kept.
    ///
    /// Example: `free = "10GiB"`
    pub free: Size,
    /// Stop writing cores while the machine crashes again and again for the same reason. Log, report and
    /// essential pages are still written.
    ///
    /// Example: `loop_guard = false`
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
    /// Kernel modules that the image gets besides those that the target needs, with their dependencies.
    ///
    /// Example: `extra_modules = ["megaraid_sas"]`
    pub extra_modules: Vec<String>,
    /// Kernel modules that are left out although something asks for them.
    ///
    /// Example: `omit_modules = ["mlx5_core"]`
    pub omit_modules: Vec<String>,
    /// Files that the image gets, with the libraries that they need.
    ///
    /// Example: `extra_files = ["/etc/multipath.conf"]`
    #[serde(deserialize_with = "absolute_list")]
    pub extra_files: Vec<PathBuf>,
}

/// `[after]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct After {
    /// What the capture kernel does when everything is saved: `"reboot"`, `"poweroff"` or `"halt"`.
    ///
    /// Example: `success = "poweroff"`
    pub success: Action,
    /// What it does when something could not be saved: `"reboot"`, `"poweroff"` or `"halt"`.
    ///
    /// Example: `failure = "halt"`
    pub failure: Action,
    /// How long the capture may take in all. Then the failure action follows.
    ///
    /// Example: `deadline = "4h"`
    #[serde(deserialize_with = "positive")]
    pub deadline: Time,
    /// Feed the hardware watchdog while the dump makes progress.
    ///
    /// Example: `watchdog = false`
    pub watchdog: bool,
    /// Open this shell on the console before the failure action. The image gets its file. `"off"`: no
    /// shell.
    ///
    /// Example: `rescue = "/bin/sh"`
    #[serde(with = "hook::rescue")]
    pub rescue: Option<PathBuf>,
    /// How long that shell may stay open. Then the failure action follows.
    ///
    /// Example: `rescue_deadline = "10min"`
    #[serde(deserialize_with = "hook::rescue_deadline")]
    pub rescue_deadline: Time,
}

impl Default for After {
    fn default() -> Self {
        Self {
            success: Action::Reboot,
            failure: Action::Reboot,
            deadline: Time(3600),
            watchdog: true,
            rescue: None,
            rescue_deadline: Time(3600),
        }
    }
}

/// `[report]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Report {
    /// `afterpanic collect` writes report.html beside the report. See report-html.md.
    ///
    /// Example: `html = false`
    pub html: bool,
    /// The file with the age identities that open sealed crashes here, as age-keygen writes it. It is
    /// never copied into the capture image. `"none"`: give `--identity FILE`.
    ///
    /// Example: `identity = "/root/afterpanic.key"`
    #[serde(with = "path_or_none")]
    pub identity: Option<PathBuf>,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            html: true,
            identity: None,
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
    if let Some(why) = targets.iter().find_map(Target::contradiction) {
        return Err(serde::de::Error::custom(why));
    }
    if targets.iter().all(|one| one.copy == Copy::Report) {
        return Err(serde::de::Error::custom(
            "every target has copy = \"report\"; one must take the core",
        ));
    }
    if targets.iter().any(|one| one.at_boot) && !targets.iter().any(Target::is_local) {
        return Err(serde::de::Error::custom(
            "a target with at_boot needs another one on a disk of this machine, where crashes are saved until then",
        ));
    }
    Ok(targets)
}
