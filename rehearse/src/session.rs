//! One rehearsal: a kernel is booted, armed, made to panic, and what it saved is fetched.
//!
//! Two machines, one after the other, on the same scratch disk: the first ends when the panic
//! kernel reboots; the second boots the same kernel with the task of handing the files out. What
//! the files are worth is for the caller to judge.

use crate::disk::{self, DiskError, Fs};
use crate::export::{self, ExportError};
use crate::guest::image::{self, Binaries, Contents, ImageError, KernelFiles};
use crate::guest::{
    Boot, End as ScriptEnd, HANDED_OUT, Mount, PANICS_NOW, SAYS, Script, Step, Which,
};
use crate::storage::{Holds, Storage, Untouched};
use crate::vm::{Accel, Bus, DiskImage, End, Event, Firmware, Flow, Machine, Outcome, Vm, VmError};
use dump::seal::Identities;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where crashes are saved in the guest.
pub const CRASH_DIR: &str = "/var/crash";
/// The mounted target's serial number.
pub const TARGET: &str = "target";
/// The raw disk's that files are handed out on.
const OUT: &str = "out";
const DISK_BYTES: u64 = 2 << 30;
const FETCH_DEADLINE: Duration = Duration::from_secs(240);

/// Why a rehearsal could not be made at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The virtual machine.
    #[error(transparent)]
    Vm(#[from] VmError),
    /// The disks.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The disk that the guest handed files out on.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The guest's image.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The machine that hands the files out did not.
    #[error("The crash directory could not be fetched from the scratch disk: {said}")]
    Fetch {
        /// What went wrong.
        said: String,
    },
    /// A file failed.
    #[error("Cannot {what} {path}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
}

/// What is to be rehearsed.
#[derive(Debug, Clone)]
pub struct Session {
    /// The kind of machine.
    pub machine: &'static Machine,
    /// The kernel.
    pub kernel: KernelFiles,
    /// Our binaries.
    pub binaries: Binaries,
    /// KVM or TCG.
    pub accel: Accel,
    /// RAM.
    pub memory_mib: u64,
    /// Virtual CPUs.
    pub vcpus: u32,
    /// BIOS or UEFI.
    pub firmware: Firmware,
    /// `crashkernel=`; none: no memory is reserved.
    pub crashkernel: Option<String>,
    /// Added to the crashed kernel's command line.
    pub cmdline: String,
    /// Further arguments for QEMU.
    pub qemu: Vec<String>,
    /// The disks.
    pub storage: Storage,
    /// The target's filesystem.
    pub fs: Fs,
    /// Its UUID.
    pub uuid: String,
    /// Its size; none: 2 GiB, sparse.
    pub disk_bytes: Option<u64>,
    /// The guest's node name.
    pub hostname: String,
    /// The text of /etc/afterpanic.toml.
    pub config: String,
    /// What opens the files, where the config seals them.
    pub identities: Identities,
    /// Modules there but not loaded.
    pub present: Vec<String>,
    /// Modules kept out of the guest's tree.
    pub absent: Vec<String>,
    /// Further files: path in the guest, file here.
    pub files: Vec<(String, PathBuf)>,
    /// What happens before the end; `afterpanic load` ordinarily.
    pub arm: Vec<Step>,
    /// Commands for QEMU, each given when the guest says its line.
    pub replies: Vec<Reply>,
    /// How the first boot ends.
    pub end: ScriptEnd,
    /// What the machine does after each reboot; empty: the run ends at the first.
    pub later: Vec<Boot>,
    /// For the whole first machine.
    pub deadline: Duration,
    /// Keep an image with what an earlier run left on the target.
    pub reuse_disk: bool,
}

/// A command of QMP that the guest asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// What the guest says, after [`SAYS`]; a module says it in the kernel's log.
    pub line: String,
    /// The command.
    pub command: String,
    /// Its arguments.
    pub arguments: Value,
}

/// What a rehearsal gave.
#[derive(Debug, Clone)]
pub struct Crash {
    /// How the machine ended.
    pub outcome: Outcome,
    /// The times of what happened, since the machine's start.
    pub times: Times,
    /// The console's lines with their times.
    pub lines: Vec<(Duration, String)>,
    /// The file with the whole console.
    pub console: PathBuf,
    /// The target's image.
    pub disk: PathBuf,
    /// Disks that had to stay as they were.
    pub untouched: Vec<Untouched>,
}

/// Moments seen on the console.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times {
    /// The guest's init spoke.
    pub up: Option<Duration>,
    /// The panic was asked for.
    pub panic: Option<Duration>,
    /// The machine reset itself or powered off afterwards.
    pub end: Option<Duration>,
}

impl Crash {
    /// Lines of the console before the panic (`false`) or after it (`true`).
    pub fn lines(&self, after: bool) -> impl Iterator<Item = &str> {
        let at = self.times.panic.unwrap_or(Duration::MAX);
        self.lines
            .iter()
            .filter(move |(t, _)| (*t > at) == after)
            .map(|(_, l)| l.as_str())
    }

    /// Lines of the console since the machine's last boot, if it was not its first.
    pub fn lines_again(&self) -> impl Iterator<Item = &str> {
        let up = format!("{SAYS}is up");
        let boots = self.lines.iter().filter(|(_, l)| l.starts_with(&up));
        let at = if boots.count() > 1 {
            self.lines.iter().rposition(|(_, l)| l.starts_with(&up))
        } else {
            None
        };
        let from = at.unwrap_or(self.lines.len());
        self.lines.iter().skip(from).map(|(_, l)| l.as_str())
    }

    /// What the guest's init said failed, if it did.
    #[must_use]
    pub fn guest_failure(&self) -> Option<&str> {
        self.lines
            .iter()
            .find_map(|(_, l)| l.strip_prefix(SAYS)?.strip_prefix("failed: "))
    }
}

impl Session {
    /// The module names that the crashed kernel needs for its disks.
    fn modules(&self) -> Vec<String> {
        let buses = [self.storage.bus, Bus::VirtioBlk];
        let mut names: Vec<String> = buses
            .iter()
            .flat_map(|bus| bus.modules())
            .map(|name| (*name).to_owned())
            .collect();
        names.extend(self.storage.modules.iter().cloned());
        let others = self.storage.more.iter().filter_map(|disk| disk.fs);
        for fs in others.chain([self.fs]) {
            if fs == Fs::Vfat {
                let code_pages = ["nls_cp437", "nls_ascii", "nls_iso8859-1", "nls_utf8"];
                names.extend(code_pages.map(str::to_owned));
            }
            names.push(fs.name().to_owned());
        }
        names
    }

    fn script(&self, read_only: bool, end: ScriptEnd) -> Script {
        let first = !matches!(end, ScriptEnd::HandOut { .. });
        let storage = &self.storage;
        let elsewhere = storage.saved_on.as_ref().filter(|_| !first);
        let stacked = !storage.make.is_empty() && elsewhere.is_none();
        let serial = elsewhere.cloned().unwrap_or_else(|| TARGET.into());
        let mount = Mount {
            // Only virtio disks show their serial number in one place.
            disk: match stacked || (first && storage.bus != Bus::VirtioBlk) {
                true => Which::Uuid(self.uuid.clone()),
                false => Which::Serial(serial),
            },
            fs: self.fs.name().into(),
            at: CRASH_DIR.into(),
            read_only,
        };
        let before = match (first, stacked) {
            (true, _) => storage.make.clone(),
            (false, true) => storage.again.clone(),
            (false, false) => Vec::new(),
        };
        Script {
            hostname: self.hostname.clone(),
            modules: Vec::new(),
            before,
            mounts: vec![mount],
            folders: Vec::new(),
            run: if first { self.arm.clone() } else { Vec::new() },
            end,
            later: if first {
                self.later.clone()
            } else {
                Vec::new()
            },
        }
    }

    fn image(&self, script: Script, to: &Path) -> Result<(), SessionError> {
        let contents = Contents {
            kernel: &self.kernel,
            binaries: &self.binaries,
            config: &self.config,
            load: &self.modules(),
            present: &self.present,
            absent: &self.absent,
            files: &self.files,
            tools: &self.storage.tools,
        };
        Ok(image::build(&contents, script, to)?)
    }

    fn machine(&self, initrd: PathBuf, console: PathBuf, disk: &Path) -> Vm {
        let mut vm = Vm::new(&self.kernel.image, console);
        vm.machine = self.machine;
        vm.initrd = Some(initrd);
        vm.memory_mib = self.memory_mib;
        vm.disks.push(DiskImage {
            path: disk.to_owned(),
            serial: TARGET.into(),
            ..DiskImage::default()
        });
        let dir = disk.parent().unwrap_or(Path::new("."));
        for more in &self.storage.more {
            vm.disks.push(DiskImage {
                path: match more.holds {
                    Holds::Path => disk.to_owned(),
                    _ => self.storage.path(dir, &more.serial),
                },
                serial: more.serial.clone(),
                ..DiskImage::default()
            });
        }
        if self.storage.has_paths() {
            // QEMU opens one file twice.
            for image in vm.disks.iter_mut().filter(|image| image.path == disk) {
                image.options = "file.locking=off".into();
            }
        }
        // A kernel whose capture kernel does not start reboots, instead of waiting for the deadline.
        vm.cmdline = format!("console={} loglevel=6 panic=20", self.machine.console);
        vm
    }

    /// Boots, arms and panics, in the directory `dir`. `on` sees every console line as it comes.
    ///
    /// # Errors
    /// The machine could not be built or started. A guest that fails is no error but a result.
    pub fn crash(
        &self,
        dir: &Path,
        on: &mut dyn FnMut(Duration, &str),
    ) -> Result<Crash, SessionError> {
        fs::create_dir_all(dir).map_err(|source| SessionError::Io {
            what: "create",
            path: dir.into(),
            source,
        })?;
        let disk = dir.join("target.img");
        let bytes = self.disk_bytes.unwrap_or(DISK_BYTES);
        match self.storage.make.as_slice() {
            _ if self.reuse_disk && disk.exists() => {}
            [] => disk::make(&disk, bytes, self.fs, &self.uuid)?,
            _ => disk::blank(&disk, bytes)?,
        }
        let untouched = self.storage.prepare(dir, &disk, self.fs)?;
        let initrd = dir.join("guest.cpio");
        self.image(self.script(false, self.end.clone()), &initrd)?;
        let mut vm = self.machine(initrd.clone(), dir.join("console.txt"), &disk);
        if let Some(target) = vm.disks.first_mut() {
            target.bus = self.storage.bus;
            if !self.storage.drive.is_empty() {
                target.options.clone_from(&self.storage.drive);
            }
        }
        for image in vm
            .disks
            .iter_mut()
            .skip(1)
            .filter(|image| image.path == disk)
        {
            // It is the same disk: on the same kind of bus, with the same serial number.
            (image.bus, image.serial) = (self.storage.bus, TARGET.into());
        }
        vm.vcpus = self.vcpus;
        vm.firmware = self.firmware;
        vm.extra.clone_from(&self.qemu);
        vm.deadline = self.deadline;
        vm.reboots = !self.later.is_empty();
        if let Some(size) = &self.crashkernel {
            vm.cmdline += &format!(" crashkernel={size}");
        }
        vm.cmdline += &format!(" {}", self.cmdline);
        let mut lines = Vec::new();
        let mut times = Times::default();
        let mut cues = self.storage.cues.iter().peekable();
        let outcome = vm.start(self.accel)?.wait(&mut |at, event, control| {
            if let Event::Qmp { name, .. } = event
                && name == "RESET"
                && times.panic.is_some()
            {
                times.end.get_or_insert(at);
            }
            if let Event::Line(line) = event {
                on(at, line);
                match line.strip_prefix(SAYS) {
                    Some(PANICS_NOW) => {
                        times.panic.get_or_insert(at);
                    }
                    Some(_) if times.up.is_none() => times.up = Some(at),
                    _ => {}
                }
                if times.panic.is_some()
                    && let Some(cue) = cues.next_if(|cue| line.contains(&cue.when))
                {
                    for (command, arguments) in &cue.then {
                        control.execute(command, arguments);
                    }
                }
                let asked = |reply: &&Reply| line.ends_with(&format!("{SAYS}{}", reply.line));
                for reply in self.replies.iter().filter(asked) {
                    control.execute(&reply.command, &reply.arguments);
                }
                lines.push((at, line.clone()));
            }
            Flow::Continue
        });
        if matches!(outcome.end, End::Reset | End::PowerOff) {
            times.end.get_or_insert(outcome.took);
        }
        let _ = fs::remove_file(&initrd);
        Ok(Crash {
            outcome,
            times,
            lines,
            console: vm.console,
            disk,
            untouched,
        })
    }

    /// Fetches [`CRASH_DIR`] from the scratch disk into `to`.
    ///
    /// # Errors
    /// The filesystem cannot be read or the second machine fails.
    pub fn fetch(&self, crash: &Crash, to: &Path) -> Result<(), SessionError> {
        let dir = crash.disk.parent().unwrap_or(Path::new("."));
        let saved_on = self.storage.saved_on.as_ref();
        let disk = saved_on.map_or(crash.disk.clone(), |serial| self.storage.path(dir, serial));
        let plain = self.storage.make.is_empty() || saved_on.is_some();
        if plain && self.fs == Fs::Ext4 && disk::has_tool("debugfs") {
            return Ok(disk::read_ext4(&disk, "/", to)?);
        }
        let (initrd, out) = (dir.join("fetch.cpio"), dir.join("out.img"));
        disk::blank(
            &out,
            self.disk_bytes.unwrap_or(DISK_BYTES).saturating_mul(2),
        )?;
        let end = ScriptEnd::HandOut {
            dir: CRASH_DIR.into(),
            serial: OUT.into(),
        };
        self.image(self.script(true, end), &initrd)?;
        let mut vm = self.machine(initrd.clone(), dir.join("fetch-console.txt"), &crash.disk);
        vm.disks.push(DiskImage {
            path: out.clone(),
            serial: OUT.into(),
            ..DiskImage::default()
        });
        vm.memory_mib = 1024;
        vm.deadline = FETCH_DEADLINE;
        let mut said = String::new();
        let mut done = false;
        let outcome = vm.start(self.accel)?.wait(&mut |_, event, _| {
            if let Event::Line(line) = event
                && let Some(text) = line.strip_prefix(SAYS)
            {
                done |= text.starts_with(HANDED_OUT);
                said = text.to_owned();
            }
            Flow::Continue
        });
        if !done {
            return Err(SessionError::Fetch {
                said: format!("{:?}, last line: {said}", outcome.end),
            });
        }
        export::unpack(&out, to)?;
        for file in [initrd, out] {
            let _ = fs::remove_file(file);
        }
        Ok(())
    }
}
