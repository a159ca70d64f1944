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
    let table = table(group, &dashed(lv), &ids).map_err(|what| wrong(&what.to_string()))?;
    Ok(DeviceMapper {
        vg_uuid: Some(dashed(vg)),
        lv_uuid: Some(dashed(lv)),
        vg_seqno: group.number("seqno"),
        uuid: uuid.to_owned(),
        name,
        table,
    })
}

/// Why a volume has no table; completes [`ResolveError::Lvm`].
#[derive(Debug, thiserror::Error)]
enum TableError {
    #[error("it has no extent size")]
    NoExtentSize,
    #[error("the volume is not in it")]
    NoVolume,
    #[error("its segments leave a hole")]
    Hole,
    #[error("the volume has no segments")]
    NoSegments,
    #[error("{name}: {what}")]
    Segment { name: String, what: Box<Self> },
    #[error("its numbers are too large")]
    TooLarge,
    #[error("no {0}")]
    No(&'static str),
    #[error("it is of type \"{0}\"; only linear and striped volumes can be put together")]
    Type(String),
    #[error("{0} is no physical volume")]
    NotPhysical(String),
    #[error("the physical volume {name} ({id}) is not under the volume")]
    Elsewhere { name: String, id: String },
    #[error("it has no stripes")]
    NoStripes,
}

/// The table of a volume, in the order of its extents.
fn table(group: &Section, lv: &str, pvs: &[String]) -> Result<Vec<Segment>, TableError> {
    let extent = group
        .number("extent_size")
        .ok_or(TableError::NoExtentSize)?;
    let volume = group
        .section("logical_volumes")
        .and_then(|volumes| {
            volumes
                .sections()
                .find(|(_, volume)| volume.text("id").is_some_and(|id| id == lv))
        })
        .map(|(_, volume)| volume)
        .ok_or(TableError::NoVolume)?;
    let mut segments = Vec::new();
    for (name, segment) in volume
        .sections()
        .filter(|(name, _)| name.starts_with("segment"))
    {
        let one = one(group, segment, extent, pvs).map_err(|what| TableError::Segment {
            name: name.to_owned(),
            what: Box::new(what),
        });
        segments.push(one?);
    }
    segments.sort_by_key(|segment| segment.start);
    let mut next = 0;
    for segment in &segments {
        if segment.start != next {
            return Err(TableError::Hole);
        }
        next = segment.start.saturating_add(segment.sectors);
    }
    if segments.is_empty() {
        return Err(TableError::NoSegments);
    }
    Ok(segments)
}

fn one(
    group: &Section,
    segment: &Section,
    extent: u64,
    pvs: &[String],
) -> Result<Segment, TableError> {
    let number = |key: &'static str| segment.number(key).ok_or(TableError::No(key));
    let kind = segment.text("type").unwrap_or_default();
    if kind != "striped" {
        return Err(TableError::Type(kind.to_owned()));
    }
    let start = number("start_extent")?
        .checked_mul(extent)
        .ok_or(TableError::TooLarge)?;
    let sectors = number("extent_count")?
        .checked_mul(extent)
        .ok_or(TableError::TooLarge)?;
    let mut devices: Vec<String> = Vec::new();
    let mut places = Vec::new();
    for (name, first) in segment.pairs("stripes") {
        let pv = group
            .section("physical_volumes")
            .and_then(|all| all.section(name))
            .ok_or_else(|| TableError::NotPhysical(name.to_owned()))?;
        let id = pv.text("id").unwrap_or_default();
        if !pvs.iter().any(|known| known == id) {
            return Err(TableError::Elsewhere {
                name: name.to_owned(),
                id: id.to_owned(),
            });
        }
        let offset = first
            .checked_mul(extent)
            .and_then(|sectors| sectors.checked_add(pv.number("pe_start")?))
            .ok_or(TableError::TooLarge)?;
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
        [] => return Err(TableError::NoStripes),
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
