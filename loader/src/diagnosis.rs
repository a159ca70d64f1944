//! What an errno of kexec means on this machine. The errno alone says little (EPERM has four meanings,
//! EADDRNOTAVAIL two), so it is read together with the machine.
//!
//! Facts: kernel/kexec_file.c, arch/x86/kernel/kexec-bzimage64.c, crypto/asymmetric_keys, Linux 5.10
//! to 7.2.

use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::access::{self, Lockdown};
use crate::crashkernel::{self, ParseError, Value};
use crate::files::{self, Files};
use crate::iomem::Range;
use crate::kernel::Syscall;
use crate::kimage::ImageError;
use crate::refusal::{Refusal, mib};
use crate::{probe, root};

pub(crate) const KEYS: &str = "Keys live in the kernel (.builtin_trusted_keys, .secondary_trusted_keys), the firmware's db and the MOK list \
    (`mokutil --list-enrolled`; .platform and .machine in /proc/keys): load a vmlinuz that your distribution signed, or enrol the key that signed this one; `dmesg` has the kernel's own line";

pub(crate) fn no_reservation(root: &Path) -> Refusal {
    Refusal::NoReservation {
        why: why_nothing(root),
    }
}

/// Why no memory is reserved.
pub(crate) fn why_nothing(root: &Path) -> String {
    let cmdline = root::text(root, "/proc/cmdline").unwrap_or_default();
    let asked = crashkernel::parameters(&cmdline);
    match asked.last() {
        None => "crashkernel= is not on the kernel's command line".to_owned(),
        Some(value) => match Value::parse(value) {
            Ok(parsed) => not_reserved(root, value, &parsed),
            Err(why) => unreadable(value, &why),
        },
    }
}

/// Why a value that the kernel can read reserved nothing.
pub(crate) fn not_reserved(root: &Path, value: &str, parsed: &Value) -> String {
    let ram = probe::ram(root);
    match ram.and_then(|ram| parsed.size_for(ram)) {
        Some(0) => format!(
            "no range of crashkernel={value} matches this machine's {}",
            ram.map_or_else(String::new, machine_ram)
        ),
        _ => format!(
            "crashkernel={value} is on the command line, but the kernel reserved nothing: see `dmesg | grep -i crashkernel`"
        ),
    }
}

/// RAM as the kernel rounds it for ranges.
fn machine_ram(ram: u64) -> String {
    let ram = ram.checked_next_multiple_of(128 << 20).unwrap_or(ram);
    match ram.is_multiple_of(1 << 30) {
        true => format!("{} GiB", ram >> 30),
        false => mib(ram),
    }
}

/// What is wrong with a value that the kernel cannot read.
pub(crate) fn unreadable(value: &str, why: &ParseError) -> String {
    match value {
        "auto" => "crashkernel=auto is a value of older Red Hat kernels only (up to RHEL 8): this kernel reserves nothing for it".to_owned(),
        _ => why.to_string(),
    }
}

/// What a refused load means.
pub(crate) fn of_load(
    root: &Path,
    call: Syscall,
    errno: Errno,
    files: &Files,
    region: Option<Range>,
) -> Refusal {
    let path = files.kernel_path.clone();
    let signature = |why| Refusal::Signature {
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
        Errno::EPERM => eperm(root, call, path),
        Errno::ENOSYS => enosys(root, call),
        Errno::EADDRNOTAVAIL => no_place(root, call, errno, files, region),
        Errno::ENOEXEC => Refusal::NotAKernel {
            path,
            source: ImageError::Unsupported("the running kernel does not accept it (ENOEXEC)"),
        },
        _ => other(call, errno),
    }
}

/// What a refused unload means.
pub(crate) fn of_unload(root: &Path, call: Syscall, errno: Errno) -> Refusal {
    match errno {
        Errno::EPERM => eperm(root, call, PathBuf::new()),
        Errno::ENOSYS => Refusal::NoKexec,
        _ => other(call, errno),
    }
}

fn eperm(root: &Path, call: Syscall, path: PathBuf) -> Refusal {
    if let Err(known) = access::check(root) {
        return known;
    }
    let mode = match access::lockdown(root) {
        Lockdown::Integrity => "integrity",
        Lockdown::Confidentiality => "confidentiality",
        Lockdown::None => {
            return Refusal::Errno {
                call: call.name(),
                errno: Errno::EPERM,
                why: "a security module or seccomp forbids it; look in `dmesg` and the audit log"
                    .to_owned(),
            };
        }
        Lockdown::Unknown => {
            return Refusal::Errno {
                call: call.name(),
                errno: Errno::EPERM,
                why: "lockdown (Secure Boot), a security module or seccomp forbids it; \
                      mount securityfs and read /sys/kernel/security/lockdown, and look in `dmesg`"
                    .to_owned(),
            };
        }
    };
    match call {
        Syscall::Load => Refusal::Lockdown {
            mode,
            call: call.name(),
            next: "use --syscall file with a signed vmlinuz",
        },
        Syscall::File if path.as_os_str().is_empty() => Refusal::Lockdown {
            mode,
            call: call.name(),
            next: "look in `dmesg`",
        },
        Syscall::File => Refusal::Signature {
            path,
            why: "its signature is missing or not accepted, and kernel lockdown requires a good one (EPERM)",
            next: KEYS,
            errno: Errno::EPERM,
        },
    }
}

fn enosys(root: &Path, call: Syscall) -> Refusal {
    if access::lacks_kexec(root) {
        return Refusal::NoKexec;
    }
    let other = match call {
        Syscall::File => "load",
        Syscall::Load => "file",
    };
    Refusal::NoSuchCall {
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
) -> Refusal {
    if probe::crash_size(root) == Some(0) {
        return no_reservation(root);
    }
    let needed = files::least(&files.header, files.image.len() as u64, 0);
    match region {
        Some(region) if region.len() < needed.saturating_add(32 << 20) => {
            let needed = needed.max(region.len().saturating_add(1 << 20));
            Refusal::TooSmall {
                region,
                needed,
                missing: needed - region.len(),
            }
        }
        _ => Refusal::Errno {
            call: call.name(),
            errno,
            why:
                "the kernel finds no place for it in the reserved memory; run `afterpanic reserve`"
                    .to_owned(),
        },
    }
}

fn other(call: Syscall, errno: Errno) -> Refusal {
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
    Refusal::Errno {
        call: call.name(),
        errno,
        why: why.to_owned(),
    }
}
