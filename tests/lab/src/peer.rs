//! The same panic captured twice in equal machines: by us, and by makedumpfile in a busybox image.
//!
//! The peer's image is as small as such an image gets: busybox, makedumpfile with its libraries,
//! the one module that the disk needs. It is loaded by the same `afterpanic load`: once with the words
//! for the capture kernel that Debian's kdump-tools has, too, and once with all of ours, so that only what
//! runs in the capture kernel differs. In a round the panic is on the same processor on every side: where it
//! is not on the first, the capture kernel cannot start that one and has one processor less.

mod dracut;
pub mod network;

use crate::apt::{Apt, unpack};
use crate::measured::{self, Machines, Where};
use crate::runner::{Lab, Options};
use crate::scenario::Scenario;
use crate::tools;
use anyhow::{Context, Result, bail};
use initramfs::archive::{Archive, Placed};
use initramfs::closure::{self, Wanted};
use initramfs::compress::Compression;
use initramfs::modules::Index;
use rehearse::guest::Step;
use rehearse::guest::image::KernelFiles;
use rehearse::session::{Crash, Session};
use rehearse::vm::Accel;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the peer's image lies in the guest.
const IMAGE: &str = "/lab/peer.img";

/// The formats that we write: with zstd and with LZ4, as the peer with zstd and with LZO.
const FORMATS: [&str; 2] = ["elf-zst", "elf-lz4"];

/// How makedumpfile is called.
const WAY: &str = "-l -d 31";

/// What `load` adds to the command line and kdump-tools does not.
const OURS: [&str; 9] = [
    "acpi_no_memhotplug",
    "cgroup_disable",
    "cma",
    "cryptomgr.notests",
    "hugetlb_cma",
    "initramfs_options",
    "kfence.sample_interval",
    "numa",
    "transparent_hugepage",
];

/// One capture.
#[derive(Debug)]
pub struct Taken {
    /// Who.
    pub who: String,
    /// Bytes of the capture image.
    pub image: Option<u64>,
    /// Seconds from the panic to the reboot.
    pub seconds: f64,
    /// Bytes of the core.
    pub core: u64,
    /// Our steps and the seconds each took.
    pub steps: Vec<(String, f64)>,
    /// Our threads: at most one for each processor that the capture kernel has.
    pub threads: Option<u64>,
}

/// Runs every side `pairs` times, in turn, and prints a line for each. The panics go round the processors,
/// the last one first.
///
/// With `update` the results go into docs/measurements.
///
/// # Errors
/// A machine could not be built, or a side saved nothing.
pub fn compare(options: Options, pairs: usize, vcpus: u32, update: bool) -> Result<()> {
    let at = Where::here()?;
    let lab = Lab::new(options)?;
    let scenario = Scenario {
        name: "peer".into(),
        vcpus,
        ..Scenario::default()
    };
    let on = format!(
        "a VM: 6.12 cloud kernel, {} MiB, {} vCPUs, ext4 on virtio, sysrq-c",
        scenario.memory, scenario.vcpus
    );
    println!("{on}; panic to reboot");
    let mut sides = Vec::new();
    for format in FORMATS {
        let mut ours = scenario.clone();
        ours.config = format!("[dump]\nformat = \"{format}\"\n");
        sides.push((format!("afterpanic {format}"), ours, None));
    }
    let image = image(&lab, &scenario)?;
    let mut bare = scenario.clone();
    bare.config = format!("[capture_kernel]\ncmdline_drop = {OURS:?}\n");
    sides.push((format!("makedumpfile {WAY}"), bare, Some(image.clone())));
    sides.push(("  with all our words".to_owned(), scenario, Some(image)));
    let mut all: BTreeMap<(u32, usize), Machines> = BTreeMap::new();
    for (pair, cpu) in (1..=pairs).zip((0..vcpus).rev().cycle()) {
        println!("{pair}  panic on processor {cpu}");
        for (side, (who, scenario, image)) in sides.iter_mut().enumerate() {
            scenario.panic = format!("sysrq:{cpu}");
            let taken = again(|| attempt(&lab, scenario, who, image.as_deref()))?;
            print(&taken);
            let machines = all.entry((cpu, side)).or_insert_with(|| Machines {
                who: who.clone(),
                cpu,
                rounds: Vec::new(),
                core: (u64::MAX, 0),
            });
            machines.add(taken.seconds, taken.core);
        }
    }
    let all: Vec<Machines> = all.into_values().collect();
    for one in &all {
        println!(
            "processor {}: median {:<24} {:>6.1} s",
            one.cpu,
            one.who,
            one.median()
        );
    }
    if update {
        measured::write_machines(&at, &on, &all)?;
    }
    Ok(())
}

fn print(taken: &Taken) {
    let image = taken
        .image
        .map_or(String::new(), |bytes| format!("  image {bytes} bytes"));
    println!(
        "   {:<24} {:>6.1} s  core {:>9} bytes{image}",
        taken.who, taken.seconds, taken.core
    );
    let steps = taken
        .steps
        .iter()
        .map(|(name, s)| format!(" {name} {s:.1}"));
    if !taken.steps.is_empty() {
        let steps = steps.collect::<String>();
        println!(
            "      of it{steps}; threads: {}",
            taken.threads.unwrap_or(0)
        );
    }
}

/// One capture; what an old translator loses is run again, up to twice.
fn again<T>(attempt: impl Fn() -> Result<T>) -> Result<T> {
    let mut lost = 0;
    loop {
        match attempt() {
            Err(error) if lost < 2 => println!("   run again: {error:#}"),
            other => return other,
        }
        lost += 1;
    }
}

/// Both processors at work on both sides.
fn threaded(kernel: &Path) -> Result<Accel> {
    Ok(match Accel::choose(kernel, &crate::cache())? {
        Accel::TcgOneThread => Accel::Tcg,
        other => other,
    })
}

fn attempt(lab: &Lab, scenario: &Scenario, who: &str, image: Option<&Path>) -> Result<Taken> {
    let kernel = lab.kernel(scenario)?;
    let accel = threaded(&kernel.image)?;
    let dir = crate::cache().join("runs/peer");
    let _ = fs::remove_dir_all(&dir);
    let mut session = lab.session(scenario, kernel, accel)?;
    let bytes = image
        .map(fs::metadata)
        .transpose()?
        .map(|facts| facts.len());
    if let Some(image) = image {
        session.files.push((IMAGE.into(), image.to_owned()));
        let load = |step: &&mut Step| step.command.iter().any(|word| word == "load");
        for step in session.arm.iter_mut().filter(load) {
            step.command
                .extend(["--image".to_string(), IMAGE.to_string()]);
        }
    }
    let crash = session.crash(&dir, &mut |_, _| {})?;
    let seconds = (crash.times.end.zip(crash.times.panic))
        .map(|(end, panic)| end.saturating_sub(panic).as_secs_f64())
        .with_context(|| {
            format!(
                "{who}: the machine did not come back; see {}",
                dir.display()
            )
        })?;
    let (core, manifest) = saved(&session, &crash, &dir).with_context(|| who.to_string())?;
    let _ = fs::remove_dir_all(&dir);
    Ok(Taken {
        who: who.into(),
        image: bytes,
        seconds,
        core,
        steps: steps_of(&manifest),
        threads: manifest.pointer("/core/threads").and_then(Value::as_u64),
    })
}

/// The largest file that was saved, and the manifest beside it if there is one.
fn saved(session: &Session, crash: &Crash, dir: &Path) -> Result<(u64, Value)> {
    let to = dir.join("saved");
    session.fetch(crash, &to)?;
    let mut largest = 0;
    let mut manifest = Value::Null;
    for entry in fs::read_dir(&to)?
        .flatten()
        .filter(|entry| entry.path().is_dir())
    {
        if let Ok(text) = fs::read(entry.path().join("manifest.json")) {
            manifest = serde_json::from_slice(&text)?;
        }
        for file in fs::read_dir(entry.path())?.flatten() {
            largest = largest.max(file.metadata()?.len());
        }
    }
    match largest {
        0 => bail!("Nothing was saved; see {}", dir.display()),
        bytes => Ok((bytes, manifest)),
    }
}

fn steps_of(manifest: &Value) -> Vec<(String, f64)> {
    let steps = manifest.get("steps").and_then(Value::as_array);
    let step = |step: &Value| {
        let name = step.get("name")?.as_str()?.to_owned();
        Some((name, step.get("seconds")?.as_f64()?))
    };
    steps.into_iter().flatten().filter_map(step).collect()
}

/// Builds the peer's image.
fn image(lab: &Lab, scenario: &Scenario) -> Result<PathBuf> {
    let kernel = lab.kernel(scenario)?;
    let mut archive = Archive::new();
    archive.nodes()?;
    let mut init = begin(&kernel, &mut archive)?;
    let (loader, libraries, makedumpfile) = tools::makedumpfile_files()?;
    archive.file(
        "bin/makedumpfile",
        0o755,
        fs::read(makedumpfile)?,
        "the peer",
    )?;
    archive.file(
        "lib64/ld-linux-x86-64.so.2",
        0o755,
        fs::read(loader)?,
        "its loader",
    )?;
    for library in libraries {
        let name = library
            .file_name()
            .context("A library has no name")?
            .to_string_lossy();
        archive.file(
            &format!("lib/{name}"),
            0o755,
            fs::read(&library)?,
            "a library of it",
        )?;
    }
    init.push_str(&format!(
        "$B mkdir /target/peer\n\
         LD_LIBRARY_PATH=/lib /bin/makedumpfile {WAY} /proc/vmcore /target/peer/vmcore\n\
         $B sync\n$B umount /target\n$B reboot -f\n"
    ));
    archive.file("init", 0o755, init.into_bytes(), "captures and reboots")?;
    let path = crate::cache().join("peer.img");
    fs::write(&path, archive.pack(Compression::Zstd(19))?)?;
    Ok(path)
}

/// Puts busybox and the disk's module into the image; the script that goes as far as the mounted disk.
///
/// # Errors
/// One of them cannot be had.
pub fn begin(kernel: &KernelFiles, archive: &mut Archive) -> Result<String> {
    archive.file("bin/busybox", 0o755, fs::read(busybox()?)?, "the shell")?;
    let mut init = String::from(
        "#!/bin/busybox sh\nB=/bin/busybox\necho peer: begins\n$B mkdir -p /proc /sys /dev /target\n\
         $B mount -t proc proc /proc\n$B mount -t sysfs sysfs /sys\n$B mount -t devtmpfs dev /dev\n",
    );
    for module in disk_modules(kernel, archive)? {
        init.push_str(&format!("$B insmod {}\n", module.path));
    }
    init.push_str("$B mount -t ext4 /dev/vda /target && echo peer: mounted\n");
    Ok(init)
}

/// Puts the module of a virtio disk into an image, with what it needs.
///
/// # Errors
/// The kernel's modules are not complete.
pub fn disk_modules(kernel: &KernelFiles, archive: &mut Archive) -> Result<Vec<Placed>> {
    let root =
        (kernel.modules.ancestors().nth(3)).context("The modules stand in no lib/modules")?;
    let index = Index::open(root, &kernel.release)?;
    let wanted = [Wanted::required("virtio_blk", "the disk")];
    Ok(archive.modules(&index, &closure::resolve(&index, &wanted, &[])?)?)
}

/// busybox-static of the same suite as makedumpfile, unpacked.
fn busybox() -> Result<PathBuf> {
    let root = crate::cache().join("tools/busybox");
    let binary = ["bin/busybox", "usr/bin/busybox"].map(|path| root.join(path));
    if !binary.iter().any(|path| path.is_file()) {
        fs::create_dir_all(&root)?;
        for deb in Apt::new(tools::SUITE)?.download(&["busybox-static".to_string()])? {
            unpack(&deb, &root)?;
        }
    }
    binary
        .into_iter()
        .find(|path| path.is_file())
        .context("busybox-static holds no busybox")
}
