//! The reasons why a kernel cannot be loaded, each with what to do next.

use std::fmt;
use std::io;
use std::path::PathBuf;

use nix::errno::Errno;

use crate::iomem::Range;
use crate::kimage::ImageError;

/// What became of the image that was loaded before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Previous {
    /// Nothing was loaded, or it was not touched.
    None,
    /// The kernel had freed it; it was loaded again.
    Restored,
    /// It was another program's, and the kernel had freed it; ours from the last load was loaded.
    Replaced,
    /// The kernel freed it and it could not be loaded again, for this reason.
    Lost(String),
}

/// A load that failed.
#[derive(Debug)]
pub struct LoadError {
    /// Why.
    pub refusal: Box<Refusal>,
    /// What is loaded now.
    pub previous: Previous,
}

impl LoadError {
    pub(crate) fn new(refusal: Refusal, previous: Previous) -> Self {
        Self {
            refusal: Box::new(refusal),
            previous,
        }
    }
}

impl From<Refusal> for LoadError {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal, Previous::None)
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.refusal.fmt(f)?;
        match &self.previous {
            Previous::None => Ok(()),
            Previous::Restored => f.write_str(". The image loaded before was loaded again"),
            Previous::Replaced => f.write_str(
                ". What another program had loaded is gone; the image of the last `afterpanic load` was loaded instead",
            ),
            Previous::Lost(why) => {
                write!(
                    f,
                    ". The image loaded before is gone, NOTHING IS ARMED: {why}"
                )
            }
        }
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&*self.refusal)
    }
}

/// Sizes for people, one decimal in MiB.
pub(crate) fn mib(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10).div_ceil(1 << 20);
    if tenths.is_multiple_of(10) {
        format!("{} MiB", tenths / 10)
    } else {
        format!("{}.{} MiB", tenths / 10, tenths % 10)
    }
}

/// One reason.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A machine that only reads cores.
    #[error(
        "Only x86_64 and aarch64 can be armed or rehearsed, and this machine is {name}; reading cores works here: `afterpanic report CORE`"
    )]
    Architecture {
        /// What Rust calls it.
        name: &'static str,
    },
    /// No memory is reserved.
    #[error(
        "no memory is reserved for a capture kernel: {why}. Run `afterpanic reserve --apply`, then reboot"
    )]
    NoReservation {
        /// What the command line says.
        why: String,
    },
    /// The region cannot hold it.
    #[error(
        "The reserved {} at {:#x} are too small: this kernel and image need {} there, {} are missing; \
         run `afterpanic reserve --apply`, then reboot",
        mib(region.len()), region.start, mib(*needed), mib(*missing)
    )]
    TooSmall {
        /// The region.
        region: Range,
        /// The least that would do.
        needed: u64,
        /// By how much it falls short.
        missing: u64,
    },
    /// An old kernel in a high region.
    #[error("{path} cannot run above 4 GiB, where memory is reserved ({:#x}); use crashkernel=SIZE without ,high", region.start)]
    Above4G {
        /// The kernel.
        path: PathBuf,
        /// The region.
        region: Range,
    },
    /// No CAP_SYS_BOOT.
    #[error(
        "loading a kernel needs root (CAP_SYS_BOOT). Use sudo; in a container grant that capability"
    )]
    NotRoot,
    /// kernel.kexec_load_disabled.
    #[error(
        "kernel.kexec_load_disabled is 1 and cannot be taken back before a reboot; remove it from /etc/sysctl.d, then reboot"
    )]
    Disabled,
    /// kernel.kexec_load_limit_panic.
    #[error(
        "kernel.kexec_load_limit_panic is 0: no more capture kernels may be loaded in this boot; raise it in /etc/sysctl.d, then reboot"
    )]
    LoadLimit,
    /// CONFIG_KEXEC is off.
    #[error(
        "The running kernel was built without kexec (CONFIG_KEXEC, CONFIG_KEXEC_FILE, CONFIG_CRASH_DUMP); boot one that has it"
    )]
    NoKexec,
    /// CONFIG_KEXEC_FILE or CONFIG_KEXEC alone is off.
    #[error("The running kernel has no {call}; use --syscall {other}")]
    NoSuchCall {
        /// The call.
        call: &'static str,
        /// The other one's name on the command line.
        other: &'static str,
    },
    /// A file that cannot be read.
    #[error("Cannot read the {what} {path}; check the path")]
    Read {
        /// What it is for.
        what: &'static str,
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not a kernel.
    #[error("{path} cannot be loaded")]
    NotAKernel {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ImageError,
    },
    /// Nothing in it.
    #[error("The capture image is empty; build it with `afterpanic image build`")]
    EmptyImage,
    /// Past the limit.
    #[error(
        "The capture kernel's command line has {len} bytes, {limit} are possible; drop parameters with cmdline_drop in /etc/afterpanic.toml"
    )]
    CmdlineTooLong {
        /// Its length.
        len: usize,
        /// The most it may have.
        limit: usize,
    },
    /// A NUL inside.
    #[error(
        "The capture kernel's command line holds a NUL byte; correct cmdline_add in /etc/afterpanic.toml"
    )]
    CmdlineNul,
    /// Nothing was ever loaded here.
    #[error("No capture kernel is kept from an earlier load; run `afterpanic load`")]
    NothingKept,
    /// The state cannot be read.
    #[error(transparent)]
    State(#[from] crate::state::StateError),
    /// A signature was asked for and not found good.
    #[error("The kernel refused {path}: {why}. {next}")]
    Signature {
        /// The file.
        path: PathBuf,
        /// The errno's meaning.
        why: &'static str,
        /// Where the keys live and what to do.
        next: &'static str,
        /// The errno.
        errno: Errno,
    },
    /// Lockdown forbids kexec_load.
    #[error("Kernel lockdown ({mode}) forbids {call}; {next}")]
    Lockdown {
        /// The mode.
        mode: &'static str,
        /// The call.
        call: &'static str,
        /// What to do.
        next: &'static str,
    },
    /// A LUKS target's key that is nowhere.
    #[error(
        "The key \"{key}\" of an encrypted target is in no keyring, and no loaded image has it. Open the volume with --link-vk-to-keyring \"@u::%logon:{key}\", or choose a target on a plain partition and seal the core with recipients in [dump]"
    )]
    NoKey {
        /// Its description.
        key: String,
    },
    /// A LUKS target's key with kexec_load.
    #[error(
        "The key \"{key}\" of an encrypted target is handed over by kexec_file_load only, and this load needs kexec_load. Choose a target on a plain partition and seal the core with recipients in [dump]"
    )]
    KeyNeedsFileLoad {
        /// Its description.
        key: String,
    },
    /// A kernel that registers keys and does not pass them on.
    #[error(
        "Linux {release} did not hand the key \"{key}\" of an encrypted target over (x86_64 does from 6.16 on, aarch64 from 7.1 on). Choose a target on a plain partition and seal the core with recipients in [dump]"
    )]
    KeyNotTaken {
        /// Its description.
        key: String,
        /// The running kernel's.
        release: String,
    },
    /// Keys cannot be registered.
    #[error("Cannot register the keys of encrypted targets in {}", path.display())]
    Keys {
        /// The directory in configfs.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something that is needed to lay out the segments is missing.
    #[error("kexec_load needs {what}; {next}")]
    Needs {
        /// What.
        what: String,
        /// What to do.
        next: &'static str,
    },
    /// Any other errno.
    #[error("{call} failed with {errno:?}: {why}")]
    Errno {
        /// The call.
        call: &'static str,
        /// The errno.
        errno: Errno,
        /// What it means here, and the next step.
        why: String,
    },
}
