//! Scenarios: a real panic each, in a short TOML file under `scenarios/`.

use crate::guest::panics;
use crate::network::Network;
use crate::signed::Signed;
use anyhow::{Context, Result, bail};
use rehearse::disk::Fs;
use rehearse::guest::{Boot, End, Step};
use rehearse::storage::{Cue, MoreDisk};
use rehearse::vm::{Bus, Firmware, Machine, machine};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use std::fs;
use std::path::Path;

/// Where the module that panics lies in the guest.
pub const MODULE: &str = "/lab/panics.ko";
/// Where the module that is loaded before arming lies in the guest.
pub const NOTIFIER: &str = "/lab/notifier.ko";
/// Where the kernel that is signed anew lies in the guest.
pub const VMLINUZ: &str = "/lab/vmlinuz";

/// Where the program that makes memory of every kind lies in the guest.
pub const KINDS: &str = "/lab/kinds";

/// Instead of a verdict: a crash directory that was finished.
pub const SOMETHING: &str = "something";

/// A scenario file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// The file's name without `.toml`.
    #[serde(skip)]
    pub name: String,
    /// One line on what it shows.
    pub about: String,
    /// The part of `cargo xtask test --full` that runs it, see shards.toml.
    pub shard: String,
    /// The kernel series.
    pub kernel: String,
    /// The machine's architecture as uname(1) names it; the host's unless it is given.
    pub arch: String,
    /// The target's filesystem.
    pub fs: Fs,
    /// How the target's disk is attached: `virtio-blk`, `virtio-scsi`, `nvme`, `ahci`, `usb-storage`.
    pub bus: Bus,
    /// More of QEMU's `-drive` options for it.
    pub drive: String,
    /// Disks beside it: `/dev/vdb` and so on while the target is on virtio, too.
    pub disks: Vec<MoreDisk>,
    /// Modules that the crashed kernel loads, too, with what its command line says for them.
    pub modules: Vec<String>,
    /// Commands that make what is mounted out of empty disks. lvm, dmsetup, mdadm and mkfs.ext4 are there, or
    /// cryptsetup, keyctl, lvm and mkfs.ext4 where the first of them is named.
    pub make: Vec<Vec<String>>,
    /// Commands that put it together again.
    pub again: Vec<Vec<String>>,
    /// Commands between arming and the panic.
    pub after_load: Vec<Vec<String>>,
    /// What the host does to the machine when a line comes after the panic.
    pub cues: Vec<Cue>,
    /// The disk that the dump is on in the end, by its serial number, if not the target's.
    pub saved_on: Option<String>,
    /// One scenario for each of these buses with each of these filesystems.
    pub matrix: Matrix,
    /// Size of the target in MiB.
    pub disk: u64,
    /// RAM in MiB.
    pub memory: u64,
    /// Virtual CPUs.
    pub vcpus: u32,
    /// `bios` or `uefi`.
    pub firmware: String,
    /// `crashkernel=`; empty: none.
    pub crashkernel: String,
    /// More for the crashed kernel's command line.
    pub cmdline: String,
    /// What makes it panic: `sysrq`, `sysrq:CPU`, `init-exits`, `out-of-memory`, `nmi`,
    /// `machine-check`, `nothing`, `crash-test:sysrq`, `crash-test:oops`, or `module:WAY`, see
    /// `module.rs`.
    pub panic: String,
    /// How often, one after the other, in the same machine.
    pub panics: u32,
    /// The line of `afterpanic` that arms it again after each reboot.
    pub rearm: String,
    /// Lines of `afterpanic` that are run in the boot after the last panic.
    pub next_boot: Vec<String>,
    /// It is not armed at all.
    pub unarmed: bool,
    /// Processes that write on the target all the time.
    pub writers: u32,
    /// Memory is taken until only so many MiB are available.
    pub press_leave_mib: Option<u64>,
    /// Lines of /etc/afterpanic.toml.
    pub config: String,
    /// Arguments of `afterpanic load`.
    pub load: Vec<String>,
    /// The kernel lies in the guest once more, as [`VMLINUZ`], with another signature.
    pub vmlinuz: Option<Signed>,
    /// /proc/kcore cannot be read.
    pub no_kcore: bool,
    /// Module names that `afterpanic load` does not find.
    pub absent: Vec<String>,
    /// More arguments for QEMU.
    pub qemu: Vec<String>,
    /// The test module that is loaded before arming, by its way to die.
    pub notifier: String,
    /// Memory of every kind is made after arming, and /proc/kpageflags saved.
    pub kinds: bool,
    /// Files under /proc/sys and /sys, and what is written into them.
    pub set: Vec<(String, String)>,
    /// Pages that a process holds in pipes, with as many free ones between them.
    pub pipe_pages: u32,
    /// So many hundred sleeping threads.
    pub crowds: u32,
    /// Processes that leave a zombie each.
    pub zombies: u32,
    /// The target is filled until only so many KiB are free.
    pub fill_leave_kib: Option<u64>,
    /// The target's disk is not there any more after the panic.
    pub disk_disappears: bool,
    /// The first target is on a server.
    pub network: Option<Network>,
    /// Seconds until the machine is killed.
    pub deadline: u64,
    /// What has to come of it.
    pub expect: Expect,
}

/// Several scenarios in one file: `NAME-BUS-FS`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matrix {
    /// The buses by name.
    pub bus: Vec<String>,
    /// The filesystems by name.
    pub fs: Vec<Fs>,
}

/// What has to come of a scenario.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// The verdict: `complete`, `degraded`, `incomplete`; `partial` for a directory that was never
    /// finished, `nothing` for no crash directory; [`SOMETHING`] for any of the first three.
    pub saved: String,
    /// `reset` or `poweroff`.
    pub end: String,
    /// Exit status of `afterpanic load`.
    pub load_exit: i32,
    /// Each stands on the console before the panic.
    pub console_before: Vec<String>,
    /// Each stands on the console after the panic.
    pub console_after: Vec<String>,
    /// Each stands on the console after the machine's last reboot.
    pub console_again: Vec<String>,
    /// The verdicts of all crash directories there are at the end, oldest first; empty: not judged.
    pub dirs: Vec<String>,
    /// Each stands in `dmesg.txt`.
    pub dmesg: Vec<String>,
    /// Each stands in `report.txt`.
    pub report: Vec<String>,
    /// Each stands in `manifest.json`.
    pub manifest: Vec<String>,
    /// Files of the crash directory.
    pub files: Vec<String>,
    /// Modules that the capture kernel loaded, in this order.
    pub modules: Vec<String>,
    /// The core has at least so many segments.
    pub segments: u64,
    /// So many MiB of RAM, at least, stand in the core's list of memory.
    pub ram_mib: Option<u64>,
    /// The capture image has so many bytes at most. Judged of programs as they ship: others are larger.
    pub image_at_most: Option<u64>,
    /// No worker of the capture has more MiB resident at once.
    pub worker_mib: Option<u64>,
    /// Comparisons with other tools: see `checks`.
    pub truth: Vec<String>,
}

impl Default for Scenario {
    fn default() -> Self {
        Scenario {
            name: String::new(),
            about: String::new(),
            shard: String::new(),
            kernel: "6.12".into(),
            arch: std::env::consts::ARCH.into(),
            fs: Fs::Ext4,
            bus: Bus::default(),
            drive: String::new(),
            disks: Vec::new(),
            modules: Vec::new(),
            make: Vec::new(),
            again: Vec::new(),
            after_load: Vec::new(),
            cues: Vec::new(),
            saved_on: None,
            matrix: Matrix::default(),
            disk: 2048,
            memory: 1024,
            vcpus: 2,
            firmware: "bios".into(),
            crashkernel: "192M".into(),
            cmdline: String::new(),
            panic: "sysrq".into(),
            panics: 1,
            rearm: "load".into(),
            next_boot: Vec::new(),
            unarmed: false,
            writers: 0,
            press_leave_mib: None,
            config: String::new(),
            load: Vec::new(),
            vmlinuz: None,
            no_kcore: false,
            absent: Vec::new(),
            qemu: Vec::new(),
            notifier: String::new(),
            kinds: false,
            set: Vec::new(),
            pipe_pages: 0,
            crowds: 0,
            zombies: 0,
            fill_leave_kib: None,
            disk_disappears: false,
            network: None,
            deadline: 420,
            expect: Expect::default(),
        }
    }
}

impl Default for Expect {
    fn default() -> Self {
        Expect {
            saved: "complete".into(),
            end: "reset".into(),
            load_exit: 0,
            console_before: Vec::new(),
            console_after: Vec::new(),
            console_again: Vec::new(),
            dirs: Vec::new(),
            dmesg: Vec::new(),
            report: Vec::new(),
            manifest: Vec::new(),
            files: ["dmesg.txt", "manifest.json"].map(String::from).to_vec(),
            modules: Vec::new(),
            segments: 0,
            ram_mib: None,
            image_at_most: None,
            worker_mib: None,
            truth: Vec::new(),
        }
    }
}

impl Scenario {
    /// How the machine's first boot ends.
    ///
    /// # Errors
    /// The word is not known.
    pub fn end(&self) -> Result<End> {
        Ok(match self.panic.as_str() {
            "nothing" => End::PowerOff,
            "sysrq" => End::Panic,
            word @ ("init-exits" | "out-of-memory" | "nmi" | "machine-check") => panics(&[word]),
            word if word.starts_with("module:") => panics(&["module", MODULE]),
            "crash-test:sysrq" | "crash-test:oops" => {
                let how = self.panic.rsplit(':').next().unwrap_or_default();
                let command = afterpanic(&format!("crash-test --yes --how {how}"));
                let words: Vec<&str> = command.iter().map(String::as_str).collect();
                panics(&[&["command"], words.as_slice()].concat())
            }
            word => match word.strip_prefix("sysrq:") {
                Some(cpu) if cpu.parse::<u32>().is_ok() => panics(&["sysrq", cpu]),
                _ => bail!("{}: no panic is called {word}", self.name),
            },
        })
    }

    /// What the machine does after its reboots; nothing: it need not come up again.
    ///
    /// # Errors
    /// The panic's word is not known.
    pub fn later(&self) -> Result<Vec<Boot>> {
        let step = |line: &String| Step {
            command: afterpanic(line),
            // What it says is judged, not how it ends.
            ok: (0..=5).collect(),
        };
        let mut boots = Vec::new();
        for _ in 1..self.panics {
            boots.push(Boot {
                run: vec![step(&self.rearm)],
                end: self.end()?,
            });
        }
        if self.panics > 1 || !self.next_boot.is_empty() {
            boots.push(Boot {
                run: self.next_boot.iter().map(step).collect(),
                end: End::PowerOff,
            });
        }
        Ok(boots)
    }

    /// The kind of machine.
    ///
    /// # Errors
    /// The architecture is not known.
    pub fn machine(&self) -> Result<&'static Machine> {
        let known = machine::of(&self.arch);
        known.with_context(|| format!("{}: no architecture is called {}", self.name, self.arch))
    }

    /// What starts the kernel.
    ///
    /// # Errors
    /// The word is not known.
    pub fn firmware(&self) -> Result<Firmware> {
        match self.firmware.as_str() {
            "bios" => Ok(Firmware::Bios),
            "uefi" => Ok(Firmware::Uefi),
            word => bail!("{}: no firmware is called {word}; bios or uefi", self.name),
        }
    }
}

/// A line of `afterpanic` as a command.
fn afterpanic(line: &str) -> Vec<String> {
    let words = line.split_whitespace().map(str::to_owned);
    std::iter::once("/usr/bin/afterpanic".to_owned())
        .chain(words)
        .collect()
}

/// All scenarios, by name.
///
/// # Errors
/// A file is not right.
pub fn all() -> Result<Vec<Scenario>> {
    let dir = crate::root().join("tests/lab/scenarios");
    let mut scenarios = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("Cannot list {}", dir.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "toml") {
            scenarios.extend(expand(read(&path)?)?);
        }
    }
    scenarios.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(scenarios)
}

/// The scenarios of a file.
fn expand(scenario: Scenario) -> Result<Vec<Scenario>> {
    let mut all = Vec::new();
    for word in &scenario.matrix.bus {
        let bus = Bus::deserialize(word.as_str().into_deserializer())
            .map_err(|error: toml::de::Error| error)
            .with_context(|| format!("{}: no bus is called {word}", scenario.name))?;
        for fs in &scenario.matrix.fs {
            let name = format!("{}-{word}-{}", scenario.name, fs.name());
            all.push(Scenario {
                about: format!("{}: {word}, {}", scenario.about, fs.name()),
                name,
                bus,
                fs: *fs,
                ..scenario.clone()
            });
        }
    }
    Ok(if all.is_empty() { vec![scenario] } else { all })
}

fn read(path: &Path) -> Result<Scenario> {
    let text =
        fs::read_to_string(path).with_context(|| format!("Cannot read {}", path.display()))?;
    let mut scenario: Scenario =
        toml::from_str(&text).with_context(|| format!("{} is not a scenario", path.display()))?;
    scenario.name = path
        .file_stem()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    if scenario.about.is_empty() {
        bail!("{} says not what it shows: about = \"…\"", path.display());
    }
    if scenario.shard.is_empty() {
        bail!("{} names no shard: shard = \"…\"", path.display());
    }
    scenario.end()?;
    scenario.firmware()?;
    Ok(scenario)
}

/// The names in `ci.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lists {
    /// What `cargo xtask test` runs.
    pub scenarios: Vec<String>,
    /// What a soak runs in turn when it is not told.
    pub soak: Vec<String>,
}

/// The lists of names.
///
/// # Errors
/// The file is not right.
pub fn lists() -> Result<Lists> {
    let path = crate::root().join("tests/lab/ci.toml");
    let text =
        fs::read_to_string(&path).with_context(|| format!("Cannot read {}", path.display()))?;
    Ok(toml::from_str(&text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_a_scenario_and_the_list_names_only_those() {
        let all = all().unwrap();
        let lists = lists().unwrap();
        assert!(
            lists.scenarios.len() <= 17,
            "{} panics do not fit the time",
            lists.scenarios.len()
        );
        for name in lists.scenarios.iter().chain(&lists.soak) {
            assert!(
                all.iter().any(|s| s.name == *name),
                "{name} is listed and does not exist"
            );
        }
    }

    #[test]
    fn a_matrix_is_one_scenario_for_each_pair() {
        let mut scenario = Scenario {
            name: "all".into(),
            ..Scenario::default()
        };
        scenario.matrix.bus = vec!["virtio-scsi".into(), "usb-storage".into()];
        scenario.matrix.fs = vec![Fs::Ext4, Fs::Btrfs];
        let all = expand(scenario.clone()).unwrap();
        let names: Vec<_> = all.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "all-virtio-scsi-ext4",
                "all-virtio-scsi-btrfs",
                "all-usb-storage-ext4",
                "all-usb-storage-btrfs"
            ]
        );
        assert_eq!((all[3].bus, all[3].fs), (Bus::UsbStorage, Fs::Btrfs));
        scenario.matrix.bus = vec!["floppy".into()];
        assert!(expand(scenario).is_err());
    }

    #[test]
    fn a_misspelt_key_is_an_error() {
        assert!(toml::from_str::<Scenario>("about = \"x\"\nkernl = \"6.1\"\n").is_err());
        assert!(toml::from_str::<Scenario>("[expect]\nsave = \"complete\"\n").is_err());
    }
}
