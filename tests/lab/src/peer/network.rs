//! The same panic saved on a server in equal machines: by us, and in kdump-utils' way ([`super::dracut`]).
//!
//! One NFS server and one SSH server run on this machine for all rounds, and both sides write to the same. In a round the
//! panic is on the same processor on every side. `afterpanic load` loads both images; on the peer's side with the
//! command line of kdump-utils.

use super::dracut::{ADDED, DROPPED, Dracut, Image, WAY};
use super::{again, threaded};
use crate::measured::Where;
use crate::measured::network::{self as table, Contest, Rounds};
use crate::network::host::Host;
use crate::network::{Kind, Network, verify};
use crate::runner::{Lab, Options};
use crate::scenario::Scenario;
use anyhow::{Context, Result, bail, ensure};
use rehearse::guest::image::KernelFiles;
use rehearse::session::Crash;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use vmcore::addr::Pfn;
use vmcore::dump;

/// Where the peer's image lies in the guest.
const IMAGE: &str = "/lab/peer.img";

/// A server, with what both sides need to write to it.
struct Place<'a> {
    lab: &'a Lab,
    kernel: &'a KernelFiles,
    network: Network,
    host: Host,
    /// How many machines there have been.
    attempts: Cell<usize>,
    /// Where the machine's files go.
    machine: PathBuf,
    /// The peer's image.
    image: Image,
}

/// One capture.
struct Taken {
    seconds: f64,
    core: u64,
    image: u64,
}

/// Runs every side `rounds` times, in turn, prints a line for each, and answers whether every bar holds.
///
/// With `update` the results go into docs/measurements.
///
/// # Errors
/// A machine, a server or the peer's image could not be made, or a side saved nothing.
pub fn compare(options: Options, rounds: usize, update: bool) -> Result<bool> {
    let at = Where::here()?;
    let lab = Lab::new(options)?;
    let scenario = Scenario {
        name: "peer-network".into(),
        crashkernel: "256M".into(),
        ..Scenario::default()
    };
    let kernel = lab.kernel(&scenario)?;
    let dir = crate::cache().join("runs/peer-network");
    let _ = fs::remove_dir_all(&dir);
    let dracut = Dracut::new()?;
    let on = format!(
        "a VM: 6.12 cloud kernel, {} MiB, {} vCPUs, crashkernel={}, virtio_net, sysrq-c",
        scenario.memory, scenario.vcpus, scenario.crashkernel
    );
    println!("{on}; panic to reboot");
    let mut places = Vec::new();
    for kind in [Kind::Nfs, Kind::Ssh] {
        places.push(Place::start(&lab, &kernel, &dracut, kind, &dir)?);
    }
    let contest = |place: &Place<'_>| Contest {
        kind: place.network.server,
        ours: Rounds::default(),
        theirs: Rounds::default(),
        unsquashed: place.image.unsquashed,
    };
    let mut contests: Vec<Contest> = places.iter().map(contest).collect();
    for (round, cpu) in (1..=rounds).zip((0..scenario.vcpus).rev().cycle()) {
        println!("{round}  panic on processor {cpu}");
        let scenario = Scenario {
            panic: format!("sysrq:{cpu}"),
            ..scenario.clone()
        };
        for (place, contest) in places.iter().zip(&mut contests) {
            let sides = [&mut contest.ours, &mut contest.theirs];
            for (side, peer) in sides.into_iter().zip([false, true]) {
                let taken = again(|| place.attempt(&scenario, peer))?;
                let who = match peer {
                    true => format!("makedumpfile {WAY}"),
                    false => "afterpanic".to_owned(),
                };
                println!(
                    "   {:<4} {who:<20} {:>6.1} s  core {:>9} bytes  image {:>9} bytes",
                    place.network.server.title(),
                    taken.seconds,
                    taken.core,
                    taken.image
                );
                side.add(taken.seconds, taken.core, taken.image);
            }
        }
    }
    let mut good = true;
    for contest in &contests {
        let broken = contest.broken();
        println!("{}", contest.line(&broken));
        good &= broken.is_empty();
    }
    if update {
        table::write(&at, &on, &contests)?;
    }
    let _ = fs::remove_dir_all(&dir);
    Ok(good)
}

impl<'a> Place<'a> {
    fn start(
        lab: &'a Lab,
        kernel: &'a KernelFiles,
        dracut: &Dracut,
        kind: Kind,
        dir: &Path,
    ) -> Result<Self> {
        let network = Network {
            guest: None,
            ..Network::of(kind)
        };
        let dir = dir.join(kind.name());
        let store = dir.join("dumps");
        fs::create_dir_all(&store)?;
        let host = Host::start(kind, &dir, &store, false, false)?;
        let image = dracut.image(kernel, &host, network.host(), &store)?;
        Ok(Self {
            lab,
            kernel,
            network,
            host,
            attempts: Cell::new(0),
            machine: dir.join("machine"),
            image,
        })
    }

    fn attempt(&self, scenario: &Scenario, peer: bool) -> Result<Taken> {
        let _ = fs::remove_dir_all(&self.machine);
        // A machine of its own each time: what an earlier one left on the server is not this one's.
        let number = self.attempts.get();
        self.attempts.set(number + 1);
        let before = self.machines();
        let accel = threaded(&self.kernel.image)?;
        let mut scenario = scenario.clone();
        if peer {
            scenario.config =
                format!("[capture_kernel]\ncmdline_add = {ADDED:?}\ncmdline_drop = {DROPPED:?}\n");
        }
        let mut session = self.lab.session(&scenario, self.kernel.clone(), accel)?;
        self.network
            .join_host(self.lab, &self.host, number, &mut session)?;
        let mut words = vec!["--json"];
        if peer {
            session.files.push((IMAGE.into(), self.image.path.clone()));
            words.extend(["--image", IMAGE]);
        }
        let loads = session.arm.iter_mut();
        for step in loads.filter(|step| step.command.iter().any(|word| word == "load")) {
            step.command
                .extend(words.iter().map(|word| (*word).to_owned()));
        }
        let crash = session.crash(&self.machine, &mut |_, _| {})?;
        let console = || format!("see {}", crash.console.display());
        let taken = Taken {
            seconds: (crash.times.end.zip(crash.times.panic))
                .map(|(end, panic)| end.saturating_sub(panic).as_secs_f64())
                .with_context(|| format!("the machine did not come back; {}", console()))?,
            core: self.core(&before, peer).with_context(console)?,
            image: image_bytes(&crash).with_context(console)?,
        };
        Ok(taken)
    }

    /// The directories of machines on the server.
    fn machines(&self) -> BTreeSet<PathBuf> {
        let entries = fs::read_dir(self.host.machines());
        entries
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect()
    }

    /// Bytes of the core in the directory that was not there before, which must be whole.
    fn core(&self, before: &BTreeSet<PathBuf>, peer: bool) -> Result<u64> {
        let after = self.machines();
        let machine = after.difference(before).next();
        let machine = machine.context("Nothing was saved")?;
        let core = match peer {
            true => find(machine, &["vmcore", "vmcore.flat"])?,
            false => {
                let core = find(machine, &["vmcore.elf.zst"])?;
                let dir = core.parent().context("A core is in a directory")?;
                verify(&self.lab.binaries.afterpanic, dir)?;
                core
            }
        };
        let image = dump::open(&core)?;
        ensure!(
            image.next_present(Pfn(0)).is_some(),
            "{} has no page",
            core.display()
        );
        Ok(fs::metadata(&core)?.len())
    }
}

/// The file with one of these names in a directory or in a directory of it.
fn find(dir: &Path, names: &[&str]) -> Result<PathBuf> {
    let below = fs::read_dir(dir)?.flatten().map(|entry| entry.path());
    let dirs = std::iter::once(dir.to_owned()).chain(below);
    let paths = dirs.flat_map(|dir| names.iter().map(move |name| dir.join(name)));
    let mut files = paths.filter(|path| path.is_file());
    let Some(file) = files.next() else {
        bail!("{} has no {}", dir.display(), names.join(" or "));
    };
    Ok(file)
}

/// Bytes of the loaded image, as `load --json` tells them.
fn image_bytes(crash: &Crash) -> Result<u64> {
    let told = |line: &str| {
        let (_, rest) = line.split_once("\"image_bytes\":")?;
        rest.trim().trim_end_matches(',').parse().ok()
    };
    crash
        .lines(false)
        .find_map(told)
        .context("`load` does not tell the size of the image")
}
