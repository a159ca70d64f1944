//! A Debian server with systemd, from the package to the core and back: installed, reserved, armed at
//! boot, panicked, collected, rebooted by kexec, purged. One that rehearses its panic in a VM of
//! its own, until nothing of that holds any more. And one whose targets, a logical volume and an array,
//! change while it is armed.
//!
//! The root filesystem comes from debootstrap, which needs root, and lies in the cache. The guest
//! follows `tests/lab/server/run`, one boot a stage, and says on the console what held. The first
//! boot is given kernel and initramfs by QEMU; there the boot loader is installed, which starts every
//! later one: GRUB by BIOS, or systemd-boot (Boot Loader Specification entries, or a unified kernel image) by UEFI.
//!
//! The server with GRUB is set up by the commands of the tutorial ([`crate::page`]), as they are printed.

mod tutorial;

use crate::guest::more_memory;
use crate::page;
use crate::results::Entry;
use crate::{artefacts, cache, debootstrap, root, tools};
use anyhow::{Context, Result, bail};
use rehearse::disk;
use rehearse::vm::{Accel, Bus, Control, DiskImage, End, Event, Firmware, Flow, Vm};
use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const SUITE: &str = "bookworm";
/// What the server has besides debootstrap's smallest set. grub-pc and systemd-boot are both there
/// until the first boot chooses.
const PACKAGES: &str = "systemd-sysv,udev,kmod,initramfs-tools,zstd,linux-image-cloud-amd64,grub-pc,systemd-boot,dosfstools,dbus,less,qemu-system-x86,e2fsprogs,xfsprogs,lvm2,mdadm,sudo,python3-pefile";
/// What tells that a kept root filesystem has them all.
const PROGRAMS: [&str; 5] = [
    "usr/bin/python3",
    "usr/bin/sudo",
    "usr/bin/qemu-system-x86_64",
    "usr/sbin/lvm",
    "usr/sbin/mdadm",
];
const SECTOR: u64 = 512;
/// Where the first partition begins: GRUB's core image lies before it.
const FIRST: u64 = 2048;
const ROOT_MIB: u64 = 3072;
const ESP_MIB: u64 = 128;
/// The disk of the second target, or of the volume group.
const SECOND_MIB: u64 = 512;
/// Each disk of the array.
const ARRAY_MIB: u64 = 128;
const DEADLINE: Duration = Duration::from_secs(1500);
/// The server with GRUB follows the tutorial, with a rehearsal in it, and panics twice.
const LONG_DEADLINE: Duration = Duration::from_secs(3000);
/// The files of tests/lab/server, which become /lab.
const SCRIPTS: [&str; 6] = ["run", "grub", "loaders", "rehearse", "rearm", "lab.service"];
/// How the guest's lines begin.
const SAYS: &str = "lab: ";

/// What starts the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// BIOS and GRUB.
    Grub,
    /// BIOS and GRUB whose grub-mkconfig reads no directory.
    Mkconfig,
    /// UEFI and systemd-boot.
    Bls,
    /// UEFI and systemd-boot, which starts a unified kernel image.
    Uki,
    /// Nothing: QEMU gives it its kernel. It has a second target, and a processor with virtualization.
    Rehearse,
    /// Nothing, too. Its targets are a logical volume and an array.
    Rearm,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 6] = [
        Kind::Grub,
        Kind::Mkconfig,
        Kind::Bls,
        Kind::Uki,
        Kind::Rehearse,
        Kind::Rearm,
    ];

    /// Its name: `grub`, `mkconfig`, `bls`, `uki`, `rehearse` or `rearm`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Grub => "grub",
            Kind::Mkconfig => "mkconfig",
            Kind::Bls => "bls",
            Kind::Uki => "uki",
            Kind::Rehearse => "rehearse",
            Kind::Rearm => "rearm",
        }
    }

    /// What starts it, and what its life is for.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Kind::Grub => {
                "BIOS and GRUB: the tutorial's commands from the package to the core, notifications, shipping, fast reboot, removal"
            }
            Kind::Mkconfig => "BIOS and GRUB without grub.d: from the package to the core and back",
            Kind::Bls => "UEFI and systemd-boot: from the package to the core and back",
            Kind::Uki => {
                "UEFI and a unified kernel image: the reservation as an addon by ukify, and back"
            }
            Kind::Rehearse => "no boot loader: `afterpanic rehearse` on a server with two targets",
            Kind::Rearm => "no boot loader: volumes and arrays change after arming",
        }
    }

    /// Whether a boot loader starts it, from its second boot on.
    fn has_boot_loader(self) -> bool {
        matches!(self, Kind::Grub | Kind::Mkconfig | Kind::Bls | Kind::Uki)
    }

    /// Whether a virtual machine runs in it.
    fn rehearses(self) -> bool {
        matches!(self, Kind::Grub | Kind::Rehearse)
    }

    fn firmware(self) -> Firmware {
        match self {
            Kind::Grub | Kind::Mkconfig | Kind::Rehearse | Kind::Rearm => Firmware::Bios,
            Kind::Bls | Kind::Uki => Firmware::Uefi,
        }
    }
}

/// What came of a server's life.
#[derive(Debug, Default)]
struct Life {
    passed: usize,
    failed: Vec<String>,
    done: bool,
    /// For each stage when it began, and how often the machine had been reset by then.
    stages: Vec<(Duration, u32)>,
    /// What a command of the page printed, with its number.
    printed: Vec<(usize, String)>,
    /// The commands of the page that ran, by number.
    ran: Vec<usize>,
}

impl Life {
    fn holds(&mut self, what: &str, wrong: &[String]) {
        if wrong.is_empty() {
            self.passed += 1;
            eprintln!("lab: ok {what}");
        } else {
            self.failed.push(format!("{what}: {}", wrong.join(" | ")));
        }
    }
}

/// Runs the lives asked for; what came of each.
///
/// # Errors
/// Something that the laboratory needs is missing.
pub fn run(kinds: &[Kind], profile: &str) -> Result<Vec<Entry>> {
    let commands = tutorial::commands()?;
    let mut packages = vec![(package(&[], profile)?, "afterpanic.deb")];
    if kinds.contains(&Kind::Grub) {
        packages.push((package(&["--fleet"], profile)?, "afterpanic-fleet.deb"));
    }
    let base = base()?;
    let mut entries = Vec::new();
    for kind in kinds {
        let mut life = Life::default();
        if *kind == Kind::Grub {
            tutorial::build(&commands, profile, &mut life)?;
        }
        live(*kind, &base, &packages, &commands, &mut life)?;
        if *kind == Kind::Grub {
            tutorial::keep(&commands, &life)?;
            tutorial::judge(&commands, &mut life);
        }
        if !life.done {
            life.failed.push("it did not reach its end".into());
        }
        println!("server {}:", kind.name());
        for text in &life.failed {
            println!("    {text}");
        }
        println!("{} passed, {} failed", life.passed, life.failed.len());
        entries.push(Entry {
            name: format!("server/{}", kind.name()),
            kernel: String::new(),
            checks: life.passed + life.failed.len(),
            failed: life.failed,
        });
    }
    Ok(entries)
}

/// The Debian package of this workspace, or of another one by `which`.
fn package(which: &[&str], profile: &str) -> Result<PathBuf> {
    let xtask = ["run", "--quiet", "--package", "xtask", "--", "deb"];
    let said = artefacts::cargo(&[&xtask, which, &["--profile", profile]].concat())
        .context("The Debian package could not be made")?;
    Ok(PathBuf::from(said.trim()))
}

/// The server's root filesystem as a directory.
fn base() -> Result<PathBuf> {
    let dir = cache().join("server");
    let base = dir.join("base");
    if base.join("lab").exists() && PROGRAMS.iter().all(|program| base.join(program).exists()) {
        return Ok(base);
    }
    debootstrap::make(SUITE, PACKAGES, &base)?;
    prepare(&base)?;
    Ok(base)
}

/// What every life has in common.
fn prepare(base: &Path) -> Result<()> {
    fs::write(base.join("etc/hostname"), "server\n")?;
    // sudo looks the name up.
    fs::write(
        base.join("etc/hosts"),
        "127.0.0.1 localhost\n127.0.1.1 server\n",
    )?;
    fs::write(
        base.join("etc/fstab"),
        "/dev/vda1 / ext4 errors=remount-ro 0 1\n",
    )?;
    let system = base.join("etc/systemd/system");
    fs::create_dir_all(system.join("multi-user.target.wants"))?;
    let link = |to: &str, at: &str| -> Result<()> {
        let at = system.join(at);
        let _ = fs::remove_file(&at);
        Ok(std::os::unix::fs::symlink(to, at)?)
    };
    // Its first act would be to hang up on whoever writes to the console.
    link("/dev/null", "serial-getty@ttyS0.service")?;
    // Half a minute for snapshots that nobody made.
    link("/dev/null", "e2scrub_reap.service")?;
    link("/lab/lab.service", "lab.service")?;
    link("/lab/lab.service", "multi-user.target.wants/lab.service")?;
    fs::create_dir_all(base.join("lab"))?;
    Ok(())
}

/// One server, from its first boot to its last.
fn live(
    kind: Kind,
    base: &Path,
    packages: &[(PathBuf, &str)],
    commands: &[page::Command],
    life: &mut Life,
) -> Result<()> {
    let dir = cache().join("server").join(kind.name());
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir)?;
    let scripts = root().join("tests/lab/server");
    let scripts = SCRIPTS.map(|name| (scripts.join(name), name));
    for (from, name) in scripts.iter().chain(packages) {
        fs::copy(from, base.join("lab").join(name))
            .with_context(|| format!("Cannot copy {}", from.display()))?;
    }
    if kind == Kind::Uki {
        let to = base.join("lab/uki");
        let _ = fs::remove_dir_all(&to);
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(tools::ukify()?.join("usr")).arg(&to);
        if !copy.status().context("Cannot run cp")?.success() {
            bail!("ukify cannot be copied to {}", to.display());
        }
    }
    fs::write(base.join("lab/page"), page::script(commands))?;
    fs::write(base.join("lab/kind"), kind.name())?;
    let disk = dir.join("disk.img");
    make_disk(&disk, base)?;
    let kernel = newest(&base.join("boot"), "vmlinuz-")?;
    let accel = match Accel::choose(&kernel, &cache())? {
        // On one thread the guest of its guest gets stuck in its first second.
        Accel::TcgOneThread if kind.rehearses() => Accel::Tcg,
        chosen => chosen,
    };
    let beside: &[(&str, Bus, u64)] = match kind {
        Kind::Grub | Kind::Mkconfig | Kind::Bls | Kind::Uki => &[],
        Kind::Rehearse => &[("second", Bus::Nvme, SECOND_MIB)],
        Kind::Rearm => &[
            ("group", Bus::VirtioBlk, SECOND_MIB),
            ("array-a", Bus::VirtioBlk, ARRAY_MIB),
            ("array-b", Bus::VirtioBlk, ARRAY_MIB),
        ],
    };
    let beside = beside.iter().map(|(name, bus, mib)| {
        let path = dir.join(format!("{name}.img"));
        disk::blank(&path, mib << 20)?;
        Ok(DiskImage {
            path,
            serial: (*name).into(),
            bus: *bus,
            ..DiskImage::default()
        })
    });
    let beside = beside.collect::<Result<Vec<_>>>()?;
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let machine = |kernel: PathBuf, console: &str| {
        let mut vm = Vm::new(kernel, dir.join(console));
        vm.firmware = kind.firmware();
        vm.vcpus = 2;
        vm.deadline = match kind {
            Kind::Grub => LONG_DEADLINE,
            _ => DEADLINE,
        };
        vm.reboots = true;
        vm.disks.push(DiskImage {
            path: disk.clone(),
            serial: "server".into(),
            ..DiskImage::default()
        });
        vm.disks.extend(beside.iter().cloned());
        match kind {
            Kind::Grub => vm.extra = words(&["-m", "3072M,slots=2,maxmem=6G"]),
            Kind::Mkconfig | Kind::Bls | Kind::Uki => {
                vm.extra = words(&["-m", "1024M,slots=2,maxmem=4G"]);
            }
            Kind::Rearm => vm.memory_mib = 1024,
            Kind::Rehearse => vm.memory_mib = 3072,
        }
        if kind.rehearses() && accel != Accel::Kvm {
            // The last one counts. What QEMU itself emulates is AMD's virtualization.
            vm.extra.extend(words(&["-cpu", "EPYC,+svm,-cx16"]));
        }
        vm
    };
    let mut first = machine(kernel, "console-1.txt");
    first.initrd = Some(newest(&base.join("boot"), "initrd.img-")?);
    first.cmdline = "root=/dev/vda1 rw console=ttyS0 loglevel=4".into();
    if !kind.has_boot_loader() {
        first.cmdline += " crashkernel=160M";
    }
    let installed = watch(&first, accel, life)?;
    if installed && life.failed.is_empty() && kind.has_boot_loader() {
        watch(&machine(PathBuf::new(), "console-2.txt"), accel, life)?;
    }
    if let [.., (_, before), (_, after)] = life.stages.as_slice()
        && kind == Kind::Grub
        && life.done
    {
        let resets: Vec<String> = (before != after)
            .then(|| "it went through the firmware".into())
            .into_iter()
            .collect();
        life.holds("the fast reboot passed no firmware", &resets);
    }
    if life.failed.is_empty() && life.done {
        fs::remove_file(&disk)?;
        for disk in &beside {
            fs::remove_file(&disk.path)?;
        }
    }
    Ok(())
}

/// Runs a machine until it is switched off; whether it was.
fn watch(vm: &Vm, accel: Accel, life: &mut Life) -> Result<bool> {
    let start = Instant::now();
    let mut resets = 0;
    let outcome = vm.start(accel)?.wait(&mut |at, event, control| {
        match event {
            Event::Line(line) => {
                if let Some(said) = line.strip_prefix(SAYS) {
                    if let Some(printed) = tutorial::printed(said) {
                        life.printed.push(printed);
                        return Flow::Continue;
                    }
                    eprintln!("[{:5.0}] {said}", at.as_secs_f64());
                    heed(said, at, resets, control, life);
                }
            }
            Event::Qmp { name, .. } if name == "RESET" => resets += 1,
            Event::Qmp { .. } => {}
        }
        Flow::Continue
    });
    if outcome.end != End::PowerOff {
        life.failed.push(format!(
            "the machine ended after {:.0} s by {:?}; see {}",
            start.elapsed().as_secs_f64(),
            outcome.end,
            vm.console.display()
        ));
    }
    Ok(outcome.end == End::PowerOff)
}

fn heed(said: &str, at: Duration, resets: u32, control: &mut Control<'_>, life: &mut Life) {
    if let Some(what) = said.strip_prefix("ok ") {
        life.passed += 1;
        let command = what.strip_prefix("page ").and_then(|w| w.split_once(':'));
        life.ran
            .extend(command.and_then(|(number, _)| number.parse::<usize>().ok()));
    } else if let Some(what) = said.strip_prefix("FAILED") {
        life.failed.push(what.trim_start().to_owned());
    } else if said.starts_with("stage ") {
        life.stages.push((at, resets));
    } else if said == "wants memory" {
        more_memory(control);
    } else if said == "all done" {
        life.done = true;
    }
}

/// The last file in `dir` by name that begins so.
fn newest(dir: &Path, prefix: &str) -> Result<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(dir)?.flatten().map(|e| e.path()).collect();
    found.retain(|p| {
        let name = p.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(prefix)
    });
    found.sort();
    let none = || format!("There is no {prefix}* in {}", dir.display());
    found.pop().with_context(none)
}

/// A disk with a DOS partition table: the root filesystem, and room for an EFI system partition.
fn make_disk(image: &Path, base: &Path) -> Result<()> {
    let (first, esp) = (FIRST, FIRST + (ROOT_MIB << 20) / SECTOR);
    let end = esp + (ESP_MIB << 20) / SECTOR;
    disk::blank(image, end * SECTOR)?;
    disk::of_directory(base, image, first * SECTOR, ROOT_MIB << 20)?;
    let mut table = Vec::new();
    for (start, end, kind, active) in [(first, esp, 0x83, 0x80), (esp, end, 0xef, 0)] {
        // No cylinders: the fields say "see the sector numbers".
        table.extend_from_slice(&[active, 0xfe, 0xff, 0xff, kind, 0xfe, 0xff, 0xff]);
        for number in [start, end - start] {
            table.extend_from_slice(&u32::try_from(number)?.to_le_bytes());
        }
    }
    table.resize(64, 0);
    table.extend_from_slice(&[0x55, 0xaa]);
    let mut file = OpenOptions::new().write(true).open(image)?;
    file.seek(SeekFrom::Start(446))?;
    Ok(file.write_all(&table)?)
}
