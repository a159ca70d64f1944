//! Logical volumes: the table that the panic kernel builds them from, out of LVM's own metadata.
//!
//! Facts: lvm2's lib/format_text/layout.h and the text that vgcfgbackup prints, LVM2 2.02 to 2.03.
//! The table is not asked of the kernel but worked out from what is on disk, so that it stands beside
//! the sequence number and UUIDs that make it true. Linear and striped volumes only.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use capture::plan::{DeviceMapper, Segment};

use super::ResolveError;
use super::lvm_text::{self, Section};
use super::sysfs::{Machine, name_of};

const SECTOR: u64 = 512;

/// Metadata larger than this is none.
const MAX_TEXT: u64 = 16 << 20;

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
    let mut ids = Vec::new();
    let mut text = None;
    for sys in below {
        let node = machine.node(sys);
        let read = machine
            .root
            .open_path(&node)
            .and_then(|path| Pv::read(&path));
        let read = read.map_err(|error| ResolveError::Lvm {
            device: name.clone(),
            pv: name_of(sys),
            what: error.to_string(),
        })?;
        ids.push(dashed(&read.id));
        // A physical volume may hold no copy of the text.
        text = text.or(read.text);
    }
    let text = text.ok_or_else(|| wrong("no copy of the metadata was found"))?;
    let file = lvm_text::parse(&text).ok_or_else(|| wrong("its text cannot be understood"))?;
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

/// 32 characters as LVM prints them: 6-4-4-4-4-4-6.
fn dashed(id: &str) -> String {
    let mut out = String::with_capacity(38);
    for (n, c) in id.chars().enumerate() {
        if matches!(n, 6 | 10 | 14 | 18 | 22 | 26) {
            out.push('-');
        }
        out.push(c);
    }
    out
}

/// What stands at the beginning of a physical volume.
struct Pv {
    id: String,
    text: Option<String>,
}

impl Pv {
    fn read(path: &Path) -> std::io::Result<Self> {
        let wrong = |what: &str| std::io::Error::other(what.to_owned());
        let file = std::fs::File::open(path)?;
        let mut start = vec![0_u8; 4096];
        file.read_exact_at(&mut start, 0)?;
        let label = (0..4)
            .filter_map(|sector| start.get(sector * 512..(sector + 1) * 512))
            .find(|sector| {
                sector.starts_with(b"LABELONE") && sector.get(24..32) == Some(b"LVM2 001")
            })
            .ok_or_else(|| wrong("there is no LVM label"))?;
        let header = le32(label, 20)
            .and_then(|at| label.get(usize::try_from(at).ok()?..))
            .ok_or_else(|| wrong("the label is damaged"))?;
        let id = header
            .get(..32)
            .filter(|id| id.iter().all(u8::is_ascii_graphic))
            .ok_or_else(|| wrong("the label is damaged"))?;
        // Lists of areas, each ended by zeros: data first, then metadata.
        let mut areas = header
            .get(40..)
            .unwrap_or_default()
            .chunks_exact(16)
            .map(|area| (le64(area, 0).unwrap_or(0), le64(area, 8).unwrap_or(0)));
        let _data: Vec<_> = areas.by_ref().take_while(|area| *area != (0, 0)).collect();
        let mut text = None;
        for (offset, size) in areas.take_while(|area| *area != (0, 0)) {
            text = text.or(metadata(&file, offset, size)?);
        }
        Ok(Self {
            id: String::from_utf8_lossy(id).into_owned(),
            text,
        })
    }
}

/// The text in a metadata area: a ring buffer with a header that says where the valid copy is.
fn metadata(file: &std::fs::File, area: u64, size: u64) -> std::io::Result<Option<String>> {
    let mut header = [0_u8; SECTOR as usize];
    file.read_exact_at(&mut header, area)?;
    if header.get(4..20) != Some(b" LVM2 x[5A%r0N*>") {
        return Ok(None);
    }
    let offset = le64(&header, 40).unwrap_or(0);
    let length = le64(&header, 48).unwrap_or(0);
    if offset < SECTOR || offset >= size || length == 0 || length > MAX_TEXT || length > size {
        return Ok(None);
    }
    let mut text = vec![0_u8; usize::try_from(length).unwrap_or(0)];
    let straight = usize::try_from(length.min(size - offset)).unwrap_or(0);
    let (first, wrapped) = text.split_at_mut(straight);
    let at = |offset: u64| {
        area.checked_add(offset)
            .ok_or_else(|| std::io::Error::other("the metadata area is damaged"))
    };
    file.read_exact_at(first, at(offset)?)?;
    file.read_exact_at(wrapped, at(SECTOR)?)?;
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(Some(String::from_utf8_lossy(text).into_owned()))
}

fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn le64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}
