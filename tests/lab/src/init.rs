//! How long it takes from the start of /init to the mounted target: our image and a minimal one of
//! busybox, each started alone as the only kernel of an equal machine, in turn.
//!
//! The clock is the guest's: the kernel says on both sides the same two lines with its own time, "Run
//! /init as init process" and "EXT4-fs (vda): mounted filesystem". Ours has the plan that a machine
//! with this disk would get, its serial number recorded, and the command line that `load` would write;
//! busybox runs with the bare one and, so that image and words can be told apart, with ours. The last
//! side is a program of the few calls without which no disk is mounted: what an image could come near to.

use crate::{artefacts, kernels, peer};
use anyhow::{Context, Result};
use initramfs::archive::Archive;
use initramfs::compress::Compression;
use loader::cmdline;
use plan::{self, Filesystem, FirstKernel, FsType, Identity, Layer, Plan, TargetKind};
use rehearse::disk::{self, Fs};
use rehearse::guest::image::KernelFiles;
use rehearse::vm::{Accel, DiskImage, Event, Flow, Vm};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const UUID: &str = "0a0b0c0d-1111-2222-3333-444455556666";
const SERIAL: &str = "target";
const DISK_BYTES: u64 = 256 << 20;
const MEMORY_MIB: u64 = 192;
/// Both lines are the kernel's own.
const BEGINS: &str = "Run /init as init process";
const MOUNTED: &str = "EXT4-fs (vda): mounted filesystem";

/// A line that the guest said, and when by its own clock.
type Line = (f64, String);

/// What is compared.
#[derive(Debug)]
pub struct Request {
    /// How often each side runs.
    pub pairs: usize,
    /// Processors of each machine.
    pub vcpus: u32,
    /// Words for every side's command line.
    pub cmdline: String,
    /// Let the guest's clock count instructions instead of time.
    pub instructions: bool,
    /// The cargo profile of our binary.
    pub profile: String,
}

/// The guest's clock counts instructions, one a nanosecond, and passes over idle time: what else this
/// machine does shows much less.
const BY_INSTRUCTION: [&str; 2] = ["-icount", "shift=0,sleep=off"];

/// Runs both sides in turn; prints each round, the medians and where our time goes.
///
/// # Errors
/// A machine could not be built, or did not mount its disk.
pub fn compare(request: &Request) -> Result<()> {
    let capture = artefacts::capture(&request.profile)?;
    let kernel = kernels::get("6.12", None, &mut |line| eprintln!("lab: {line}"))?;
    // Both processors at work, as in `peer`; a boot that an old translator loses is run again.
    let accel = match Accel::choose(&kernel.image, &crate::cache())? {
        _ if request.instructions => Accel::TcgOneThread,
        Accel::TcgOneThread => Accel::Tcg,
        other => other,
    };
    let dir = crate::cache().join("runs/init");
    fs::create_dir_all(&dir)?;
    let bare = format!("console=ttyS0 loglevel=7 panic=5 {}", request.cmdline);
    let words = as_loaded(&bare, &kernel, request.vcpus);
    let busybox = theirs(&kernel, &dir)?;
    let sides = [
        ("afterpanic", ours(&kernel, &capture, &dir)?, &words),
        ("busybox", busybox.clone(), &bare),
        ("busybox, our words", busybox, &words),
        ("only the calls", floor(&kernel, request, &dir)?, &words),
    ];
    println!(
        "start of /init to target mounted, {MEMORY_MIB} MiB, {} vCPUs, virtio, ext4; ms",
        request.vcpus
    );
    println!("our words: {words}");
    let mut all: [Vec<(f64, Vec<Line>)>; 4] = Default::default();
    for pair in 1..=request.pairs {
        for ((who, image, words), taken) in sides.iter().zip(&mut all) {
            let lines = (0..3).find_map(|_| {
                let lines = boot(&kernel, image, words, accel, request, &dir);
                lines.map(|lines| span(&lines)).transpose()
            });
            let (ms, lines) = lines.with_context(|| {
                format!("{who}: the disk was not mounted; see {}", dir.display())
            })??;
            println!("{pair}  {who:<20} {ms:>5.0}");
            taken.push((ms, lines));
        }
    }
    let mut medians = Vec::new();
    for ((who, ..), taken) in sides.iter().zip(&mut all) {
        taken.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (ms, _) = taken.get(taken.len() / 2).context("No round was run")?;
        println!("median {who:<20} {ms:>5.0}");
        medians.push(*ms);
    }
    if let [ours, bare, worded, floor] = medians.as_slice() {
        println!(
            "ours / busybox's {:.2}, with our words {:.2}; only the calls / busybox's {:.2}",
            ours / bare,
            ours / worded,
            floor / bare
        );
    }
    let [ours, ..] = &all;
    if let Some((_, lines)) = ours.get(ours.len() / 2) {
        println!("the median round of ours:");
        for (at, line) in lines {
            println!("  {at:>5.0}  {line}");
        }
    }
    fs::remove_dir_all(&dir)?;
    Ok(())
}

/// Milliseconds between the two lines, and what was said between them; None without both.
fn span(lines: &[Line]) -> Option<(f64, Vec<Line>)> {
    let at = |part: &str| lines.iter().position(|(_, line)| line.contains(part));
    let between = lines.get(at(BEGINS)?..=at(MOUNTED)?)?;
    let (begun, _) = between.first()?;
    let since: Vec<Line> = between
        .iter()
        .map(|(at, line)| ((at - begun) * 1000.0, line.clone()))
        .collect();
    let (last, _) = since.last()?;
    Some((*last, since))
}

/// One start of one side: what the kernel's log showed until the disk was mounted.
fn boot(
    kernel: &KernelFiles,
    image: &Path,
    words: &str,
    accel: Accel,
    request: &Request,
    dir: &Path,
) -> Result<Vec<Line>> {
    let path = dir.join("disk.img");
    disk::blank(&path, DISK_BYTES)?;
    disk::make(&path, DISK_BYTES, Fs::Ext4, UUID)?;
    let mut vm = Vm::new(&kernel.image, dir.join("console.txt"));
    vm.initrd = Some(image.to_owned());
    vm.cmdline = words.to_owned();
    if request.instructions {
        vm.extra = BY_INSTRUCTION.map(String::from).to_vec();
    }
    vm.memory_mib = MEMORY_MIB;
    vm.vcpus = request.vcpus;
    vm.deadline = Duration::from_secs(60);
    vm.disks.push(DiskImage {
        path,
        serial: SERIAL.into(),
        ..DiskImage::default()
    });
    let mut lines = Vec::new();
    vm.start(accel)?.wait(&mut |_, event, _| {
        if let Event::Line(line) = event {
            let stamped = line.strip_prefix('[').and_then(|rest| rest.split_once(']'));
            if let Some((at, text)) = stamped
                && let Ok(at) = at.trim().parse::<f64>()
            {
                lines.push((at, text.trim().to_owned()));
                if text.contains(MOUNTED) {
                    return Flow::Stop;
                }
            }
        }
        Flow::Continue
    });
    Ok(lines)
}

/// What `load` makes of a running kernel's command line on such a machine.
fn as_loaded(running: &str, kernel: &KernelFiles, vcpus: u32) -> String {
    let facts = cmdline::Facts {
        running: running.to_owned(),
        release: kernel.release.clone(),
        cpus: vcpus,
        reserved: MEMORY_MIB << 20,
        ..cmdline::Facts::default()
    };
    cmdline::derive(&facts, &cmdline::Wishes::default()).cmdline
}

/// Our image, with the plan of a machine that has this disk.
fn ours(kernel: &KernelFiles, capture: &Path, dir: &Path) -> Result<PathBuf> {
    let mut archive = Archive::new();
    archive.nodes()?;
    archive.file("init", 0o755, fs::read(capture)?, "PID 1")?;
    let mut plan = Plan::new(FirstKernel::default());
    for module in peer::disk_modules(kernel, &mut archive)? {
        plan.modules.push(plan::Module {
            path: module.path,
            name: module.name,
            options: String::new(),
            required: true,
            target: 0,
        });
    }
    plan.targets.push(plan::Target {
        kind: TargetKind::Filesystem(Filesystem {
            fstype: FsType::Ext4,
            identity: Identity::Uuid(UUID.into()),
            uuid: Some(UUID.into()),
            path: "/var/crash".into(),
            options: Vec::new(),
            stack: vec![Layer::Disk {
                name: "vda".into(),
                wwid: None,
                serial: Some(SERIAL.into()),
                sectors: DISK_BYTES / 512,
            }],
        }),
        deadline_s: 60,
        device_wait_s: 30,
    });
    archive.file("plan.json", 0o600, plan.to_json()?, "the plan")?;
    write(&archive, dir.join("ours.img"))
}

/// The smallest image of busybox that mounts the disk.
fn theirs(kernel: &KernelFiles, dir: &Path) -> Result<PathBuf> {
    let mut archive = Archive::new();
    archive.nodes()?;
    let mut init = peer::begin(kernel, &mut archive)?;
    init.push_str("exec $B sleep 60\n");
    archive.file("init", 0o755, init.into_bytes(), "mounts")?;
    write(&archive, dir.join("busybox.img"))
}

/// The image of a program that mounts the disk and can do nothing else.
fn floor(kernel: &KernelFiles, request: &Request, dir: &Path) -> Result<PathBuf> {
    let mut archive = Archive::new();
    archive.nodes()?;
    peer::disk_modules(kernel, &mut archive)?;
    let program = fs::read(artefacts::floor(&request.profile)?)?;
    archive.file("init", 0o755, program, "mounts")?;
    write(&archive, dir.join("floor.img"))
}

fn write(archive: &Archive, path: PathBuf) -> Result<PathBuf> {
    fs::write(&path, archive.pack(Compression::Zstd(19))?)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_between_the_kernels_two_lines() {
        let line = |at: f64, text: &str| (at, text.to_owned());
        let lines = [
            line(0.5, "Freeing memory"),
            line(1.25, "Run /init as init process"),
            line(1.5, "afterpanic: hello"),
            line(2.0, "EXT4-fs (vda): mounted filesystem 0a0b r/w"),
        ];
        let (ms, between) = span(&lines).unwrap();
        assert!((ms - 750.0).abs() < 1e-6);
        assert_eq!(between.len(), 3);
        assert_eq!(span(&lines[..3]), None);
    }
}
