//! Runs scenarios: boots, arms, panics, fetches, judges.

use crate::checks::{self, Found};
use crate::guest::{self, Fill, Work};
use crate::scenario::{KINDS, MODULE, NOTIFIER, Scenario, VMLINUZ};
use crate::table::{Check, Row};
use crate::{artefacts, kernels, module, network, tools};
use anyhow::{Context, Result};
use rehearse::disk::Fs;
use rehearse::guest::image::{Binaries, KernelFiles};
use rehearse::guest::{PANICS_NOW, Step};
use rehearse::session::{CRASH_DIR, Crash, Reply, Session, TARGET};
use rehearse::storage::Storage;
use rehearse::vm::Accel;
use std::collections::BTreeMap;
use std::env::consts::ARCH;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A string that one process of the guest holds in its memory, and nothing else has.
pub const SECRET: &str = "kept-in-a-process-of-the-guest";
/// What the balloon takes from a guest that has memory of every kind.
const BALLOON_MIB: u64 = 32;
const UUID: &str = "0a0b0c0d-1111-2222-3333-444455556666";
const FAT_UUID: &str = "0A0B-6666";

/// What the command line changes about every scenario.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Another kernel: a series or a file.
    pub kernel: Option<String>,
    /// Its modules, when it is a file.
    pub modules: Option<PathBuf>,
    /// Another number of CPUs.
    pub vcpus: Option<u32>,
    /// Another size of RAM in MiB.
    pub memory: Option<u64>,
    /// Another firmware.
    pub firmware: Option<String>,
    /// The syscall that loads the capture kernel.
    pub syscall: Option<String>,
    /// Keep the files of runs that passed.
    pub keep: bool,
    /// Where the crash directory of each run that passed is kept, one folder a scenario.
    pub crashes: Option<PathBuf>,
    /// Show the console as it comes.
    pub console: bool,
    /// The cargo profile of the binaries.
    pub profile: String,
    /// That of the binaries for other architectures; none: the same. How fast they run counts less there than how
    /// fast they are built.
    pub cross_profile: Option<String>,
}

impl Options {
    /// The cargo profile of the binaries for an architecture.
    fn profile_for(&self, arch: &str) -> &str {
        let other = self.cross_profile.as_ref().filter(|_| arch != ARCH);
        other.unwrap_or(&self.profile)
    }
}

/// The programs for machines of one architecture.
#[derive(Debug, Clone)]
pub struct Programs {
    /// Our binaries.
    pub binaries: Binaries,
    /// The laboratory's program for its guests.
    pub guest: PathBuf,
}

impl Programs {
    fn build(arch: &str, profile: &str) -> Result<Self> {
        let guests = match profile {
            artefacts::QUICK => profile,
            _ => artefacts::GUESTS,
        };
        Ok(Self {
            binaries: artefacts::build(arch, profile)?,
            guest: artefacts::guest(arch, guests)?,
        })
    }
}

/// What is the same for every run.
#[derive(Debug)]
pub struct Lab {
    /// Our binaries for this machine.
    pub binaries: Binaries,
    /// The programs for guests, by architecture.
    programs: BTreeMap<String, Programs>,
    /// From the command line.
    pub options: Options,
}

impl Lab {
    /// Builds the binaries for machines like this one.
    ///
    /// # Errors
    /// The build fails.
    pub fn new(options: Options) -> Result<Lab> {
        Self::for_machines(options, &[ARCH])
    }

    /// Builds the binaries for machines of these architectures, and for this machine those that read cores.
    ///
    /// # Errors
    /// A build fails.
    pub fn for_machines(options: Options, archs: &[&str]) -> Result<Lab> {
        let mut programs = BTreeMap::new();
        for arch in archs {
            if !programs.contains_key(*arch) {
                let profile = options.profile_for(arch);
                programs.insert((*arch).into(), Programs::build(arch, profile)?);
            }
        }
        let own = programs.get(ARCH).map(|own| own.binaries.clone());
        Ok(Lab {
            binaries: match own {
                Some(own) => own,
                None => artefacts::build(ARCH, &options.profile)?,
            },
            programs,
            options,
        })
    }

    /// The scenario as the command line wants it.
    fn adapt(&self, scenario: &Scenario) -> Scenario {
        let mut adapted = scenario.clone();
        let options = &self.options;
        if let Some(kernel) = &options.kernel {
            adapted.kernel.clone_from(kernel);
        }
        adapted.vcpus = options.vcpus.unwrap_or(adapted.vcpus);
        adapted.memory = options.memory.unwrap_or(adapted.memory);
        if let Some(firmware) = &options.firmware {
            adapted.firmware.clone_from(firmware);
        }
        if let Some(syscall) = &options.syscall {
            adapted.config = with_key(
                &adapted.config,
                "capture_kernel",
                &format!("syscall = \"{syscall}\""),
            );
            for said in &mut adapted.expect.console_before {
                if said == "kexec_file_load" || said == "kexec_load" {
                    *said = if syscall == "load" {
                        "kexec_load"
                    } else {
                        "kexec_file_load"
                    }
                    .into();
                }
            }
        }
        adapted
    }

    /// The kernel of a scenario.
    ///
    /// # Errors
    /// It cannot be fetched.
    pub fn kernel(&self, scenario: &Scenario) -> Result<KernelFiles> {
        let modules = self.options.modules.as_deref();
        kernels::get(&scenario.kernel, modules, &mut |line| {
            eprintln!("lab: {line}");
        })
    }

    /// Runs a scenario. What the guest does wrong stands in the row; an error is one of the lab.
    ///
    /// # Errors
    /// The machine could not be built or started.
    pub fn run(&self, scenario: &Scenario, dir: &Path) -> Result<Row> {
        let scenario = self.adapt(scenario);
        let start = Instant::now();
        let kernel = self.kernel(&scenario)?;
        let accel = match scenario.arch == ARCH {
            true => Accel::choose(&kernel.image, &crate::cache())?,
            false => Accel::translator(scenario.machine()?),
        };
        let _ = fs::remove_dir_all(dir);
        let mut session = self.session(&scenario, kernel.clone(), accel)?;
        fs::create_dir_all(dir)?;
        let network = scenario.network.as_ref();
        let server = network.map(|network| network.serve(self, dir, &mut session));
        let mut server = server.transpose()?;
        if let Some(way) = scenario.panic.strip_prefix("module:") {
            let module = module::build(&kernel, &scenario.arch, way, dir)?;
            session.files.push((MODULE.into(), module));
        }
        if !scenario.notifier.is_empty() {
            let module = module::build(&kernel, &scenario.arch, &scenario.notifier, dir)?;
            session.files.push((NOTIFIER.into(), module));
        }
        if scenario.kinds {
            self.every_kind(&scenario, &mut session)?;
        }
        // The first: the machine's memory is as it died.
        let cues = &mut session.storage.cues;
        cues.splice(0..0, checks::same_memory(&scenario.expect.truth, dir));
        if let Some(how) = scenario.vmlinuz {
            let path = how.make(&kernel.image, dir)?;
            session.files.push((VMLINUZ.into(), path));
        }
        let show = self.options.console;
        let mut panicked = false;
        let crash = session.crash(dir, &mut |at, line| {
            if show {
                eprintln!("[{:6.1}] {line}", at.as_secs_f64());
            }
            panicked |= line.contains(PANICS_NOW);
            if let Some(server) = server.as_ref().filter(|_| panicked) {
                server.hear(line);
            }
        })?;
        // A disk that is gone has nothing to read back.
        let gone = scenario.disk_disappears && scenario.saved_on.is_none();
        let fetched = match (server.as_mut().and_then(network::Server::saved), gone) {
            (Some(saved), _) => saved,
            (None, false) => fetch(&session, &crash, dir),
            (None, true) => Ok(dir.join("saved")),
        };
        let others = self.programs.iter().filter(|(arch, _)| *arch != ARCH);
        let others =
            others.map(|(arch, programs)| (arch.clone(), programs.binaries.afterpanic.clone()));
        let found = Found {
            others: others.collect(),
            as_shipped: self.options.profile_for(&scenario.arch) == artefacts::SHIPS,
            ..Found::new(&scenario, &crash, fetched.as_deref().ok(), &self.binaries)
        };
        let mut checks = checks::all(&scenario, &found, &kernel);
        let afterpanic = &self.binaries.afterpanic;
        checks.extend(
            server
                .iter_mut()
                .flat_map(|server| server.checks(afterpanic)),
        );
        // A small disk of its own cannot be removed while it is mounted.
        drop(server);
        if let Err(error) = &fetched {
            checks.push(Check::new(
                "the target is read back",
                Err(format!("{error:#}")),
            ));
        }
        let passed = checks.iter().all(Check::holds);
        let times = crash.times;
        let row = Row {
            name: scenario.name.clone(),
            kernel: kernel.release,
            accel: accel.name().into(),
            passed,
            saved: found.saved.clone(),
            seconds: start.elapsed().as_secs_f64(),
            panic_to_end: times
                .end
                .zip(times.panic)
                .map(|(e, p)| e.saturating_sub(p).as_secs_f64()),
            core_bytes: found
                .core
                .as_ref()
                .and_then(|c| fs::metadata(c).ok())
                .map(|m| m.len()),
            kept: (!passed || self.options.keep).then(|| dir.display().to_string()),
            checks,
        };
        if let (Some(to), Some(from)) = (&self.options.crashes, &found.dir)
            && passed
        {
            keep_crash(from, &to.join(&scenario.name))?;
        }
        if row.kept.is_none() {
            let _ = fs::remove_dir_all(dir);
        } else {
            // Sparse, but larger than all the rest; its files stand beside it.
            for entry in fs::read_dir(dir)?.flatten() {
                if entry.path().extension().is_some_and(|end| end == "img") {
                    let _ = fs::remove_file(entry.path());
                }
            }
        }
        Ok(row)
    }

    /// Has the guest make memory of every kind after it is armed.
    fn every_kind(&self, scenario: &Scenario, session: &mut Session) -> Result<()> {
        let program = artefacts::kinds(&scenario.arch)?;
        session.files.push((KINDS.into(), program));
        session.storage.modules.push("virtio_balloon".into());
        let device = ["-device", "virtio-balloon-pci"].map(String::from);
        session.qemu.extend(device);
        session.replies.push(Reply {
            line: "kinds: wants the balloon".into(),
            command: "balloon".into(),
            arguments: serde_json::json!({ "value": (scenario.memory - BALLOON_MIB) << 20 }),
        });
        Ok(())
    }

    /// The session of a scenario.
    ///
    /// # Errors
    /// A word of the scenario is not known.
    pub fn session(&self, s: &Scenario, kernel: KernelFiles, accel: Accel) -> Result<Session> {
        let encrypted = |step: &Vec<String>| step.iter().any(|word| word == "cryptsetup");
        let mut programs = match s.make.is_empty() {
            true => Vec::new(),
            false if s.make.iter().any(encrypted) => tools::encryption()?,
            false => tools::storage()?,
        };
        programs.push(work(s).file()?);
        let storage = Storage {
            bus: s.bus,
            drive: s.drive.clone(),
            more: s.disks.clone(),
            modules: s.modules.clone(),
            tools: programs,
            make: steps(&s.make),
            again: steps(&s.again),
            saved_on: s.saved_on.clone(),
            cues: s.cues.clone(),
        };
        let programs = self.programs.get(&s.arch);
        let programs = programs.with_context(|| format!("Nothing was built for {}", s.arch))?;
        Ok(Session {
            machine: s.machine()?,
            identities: Default::default(),
            kernel,
            binaries: programs.binaries.clone(),
            accel,
            memory_mib: s.memory,
            vcpus: s.vcpus,
            firmware: s.firmware()?,
            crashkernel: (!s.crashkernel.is_empty()).then(|| s.crashkernel.clone()),
            cmdline: s.cmdline.clone(),
            qemu: s.qemu.clone(),
            storage,
            fs: s.fs,
            uuid: if s.fs == Fs::Vfat { FAT_UUID } else { UUID }.into(),
            disk_bytes: Some(s.disk << 20),
            hostname: "lab".into(),
            config: s.config.clone(),
            present: Vec::new(),
            absent: s.absent.clone(),
            files: vec![(guest::PROGRAM.into(), programs.guest.clone())],
            arm: script(s),
            later: s.later()?,
            end: s.end()?,
            deadline: Duration::from_secs(s.deadline),
            replies: guest::replies(),
            reuse_disk: false,
        })
    }
}

/// The load on the machine of a scenario.
fn work(s: &Scenario) -> Work {
    Work {
        files_mib: 24,
        secret: SECRET.into(),
        sleepers: 5,
        pipe_pages: s.pipe_pages,
        writers: s.writers,
        press_leave_mib: s.press_leave_mib,
        crowds: s.crowds,
        zombies: s.zombies,
        fill: s.fill_leave_kib.map(|leave_kib| Fill {
            dir: CRASH_DIR.into(),
            leave_kib,
        }),
    }
}

/// What happens in the guest of a scenario from the mounted disks to the panic.
fn script(s: &Scenario) -> Vec<Step> {
    let set = |(path, value): &(String, String)| guest::step(&["set", path, value]);
    let mut script: Vec<Step> = s.set.iter().map(set).collect();
    script.push(guest::step(&["work"]));
    if !s.notifier.is_empty() {
        script.push(guest::step(&["insmod", NOTIFIER]));
    }
    if !s.unarmed {
        if s.no_kcore {
            script.push(guest::step(&["hide-kcore"]));
        }
        let load = ["/usr/bin/afterpanic", "load"].map(String::from);
        script.push(Step {
            command: load.into_iter().chain(s.load.iter().cloned()).collect(),
            // Degraded is armed; whether that was expected is judged from the console.
            ok: vec![0, 4, s.expect.load_exit],
        });
        script.extend(steps(&s.after_load));
        if s.kinds {
            let ours = "/usr/bin/afterpanic";
            let commands = [&[ours, "pages", "live"][..], &[ours, "status"], &[KINDS]];
            let commands = commands.map(|words| words.iter().map(|w| (*w).to_owned()).collect());
            script.extend(steps(&commands));
        }
        if s.expect.image_at_most.is_some() {
            let status = ["/usr/bin/afterpanic", "status", "--json"].map(String::from);
            script.extend(steps(&[status.to_vec()]));
        }
    }
    // Once more: a watchdog that was started by a setting is fed before the panic.
    let devices = s.set.iter().filter(|(path, _)| path.starts_with("/dev"));
    script.extend(devices.map(set));
    if s.disk_disappears {
        script.push(guest::step(&["wipe", TARGET]));
    }
    script
}

/// Commands that must succeed.
fn steps(commands: &[Vec<String>]) -> Vec<Step> {
    let step = |command: &Vec<String>| Step {
        command: command.clone(),
        ok: vec![0],
    };
    commands.iter().map(step).collect()
}

fn fetch(session: &Session, crash: &Crash, dir: &Path) -> Result<PathBuf> {
    let to = dir.join("saved");
    session
        .fetch(crash, &to)
        .context("Cannot fetch what was saved")?;
    Ok(to)
}

/// Moves a crash directory into a folder that has nothing else.
fn keep_crash(from: &Path, folder: &Path) -> Result<()> {
    let name = from.file_name().context("A crash directory has no name")?;
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder)?;
    fs::rename(from, folder.join(name))
        .with_context(|| format!("Cannot keep {} in {}", from.display(), folder.display()))
}

/// The config with a key added to a table, which may or may not be there already.
pub(crate) fn with_key(config: &str, table: &str, line: &str) -> String {
    let header = format!("[{table}]");
    if config.lines().any(|l| l.trim() == header) {
        config.replacen(&header, &format!("{header}\n{line}"), 1)
    } else {
        format!("{config}\n{header}\n{line}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_goes_into_its_table_once() {
        assert_eq!(
            with_key("[keep]\ndumps = 1", "capture_kernel", "a = 1"),
            "[keep]\ndumps = 1\n[capture_kernel]\na = 1\n"
        );
        assert_eq!(
            with_key("[capture_kernel]\nb = 2\n", "capture_kernel", "a = 1"),
            "[capture_kernel]\na = 1\nb = 2\n"
        );
    }
}
