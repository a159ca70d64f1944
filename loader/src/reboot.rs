//! The fast reboot: into another kernel by kexec, past the firmware.
//!
//! Facts: kexec_load(2), kexec_file_load(2), reboot(2) with LINUX_REBOOT_CMD_KEXEC, systemd's
//! `systemctl kexec`, which stops services and unmounts before it jumps into a loaded kernel. Nothing
//! here touches the capture kernel: that is another slot.

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::errno::Errno;

use crate::access;
use crate::arm::{self, Choice, Loaded, Purgatory};
use crate::diagnosis;
use crate::files::{self, Files};
use crate::kernel::{Kernel, Reboot, Slot, Syscall};
use crate::kexec_load;
use crate::refusal::{LoadError, Refusal};
use crate::root;
use crate::words::words;

/// What to load for the next reboot.
#[derive(Clone, Debug)]
pub struct RebootRequest {
    /// The prefix of /proc and /sys; `/` on a real machine.
    pub root: PathBuf,
    /// The kernel image.
    pub kernel: PathBuf,
    /// Its initramfs.
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
    let kernel = kernels
        .into_iter()
        .map(PathBuf::from)
        .find(exists)
        .unwrap_or(first);
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
        None => Vec::new(),
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
        warnings.push(format!(
            "kexec_file_load answered {errno:?}, so kexec_load was used"
        ));
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
    }
}
