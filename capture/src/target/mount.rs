//! Mounting and unmounting of a target, in a child.

use crate::protocol;
use nix::errno::Errno;
use nix::mount::{MntFlags, mount as sys_mount, umount2};
use plan::Filesystem;
use plan::mount::split;
use std::path::Path;
use std::time::Instant;

/// Mounts a proven device.
///
/// # Errors
/// Why not, in one sentence.
pub(crate) fn mount(device: &Path, fs: &Filesystem, point: &Path) -> Result<(), String> {
    let begun = Instant::now();
    let fstype = fs.fstype.name();
    match mount_with(device, point, fstype, &fs.options) {
        Ok(()) => {
            protocol::log(format!(
                "mounted {} ({fstype}) in {} ms",
                device.display(),
                begun.elapsed().as_millis()
            ));
            Ok(())
        }
        Err(errno) => {
            let why = match errno {
                Errno::ENODEV => "its module is not loaded".to_owned(),
                Errno::EROFS => "the device is read-only".to_owned(),
                other => other.desc().to_owned(),
            };
            Err(format!(
                "Cannot mount {} as {fstype}: {why}",
                device.display()
            ))
        }
    }
}

/// Mounts anything with options as in fstab; the mount point is made.
pub(super) fn mount_with(
    source: &Path,
    point: &Path,
    fstype: &str,
    options: &[String],
) -> Result<(), Errno> {
    let made = std::fs::create_dir_all(point);
    made.map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
    let (flags, data) = split(options);
    let data = Some(data.as_str());
    sys_mount(Some(source), point, Some(fstype), flags, data)
}

/// Unmounts; if something still holds it, at least its data is on the device.
///
/// # Errors
/// Why not, in one sentence.
pub(crate) fn umount(point: &Path) -> Result<(), String> {
    match umount2(point, MntFlags::empty()) {
        Ok(()) | Err(Errno::EINVAL) => Ok(()),
        Err(errno) => {
            nix::unistd::sync();
            let _ = umount2(point, MntFlags::MNT_DETACH);
            Err(format!("Cannot unmount {}: {errno}", point.display()))
        }
    }
}
