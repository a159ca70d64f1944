//! Logical and encrypted volumes, built from the table that was recorded while arming.
//!
//! Facts: include/uapi/linux/dm-ioctl.h (interface 4, which every kernel speaks since 2.6),
//! Documentation/admin-guide/device-mapper/{linear,striped,dm-crypt}.rst, Linux 5.10 to 7.2;
//! kernel/crash_dump_dm_crypt.c, Linux 6.16 to 7.2. The table of a logical volume is
//! loaded only if every copy of the volume group's metadata on the recorded physical volumes still
//! has the recorded sequence number and UUIDs. LVM's own tools are not needed, and nothing is written
//! to the physical volumes.

use super::mount::mount_with;
use crate::sys;
use plan::lvm::{self, PhysicalVolume};
use plan::{DeviceMapper, Segment};
use std::fs::{self, File, OpenOptions};
use std::path::Path;

/// Commands of device-mapper.
const DEV_CREATE: u8 = 3;
const DEV_REMOVE: u8 = 4;
const DEV_SUSPEND: u8 = 6;
const TABLE_LOAD: u8 = 9;

/// Whether the metadata on disk still is what the table was made from.
///
/// # Errors
/// What differs, in one sentence.
pub(super) fn verify(volume: &DeviceMapper, pvs: &[(String, &Path)]) -> Result<(), String> {
    let (Some(vg), Some(lv), Some(seqno)) = (&volume.vg_uuid, &volume.lv_uuid, volume.vg_seqno)
    else {
        return Err("nothing was recorded that would prove its table".into());
    };
    let mut copies = 0_u32;
    for (id, path) in pvs {
        let shown = path.display();
        let pv = PhysicalVolume::read(path).map_err(|error| format!("{shown}: {error}"))?;
        if lvm::dashed(&pv.id) != *id {
            return Err(format!("{shown} is not the physical volume {id} any more"));
        }
        let Some(text) = pv.metadata else {
            continue;
        };
        let group = text
            .sections()
            .map(|(_, section)| section)
            .find(|section| section.text("id") == Some(vg))
            .ok_or_else(|| format!("{shown} is not of the volume group {vg} any more"))?;
        let now = group.number("seqno");
        if now != Some(seqno) {
            return Err(format!(
                "the volume group was changed since arming: its sequence number is {} on {shown}, not {seqno}; its table is not trusted",
                now.map_or_else(|| "missing".to_owned(), |now| now.to_string())
            ));
        }
        let there = |kind: &str, id: &str| {
            group.section(kind).is_some_and(|all| {
                all.sections()
                    .any(|(_, section)| section.text("id") == Some(id))
            })
        };
        if !there("logical_volumes", lv) {
            return Err(format!("the volume {lv} is not in its group any more"));
        }
        if let Some((missing, _)) = pvs.iter().find(|(id, _)| !there("physical_volumes", id)) {
            return Err(format!("{missing} is not in the volume group any more"));
        }
        copies += 1;
    }
    if copies == 0 {
        return Err("none of its physical volumes holds the group's metadata".into());
    }
    Ok(())
}

/// Asks the kernel for the keys that the one that panicked handed over: it puts them into root's keyring, where
/// dm-crypt finds them. Later calls change nothing.
///
/// # Errors
/// The kernel has no such door, in one sentence.
pub(super) fn restore_keys(sys: &Path) -> Result<(), String> {
    let configfs = sys.join("kernel/config");
    // The kernel makes it where it has configfs; an earlier target may have mounted that.
    if configfs.is_dir() {
        let _ = mount_with(&configfs, &configfs, "configfs", &[]);
    }
    fs::write(configfs.join("crash_dm_crypt_keys/restore"), "1")
        .map_err(|error| format!("the kernel gives no keys back: {error}"))
}

/// Makes the device; its name below /dev. `number` gives the `major:minor` of a physical volume.
///
/// # Errors
/// What the kernel said, in one sentence.
pub(super) fn create(
    volume: &DeviceMapper,
    dev: &Path,
    number: &dyn Fn(&str) -> Option<String>,
) -> Result<String, String> {
    let control = dev.join("mapper/control");
    let control = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&control)
        .map_err(|error| format!("Cannot open {}: {error}", control.display()))?;
    let targets = targets(&volume.table, number)?;
    let ask = |command: u8, what: &str, count: u32, data: &[u8]| {
        request(&control, command, volume, count, data)
            .map_err(|error| format!("Cannot {what} the volume {}: {error}", volume.name))
    };
    let made = ask(DEV_CREATE, "make", 0, &[])?;
    let count = u32::try_from(volume.table.len()).unwrap_or(u32::MAX);
    let loaded = ask(TABLE_LOAD, "load the table of", count, &targets)
        // Without the flag for suspending, the command resumes: the table becomes live.
        .and_then(|_| ask(DEV_SUSPEND, "start", 0, &[]));
    if let Err(why) = loaded {
        let _ = ask(DEV_REMOVE, "remove", 0, &[]);
        return Err(why);
    }
    Ok(format!("dm-{}", minor(&made)))
}

/// One command, with as much room for the answer as struct dm_ioctl has.
fn request(
    control: &File,
    command: u8,
    volume: &DeviceMapper,
    count: u32,
    data: &[u8],
) -> std::io::Result<Vec<u8>> {
    let too_long = || std::io::Error::from_raw_os_error(libc::ENAMETOOLONG);
    let size = u32::try_from(sys::DM_HEADER + data.len()).map_err(|_| too_long())?;
    let start = u32::try_from(sys::DM_HEADER).map_err(|_| too_long())?;
    let mut buffer = Vec::with_capacity(sys::DM_HEADER + data.len());
    // version, data_size, data_start, target_count, open_count, flags, event_nr, padding.
    for word in [4, 0, 0, size, start, count, 0, 0, 0, 0] {
        buffer.extend(u32::to_le_bytes(word));
    }
    // dev; name and uuid, each with its NUL; seven bytes of padding.
    buffer.extend([0; 8]);
    // The UUID goes with the creation; later commands name the device by one of both.
    let uuid = if command == DEV_CREATE {
        &*volume.uuid
    } else {
        ""
    };
    for (text, room) in [(&*volume.name, 128), (uuid, 129)] {
        if text.len() >= room {
            return Err(too_long());
        }
        buffer.extend(text.as_bytes());
        buffer.resize(buffer.len() + room - text.len(), 0);
    }
    buffer.resize(sys::DM_HEADER, 0);
    buffer.extend(data);
    sys::device_mapper(control, command, &mut buffer)?;
    Ok(buffer)
}

/// The lines of a table as an array of struct dm_target_spec, each with its parameters behind it.
fn targets(table: &[Segment], number: &dyn Fn(&str) -> Option<String>) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    for segment in table {
        let mut params = segment.params.clone();
        for (at, id) in segment.devices.iter().enumerate() {
            let number = number(id).ok_or_else(|| format!("{id} has no device number"))?;
            params = params.replace(&format!("{{{at}}}"), &number);
        }
        if params.contains('{') || segment.target.len() >= 16 {
            return Err(format!(
                "its table makes no sense: {} {params}",
                segment.target
            ));
        }
        let length = (40 + params.len() + 1).next_multiple_of(8);
        out.extend(segment.start.to_le_bytes());
        out.extend(segment.sectors.to_le_bytes());
        // status, next.
        out.extend(0_u32.to_le_bytes());
        out.extend(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        let mut line = segment.target.clone().into_bytes();
        line.resize(16, 0);
        line.extend(params.as_bytes());
        line.resize(length - 24, 0);
        out.extend(line);
    }
    Ok(out)
}

/// The minor number in an answer's `dev`, which is in the kernel's "huge" form: 12 bits of major
/// number from bit 8, the minor number's low 8 bits below and the rest above.
fn minor(answer: &[u8]) -> u64 {
    let dev = answer
        .get(40..48)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u64::from_le_bytes);
    (dev & 0xff) | ((dev >> 12) & !0xff)
}

#[cfg(test)]
#[path = "dm/tests.rs"]
mod tests;
