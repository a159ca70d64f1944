//! Every key of the file as a type, each with the default that `dist/afterpanic.toml` states.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};

use crate::scalar::Scalar;
use crate::units::{Size, Time};

/// The names of page kinds that `keep_kinds` and `never` accept: those of `afterpanic pages --kinds`,
/// and the groups `user` (anonymous, hugetlb) and `page-cache`.
pub const KINDS: [&str; 17] = [
    "unknown",
    "free",
    "unaccepted",
    "cache",
    "cache-private",
    "anon",
    "hugetlb",
    "slab",
    "page-table",
    "typed",
    "hwpoison",
    "offline",
    "kernel",
    "reserved",
    "device",
    "user",
    "page-cache",
];

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
    /// What goes into its image beside what the target needs.
    pub image: Image,
    /// What happens when the dump is done, or cannot be.
    pub after: After,
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
        }
    }
}

/// `[dump]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dump {
    /// Which pages are kept.
    pub level: Level,
    /// The form of the core.
    pub format: Format,
    /// Page kinds kept whatever the level says.
    #[serde(deserialize_with = "kinds")]
    pub keep_kinds: Vec<String>,
    /// Page kinds never written whatever falls back.
    #[serde(deserialize_with = "kinds")]
    pub never: Vec<String>,
    /// As a last resort everything that fits is copied.
    pub allow_unfiltered: bool,
    /// A core that would be larger is written at level essential.
    #[serde(with = "or_none")]
    pub max_size: Option<Size>,
    /// The cap of `essential.elf.zst`.
    pub essential_max: Size,
    /// `essential.elf.zst` stays beside a complete core.
    pub keep_essential: bool,
    /// Compressing threads.
    pub threads: Auto<u32>,
}

impl Default for Dump {
    fn default() -> Self {
        Self {
            level: Level::Standard,
            format: Format::ElfZst,
            keep_kinds: Vec::new(),
            never: Vec::new(),
            allow_unfiltered: false,
            max_size: None,
            essential_max: Size(256 << 20),
            keep_essential: false,
            threads: Auto::Auto,
        }
    }
}

/// Which pages are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Scalar", into = "Scalar")]
pub enum Level {
    /// Every page.
    All,
    /// No free, zero, cache or user pages: makedumpfile's 31.
    Standard,
    /// Kernel, stacks, tasks and log, found without the memmap.
    Essential,
    /// makedumpfile's bits, 0 to 31.
    Bits(u8),
}

impl Level {
    /// makedumpfile's bits; nothing for [`Level::Essential`], which is none of its levels.
    #[must_use]
    pub fn bits(self) -> Option<u8> {
        match self {
            Self::All => Some(0),
            Self::Standard => Some(31),
            Self::Essential => None,
            Self::Bits(bits) => Some(bits),
        }
    }
}

impl TryFrom<Scalar> for Level {
    type Error = String;

    fn try_from(value: Scalar) -> Result<Self, String> {
        let bits = match &value {
            Scalar::Word(word) => match word.as_str() {
                "all" => return Ok(Self::All),
                "standard" => return Ok(Self::Standard),
                "essential" => return Ok(Self::Essential),
                digits => digits.parse().ok(),
            },
            Scalar::Number(n) => u8::try_from(*n).ok(),
        };
        match bits {
            Some(bits @ 0..=31) => Ok(Self::Bits(bits)),
            _ => Err(format!(
                "{value} is no level; known: \"all\", \"standard\", \"essential\", or the bits 0 to 31"
            )),
        }
    }
}

impl From<Level> for Scalar {
    fn from(level: Level) -> Self {
        match level {
            Level::All => Self::Word("all".into()),
            Level::Standard => Self::Word("standard".into()),
            Level::Essential => Self::Word("essential".into()),
            Level::Bits(bits) => Self::Number(i64::from(bits)),
        }
    }
}

/// The form of the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// ELF in the seekable Zstandard format.
    ElfZst,
    /// kdump-compressed, zstd pages.
    KdumpZstd,
    /// kdump-compressed, zlib pages.
    KdumpZlib,
    /// ELF in LZ4 frames.
    ElfLz4,
    /// ELF as it is.
    Elf,
    /// No core: log, report and essentials only.
    None,
}

/// A number, or the choice left to afterpanic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Scalar", into = "Scalar")]
#[serde(bound(
    serialize = "T: Clone, Scalar: From<Auto<T>>",
    deserialize = "Auto<T>: TryFrom<Scalar, Error = String>"
))]
pub enum Auto<T> {
    /// `"auto"`
    Auto,
    /// The value given.
    Set(T),
}

impl TryFrom<Scalar> for Auto<u32> {
    type Error = String;

    fn try_from(value: Scalar) -> Result<Self, String> {
        let number = match &value {
            Scalar::Word(word) if word == "auto" => return Ok(Self::Auto),
            Scalar::Word(word) => word.parse().ok(),
            Scalar::Number(n) => u32::try_from(*n).ok(),
        };
        match number {
            Some(n @ 1..=4096) => Ok(Self::Set(n)),
            _ => Err(format!(
                "{value} must be \"auto\" or a number from 1 to 4096"
            )),
        }
    }
}

impl From<Auto<u32>> for Scalar {
    fn from(value: Auto<u32>) -> Self {
        match value {
            Auto::Auto => Self::Word("auto".into()),
            Auto::Set(n) => Self::Number(i64::from(n)),
        }
    }
}

impl TryFrom<Scalar> for Auto<String> {
    type Error = String;

    fn try_from(value: Scalar) -> Result<Self, String> {
        match value {
            Scalar::Word(word) if word == "auto" => Ok(Self::Auto),
            Scalar::Word(word) if !word.trim().is_empty() => Ok(Self::Set(word)),
            other => Err(format!("{other} must be \"auto\" or a value like \"192M\"")),
        }
    }
}

impl From<Auto<String>> for Scalar {
    fn from(value: Auto<String>) -> Self {
        match value {
            Auto::Auto => Self::Word("auto".into()),
            Auto::Set(word) => Self::Word(word),
        }
    }
}

/// One `[[target]]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Target {
    /// The filesystem's device, where it is not mounted here; otherwise it is found through `path`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<Device>,
    /// Where crash directories are made: a path here, or inside `device`.
    #[serde(deserialize_with = "absolute")]
    pub path: PathBuf,
    /// Mount options of `device`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub options: Option<String>,
    /// How long this target may take.
    #[serde(deserialize_with = "positive")]
    pub deadline: Time,
}

impl Default for Target {
    fn default() -> Self {
        Self {
            device: None,
            path: PathBuf::from("/var/crash"),
            options: None,
            deadline: Time(30 * 60),
        }
    }
}

/// How the device of a target is named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Scalar", into = "Scalar")]
pub enum Device {
    /// `UUID=`: of the filesystem.
    Uuid(String),
    /// `LABEL=`: of the filesystem.
    Label(String),
    /// `PARTUUID=`: of the partition.
    PartUuid(String),
    /// `/dev/…`: resolved while arming.
    Path(PathBuf),
}

impl TryFrom<Scalar> for Device {
    type Error = String;

    fn try_from(value: Scalar) -> Result<Self, String> {
        if let Scalar::Word(word) = &value {
            if word.starts_with("/dev/") && word.len() > 5 {
                return Ok(Self::Path(PathBuf::from(word)));
            }
            if let Some((tag, name)) = word.split_once('=') {
                let name = name.trim_matches('"').to_owned();
                match tag {
                    _ if name.is_empty() => {}
                    "UUID" => return Ok(Self::Uuid(name)),
                    "LABEL" => return Ok(Self::Label(name)),
                    "PARTUUID" => return Ok(Self::PartUuid(name)),
                    _ => {}
                }
            }
        }
        Err(format!(
            "{value} names no device; write UUID=, LABEL=, PARTUUID= or a path under /dev"
        ))
    }
}

impl From<Device> for Scalar {
    fn from(device: Device) -> Self {
        Self::Word(match device {
            Device::Uuid(name) => format!("UUID={name}"),
            Device::Label(name) => format!("LABEL={name}"),
            Device::PartUuid(name) => format!("PARTUUID={name}"),
            Device::Path(path) => path.display().to_string(),
        })
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
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            dumps: 5,
            free: Size(1 << 30),
        }
    }
}

/// `[capture_kernel]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CaptureKernel {
    /// Which kernel captures.
    pub kernel: KernelChoice,
    /// What `reserve` asks for.
    pub crashkernel: Auto<String>,
    /// CPUs the capture kernel brings up.
    pub cpus: Auto<u32>,
    /// How the kernel is loaded.
    pub syscall: Syscall,
    /// Words added to its command line.
    pub cmdline_add: Vec<String>,
    /// Names of parameters left out of it.
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
    type Error = String;

    fn try_from(value: Scalar) -> Result<Self, String> {
        match &value {
            Scalar::Word(word) if word == "running" => Ok(Self::Running),
            Scalar::Word(word) if word.starts_with('/') => Ok(Self::Path(PathBuf::from(word))),
            _ => Err(format!(
                "{value} must be \"running\" or the absolute path of a vmlinuz"
            )),
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

/// `[image]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Image {
    /// Modules beside those that the target needs.
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

/// `"none"` for an absent size.
mod or_none {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::scalar::Scalar;
    use crate::units::Size;

    #[allow(clippy::ref_option)] // the signature is serde's
    pub fn serialize<S: Serializer>(size: &Option<Size>, s: S) -> Result<S::Ok, S::Error> {
        size.map_or_else(|| Scalar::Word("none".into()), Scalar::from)
            .serialize(s)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Size>, D::Error> {
        match Scalar::deserialize(d)? {
            Scalar::Word(word) if word == "none" => Ok(None),
            other => Size::try_from(other).map(Some).map_err(D::Error::custom),
        }
    }
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

fn kinds<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    let kinds = Vec::<String>::deserialize(d)?;
    for kind in &kinds {
        if !KINDS.contains(&kind.as_str()) {
            return Err(serde::de::Error::custom(format!(
                "unknown page kind `{kind}`, expected one of `{}`",
                KINDS.join("`, `")
            )));
        }
    }
    Ok(kinds)
}

fn absolute<'de, D: Deserializer<'de>>(d: D) -> Result<PathBuf, D::Error> {
    let path = PathBuf::deserialize(d)?;
    check_absolute(&path).map_err(serde::de::Error::custom)?;
    Ok(path)
}

fn absolute_list<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<PathBuf>, D::Error> {
    let paths = Vec::<PathBuf>::deserialize(d)?;
    for path in &paths {
        check_absolute(path).map_err(serde::de::Error::custom)?;
    }
    Ok(paths)
}

fn check_absolute(path: &std::path::Path) -> Result<(), String> {
    let climbs = path
        .components()
        .any(|part| part == std::path::Component::ParentDir);
    if path.is_absolute() && !climbs {
        Ok(())
    } else {
        Err(format!(
            "\"{}\" must be an absolute path without \"..\"",
            path.display()
        ))
    }
}

fn positive<'de, D: Deserializer<'de>>(d: D) -> Result<Time, D::Error> {
    let time = Time::deserialize(d)?;
    if time.0 == 0 {
        return Err(serde::de::Error::custom(
            "a deadline of 0 would give up at once; write it like \"30min\"",
        ));
    }
    Ok(time)
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
