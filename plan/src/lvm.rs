//! The beginning of an LVM physical volume: its UUID, and where it keeps a copy, the
//! text that describes its volume group.
//!
//! Facts: lvm2's lib/format_text/layout.h and lib/label/label.c, LVM2 2.02 to 2.03. Checksums are not
//! verified: a text counts only when it can be read to its end and names the UUIDs that were recorded.

pub mod text;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use text::Section;

const SECTOR: u64 = 512;

/// Metadata larger than this is none.
const MAX_TEXT: u64 = 16 << 20;

/// The beginning of a physical volume.
#[derive(Clone, Debug)]
pub struct PhysicalVolume {
    /// Its UUID, without dashes.
    pub id: String,
    /// Its copy of the description of the volume group; not every volume has one.
    pub metadata: Option<Section>,
}

impl PhysicalVolume {
    /// Reads label, header and metadata.
    ///
    /// # Errors
    /// It cannot be read, is no physical volume, or its text cannot be understood.
    pub fn read(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let mut start = vec![0_u8; 4096];
        file.read_exact_at(&mut start, 0)?;
        let label = label(&start).ok_or_else(|| wrong("there is no LVM label"))?;
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
            text = text.or(area_text(&file, offset, size)?);
        }
        let metadata = match text {
            Some(text) => {
                Some(text::parse(&text).ok_or_else(|| wrong("its text cannot be understood"))?)
            }
            None => None,
        };
        Ok(Self {
            id: String::from_utf8_lossy(id).into_owned(),
            metadata,
        })
    }
}

fn wrong(what: &str) -> io::Error {
    io::Error::other(what.to_owned())
}

/// The sector with the label, one of the first four.
pub(super) fn label(start: &[u8]) -> Option<&[u8]> {
    (0..4)
        .filter_map(|sector| start.get(sector * 512..(sector + 1) * 512))
        .find(|sector| sector.starts_with(b"LABELONE") && sector.get(24..32) == Some(b"LVM2 001"))
}

/// The text in a metadata area: a ring buffer with a header that says where the valid copy is.
fn area_text(file: &File, area: u64, size: u64) -> io::Result<Option<String>> {
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
            .ok_or_else(|| wrong("the metadata area is damaged"))
    };
    file.read_exact_at(first, at(offset)?)?;
    file.read_exact_at(wrapped, at(SECTOR)?)?;
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(Some(String::from_utf8_lossy(text).into_owned()))
}

/// 32 characters as LVM prints them: 6-4-4-4-4-4-6.
#[must_use]
pub fn dashed(id: &str) -> String {
    let mut out = String::with_capacity(38);
    for (n, c) in id.chars().enumerate() {
        if matches!(n, 6 | 10 | 14 | 18 | 22 | 26) {
            out.push('-');
        }
        out.push(c);
    }
    out
}

fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(
        bytes.get(at..at.checked_add(4)?)?.try_into().ok()?,
    ))
}

fn le64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(
        bytes.get(at..at.checked_add(8)?)?.try_into().ok()?,
    ))
}
