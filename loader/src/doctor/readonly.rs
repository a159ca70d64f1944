//! Filesystems that are mounted read-only: what `load`, `reserve` and `collect` write would be lost.

use std::path::Path;

use procfs_core::FromBufRead;
use procfs_core::process::MountInfos;

use super::finding::{Examined, Finding, Level, finding};
use crate::bootloader::{self, BootLoader};
use crate::root;

const CHECK: &str = "readonly";
/// The kept image, and what was proved with it.
const STATE: &str = "/var/lib/afterpanic";

/// The mount that a path lies on: its mount point, filesystem and whether it is read-only.
pub(super) fn mount_of(root: &Path, path: &Path) -> Option<(String, String, bool)> {
    let table = root::text(root, "/proc/self/mountinfo");
    let table = table
        .or_else(|_| root::text(root, "/proc/mountinfo"))
        .ok()?;
    let mounts = MountInfos::from_buf_read(table.as_bytes()).ok()?;
    let found = (mounts.into_iter())
        .filter(|mount| path.starts_with(&mount.mount_point))
        .max_by_key(|mount| mount.mount_point.as_os_str().len())?;
    let read_only =
        found.mount_options.contains_key("ro") || found.super_options.contains_key("ro");
    Some((
        found.mount_point.display().to_string(),
        found.fs_type,
        read_only,
    ))
}

pub(super) fn check(on: &Examined<'_>) -> Vec<Finding> {
    let mut out: Vec<Finding> = Vec::new();
    if let Some((point, fstype, true)) = mount_of(on.root, Path::new(STATE)) {
        out.push(
            finding(CHECK, Level::Fail, format!("{point} ({fstype}) is mounted read-only: the image and what was proved with it cannot be kept in {STATE}"))
                .fix(writable(on.root, &point)),
        );
    }
    let kind = bootloader::detect(on.root);
    let places: &[&str] = match kind {
        BootLoader::Grub | BootLoader::GrubMkconfig => &["/etc/default/grub", "/boot/grub"],
        BootLoader::Bls | BootLoader::Uki => &["/boot"],
        _ => &[],
    };
    if on.status.reservation.bytes == Some(0) {
        for path in places {
            if let Some((point, fstype, true)) = mount_of(on.root, Path::new(path)) {
                out.push(
                    finding(CHECK, Level::Warn, format!("{point} ({fstype}) is mounted read-only: reserve --apply cannot write {path}"))
                        .fix(writable(on.root, &point)),
                );
                break;
            }
        }
    }
    out
}

/// How this system makes a mount writable.
pub(super) fn writable(root: &Path, point: &str) -> String {
    let overlay = root::under(root, "/etc/overlayroot.conf").exists();
    match point {
        _ if overlay => "overlayroot-chroot, and make the change there; or take overlayroot off the command line".to_owned(),
        "/" if root::tool(root, "transactional-update").is_some() => {
            "mount a writable /var: on a transactional system the root stays read-only".to_owned()
        }
        "/" => "mount -o remount,rw / (if errors made it read-only, check the disk first: dmesg), or mount a writable /var".to_owned(),
        point => format!("mount -o remount,rw {point}, and take ro out of its line in /etc/fstab"),
    }
}
