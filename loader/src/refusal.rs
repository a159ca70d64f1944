//! Why a kernel cannot be loaded: what, where, and what to do next. The kernel's errno alone says
//! little (EPERM has four meanings, EADDRNOTAVAIL two), so it is read together with the machine.
//!
//! Facts: kernel/kexec_file.c, arch/x86/kernel/kexec-bzimage64.c, crypto/asymmetric_keys, Linux 5.10
//! to 7.2.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::access::{self, Lockdown};
use crate::arm::Files;
use crate::iomem::Range;
use crate::kernel::Syscall;
use crate::kimage::ImageError;
use crate::root;

/// What became of the image that was loaded before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Previous {
    /// Nothing was loaded, or it was not touched.
    None,
    /// The kernel had freed it; it was loaded again.
    Restored,
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
    /// No memory is reserved.
    #[error(
        "No memory is reserved for a capture kernel ({why}); run `afterpanic reserve --apply`, then reboot"
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
        "Loading a kernel needs root (CAP_SYS_BOOT); run it with sudo, and in a container give that capability"
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
    EmptyDump,
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

const KEYS: &str = "Keys live in the kernel (.builtin_trusted_keys, .secondary_trusted_keys), the firmware's db and the MOK list \
    (`mokutil --list-enrolled`; .platform and .machine in /proc/keys): load a vmlinuz that your distribution signed, or enrol the key that signed this one; `dmesg` has the kernel's own line";

impl Syscall {
    /// The system call's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "kexec_file_load",
            Self::Load => "kexec_load",
        }
    }
}

impl Refusal {
    pub(crate) fn no_reservation(root: &Path) -> Self {
        let cmdline = root::text(root, "/proc/cmdline").unwrap_or_default();
        let asked = crate::crashkernel::parameters(&cmdline);
        let why = match asked.last() {
            None => "crashkernel= is not on the kernel's command line".to_owned(),
            Some(value) => format!(
                "crashkernel={value} is on the command line, but the kernel could not or would not reserve it: see `dmesg | grep -i crashkernel`"
            ),
        };
        Self::NoReservation { why }
    }

    /// What a refused load means.
    pub(crate) fn of_load(
        root: &Path,
        call: Syscall,
        errno: Errno,
        files: &Files,
        region: Option<Range>,
    ) -> Self {
        let path = files.kernel_path.clone();
        let signature = |why| Self::Signature {
            path: path.clone(),
            why,
            next: KEYS,
            errno,
        };
        match errno {
            Errno::EKEYREJECTED => signature(
                "its signature is wrong, or made with a key that may not sign kernels (EKEYREJECTED)",
            ),
            Errno::ENOKEY => {
                signature("it is signed with a key that this kernel does not know (ENOKEY)")
            }
            Errno::ENODATA => {
                signature("it is not signed, and this kernel wants a signature (ENODATA)")
            }
            Errno::ELIBBAD => signature("its signature or EFI header is malformed (ELIBBAD)"),
            Errno::EBADMSG => signature("its signature cannot be parsed (EBADMSG)"),
            Errno::ENOPKG => {
                signature("its signature uses an algorithm that this kernel lacks (ENOPKG)")
            }
            Errno::EKEYEXPIRED => signature("the key that signed it has expired (EKEYEXPIRED)"),
            Errno::EKEYREVOKED => signature("the key that signed it was revoked (EKEYREVOKED)"),
            Errno::EPERM => Self::eperm(root, call, path),
            Errno::ENOSYS => Self::enosys(root, call),
            Errno::EADDRNOTAVAIL => Self::no_place(root, call, errno, files, region),
            Errno::ENOEXEC => Self::NotAKernel {
                path,
                source: ImageError::Unsupported("the running kernel does not accept it (ENOEXEC)"),
            },
            _ => Self::other(call, errno),
        }
    }

    /// What a refused unload means.
    pub(crate) fn of_unload(root: &Path, call: Syscall, errno: Errno) -> Self {
        match errno {
            Errno::EPERM => Self::eperm(root, call, PathBuf::new()),
            Errno::ENOSYS => Self::NoKexec,
            _ => Self::other(call, errno),
        }
    }

    fn eperm(root: &Path, call: Syscall, path: PathBuf) -> Self {
        if let Err(known) = access::check(root) {
            return known;
        }
        let mode = match access::lockdown(root) {
            Lockdown::Integrity => "integrity",
            Lockdown::Confidentiality => "confidentiality",
            Lockdown::None => {
                return Self::Errno {
                    call: call.name(),
                    errno: Errno::EPERM,
                    why:
                        "a security module or seccomp forbids it; look in `dmesg` and the audit log"
                            .to_owned(),
                };
            }
            Lockdown::Unknown => {
                return Self::Errno {
                    call: call.name(),
                    errno: Errno::EPERM,
                    why: "lockdown (Secure Boot), a security module or seccomp forbids it; \
                          mount securityfs and read /sys/kernel/security/lockdown, and look in `dmesg`".to_owned(),
                };
            }
        };
        match call {
            Syscall::Load => Self::Lockdown {
                mode,
                call: call.name(),
                next: "use --syscall file with a signed vmlinuz",
            },
            Syscall::File if path.as_os_str().is_empty() => Self::Lockdown {
                mode,
                call: call.name(),
                next: "look in `dmesg`",
            },
            Syscall::File => Self::Signature {
                path,
                why: "its signature is missing or not accepted, and kernel lockdown requires a good one (EPERM)",
                next: KEYS,
                errno: Errno::EPERM,
            },
        }
    }

    fn enosys(root: &Path, call: Syscall) -> Self {
        if access::lacks_kexec(root) {
            return Self::NoKexec;
        }
        let other = match call {
            Syscall::File => "load",
            Syscall::Load => "file",
        };
        Self::NoSuchCall {
            call: call.name(),
            other,
        }
    }

    fn no_place(
        root: &Path,
        call: Syscall,
        errno: Errno,
        files: &Files,
        region: Option<Range>,
    ) -> Self {
        if crate::status::crash_size(root) == Some(0) {
            return Self::no_reservation(root);
        }
        let needed = crate::arm::least(&files.header, files.image.len() as u64, 0);
        match region {
            Some(region) if region.len() < needed.saturating_add(32 << 20) => {
                let needed = needed.max(region.len().saturating_add(1 << 20));
                Self::TooSmall { region, needed, missing: needed - region.len() }
            }
            _ => Self::Errno {
                call: call.name(),
                errno,
                why: "the kernel finds no place for it in the reserved memory; run `afterpanic reserve`".to_owned(),
            },
        }
    }

    fn other(call: Syscall, errno: Errno) -> Self {
        let why = match errno {
            Errno::EBUSY => {
                "another program is loading a kernel right now; try again, and stop other kdump services"
            }
            Errno::EINVAL => {
                "the kernel does not accept the flags, the segments or the command line; try the other --syscall"
            }
            Errno::ENOMEM => {
                "no memory is left for the kernel's own pages, or no hole in the reserved region; run `afterpanic reserve`"
            }
            Errno::EFBIG => {
                "a file is larger than the kernel accepts; check the kernel and image files"
            }
            Errno::ETXTBSY => "a file is open for writing; try again",
            Errno::EIO => "a file could not be read; check the disk",
            _ => "look in `dmesg` for the kernel's own line",
        };
        Self::Errno {
            call: call.name(),
            errno,
            why: why.to_owned(),
        }
    }
}
