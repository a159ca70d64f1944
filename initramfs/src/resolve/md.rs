//! md arrays: what `/sys` and a member's superblock say about them.
//!
//! Facts: Documentation/admin-guide/md.rst, include/uapi/linux/raid/md_p.h, Linux 5.10 to 7.2.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::ResolveError;
use super::sysfs::{Machine, name_of};

/// The program that puts arrays together.
pub(super) const MDADM: &str = "/usr/sbin/mdadm";

/// An array.
pub(super) struct Array {
    /// 32 hex digits.
    pub uuid: String,
    /// `raid1` and so on.
    pub level: String,
    /// Version of the superblocks.
    pub metadata: String,
    /// How many devices it is made for.
    pub members: u32,
}

/// The module of a level.
pub(super) fn personality(level: &str) -> String {
    match level {
        "raid4" | "raid5" | "raid6" => "raid456".to_owned(),
        other => other.to_owned(),
    }
}

/// Describes the array at `sys`, whose members are at `below`.
pub(super) fn array(
    machine: &Machine,
    sys: &Path,
    below: &[PathBuf],
) -> Result<Array, ResolveError> {
    let root = machine.root;
    let name = name_of(sys);
    let refuse = |what: String| ResolveError::Layer {
        device: name.clone(),
        what,
    };
    let metadata = root
        .text(sys.join("md/metadata_version"))
        .unwrap_or_default();
    let level = root.text(sys.join("md/level")).unwrap_or_default();
    if metadata.starts_with("external") {
        return Err(refuse(format!(
            "an array with {metadata} metadata (firmware RAID)"
        )));
    }
    if !matches!(
        level.as_str(),
        "raid0" | "raid1" | "raid10" | "raid4" | "raid5" | "raid6" | "linear"
    ) {
        return Err(refuse(format!("an array of level \"{level}\"")));
    }
    let uuid = below
        .iter()
        .find_map(|member| member_uuid(machine, member, &metadata))
        .or_else(|| {
            let text = machine.udev(sys, "MD_UUID")?;
            Some(text.replace(':', "").to_lowercase())
        })
        .filter(|uuid| uuid.len() == 32)
        .ok_or_else(|| refuse("an array whose UUID cannot be read (needs root)".to_owned()))?;
    Ok(Array {
        uuid,
        level,
        metadata,
        members: u32::try_from(root.number(sys.join("md/raid_disks")).unwrap_or_default())
            .unwrap_or_default(),
    })
}

/// The array's UUID from the superblock of a member.
fn member_uuid(machine: &Machine, member: &Path, metadata: &str) -> Option<String> {
    let sectors = machine.root.number(member.join("size"))?;
    let offset = match metadata {
        "1.0" => (sectors.checked_sub(16)? & !7) * 512,
        "1.1" => 0,
        "1.2" => 4096,
        "0.90" => (sectors & !127).checked_sub(128)? * 512,
        _ => return None,
    };
    let file = std::fs::File::open(machine.root.open_path(machine.node(member)).ok()?).ok()?;
    let mut block = [0_u8; 256];
    file.read_exact_at(&mut block, offset).ok()?;
    if block.get(..4)? != 0xa92b_4efc_u32.to_le_bytes() {
        return None;
    }
    if metadata == "0.90" {
        // The four words of its UUID stand apart: 5, 13, 14 and 15.
        return [5, 13, 14, 15]
            .iter()
            .map(|word| {
                let bytes: [u8; 4] = block.get(word * 4..word * 4 + 4)?.try_into().ok()?;
                Some(format!("{:08x}", u32::from_le_bytes(bytes)))
            })
            .collect();
    }
    Some(
        block
            .get(16..32)?
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
    )
}
