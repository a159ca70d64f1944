//! The block devices of this system, and waiting for the right one.
//!
//! Every device is probed in a thread of its own, because a disk may hang without answering; the
//! others must not wait for it. Names mean nothing here: they may differ from those of the first
//! kernel.

use super::assemble::{Assembly, Machine};
use super::partition;
use super::prove::{self, Choice};
use super::wake::Wake;
use crate::protocol;
use plan::Filesystem;
use plan::superblock::{Found, probe};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// How long the set of devices must stay as it is before a device counts as the only one.
const SETTLE: Duration = Duration::from_millis(300);

/// How long nothing may be looked at: not every change has an event.
const TICK: Duration = Duration::from_millis(100);

/// How long a device may take to answer before it is left out.
const ANSWER: Duration = Duration::from_secs(5);

/// After how long a device that could not be looked at is looked at again: its driver may not have been
/// ready.
const AGAIN: Duration = Duration::from_millis(500);

/// One block device, as sysfs shows it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Device {
    /// `vda1`.
    pub name: String,
    /// `/dev/vda1`.
    pub path: PathBuf,
    /// Size in 512-byte sectors.
    pub sectors: u64,
    /// Partition number, first sector and disk, for a partition.
    pub partition: Option<(u32, u64, String)>,
    /// WWID of the disk under it.
    pub wwid: Option<String>,
    /// Serial number of the disk under it.
    pub serial: Option<String>,
    /// device-mapper's UUID.
    pub dm_uuid: Option<String>,
    /// md's UUID as 32 hex digits.
    pub md_uuid: Option<String>,
    /// Whether another device is made of this one.
    pub held: bool,
}

/// A device and what is on it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Candidate {
    /// The device.
    pub device: Device,
    /// What its superblocks say.
    pub found: Found,
    /// Its PARTUUID, for a partition.
    pub partuuid: Option<String>,
}

fn line(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn number(path: &Path) -> Option<u64> {
    line(path)?.parse().ok()
}

fn disk_ids(disk: &Path) -> (Option<String>, Option<String>) {
    let first = |names: [&str; 2]| names.iter().find_map(|name| line(&disk.join(name)));
    (
        first(["wwid", "device/wwid"]),
        first(["serial", "device/serial"]),
    )
}

/// Every device that can hold a filesystem.
#[must_use]
pub(super) fn list(sys: &Path, dev: &Path) -> Vec<Device> {
    let class = sys.join("class/block");
    let Ok(entries) = fs::read_dir(&class) else {
        return Vec::new();
    };
    let mut devices = Vec::new();
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let skipped = ["ram", "zram", "sr", "fd"];
        if skipped.iter().any(|prefix| {
            name.strip_prefix(prefix)
                .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
        }) {
            continue;
        }
        let path = class.join(&name);
        let Some(sectors) = number(&path.join("size")).filter(|n| *n > 0) else {
            continue;
        };
        // The directory of a partition is inside the directory of its disk.
        let real = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
        let partition = number(&path.join("partition")).and_then(|n| {
            let disk = real.parent()?.file_name()?.to_str()?.to_owned();
            Some((u32::try_from(n).ok()?, number(&path.join("start"))?, disk))
        });
        let disk = match (&partition, real.parent()) {
            (Some(_), Some(parent)) => parent.to_path_buf(),
            _ => real.clone(),
        };
        let (wwid, serial) = disk_ids(&disk);
        let held = fs::read_dir(path.join("holders")).is_ok_and(|mut dir| dir.next().is_some());
        devices.push(Device {
            path: dev.join(name.replace('!', "/")),
            sectors,
            partition,
            wwid,
            serial,
            dm_uuid: line(&path.join("dm/uuid")),
            md_uuid: line(&path.join("md/uuid")).map(|uuid| uuid.replace([':', '-'], "")),
            held,
            name,
        });
    }
    devices.sort_by(|a, b| a.name.cmp(&b.name));
    devices
}

fn look(device: Device, sys: &Path) -> Result<Candidate, String> {
    let found = probe(&device.path, device.sectors)
        .map_err(|error| format!("{}: {error}", device.path.display()))?;
    let partuuid = match &device.partition {
        None => None,
        Some((part, _, disk)) => {
            let sector = number(
                &sys.join("class/block")
                    .join(disk)
                    .join("queue/logical_block_size"),
            );
            let dev = device.path.parent().unwrap_or(Path::new("/dev"));
            partition::partuuid(&dev.join(disk), *part, sector.unwrap_or(512)).unwrap_or(None)
        }
    };
    Ok(Candidate {
        device,
        found,
        partuuid,
    })
}

/// Devices that are being looked at.
pub(super) struct Looking {
    seen: HashSet<String>,
    pending: Vec<(String, Instant)>,
    answers: Receiver<(String, Result<Candidate, String>)>,
    sender: Sender<(String, Result<Candidate, String>)>,
    candidates: Vec<Candidate>,
    /// What could not be looked at, and when that was.
    failed: HashMap<String, Instant>,
    /// Those that were already reported.
    reported: HashSet<String>,
    changed: Instant,
    wake: Wake,
}

impl Looking {
    pub(super) fn begin() -> Self {
        let (sender, answers) = mpsc::channel();
        Self {
            seen: HashSet::new(),
            pending: Vec::new(),
            answers,
            sender,
            candidates: Vec::new(),
            failed: HashMap::new(),
            reported: HashSet::new(),
            changed: Instant::now(),
            wake: Wake::new(),
        }
    }

    fn round(&mut self, sys: &Path, dev: &Path) {
        for device in list(sys, dev) {
            let due = match self.failed.get(&device.name) {
                Some(at) => at.elapsed() >= AGAIN,
                None => !self.seen.contains(&device.name),
            };
            // sysfs shows a device a moment before its node is there.
            if !due || !device.path.exists() {
                continue;
            }
            self.failed.remove(&device.name);
            if self.seen.insert(device.name.clone()) {
                self.changed = Instant::now();
            }
            self.pending.push((device.name.clone(), Instant::now()));
            let (sender, sys) = (self.sender.clone(), sys.to_path_buf());
            let waker = self.wake.waker();
            let body = move || {
                let name = device.name.clone();
                let _ = sender.send((name, look(device, &sys)));
                waker.wake();
            };
            let _ = thread::Builder::new().stack_size(128 << 10).spawn(body);
        }
        while let Ok((name, answer)) = self.answers.try_recv() {
            self.pending.retain(|(pending, _)| *pending != name);
            match answer {
                Ok(candidate) => {
                    self.changed = Instant::now();
                    self.candidates.push(candidate);
                }
                Err(why) => {
                    if self.reported.insert(name.clone()) {
                        self.changed = Instant::now();
                        protocol::log(format!("cannot look at {why}"));
                    }
                    self.failed.insert(name, Instant::now());
                }
            }
        }
        self.pending.retain(|(name, since)| {
            let late = since.elapsed() > ANSWER;
            if late {
                protocol::soft(format!("Device {name} does not answer; it is left out"));
            }
            !late
        });
    }

    /// For how long nothing has changed; none while an answer is outstanding.
    fn settled(&self) -> Option<Duration> {
        let since = self.changed.elapsed();
        (self.pending.is_empty() && since >= SETTLE).then_some(since)
    }

    /// Waits until the filesystem's device is there and proven, and puts it together where the plan
    /// says of what.
    ///
    /// # Errors
    /// What was found instead, in one sentence.
    pub(super) fn wait_for(&mut self, fs: &Filesystem, wait: Duration) -> Result<PathBuf, String> {
        self.wait_below(fs, wait, Path::new("/sys"), Path::new("/dev"))
    }

    fn wait_below(
        &mut self,
        fs: &Filesystem,
        wait: Duration,
        sys: &Path,
        dev: &Path,
    ) -> Result<PathBuf, String> {
        let looking = self;
        let mut assembly = Assembly::default();
        let begun = Instant::now();
        loop {
            looking.round(sys, dev);
            let settled = looking.settled();
            assembly.step(fs, &looking.candidates, Machine { sys, dev }, settled)?;
            let choice = prove::choose(fs, &looking.candidates);
            let over = begun.elapsed() >= wait;
            match choice {
                Choice::Device { path, proof, sure } if sure || settled.is_some() || over => {
                    protocol::log(format!("target {}: {proof}", path.display()));
                    return Ok(path);
                }
                // The right one may still come.
                Choice::Refused(why) if over => return Err(said(why, &assembly)),
                Choice::Ambiguous(why) if settled.is_some() || over => return Err(why),
                Choice::Absent if over => {
                    let mut names: Vec<_> = looking
                        .candidates
                        .iter()
                        .map(|c| c.device.name.as_str())
                        .collect();
                    names.sort_unstable();
                    let names = if names.is_empty() {
                        "none".to_owned()
                    } else {
                        names.join(" ")
                    };
                    let why = format!(
                        "No device with {} within {} s; there are: {names}",
                        prove::wanted(fs),
                        wait.as_secs(),
                    );
                    return Err(said(why, &assembly));
                }
                _ => {}
            }
            // The kernel's events are worth listening to when no answer is on its way.
            looking.wake.wait(TICK, looking.pending.is_empty());
        }
    }
}

fn said(why: String, assembly: &Assembly) -> String {
    match assembly.missing() {
        Some(missing) => format!("{why}; missing: {missing}"),
        None => why,
    }
}

#[cfg(test)]
mod tests;
