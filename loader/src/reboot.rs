//! The fast reboot: into another kernel by kexec, past the firmware.
//!
//! Facts: kexec_load(2), kexec_file_load(2), reboot(2) with LINUX_REBOOT_CMD_KEXEC, systemd's
//! `systemctl kexec`, which stops services and unmounts before it jumps into a loaded kernel. Nothing
//! here touches the capture kernel: that is another slot.

use std::path::{Path, PathBuf};
use std::process::Command;

use initramfs::kernel::uki;
use nix::errno::Errno;

use crate::access;
use crate::arm::{self, Choice, Loaded, Purgatory};
use crate::diagnosis;
use crate::files::{self, Files};
use crate::kernel::{Kernel, Reboot, Slot, Syscall};
use crate::kexec_load;
use crate::kimage;
use crate::refusal::{LoadError, Refusal};
use crate::root;
use crate::words::words;

/// The largest initramfs that is taken out of a unified kernel image.
const LARGEST: u64 = 1 << 30;

/// What to load for the next reboot.
#[derive(Clone, Debug)]
pub struct RebootRequest {
    /// The prefix of /proc and /sys; `/` on a real machine.
    pub root: PathBuf,
    /// The kernel image.
    pub kernel: PathBuf,
    /// Its initramfs; `None`: the one in a unified kernel image, otherwise none.
    pub initrd: Option<PathBuf>,
    /// Its command line; `None`: the running kernel's.
    pub cmdline: Option<String>,
    /// Which system call.
    pub syscall: Choice,
}

/// Why the machine did not go down.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RebootError {
    /// The slot is empty.
    #[error("No kernel is loaded for a fast reboot; name one with --kernel")]
    NothingLoaded,
    /// systemd would not or could not.
    #[error("systemctl kexec failed ({why}); stop services yourself and use --force")]
    Systemd {
        /// How.
        why: String,
    },
    /// reboot(2).
    #[error(
        "reboot(2) into the loaded kernel failed with {0:?}; run it as root (CAP_SYS_BOOT), outside of a container"
    )]
    Refused(Errno),
}

/// The kernel and initramfs in /boot for a release, by the names that distributions use.
#[must_use]
pub fn installed(root: &Path, release: &str) -> (PathBuf, Option<PathBuf>) {
    let exists = |path: &PathBuf| root::under(root, path).exists();
    let kernels = [
        format!("/boot/vmlinuz-{release}"),
        format!("/usr/lib/modules/{release}/vmlinuz"),
    ];
    let initrds = [
        format!("/boot/initrd.img-{release}"),
        format!("/boot/initramfs-{release}.img"),
        format!("/boot/initrd-{release}"),
    ];
    let first = PathBuf::from(format!("/boot/vmlinuz-{release}"));
    let kernel = kernels.into_iter().map(PathBuf::from).find(exists);
    let kernel = kernel.or_else(|| kimage::find_any(root, release).ok());
    let kernel = kernel.unwrap_or(first);
    (kernel, initrds.into_iter().map(PathBuf::from).find(exists))
}

/// The running command line without what belonged to the boot loader and the loaders before it.
#[must_use]
pub fn reused_cmdline(root: &Path) -> String {
    let running = root::text(root, "/proc/cmdline").unwrap_or_default();
    let drop = [
        "BOOT_IMAGE=",
        "initrd=",
        "elfcorehdr=",
        "kexec_jump_back_entry=",
    ];
    let kept: Vec<String> = words(&running)
        .into_iter()
        .filter(|w| !drop.iter().any(|d| w.starts_with(d)))
        .collect();
    kept.join(" ")
}

/// Loads a kernel for the next reboot.
///
/// # Errors
/// With the reason and the next step.
pub fn load(kernel: &dyn Kernel, request: &RebootRequest) -> Result<Loaded, LoadError> {
    let image = match &request.initrd {
        // A unified kernel image has its own.
        None => uki::read_section(&request.kernel, ".initrd", LARGEST).unwrap_or_default(),
        Some(path) => std::fs::read(path).map_err(|source| Refusal::Read {
            what: "initramfs",
            path: path.clone(),
            source,
        })?,
    };
    let cmdline = request
        .cmdline
        .clone()
        .unwrap_or_else(|| reused_cmdline(&request.root));
    let files = files::read_kernel(&request.kernel, image, &cmdline)?;
    access::check_boot(&request.root)?;
    let mut warnings = Vec::new();
    let syscall = by_choice(kernel, request, &files, &mut warnings)?;
    Ok(Loaded {
        release: files.header.release.clone(),
        kernel: request.kernel.clone(),
        kernel_bytes: files.kernel.len() as u64,
        image_bytes: files.image.len() as u64,
        cmdline,
        syscall,
        region: None,
        warnings,
    })
}

fn by_choice(
    kernel: &dyn Kernel,
    request: &RebootRequest,
    files: &Files,
    warnings: &mut Vec<String>,
) -> Result<Syscall, Refusal> {
    if request.syscall != Choice::Load {
        let Err(errno) = arm::by_file(kernel, files, Slot::Boot)? else {
            return Ok(Syscall::File);
        };
        if request.syscall == Choice::File || !arm::falls_back(errno) {
            return Err(diagnosis::of_load(
                &request.root,
                Syscall::File,
                errno,
                files,
                None,
            ));
        }
        warnings.extend(arm::fell_back(errno));
    }
    kexec_load::load_boot(kernel, &request.root, files, &Purgatory::default())?;
    Ok(Syscall::Load)
}

/// Takes the kernel for the next reboot out.
///
/// # Errors
/// When the kernel refuses.
pub fn unload(kernel: &dyn Kernel, root: &Path) -> Result<(), LoadError> {
    arm::empty(kernel, root, Slot::Boot).map_err(LoadError::from)
}

fn loaded(root: &Path) -> Result<(), RebootError> {
    match crate::probe::is_loaded(root, Slot::Boot) {
        Some(false) => Err(RebootError::NothingLoaded),
        _ => Ok(()),
    }
}

/// Reboots through systemd: services stop, filesystems are unmounted, then the loaded kernel runs.
///
/// # Errors
/// When nothing is loaded or systemd is not there.
pub fn through_systemd(root: &Path) -> Result<(), RebootError> {
    loaded(root)?;
    match Command::new("systemctl").arg("kexec").status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(RebootError::Systemd {
            why: status.to_string(),
        }),
        Err(e) => Err(RebootError::Systemd { why: e.to_string() }),
    }
}

/// Jumps at once: sync, every filesystem read-only, sync, reboot(2). Returns only on failure, or
/// with a kernel that is a fake.
///
/// # Errors
/// When nothing is loaded or the kernel refuses.
pub fn at_once(kernel: &dyn Kernel, root: &Path) -> Result<(), RebootError> {
    loaded(root)?;
    kernel.sync();
    let mounts = root::text(root, "/proc/self/mounts").unwrap_or_default();
    for mount_point in writable(&mounts).iter().rev() {
        if let Err(errno) = kernel.remount_read_only(mount_point) {
            log::warn!("{} stays writable: {errno}", mount_point.display());
        }
    }
    kernel.sync();
    kernel.reboot(Reboot::Kexec).map_err(RebootError::Refused)
}

/// Mount points on block devices or the network that are mounted for writing, in mount order.
fn writable(mounts: &str) -> Vec<PathBuf> {
    (mounts.lines())
        .filter_map(|line| {
            let mut fields = line.split(' ');
            let (source, point, _, options) = (
                fields.next()?,
                fields.next()?,
                fields.next()?,
                fields.next()?,
            );
            let real = source.starts_with('/') || source.contains(':');
            let rw = options.split(',').any(|o| o == "rw");
            (real && rw).then(|| PathBuf::from(unescape(point)))
        })
        .collect()
}

/// Undoes the octal escapes of /proc/self/mounts.
fn unescape(text: &str) -> String {
    let escapes = [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ];
    escapes
        .iter()
        .fold(text.to_owned(), |t, (from, to)| t.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Call, Recorder};

    fn put(dir: &Path, path: &str, text: &str) {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn at_once_makes_disks_read_only_last_mounted_first_and_jumps() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "sys/kernel/kexec_loaded", "1");
        put(
            dir.path(),
            "proc/self/mounts",
            "/dev/vda1 / ext4 rw,relatime 0 0\nproc /proc proc rw 0 0\n/dev/vdb /a\\040b xfs rw 0 0\n/dev/vdc /ro ext4 ro 0 0\nsrv:/x /nfs nfs4 rw 0 0\n",
        );
        let kernel = Recorder::default();
        at_once(&kernel, dir.path()).unwrap();
        let read_only = |p: &str| Call::RemountReadOnly(PathBuf::from(p));
        assert_eq!(
            kernel.calls(),
            [
                Call::Sync,
                read_only("/nfs"),
                read_only("/a b"),
                read_only("/"),
                Call::Sync,
                Call::Reboot(Reboot::Kexec)
            ]
        );
    }

    #[test]
    fn nothing_loaded_nothing_done() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "sys/kernel/kexec/loaded", "0\n");
        let kernel = Recorder::default();
        assert!(matches!(
            at_once(&kernel, dir.path()),
            Err(RebootError::NothingLoaded)
        ));
        assert!(kernel.calls().is_empty());
    }

    #[test]
    fn the_command_line_and_the_files_of_a_release() {
        let dir = tempfile::tempdir().unwrap();
        put(
            dir.path(),
            "proc/cmdline",
            "BOOT_IMAGE=/vmlinuz root=/dev/vda1 initrd=/x quiet crashkernel=96M\n",
        );
        assert_eq!(
            reused_cmdline(dir.path()),
            "root=/dev/vda1 quiet crashkernel=96M"
        );
        put(dir.path(), "boot/initramfs-6.1.img", "");
        let (kernel, initrd) = installed(dir.path(), "6.1");
        assert_eq!(kernel, Path::new("/boot/vmlinuz-6.1"));
        assert_eq!(initrd.unwrap(), Path::new("/boot/initramfs-6.1.img"));
        put(dir.path(), "efi/EFI/Linux/debian-6.2.efi", "MZ");
        let (kernel, initrd) = installed(dir.path(), "6.2");
        assert_eq!(kernel, Path::new("/efi/EFI/Linux/debian-6.2.efi"));
        assert_eq!(initrd, None);
    }

    /// A unified kernel image with the smallest kernel that is taken, and an initramfs.
    fn unified() -> Vec<u8> {
        let mut kernel = vec![0; 5 * 512 + 64];
        for (at, bytes) in [
            (0x1f1, &[4][..]),
            (0x1f4, &[4]),
            (0x1fe, b"\x55\xaa\xeb\x6aHdrS"),
            (0x206, &[0x0f, 2]),
            (0x211, &[1]),
            (0x232, &[0x20]),
            (0x234, &[1]),
            (0x236, &[0x7f]),
            (0x238, &[0xff, 7]),
            (0x25b, &[1]),
            (0x263, &[3]),
        ] {
            kernel[at..at + bytes.len()].copy_from_slice(bytes);
        }
        let mut file = vec![0; 0x400];
        file[..2].copy_from_slice(b"MZ");
        file[0x3c] = 0x80;
        file[0x80..0x84].copy_from_slice(b"PE\0\0");
        file[0x86] = 2;
        for (n, (name, data)) in [(".linux", &kernel[..]), (".initrd", b"an initramfs")]
            .iter()
            .enumerate()
        {
            let at = 0x98 + n * 40;
            file[at..at + name.len()].copy_from_slice(name.as_bytes());
            let (from, length) = (file.len() as u32, data.len() as u32);
            for (offset, value) in [(8, length), (16, length), (20, from)] {
                file[at + offset..at + offset + 4].copy_from_slice(&value.to_le_bytes());
            }
            file.extend_from_slice(data);
        }
        file
    }

    #[test]
    fn a_unified_kernel_image_brings_its_own_initramfs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.efi");
        std::fs::write(&path, unified()).unwrap();
        put(dir.path(), "proc/cmdline", "root=/dev/vda1");
        let loaded = load(
            &Recorder::default(),
            &RebootRequest {
                root: dir.path().to_owned(),
                kernel: path,
                initrd: None,
                cmdline: None,
                syscall: Choice::File,
            },
        )
        .unwrap();
        assert_eq!(
            (loaded.kernel_bytes, loaded.image_bytes),
            (5 * 512 + 64, 12)
        );
    }
}
