//! Places to write to: found, proven, mounted, and left clean.
//!
//! Everything here runs in a child of PID 1 and may block; PID 1 waits only as long as the plan
//! allows. Other kinds of targets belong behind the same two calls.

mod assemble;
mod block;
mod dhcp;
mod dm;
mod md;
pub(crate) mod mount;
mod netlink;
mod network;
mod nfs;
mod partition;
mod prove;
mod wake;

use crate::modules::Loading;
use crate::protocol::{Event, say};
use crate::remote;
use block::Looking;
use plan::{FsType, Module, Target, TargetKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use store::directory;
use store::raw::Stream;

/// Where a target of the plan is mounted in the capture kernel: `/target`, `/target-2` and so on. Each has a
/// place of its own, because below one that hangs no path can be looked up any more.
pub(crate) fn mount_point(target: usize) -> PathBuf {
    match target {
        0 => "/target".into(),
        n => format!("/target-{}", n.saturating_add(1)).into(),
    }
}

/// Makes a target ready to be written to, and says where it is; its modules are loaded first.
///
/// # Errors
/// Why it cannot be used, in one sentence.
pub(crate) fn prepare(
    target: &Target,
    modules: Vec<Module>,
    mount_point: &Path,
    nodename: &str,
) -> Result<(), String> {
    let loading = (!modules.is_empty()).then(|| Loading::begin(modules));
    // Nothing is looked at before they are there: a disk whose driver is still at work cannot be opened
    // (ENXIO), and a filesystem may want more than its own module to be mounted.
    if let Some(loading) = &loading {
        loading.wait();
    }
    say(&reach(target, mount_point, nodename)?);
    if let Some(loading) = loading {
        loading.finish();
    }
    Ok(())
}

fn reach(target: &Target, mount_point: &Path, nodename: &str) -> Result<Event, String> {
    match &target.kind {
        TargetKind::Directory(dir) => {
            let base = directory::ensure(Path::new("/"), &dir.path)
                .or_else(|error| {
                    // By hand the path may lead over links; then it must be there already.
                    std::fs::canonicalize(&dir.path)
                        .ok()
                        .filter(|path| path.is_dir())
                        .ok_or(error)
                })
                .map_err(|error| format!("Cannot use {}: {error}", dir.path))?;
            Ok(Event::Mounted {
                mount_point: None,
                base: base.to_string_lossy().into_owned(),
            })
        }
        TargetKind::Filesystem(fs) => {
            let wait = Duration::from_secs(target.device_wait_s);
            let device = Looking::begin().wait_for(fs, wait)?;
            if fs.fstype == FsType::Raw {
                return stream(&device, mount_point);
            }
            mount::mount(&device, fs, mount_point)?;
            mounted(mount_point, &fs.path)
        }
        TargetKind::Nfs(nfs) => {
            let wait = Duration::from_secs(target.device_wait_s);
            nfs::mount(nfs, nodename, mount_point, wait)?;
            mounted(mount_point, &nfs.path)
        }
        TargetKind::Ssh(ssh) => {
            let wait = Duration::from_secs(target.device_wait_s);
            remote::mount(ssh, mount_point, &|way| {
                network::bring_up(way, Instant::now() + wait).map(drop)
            })?;
            mounted(mount_point, "/")
        }
    }
}

/// A stream on the device: its crash directory is in memory, and the cores on the device alone.
fn stream(device: &Path, mount_point: &Path) -> Result<Event, String> {
    // One for each device: another target's may still be there.
    let name = device.file_name().unwrap_or_default().to_string_lossy();
    let base = mount_point.with_file_name(format!("raw-{name}"));
    std::fs::create_dir_all(&base)
        .and_then(|()| Stream::begin(device, &base))
        .map_err(|error| format!("Cannot write a stream to {}: {error}", device.display()))?;
    Ok(Event::Mounted {
        mount_point: None,
        base: base.to_string_lossy().into_owned(),
    })
}

/// The directory for crashes inside what was mounted.
fn mounted(mount_point: &Path, path: &str) -> Result<Event, String> {
    let base = directory::ensure(mount_point, path)
        .map_err(|error| format!("Cannot make the directory {path}: {error}"))?;
    Ok(Event::Mounted {
        mount_point: Some(mount_point.to_string_lossy().into_owned()),
        base: base.to_string_lossy().into_owned(),
    })
}
