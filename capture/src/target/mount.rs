//! Mounting and unmounting of a target, in a child.

use crate::protocol;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount as sys_mount, umount2};
use plan::Filesystem;
use std::path::Path;
use std::time::Instant;

/// Mount options that are flags to mount(2); the rest goes to the filesystem.
const FLAGS: [(&str, MsFlags); 8] = [
    ("noatime", MsFlags::MS_NOATIME),
    ("nodiratime", MsFlags::MS_NODIRATIME),
    ("relatime", MsFlags::MS_RELATIME),
    ("strictatime", MsFlags::MS_STRICTATIME),
    ("nodev", MsFlags::MS_NODEV),
    ("nosuid", MsFlags::MS_NOSUID),
    ("noexec", MsFlags::MS_NOEXEC),
    ("sync", MsFlags::MS_SYNCHRONOUS),
];

/// Options of mount(8) and fstab that mean nothing to the kernel.
const IGNORED: [&str; 8] = [
    "rw", "defaults", "auto", "noauto", "nofail", "exec", "suid", "dev",
];

/// Flags and data of a list of options.
fn split(options: &[String]) -> (MsFlags, String) {
    let mut flags = MsFlags::MS_NODEV | MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    let mut data = Vec::new();
    for option in options {
        if let Some((_, flag)) = FLAGS.iter().find(|(name, _)| name == option) {
            flags |= *flag;
        } else if !IGNORED.contains(&option.as_str()) && !option.starts_with("x-") {
            data.push(option.as_str());
        }
    }
    (flags, data.join(","))
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_flags_and_data() {
        let options: Vec<String> = [
            "rw",
            "noatime",
            "subvol=/@crash",
            "x-systemd.automount",
            "nofail",
        ]
        .map(String::from)
        .to_vec();
        let (flags, data) = split(&options);
        assert!(flags.contains(MsFlags::MS_NOATIME | MsFlags::MS_NODEV));
        assert_eq!(data, "subvol=/@crash");
    }
}
