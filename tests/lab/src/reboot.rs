//! The fast reboot: one machine goes from kernel to kernel by kexec, again and again, past the
//! firmware; and the same machine, reset, for the time that this saves.
//!
//! Each kernel's initramfs holds our binaries and a script whose only step is `afterpanic reboot
//! --force` into the other one. Both kernels and both images lie on a disk.

use crate::results::Entry;
use crate::runner::Options;
use crate::{artefacts, cache, guest, kernels};
use anyhow::{Result, bail};
use rehearse::disk::Fs;
use rehearse::guest::image::{self, Binaries, Contents, KernelFiles};
use rehearse::guest::{End as ScriptEnd, Mount, SAYS, Script, Step, Which};
use rehearse::vm::{Accel, DiskImage, Event, Firmware, Flow, Vm};
use std::env::consts::ARCH;
use std::fs;
use std::path::Path;
use std::time::Duration;

const SERIES: [&str; 2] = ["6.1", "6.12"];
const AT: &str = "/mnt";
const CMDLINE: &str = "console=ttyS0 loglevel=6 panic=20";
const DEADLINE: Duration = Duration::from_secs(600);
/// The disk with the kernels, in bytes.
const DISK_BYTES: u64 = 512 << 20;
/// How often each machine reboots.
const HOPS: usize = 6;

/// How the machine gets to its next kernel.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// By kexec, with this system call from the first kernel and that one from the second.
    Kexec([&'static str; 2]),
    /// By a reset, through the firmware, into the same kernel.
    Reset,
}

/// What was seen.
struct Seen {
    /// The releases that came up, in order.
    releases: Vec<String>,
    /// Seconds from the last word of one kernel's userspace to the first of the next one's.
    seconds: Vec<f64>,
    /// Resets of the machine.
    resets: usize,
}

/// The machines, by name.
const MACHINES: [(&str, Firmware, Way); 6] = [
    ("bios-1", Firmware::Bios, Way::Kexec(["file", "load"])),
    ("bios-reset", Firmware::Bios, Way::Reset),
    ("bios-2", Firmware::Bios, Way::Kexec(["load", "file"])),
    ("uefi-1", Firmware::Uefi, Way::Kexec(["file", "load"])),
    ("uefi-reset", Firmware::Uefi, Way::Reset),
    ("uefi-2", Firmware::Uefi, Way::Kexec(["load", "file"])),
];

/// The machines by name, with what each does.
pub fn names() -> impl Iterator<Item = (&'static str, String)> {
    MACHINES.into_iter().map(|(name, firmware, way)| {
        let firmware = match firmware {
            Firmware::Bios => "BIOS",
            Firmware::Uefi => "UEFI",
        };
        let way = match way {
            Way::Kexec(["file", _]) => "kexec_file_load and kexec_load in turn",
            Way::Kexec(_) => "kexec_load and kexec_file_load in turn",
            Way::Reset => "a reset each time, to compare",
        };
        (name, format!("{firmware}, 6.1 and 6.12: {way}"))
    })
}

/// Runs the machines of these names, or all; what came of each.
///
/// # Errors
/// The laboratory lacks something, or there is no such machine.
pub fn run(names: &[String], options: &Options) -> Result<Vec<Entry>> {
    for name in names {
        if !MACHINES.iter().any(|(known, ..)| known == name) {
            let known = MACHINES.map(|(known, ..)| known).join(", ");
            bail!("There is no machine {name}; there are {known}");
        }
    }
    let binaries = artefacts::build(ARCH, &options.profile)?;
    let mut say = |line: &str| eprintln!("lab: {line}");
    let pair = [
        kernels::get(SERIES[0], None, &mut say)?,
        kernels::get(SERIES[1], None, &mut say)?,
    ];
    let mut entries = Vec::new();
    let wanted = |name: &str| names.is_empty() || names.iter().any(|n| n == name);
    for (name, firmware, way) in MACHINES.into_iter().filter(|(name, ..)| wanted(name)) {
        let dir = cache().join("reboot").join(name);
        let seen = machine(&dir, &pair, &binaries, firmware, way)?;
        let verdict = judge(&seen, &pair, way);
        let times: Vec<String> = seen.seconds.iter().map(|s| format!("{s:.1}")).collect();
        println!("{name}: {way:?}: {} s", times.join(", "));
        let failed = verdict.err().map(|why| format!("{why:#}"));
        if let Some(why) = &failed {
            println!("    {why}; see {}", dir.display());
        }
        entries.push(Entry {
            name: format!("reboot/{name}"),
            kernel: String::new(),
            checks: 1,
            failed: failed.into_iter().collect(),
        });
        let _ = fs::remove_file(dir.join("disk.img"));
    }
    let failed = entries.iter().filter(|e| !e.failed.is_empty()).count();
    println!("{} passed, {failed} failed", entries.len() - failed);
    Ok(entries)
}

fn judge(seen: &Seen, pair: &[KernelFiles; 2], way: Way) -> Result<()> {
    let turns = match way {
        Way::Kexec(_) => pair.clone(),
        Way::Reset => [pair[0].clone(), pair[0].clone()],
    };
    let expected: Vec<&str> = turns
        .iter()
        .cycle()
        .take(HOPS + 1)
        .map(|k| k.release.as_str())
        .collect();
    if seen.releases != expected {
        bail!("it came up as {:?}", seen.releases);
    }
    match way {
        Way::Kexec(_) if seen.resets > 0 => bail!("it was reset {} times", seen.resets),
        _ => Ok(()),
    }
}

/// One machine, until it has rebooted so often.
fn machine(
    dir: &Path,
    pair: &[KernelFiles; 2],
    binaries: &Binaries,
    firmware: Firmware,
    way: Way,
) -> Result<Seen> {
    let _ = fs::remove_dir_all(dir);
    let files = dir.join("files");
    fs::create_dir_all(&files)?;
    let program = artefacts::guest(ARCH, artefacts::GUESTS)?;
    let mut images = Vec::new();
    for (n, kernel) in pair.iter().enumerate() {
        let image = files.join(format!("initramfs-{n}"));
        let contents = Contents {
            kernel,
            binaries,
            config: "",
            load: &["virtio_pci", "virtio_blk", "ext4"].map(String::from),
            present: &[],
            absent: &[],
            files: &[(guest::PROGRAM.into(), program.clone())],
            tools: &[],
        };
        image::build(&contents, script(n, way), &image)?;
        fs::copy(&kernel.image, files.join(format!("vmlinuz-{n}")))?;
        images.push(image);
    }
    let disk = dir.join("disk.img");
    rehearse::disk::blank(&disk, DISK_BYTES)?;
    rehearse::disk::of_directory(&files, &disk, 0, DISK_BYTES)?;
    let mut vm = Vm::new(&pair[0].image, dir.join("console.txt"));
    vm.initrd = images.first().cloned();
    vm.cmdline = CMDLINE.into();
    vm.firmware = firmware;
    vm.deadline = DEADLINE;
    vm.reboots = true;
    vm.disks.push(DiskImage {
        path: disk,
        serial: "kernels".into(),
        ..DiskImage::default()
    });
    let accel = Accel::choose(&pair[0].image, &cache())?;
    let seen = watch(&vm, accel)?;
    fs::remove_dir_all(&files)?;
    Ok(seen)
}

fn watch(vm: &Vm, accel: Accel) -> Result<Seen> {
    let mut seen = Seen {
        releases: Vec::new(),
        seconds: Vec::new(),
        resets: 0,
    };
    let mut left = None;
    vm.start(accel)?.wait(&mut |at, event, _| {
        match event {
            Event::Qmp { name, .. } if name == "RESET" => seen.resets += 1,
            Event::Line(line) => {
                let said = line.strip_prefix(SAYS).unwrap_or_default();
                if let Some(release) = said.strip_prefix("is up: ") {
                    let release = release.trim_matches('"').to_owned();
                    eprintln!("lab: [{:5.1}] {release}", at.as_secs_f64());
                    seen.releases.push(release);
                    let spent = left.take().map(|then| at.saturating_sub(then));
                    seen.seconds.extend(spent.map(|s| s.as_secs_f64()));
                } else if said.starts_with("mounted ") {
                    // The last line before it is on its way out.
                    left = Some(at);
                }
                if seen.releases.len() > HOPS {
                    return Flow::Stop;
                }
            }
            Event::Qmp { .. } => {}
        }
        Flow::Continue
    });
    Ok(seen)
}

/// What the kernel of that number does: it goes to the other one.
fn script(n: usize, way: Way) -> Script {
    let other = 1 - n;
    let run = match way {
        Way::Kexec(calls) => [
            "/usr/bin/afterpanic".to_owned(),
            "reboot".to_owned(),
            "--force".to_owned(),
            format!("--kernel={AT}/vmlinuz-{other}"),
            format!("--initrd={AT}/initramfs-{other}"),
            format!("--cmdline={CMDLINE}"),
            format!("--syscall={}", calls.get(n).copied().unwrap_or("auto")),
        ]
        .to_vec(),
        Way::Reset => guest::command(&["set", "/proc/sysrq-trigger", "b"]),
    };
    Script {
        hostname: "lab".into(),
        modules: Vec::new(),
        before: Vec::new(),
        mounts: vec![Mount {
            disk: Which::Serial("kernels".into()),
            fs: Fs::Ext4.name().into(),
            at: AT.into(),
            read_only: true,
        }],
        folders: Vec::new(),
        run: vec![Step {
            command: run,
            ok: Vec::new(),
        }],
        end: ScriptEnd::PowerOff,
        later: Vec::new(),
    }
}
