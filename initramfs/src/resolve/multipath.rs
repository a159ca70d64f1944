//! Multipath maps: the capture kernel puts none together. It takes the first path that answers, told by its WWID.
//!
//! Facts: a map's UUID is `mpath-WWID` (multipath-tools, libmultipath/devmapper.c), that of a partition of a map
//! `partN-mpath-WWID` (kpartx). A path's own partitions have the number and the sectors of the map's, because both come from one table.

use std::path::{Path, PathBuf};

use super::error::ResolveError;
use super::sysfs::{Machine, name_of, slaves, wwid};

/// What a device-mapper UUID names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Map {
    /// The whole disk.
    Whole,
    /// A partition of it, by number.
    Partition(u64),
}

/// What the UUID names, if it is a multipath map's or one of a partition of such a map.
pub(super) fn of(uuid: &str) -> Option<Map> {
    if uuid.starts_with("mpath-") {
        return Some(Map::Whole);
    }
    let (part, map) = uuid.split_once('-')?;
    let number = part.strip_prefix("part")?.parse().ok()?;
    map.starts_with("mpath-").then_some(Map::Partition(number))
}

/// What a map stands on, as folders below /sys.
pub(super) struct Paths {
    /// A path's partition and its number, where the map is that of a partition.
    pub partition: Option<(PathBuf, u64)>,
    /// The disks, all of which have one WWID.
    pub disks: Vec<PathBuf>,
}

/// The paths of the map at `sys`.
pub(super) fn paths(machine: &Machine, sys: &Path, map: Map) -> Result<Paths, ResolveError> {
    let whole = match map {
        Map::Whole => Some(sys.to_owned()),
        Map::Partition(_) => slaves(machine, sys).into_iter().next(),
    };
    let mut disks = whole.map(|sys| slaves(machine, &sys)).unwrap_or_default();
    disks.sort();
    let named = name(machine, sys, map, &disks);
    let refuse = |why: &str| ResolveError::Layer {
        device: name_of(sys),
        what: format!("{named}, and {why}"),
    };
    let ids: Vec<Option<String>> = disks.iter().map(|disk| wwid(machine, disk)).collect();
    match ids.split_first() {
        Some((Some(first), rest)) if rest.iter().all(|id| id.as_ref() == Some(first)) => {}
        Some((Some(_), _)) => return Err(refuse("its paths do not have one WWID")),
        _ => {
            return Err(refuse(
                "none of its paths shows a WWID, by which one could be told",
            ));
        }
    }
    let partition = match map {
        Map::Whole => None,
        Map::Partition(number) => {
            let mut found = disks.iter();
            let found = found.find_map(|disk| partition(machine, disk, number));
            let found = found
                .ok_or_else(|| refuse("none of its paths shows that partition: sudo partprobe"))?;
            Some((found, number))
        }
    };
    Ok(Paths { partition, disks })
}

/// The partition of a disk by its number.
fn partition(machine: &Machine, disk: &Path, number: u64) -> Option<PathBuf> {
    let below = machine.root.names(disk).into_iter();
    below
        .map(|name| disk.join(name))
        .find(|sys| machine.root.number(sys.join("partition")) == Some(number))
}

fn name(machine: &Machine, sys: &Path, map: Map, disks: &[PathBuf]) -> String {
    let called = |sys: &Path| machine.root.text(sys.join("dm/name")).unwrap_or_default();
    let over = match disks.is_empty() {
        true => String::new(),
        false => {
            let names: Vec<String> = disks.iter().map(|disk| name_of(disk)).collect();
            format!(" over {}", names.join(", "))
        }
    };
    let own = called(sys);
    match map {
        Map::Whole => format!("the multipath map {own}{over}"),
        Map::Partition(_) => {
            let whole = slaves(machine, sys).into_iter().next();
            let whole = whole.map(|sys| called(&sys)).unwrap_or_default();
            format!("the partition {own} of the multipath map {whole}{over}")
        }
    }
}
