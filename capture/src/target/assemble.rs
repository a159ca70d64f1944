//! Puts the recorded stack together, from the disks up: md arrays by their UUID, logical volumes by
//! the UUIDs of their physical volumes, LUKS volumes by their own and the keys that the kernel has.
//!
//! A piece seen twice (a cloned disk) is resolved by what was recorded of the hardware, else the target
//! is refused: half an array of one machine and half of its copy would be the wrong device.

use super::block::Candidate;
use super::{dm, md, prove};
use crate::protocol;
use plan::superblock::{MdMember, Member};
use plan::{DeviceMapper, Filesystem, Layer};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// How long members of an array that are not there may take before it is run without them.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which layers are done, and what is still missing.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    /// Layers of the stack, by index.
    done: Vec<usize>,
    missing: Option<String>,
}

/// Where the machine is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Machine<'a> {
    /// `/sys`.
    pub sys: &'a Path,
    /// `/dev`.
    pub dev: &'a Path,
}

impl Machine<'_> {
    fn number(&self, name: &str) -> Option<String> {
        let text = fs::read_to_string(self.sys.join("class/block").join(name).join("dev")).ok()?;
        Some(text.trim().to_owned())
    }
}

impl Assembly {
    /// What is not there yet, for the message when the wait is over.
    #[must_use]
    pub(super) fn missing(&self) -> Option<&str> {
        self.missing.as_deref()
    }

    /// Builds what can be built from the devices known by now, which have settled for `settled`, if
    /// they have.
    ///
    /// # Errors
    /// Why the stack cannot be built, however long one waits.
    pub(super) fn step(
        &mut self,
        fs: &Filesystem,
        candidates: &[Candidate],
        machine: Machine<'_>,
        settled: Option<Duration>,
    ) -> Result<(), String> {
        self.missing = None;
        for (at, layer) in fs.stack.iter().enumerate().rev() {
            if self.done.contains(&at) {
                continue;
            }
            let built = match layer {
                Layer::Md { .. } => array(fs, layer, candidates, machine, settled),
                Layer::Dm(volume) => volume_of(fs, volume, candidates, machine),
                Layer::Disk { .. } | Layer::Partition { .. } => continue,
            };
            match built? {
                Built::Yes => self.done.push(at),
                Built::NotYet(missing) => {
                    self.missing = Some(missing);
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// What became of a layer.
enum Built {
    Yes,
    NotYet(String),
}

fn array(
    fs: &Filesystem,
    layer: &Layer,
    candidates: &[Candidate],
    machine: Machine<'_>,
    settled: Option<Duration>,
) -> Result<Built, String> {
    let Layer::Md {
        name,
        uuid,
        metadata,
        members: wanted,
        events,
        ..
    } = layer
    else {
        return Ok(Built::Yes);
    };
    let digits = uuid.replace([':', '-'], "");
    let mut found: Vec<(&Candidate, &MdMember)> = candidates
        .iter()
        .filter_map(|candidate| match &candidate.found.member {
            Some(Member::Md(md))
                if md.uuid.eq_ignore_ascii_case(&digits) && md.version == metadata =>
            {
                Some((candidate, md))
            }
            _ => None,
        })
        .collect();
    found.sort_by(|(a, _), (b, _)| a.device.name.cmp(&b.device.name));
    // The kernel or an earlier target has put it together.
    if found.iter().any(|(candidate, _)| candidate.device.held) {
        return Ok(Built::Yes);
    }
    // Version 0.90 at the end of a disk's last partition is at the end of the disk, too.
    let disks: Vec<String> = found
        .iter()
        .filter_map(|(candidate, _)| Some(candidate.device.partition.as_ref()?.2.clone()))
        .collect();
    found.retain(|(candidate, _)| !disks.contains(&candidate.device.name));
    found.retain(|(candidate, md)| {
        let stale = md.events < *events;
        if stale && settled.is_some() {
            let shown = candidate.device.path.display();
            protocol::log(format!("{shown} left the array {name} before arming"));
        }
        !stale
    });
    let mut members: Vec<&Candidate> = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for (_, md) in &found {
        if seen.contains(&&*md.own) {
            continue;
        }
        seen.push(&md.own);
        let same: Vec<&Candidate> = found
            .iter()
            .filter(|(_, other)| other.own == md.own)
            .map(|(candidate, _)| *candidate)
            .collect();
        members.push(one(fs, &same, &format!("a member of the array {name}"))?);
    }
    let count = u32::try_from(members.len()).unwrap_or(u32::MAX);
    if count < *wanted && (count == 0 || settled.is_none_or(|since| since < PATIENCE)) {
        let missing = format!("{count} of {wanted} members of the array {name} ({uuid})");
        return Ok(Built::NotYet(missing));
    }
    if count < *wanted {
        protocol::soft(format!(
            "The array {name} has {count} of its {wanted} members"
        ));
    }
    let numbers: Vec<String> = members
        .iter()
        .filter_map(|member| machine.number(&member.device.name))
        .collect();
    let shown: Vec<&str> = members.iter().map(|m| m.device.name.as_str()).collect();
    let shown = shown.join(" ");
    let device = md::assemble(machine.sys, metadata, &numbers)
        .map_err(|why| format!("The array {name} cannot be put together from {shown}: {why}"))?;
    protocol::log(format!("array {name} is {device}, from {shown}"));
    Ok(Built::Yes)
}

fn volume_of(
    fs: &Filesystem,
    volume: &DeviceMapper,
    candidates: &[Candidate],
    machine: Machine<'_>,
) -> Result<Built, String> {
    let there = |candidate: &Candidate| candidate.device.dm_uuid.as_ref() == Some(&volume.uuid);
    if candidates.iter().any(there) {
        return Ok(Built::Yes);
    }
    let kind = match volume.is_encrypted() {
        true => "LUKS volume",
        false => "physical volume",
    };
    let mut pvs: Vec<(String, &Candidate)> = Vec::new();
    for id in volume.table.iter().flat_map(|segment| &segment.devices) {
        if pvs.iter().any(|(known, _)| known == id) {
            continue;
        }
        let same: Vec<&Candidate> = candidates
            .iter()
            .filter(|candidate| match &candidate.found.member {
                Some(Member::Lvm(own)) => plan::lvm::dashed(own) == *id,
                Some(Member::Luks(own)) => own == id,
                _ => false,
            })
            .collect();
        if same.is_empty() {
            let missing = format!("the {kind} {id} of {}", volume.name);
            return Ok(Built::NotYet(missing));
        }
        pvs.push((id.clone(), one(fs, &same, &format!("the {kind} {id}"))?));
    }
    let paths: Vec<(String, &Path)> = pvs
        .iter()
        .map(|(id, candidate)| (id.clone(), candidate.device.path.as_path()))
        .collect();
    let proof = match volume.is_encrypted() {
        // What is in it is proven before it is mounted: another key would show nothing.
        true => dm::restore_keys(machine.sys).map(|()| "the key was handed over"),
        false => dm::verify(volume, &paths).map(|()| "its group has the recorded sequence number"),
    };
    let proof = proof.map_err(|why| format!("The volume {}: {why}", volume.name))?;
    let number = |id: &str| {
        let (_, candidate) = pvs.iter().find(|(known, _)| known == id)?;
        machine.number(&candidate.device.name)
    };
    let device = dm::create(volume, machine.dev, &number)?;
    let shown: Vec<&str> = pvs.iter().map(|(_, c)| c.device.name.as_str()).collect();
    protocol::log(format!(
        "volume {} is {device}, from {}; {proof}",
        volume.name,
        shown.join(" ")
    ));
    Ok(Built::Yes)
}

/// The one device among those that all say they are `what`.
fn one<'a>(fs: &Filesystem, same: &[&'a Candidate], what: &str) -> Result<&'a Candidate, String> {
    let mut proven = Vec::new();
    let mut possible = Vec::new();
    let mut refused = String::new();
    for candidate in same {
        // Physical volumes may be on an array, which has no hardware of its own.
        let stacked = candidate.device.name.starts_with("md") || candidate.device.dm_uuid.is_some();
        match prove::hardware(&fs.stack, &candidate.device) {
            Ok(true) => proven.push(*candidate),
            Ok(false) => possible.push(*candidate),
            Err(_) if stacked => possible.push(*candidate),
            Err(why) => {
                refused = format!(
                    "{} says it is {what}, but {why}",
                    candidate.device.path.display()
                );
            }
        }
    }
    let good = if proven.is_empty() { possible } else { proven };
    match good.as_slice() {
        [] => Err(refused),
        [only] => Ok(only),
        [first, rest @ ..] => {
            // Several paths to one disk.
            let wwid = &first.device.wwid;
            if wwid.is_some() && rest.iter().all(|other| other.device.wwid == *wwid) {
                return Ok(first);
            }
            let names: Vec<&str> = good.iter().map(|c| c.device.name.as_str()).collect();
            Err(format!(
                "{} each say they are {what}, and nothing recorded tells them apart",
                names.join(", ")
            ))
        }
    }
}

#[cfg(test)]
#[path = "assemble/tests.rs"]
pub(crate) mod tests;
