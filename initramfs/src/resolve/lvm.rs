//! Logical volumes: the table that the capture kernel builds them from, out of LVM's own metadata.
//!
//! Facts: the text that vgcfgbackup prints, LVM2 2.02 to 2.03; what is read from disk is
//! [`plan::lvm`]'s business. The table is not asked of the kernel but worked out from what
//! is on disk, so that it is together with the sequence number and UUIDs that make it true. Linear and
//! striped volumes only.

use std::path::{Path, PathBuf};

use plan::lvm::text::Section;
use plan::lvm::{PhysicalVolume, dashed};
use plan::{DeviceMapper, Segment};

use super::error::ResolveError;
use super::sysfs::{Machine, name_of};

/// Describes the volume at `sys`, whose physical volumes are at `below`.
pub(super) fn volume(
    machine: &Machine,
    sys: &Path,
    uuid: &str,
    below: &[PathBuf],
) -> Result<DeviceMapper, ResolveError> {
    let name = machine.root.text(sys.join("dm/name")).unwrap_or_default();
    let pv = below.first().map(|sys| name_of(sys)).unwrap_or_default();
    let wrong = |what: &str| ResolveError::Lvm {
        device: name.clone(),
        pv: pv.clone(),
        what: what.to_owned(),
    };
    // The origin of a snapshot would be written past the snapshot.
    let inner = |sys: &PathBuf| {
        let uuid = machine.root.text(sys.join("dm/uuid")).unwrap_or_default();
        uuid.starts_with("LVM-")
    };
    if below.iter().any(inner) {
        return Err(wrong(
            "it is made of other volumes (a snapshot or its origin, a mirror, a thin volume); only linear and striped volumes can be put together",
        ));
    }
    let mut ids = Vec::new();
    let mut text = None;
    for sys in below {
        let node = machine.node(sys);
        let read = machine
            .root
            .open_path(&node)
            .and_then(|path| PhysicalVolume::read(&path));
        let read = read.map_err(|error| ResolveError::Lvm {
            device: name.clone(),
            pv: name_of(sys),
            what: error.to_string(),
        })?;
        ids.push(dashed(&read.id));
        // A physical volume may hold no copy of the text.
        text = text.or(read.metadata);
    }
    let file = text.ok_or_else(|| wrong("no copy of the metadata was found"))?;
    let (lv, vg) = uuid
        .strip_prefix("LVM-")
        .filter(|ids| ids.len() >= 64 && ids.is_char_boundary(32) && ids.is_char_boundary(64))
        .and_then(|ids| Some((ids.get(32..64)?, ids.get(..32)?)))
        .ok_or_else(|| wrong("the volume's UUID in /sys makes no sense"))?;
    let (_, group) = file
        .sections()
        .find(|(_, group)| group.text("id").is_some_and(|id| id == dashed(vg)))
        .ok_or_else(|| wrong("the metadata is of another volume group"))?;
    let table = table(group, &dashed(lv), &ids).map_err(|what| wrong(&what))?;
    Ok(DeviceMapper {
        vg_uuid: Some(dashed(vg)),
        lv_uuid: Some(dashed(lv)),
        vg_seqno: group.number("seqno"),
        uuid: uuid.to_owned(),
        name,
        table,
    })
}

/// The table of a volume, in the order of its extents.
fn table(group: &Section, lv: &str, pvs: &[String]) -> Result<Vec<Segment>, String> {
    let extent = group.number("extent_size").ok_or("it has no extent size")?;
    let volume = group
        .section("logical_volumes")
        .and_then(|volumes| {
            volumes
                .sections()
                .find(|(_, volume)| volume.text("id").is_some_and(|id| id == lv))
        })
        .map(|(_, volume)| volume)
        .ok_or("the volume is not in it")?;
    let mut segments = Vec::new();
    for (name, segment) in volume
        .sections()
        .filter(|(name, _)| name.starts_with("segment"))
    {
        segments.push(one(group, segment, extent, pvs).map_err(|what| format!("{name}: {what}"))?);
    }
    segments.sort_by_key(|segment| segment.start);
    let mut next = 0;
    for segment in &segments {
        if segment.start != next {
            return Err("its segments leave a hole".to_owned());
        }
        next = segment.start.saturating_add(segment.sectors);
    }
    if segments.is_empty() {
        return Err("the volume has no segments".to_owned());
    }
    Ok(segments)
}

fn one(group: &Section, segment: &Section, extent: u64, pvs: &[String]) -> Result<Segment, String> {
    let overflow = || "its numbers are too large".to_owned();
    let number = |key: &str| segment.number(key).ok_or_else(|| format!("no {key}"));
    let kind = segment.text("type").unwrap_or_default();
    if kind != "striped" {
        return Err(format!(
            "it is of type \"{kind}\"; only linear and striped volumes can be put together"
        ));
    }
    let start = number("start_extent")?
        .checked_mul(extent)
        .ok_or_else(overflow)?;
    let sectors = number("extent_count")?
        .checked_mul(extent)
        .ok_or_else(overflow)?;
    let mut devices: Vec<String> = Vec::new();
    let mut places = Vec::new();
    for (name, first) in segment.pairs("stripes") {
        let pv = group
            .section("physical_volumes")
            .and_then(|all| all.section(name))
            .ok_or_else(|| format!("{name} is no physical volume"))?;
        let id = pv.text("id").unwrap_or_default();
        if !pvs.iter().any(|known| known == id) {
            return Err(format!(
                "the physical volume {name} ({id}) is not under the volume"
            ));
        }
        let offset = first
            .checked_mul(extent)
            .and_then(|sectors| sectors.checked_add(pv.number("pe_start")?))
            .ok_or_else(overflow)?;
        let at = devices
            .iter()
            .position(|known| known == id)
            .unwrap_or_else(|| {
                devices.push(id.to_owned());
                devices.len() - 1
            });
        places.push(format!("{{{at}}} {offset}"));
    }
    let (target, params) = match places.as_slice() {
        [] => return Err("it has no stripes".to_owned()),
        [place] => ("linear", place.clone()),
        several => {
            let chunk = number("stripe_size")?;
            (
                "striped",
                format!("{} {chunk} {}", several.len(), several.join(" ")),
            )
        }
    };
    Ok(Segment {
        start,
        sectors,
        target: target.to_owned(),
        params,
        devices,
    })
}
