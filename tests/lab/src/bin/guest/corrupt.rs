//! The capture kernel, loaded again with a changed byte: what purgatory has to notice.
//!
//! The loader computes the checksums; this changes a byte of a segment on its way into the kernel.

use anyhow::{Context, Result, ensure};
use loader::arm::reload_kept;
use loader::kernel::{FileLoad, Kernel, Reboot, Segment, SegmentLoad, Slot, Syscall};
use loader::state::State;
use loader::sys::Linux;
use nix::errno::Errno;
use rehearse::guest::init::say;
use std::cell::Cell;
use std::fs;
use std::path::Path;

/// The running kernel, which is given a damaged segment.
struct Damaging {
    /// The kept capture image, which tells its segment from the kernel's.
    image: Vec<u8>,
    /// Whether the capture image is damaged, and not the kernel.
    in_image: bool,
    /// How many bytes were changed.
    changed: Cell<u32>,
}

/// Loads again what `afterpanic load` loaded by kexec_load, with one byte of a segment changed:
/// `kernel` or `capture image`.
pub(crate) fn load(segment: &str) -> Result<()> {
    let root = Path::new("/");
    let state = State::read(root)?;
    let loaded = state.loaded.context("nothing is loaded")?;
    let shown = loaded.image.display();
    let image = fs::read(&loaded.image).with_context(|| format!("cannot read {shown}"))?;
    ensure!(!image.is_empty(), "{shown} is empty");
    ensure!(
        ["kernel", "capture image"].contains(&segment),
        "no segment is called {segment}"
    );
    let damaging = Damaging {
        image,
        in_image: segment == "capture image",
        changed: Cell::new(0),
    };
    reload_kept(&damaging, root).context("cannot load what was kept")?;
    let changed = damaging.changed.get();
    ensure!(
        changed == 1,
        "{changed} bytes of the {segment} were changed"
    );
    say(format_args!("one byte of the {segment} was changed"));
    Ok(())
}

impl Kernel for Damaging {
    fn kexec_file_load(&self, load: &FileLoad<'_>) -> Result<(), Errno> {
        Linux.kexec_file_load(load)
    }

    fn kexec_load(&self, load: &SegmentLoad<'_>) -> Result<(), Errno> {
        let is_image = |segment: &Segment<'_>| segment.data.starts_with(&self.image);
        let wanted = load
            .segments
            .iter()
            .filter(|segment| is_image(segment) == self.in_image)
            // Of the others the kernel is by far the largest.
            .max_by_key(|segment| segment.data.len());
        let mut bytes = wanted.map(|one| one.data.to_vec()).unwrap_or_default();
        let half = bytes.len() / 2;
        let address = wanted.map(|one| one.address);
        if let Some(byte) = bytes.get_mut(half) {
            *byte ^= 0xff;
            self.changed.set(1);
        }
        let mut segments = load.segments.to_vec();
        for segment in &mut segments {
            if Some(segment.address) == address {
                segment.data = &bytes;
            }
        }
        Linux.kexec_load(&SegmentLoad {
            segments: &segments,
            ..*load
        })
    }

    fn unload(&self, slot: Slot, by: Syscall) -> Result<(), Errno> {
        Linux.unload(slot, by)
    }

    fn reboot(&self, how: Reboot) -> Result<(), Errno> {
        Linux.reboot(how)
    }

    fn reach_user_keyring(&self) -> Result<(), Errno> {
        Linux.reach_user_keyring()
    }

    fn sync(&self) {
        Linux.sync();
    }

    fn remount_read_only(&self, mount_point: &Path) -> Result<(), Errno> {
        Linux.remount_read_only(mount_point)
    }
}
