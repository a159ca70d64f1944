//! `[capture_kernel]`: which kernel captures, and how it is loaded.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};

use super::auto::Auto;
use crate::error::ValueError;
use crate::scalar::Scalar;

/// `[capture_kernel]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CaptureKernel {
    /// The kernel that captures: `"running"`, the one that runs now, or the path of a vmlinuz.
    ///
    /// Example: `kernel = "/boot/vmlinuz-6.12.107+deb13-amd64"`
    pub kernel: KernelChoice,
    /// The reservation that `afterpanic reserve` asks for, in the syntax of the crashkernel= parameter.
    /// `"auto"`: computed for this machine.
    ///
    /// Example: `crashkernel = "512M,high"`
    pub crashkernel: Auto<String>,
    /// CPUs that the capture kernel brings up. `"auto"`: by its memory.
    ///
    /// Example: `cpus = 4`
    pub cpus: Auto<u32>,
    /// The system call that loads the capture kernel: `"file"` is kexec_file_load, `"load"` is kexec_load,
    /// `"auto"` takes the second where the first cannot work.
    ///
    /// Example: `syscall = "load"`
    pub syscall: Syscall,
    /// Words that are added to the capture kernel's command line. `afterpanic load --dry-run` shows the
    /// result.
    ///
    /// Example: `cmdline_add = ["acpi=off"]`
    pub cmdline_add: Vec<String>,
    /// Names of parameters that are left out of the capture kernel's command line.
    ///
    /// Example: `cmdline_drop = ["console"]`
    #[serde(deserialize_with = "parameter_names")]
    pub cmdline_drop: Vec<String>,
}

impl Default for CaptureKernel {
    fn default() -> Self {
        Self {
            kernel: KernelChoice::Running,
            crashkernel: Auto::Auto,
            cpus: Auto::Auto,
            syscall: Syscall::Auto,
            cmdline_add: Vec::new(),
            cmdline_drop: Vec::new(),
        }
    }
}

/// Which kernel captures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Scalar", into = "Scalar")]
pub enum KernelChoice {
    /// The one that runs now.
    Running,
    /// This vmlinuz.
    Path(PathBuf),
}

impl TryFrom<Scalar> for KernelChoice {
    type Error = ValueError;

    fn try_from(value: Scalar) -> Result<Self, ValueError> {
        match &value {
            Scalar::Word(word) if word == "running" => Ok(Self::Running),
            Scalar::Word(word) if word.starts_with('/') => Ok(Self::Path(PathBuf::from(word))),
            _ => Err(ValueError::NotTaken {
                value: value.to_string(),
                choices: "\"running\" or the absolute path of a vmlinuz",
            }),
        }
    }
}

impl From<KernelChoice> for Scalar {
    fn from(choice: KernelChoice) -> Self {
        Self::Word(match choice {
            KernelChoice::Running => "running".into(),
            KernelChoice::Path(path) => path.display().to_string(),
        })
    }
}

/// How the kernel is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Syscall {
    /// kexec_file_load, then kexec_load where that makes sense.
    Auto,
    /// kexec_file_load only.
    File,
    /// kexec_load only.
    Load,
}

fn parameter_names<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    let names = Vec::<String>::deserialize(d)?;
    for name in &names {
        if name.is_empty() || name.contains(['=', ' ', '"']) {
            return Err(serde::de::Error::custom(format!(
                "\"{name}\" is no name of a parameter; write only what stands before \"=\""
            )));
        }
    }
    Ok(names)
}
