//! Which device is the one that was armed. When in doubt, none.
//!
//! A filesystem that shows on a part of something larger (an md member with its superblock at the
//! end, an LVM physical volume, a device that another one is made of) is never mounted directly. A
//! UUID seen twice is resolved by the recorded stack, or it is an error.

use super::block::{Candidate, Device};
use plan::superblock::Member;
use plan::{Filesystem, FsType, Identity, Layer};
use std::path::PathBuf;

/// The outcome.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Choice {
    /// This one.
    Device {
        /// Its node.
        path: PathBuf,
        /// What proves it, for the log.
        proof: String,
        /// Whether an identity of its hardware proves it, so that no other need be waited for.
        sure: bool,
    },
    /// There is one, but it is not the one that was armed, or it is part of something.
    Refused(String),
    /// There are several.
    Ambiguous(String),
    /// There is none.
    Absent,
}

/// The identity looked for, in words.
#[must_use]
pub(super) fn wanted(fs: &Filesystem) -> String {
    match &fs.identity {
        Identity::Uuid(uuid) => format!("filesystem UUID {uuid}"),
        Identity::Label(label) => format!("filesystem label {label}"),
        Identity::Partuuid(uuid) => format!("partition UUID {uuid}"),
        Identity::Stack => "the hardware recorded".to_owned(),
    }
}

/// Chooses among all devices that were looked at.
#[must_use]
pub(super) fn choose(fs: &Filesystem, candidates: &[Candidate]) -> Choice {
    let mut refused = None;
    let mut good: Vec<(&Candidate, bool)> = Vec::new();
    for candidate in candidates.iter().filter(|c| is_wanted(fs, c)) {
        let name = candidate.device.path.display();
        let why = part_of(candidate)
            .or_else(|| inner_volume(fs, candidate))
            .or_else(|| occupied(fs, candidate))
            .map_or_else(|| against(fs, candidate), Err);
        match why {
            Ok(sure) => good.push((candidate, sure)),
            Err(why) => refused = Some(format!("{name} has {}, but {why}", wanted(fs))),
        }
    }
    // Devices that hardware identities prove go before those that nothing speaks against.
    if good.iter().any(|(_, sure)| *sure) {
        good.retain(|(_, sure)| *sure);
    }
    match good.as_slice() {
        [] => refused.map_or(Choice::Absent, Choice::Refused),
        [(only, sure)] => device(fs, only, *sure),
        [(first, _), rest @ ..] => {
            // Several paths to one disk, or to one partition of it: the first that answered.
            if rest
                .iter()
                .all(|(other, _)| one_place(&first.device, &other.device))
            {
                return device(fs, first, true);
            }
            let names: Vec<_> = good
                .iter()
                .map(|(c, _)| c.device.path.to_string_lossy())
                .collect();
            Choice::Ambiguous(format!(
                "{} is on several devices ({}), and nothing recorded tells them apart",
                wanted(fs),
                names.join(", ")
            ))
        }
    }
}

/// Whether two devices are paths to the same sectors of one disk. Two partitions of a disk have its WWID,
/// too, and so has the disk itself.
fn one_place(a: &Device, b: &Device) -> bool {
    let place = |device: &Device| {
        let partition = device.partition.as_ref();
        let partition = partition.map(|(number, start, _)| (*number, *start));
        (partition, device.sectors)
    };
    a.wwid.is_some() && a.wwid == b.wwid && place(a) == place(b)
}

fn device(fs: &Filesystem, candidate: &Candidate, sure: bool) -> Choice {
    let how = match sure && fs.identity != Identity::Stack {
        true => ", and its hardware is the one recorded",
        false => "",
    };
    Choice::Device {
        path: candidate.device.path.clone(),
        proof: format!("it has {}{how}", wanted(fs)),
        sure,
    }
}

fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

fn is_wanted(fs: &Filesystem, candidate: &Candidate) -> bool {
    let found = &candidate.found;
    // tune2fs makes one of the other, and the kernel has one driver for all three.
    let family = |fs: FsType| match fs {
        FsType::Ext2 | FsType::Ext3 => FsType::Ext4,
        other => other,
    };
    let identity = match &fs.identity {
        Identity::Uuid(uuid) => same(uuid, &found.uuid),
        Identity::Label(label) => *label == found.label,
        Identity::Partuuid(uuid) => candidate
            .partuuid
            .as_ref()
            .is_some_and(|own| same(uuid, own)),
        // What is on it is no name; a part of something is refused by that name.
        Identity::Stack => return against(fs, candidate) == Ok(true),
    };
    let recorded = fs.uuid.as_ref().is_none_or(|uuid| same(uuid, &found.uuid));
    found.fs.map(family) == Some(family(fs.fstype)) && identity && recorded
}

fn part_of(candidate: &Candidate) -> Option<String> {
    let what = match &candidate.found.member {
        Some(Member::Md(md)) => format!("it is a member of the md array {}", md.uuid),
        Some(Member::Lvm(uuid)) => format!("it is the LVM physical volume {uuid}"),
        Some(Member::Luks(_)) => "it is encrypted".to_owned(),
        Some(Member::Bcache) => "it belongs to bcache".to_owned(),
        None if candidate.device.held => "another device is made of it".to_owned(),
        None => return None,
    };
    Some(what)
}

/// A stream goes over nothing else.
fn occupied(fs: &Filesystem, candidate: &Candidate) -> Option<String> {
    match candidate.found.fs {
        Some(FsType::Raw) => None,
        _ if fs.fstype != FsType::Raw => None,
        Some(other) => Some(format!("there is a filesystem on it ({})", other.name())),
        None => Some("its beginning is neither zeros nor an earlier stream".to_owned()),
    }
}

/// LVM's own inner volumes (a snapshot's origin) end in a suffix after the UUID.
fn inner_volume(fs: &Filesystem, candidate: &Candidate) -> Option<String> {
    let uuid = candidate.device.dm_uuid.as_ref()?;
    let recorded = fs
        .stack
        .iter()
        .any(|layer| matches!(layer, Layer::Dm(dm) if dm.uuid == *uuid));
    let inner = ["-real", "-cow", "-pool", "_tdata", "_tmeta"];
    (!recorded && uuid.starts_with("LVM-") && inner.iter().any(|end| uuid.ends_with(end)))
        .then(|| "it is an inner volume of LVM".to_owned())
}

/// Whether anything recorded speaks against a device; if not, whether its hardware speaks for it.
fn against(fs: &Filesystem, candidate: &Candidate) -> Result<bool, String> {
    let device = &candidate.device;
    let mut sure = false;
    let Some(first) = fs.stack.first() else {
        return Ok(false);
    };
    match first {
        Layer::Dm(dm) => match &device.dm_uuid {
            Some(uuid) if *uuid == dm.uuid => return Ok(true),
            _ => return Err(format!("it is not the volume {} of then", dm.name)),
        },
        Layer::Md { uuid, name, .. } => {
            let digits = uuid.replace([':', '-'], "");
            return match &device.md_uuid {
                Some(own) if same(own, &digits) => Ok(true),
                // Kernels whose sysfs has no UUID: only the kind of name can be checked.
                None if device.name.starts_with("md") => Ok(false),
                _ => Err(format!("it is not the array {name} of then")),
            };
        }
        Layer::Partition {
            number,
            partuuid,
            start,
            ..
        } => {
            let Some((own, from, _)) = &device.partition else {
                return Err("it is no partition, as it was then".into());
            };
            if own != number || from != start {
                return Err(format!(
                    "it is partition {own} at sector {from}, not {number} at {start} as then"
                ));
            }
            if let (Some(then), Some(now)) = (partuuid, &candidate.partuuid) {
                if !same(then, now) {
                    return Err(format!("its partition UUID is {now}, not {then} as then"));
                }
                sure = true;
            }
        }
        Layer::Disk { .. } if device.partition.is_some() => {
            return Err("it is a partition, and was a whole disk then".into());
        }
        Layer::Disk { .. } => {}
    }
    Ok(hardware(&fs.stack, device)? || sure)
}

/// Whether the disk under a device is one of those recorded. `false` where neither side knows; an
/// error where both do and it is none of them.
pub(super) fn hardware(stack: &[Layer], device: &Device) -> Result<bool, String> {
    let mut other = None;
    for layer in stack {
        let Layer::Disk { wwid, serial, .. } = layer else {
            continue;
        };
        let mut same = None;
        for (what, then, now) in [
            ("WWID", wwid, &device.wwid),
            ("serial number", serial, &device.serial),
        ] {
            if let (Some(then), Some(now)) = (then, now) {
                let equal = then.trim() == now.trim();
                same = Some(equal && same.unwrap_or(true));
                if !equal {
                    other = Some(format!("its disk's {what} is {now}, not {then} as then"));
                }
            }
        }
        match same {
            Some(true) => return Ok(true),
            Some(false) => {}
            // This disk could be any.
            None => return Ok(false),
        }
    }
    other.map_or(Ok(false), Err)
}

#[cfg(test)]
mod tests;
