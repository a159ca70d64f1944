//! md arrays: what `/sys` and a member's superblock say about them.
//!
//! Facts: Documentation/admin-guide/md.rst, Linux 5.10 to 7.2. The capture kernel puts them together
//! through sysfs (capture/src/target/md.rs), so the image needs the level's module and no mdadm.

use std::path::{Path, PathBuf};

use plan::superblock::{MdMember, Member, probe};

use super::error::ResolveError;
use super::sysfs::{Machine, name_of};

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
    /// The highest event count among its members.
    pub events: u64,
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
    let found: Vec<MdMember> = below
        .iter()
        .filter_map(|member| member_at(machine, member))
        .filter(|member| member.version == metadata)
        .collect();
    let first = found.first();
    let uuid = first.map(|member| member.uuid.clone()).ok_or_else(|| {
        refuse("an array whose superblocks cannot be read (needs root)".to_owned())
    })?;
    Ok(Array {
        uuid,
        level,
        metadata,
        members: u32::try_from(root.number(sys.join("md/raid_disks")).unwrap_or_default())
            .unwrap_or_default(),
        events: found.iter().map(|member| member.events).max().unwrap_or(0),
    })
}

/// What a member's own superblock says.
fn member_at(machine: &Machine, member: &Path) -> Option<MdMember> {
    let sectors = machine.root.number(member.join("size"))?;
    let path = machine.root.open_path(machine.node(member)).ok()?;
    match probe(&path, sectors).ok()?.member? {
        Member::Md(md) => Some(md),
        _ => None,
    }
}
