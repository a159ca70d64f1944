//! `afterpanic rehearse`: this machine's kernel, capture image and config panic in a VM.

mod remote;
mod scratch;

use self::remote::Remote;
use self::scratch::{Scratch, guest_config, targets};
use crate::exit::Exit;
use crate::output::{self, Context};
use anyhow::{Context as _, bail};
use config::{Auto, Config};
use dump::seal::{Identities, Identity};
use initramfs::files::Taken;
use initramfs::root::Root;
use initramfs::{binary, build, files};
use loader::proof::Proven;
use loader::state::State;
use rehearse::find_min::find_min;
use rehearse::guest::image::{Binaries, KernelFiles};
use rehearse::guest::{End, Step};
use rehearse::proof;
use rehearse::session::Session;
use rehearse::storage::Storage;
use rehearse::verdict::{self, Verdict};
use rehearse::vm::machine::HOST;
use rehearse::vm::{Accel, Firmware};
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The search for the smallest reservation, in MiB.
const SEARCH: (u64, u64) = (56, 256);

/// Arguments of `rehearse`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// RAM of the VM, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    mem: u64,
    /// Virtual CPUs of the VM
    #[arg(long, value_name = "N", default_value_t = 1)]
    vcpus: u32,
    /// `crashkernel=` of the VM [default: this machine's, else the config's, else 192M]
    #[arg(long, value_name = "SIZE")]
    crashkernel: Option<String>,
    /// Find the smallest `crashkernel=` that works, in steps of 8 MiB
    #[arg(long, conflicts_with = "crashkernel")]
    find_min: bool,
    /// Boot the VM with UEFI firmware
    #[arg(long)]
    uefi: bool,
    /// Use this kernel image instead of the running kernel's; needs --modules
    #[arg(long, value_name = "FILE", requires = "modules")]
    kernel: Option<PathBuf>,
    /// The modules of that kernel: its lib/modules/RELEASE
    #[arg(long, value_name = "DIR", requires = "kernel")]
    modules: Option<PathBuf>,
    /// Keep the console log and the core in this directory
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Stop the VM after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    deadline: u64,
    /// Print one JSON object (docs/json.md)
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    verdict: &'a Verdict,
    find_min_mib: Option<u64>,
    not_proved: &'a str,
}

/// Rehearses; exit code 0 means that a complete core arrived, 3 that it did not.
pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let config = context.load_config()?;
    HOST.found()?;
    let Prepared {
        mut session,
        remote,
        not_proved,
    } = session(args, context, &config)?;
    let remote = remote.as_ref();
    let mut warnings = Vec::new();
    // Another kernel proves nothing for this machine.
    let with = match args.kernel {
        None => Some(depends_on(context, &config, &session, &mut warnings)?),
        Some(_) => None,
    };
    let scratch = tempfile::Builder::new()
        .prefix("afterpanic-rehearse-")
        .tempdir_in("/var/tmp")?;
    let dir = args
        .keep
        .clone()
        .unwrap_or_else(|| scratch.path().to_owned());
    let mut smallest = None;
    let verdict = if args.find_min {
        let (low, high) = SEARCH;
        let mut last = None;
        smallest = find_min(low, high, &mut |mib| {
            session.crashkernel = Some(format!("{mib}M"));
            let verdict = once(&mut session, remote, &dir, context)?;
            context.hint(&format!("crashkernel={mib}M: {}", proof::summary(&verdict)));
            let passed = verdict.passed;
            if passed || last.is_none() {
                last = Some(verdict);
            }
            anyhow::Ok(passed)
        })?;
        last.context("Nothing was tried")?
    } else {
        once(&mut session, remote, &dir, context)?
    };
    if let Some(with) = with
        && let Err(error) = keep_proof(context, &session, &verdict, with)
    {
        warnings.push(format!("the proof could not be kept: {error:#}"));
    }
    if args.json {
        let answer = Answer {
            verdict: &verdict,
            find_min_mib: smallest,
            not_proved: &not_proved,
        };
        output::json("afterpanic.rehearse/1", &warnings, &answer)?;
    } else {
        warnings.iter().for_each(|warning| context.warn(warning));
        print(&verdict, smallest, &not_proved)?;
    }
    Ok(if verdict.passed { Exit::Done } else { Exit::No })
}

fn once(
    session: &mut Session,
    remote: Option<&Remote>,
    dir: &Path,
    context: &Context,
) -> anyhow::Result<Verdict> {
    context.hint(&format!(
        "VM: Linux {}, {} MiB, {} CPU, crashkernel={}, scratch {}; about a minute",
        session.kernel.release,
        session.memory_mib,
        session.vcpus,
        session.crashkernel.as_deref().unwrap_or("none"),
        session.fs.name()
    ));
    std::fs::create_dir_all(dir)?;
    let served = remote.map(|remote| remote.serve(session, dir).map(|server| (remote, server)));
    let mut served = served.transpose()?;
    let crash = session.crash(dir, &mut |at, line| {
        log::debug!("[{:6.1}] {line}", at.as_secs_f64());
    })?;
    let saved = dir.join("saved");
    let fetched = match (crash.times.panic, &mut served) {
        (None, _) => None,
        (Some(_), Some((remote, server))) => {
            let fetched = remote.fetch(server, &saved);
            let unread = |why: &anyhow::Error| {
                context.warn(&format!(
                    "nothing could be read from the server's disk: {why:#}"
                ));
            };
            fetched.inspect_err(unread).ok()
        }
        (Some(_), None) => session.fetch(&crash, &saved).is_ok().then_some(saved),
    };
    Ok(verdict::judge(session, &crash, fetched.as_deref()))
}

/// What is rehearsed.
struct Prepared {
    session: Session,
    /// The server of the rehearsal, if the first target is on a server.
    remote: Option<Remote>,
    /// In words what it cannot prove.
    not_proved: String,
}

fn session(args: &Args, context: &Context, config: &Config) -> anyhow::Result<Prepared> {
    let capture = binary::find()?;
    let kernel = kernel(args, context)?;
    let request = build::Request::new(&context.root, config.clone(), capture.clone());
    let (mut targets, drivers) = match build::prepare(&request) {
        Ok(own) => (targets(&own.plan().targets), own.drivers().to_vec()),
        Err(_) => (Vec::new(), Vec::new()),
    };
    let first = match targets.is_empty() {
        true => Scratch::default(),
        false => targets.remove(0),
    };
    let crashkernel = args
        .crashkernel
        .clone()
        .or_else(|| configured(context, config));
    let cache = Path::new("/var/tmp/afterpanic-rehearse");
    let accel = Accel::choose(&kernel.image, cache)?;
    let seals = !config.dump.recipients.is_empty();
    let key = seals.then(Identity::generate).transpose()?;
    let remote = remote::first(config);
    let remote = remote.map(|target| Remote::of(target, context, &kernel));
    let (remote, why_not) = match remote.transpose()? {
        Some(Ok(remote)) => (Some(remote), None),
        Some(Err(why)) => (None, Some(why)),
        None => (None, None),
    };
    let guest_target = remote.as_ref().map(Remote::target);
    let mut session = Session {
        machine: HOST,
        accel,
        binaries: Binaries {
            afterpanic: std::env::current_exe()?,
            capture,
        },
        memory_mib: args.mem,
        vcpus: args.vcpus,
        firmware: if args.uefi {
            Firmware::Uefi
        } else {
            Firmware::Bios
        },
        crashkernel: Some(crashkernel.unwrap_or_else(|| "192M".into())),
        cmdline: String::new(),
        qemu: Vec::new(),
        storage: Storage {
            tools: extra_files(context, config)?,
            more: targets.iter().map(Scratch::disk).collect(),
            ..Storage::default()
        },
        fs: first.fs,
        uuid: first.uuid.clone(),
        disk_bytes: None,
        hostname: "rehearsal".into(),
        config: guest_config(config, &first, &targets, guest_target, key.as_ref()),
        identities: key.map(Identities::of).unwrap_or_default(),
        present: config.image.extra_modules.clone(),
        absent: Vec::new(),
        files: Vec::new(),
        // 4: armed, degraded.
        arm: vec![Step {
            command: vec!["/usr/bin/afterpanic".into(), "load".into()],
            ok: vec![0, 4],
        }],
        end: End::Panic,
        later: Vec::new(),
        deadline: Duration::from_secs(args.deadline),
        replies: Vec::new(),
        reuse_disk: false,
        kernel,
    };
    let mut stood_in = None;
    if let Some(remote) = &remote {
        remote.prepare(&mut session)?;
        stood_in = Some(remote.name.as_str());
    }
    let others = config.target.iter().filter_map(|target| target.server());
    let others: Vec<String> = others
        .map(|(name, _)| name)
        .filter(|name| Some(name.as_str()) != stood_in)
        .collect();
    let disks = targets.len() + usize::from(stood_in.is_some());
    let mut not_proved = not_proved(&drivers, disks, &others, stood_in);
    if let Some(why) = why_not {
        not_proved += &format!(" ({why})");
    }
    for target in config.target.iter().filter(|target| target.raw.is_some()) {
        let device = loader::stores::raw_device(target).unwrap_or_default();
        not_proved += &format!(
            "; that the core reaches the raw target {}",
            device.display()
        );
    }
    if seals {
        not_proved +=
            "; that the recipients' own keys open the files (a key of this rehearsal did)";
    }
    Ok(Prepared {
        session,
        remote,
        not_proved,
    })
}

/// What a VM with virtio disks and a panic that finds the first target working leaves open.
fn not_proved(
    drivers: &[String],
    others: usize,
    remote: &[String],
    stood_in: Option<&str>,
) -> String {
    let drivers = drivers.iter().map(String::as_str);
    let drivers: Vec<&str> = drivers.filter(|name| !name.starts_with("virtio")).collect();
    let mut text = "this machine's own storage and network drivers".to_owned();
    if !drivers.is_empty() {
        text += &format!(" ({})", drivers.join(", "));
    }
    text += " and firmware";
    if let Some(name) = stood_in {
        text += &format!(
            "; {name} itself (a server of this rehearsal stood in for it, and for its keys)"
        );
    }
    if others > 0 {
        text += &format!("; that the core reaches the other targets ({others})");
    }
    if !remote.is_empty() {
        text += &format!(
            "; that the core reaches {} over the network",
            remote.join(", ")
        );
    }
    text
}

fn kernel(args: &Args, context: &Context) -> anyhow::Result<KernelFiles> {
    if let (Some(image), Some(modules)) = (&args.kernel, &args.modules) {
        let modules = modules
            .canonicalize()
            .with_context(|| format!("Cannot find {}", modules.display()))?;
        let release = modules
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        return Ok(KernelFiles {
            release,
            image: image.clone(),
            modules,
        });
    }
    let release = loader::probe::running_release(&context.root)
        .context("The running kernel's release is not known")?;
    let image = match loader::kimage::find(&context.root, &release) {
        Ok(image) => context.path(&image.to_string_lossy()),
        Err(_) => bail!(
            "The running kernel's image (vmlinuz-{release}) was not found under /boot or /lib/modules; name one: --kernel FILE --modules DIR"
        ),
    };
    let modules = context.path(&format!("/lib/modules/{release}"));
    if !modules.is_dir() {
        bail!(
            "{} is not there; a kernel without its modules cannot be rehearsed",
            modules.display()
        );
    }
    Ok(KernelFiles {
        release,
        image,
        modules,
    })
}

/// The config's extra files and what they need, for the guest to find where they are here.
fn extra_files(context: &Context, config: &Config) -> anyhow::Result<Vec<Taken>> {
    let asked = config.image.extra_files.iter();
    let asked: Vec<_> = asked
        .map(|path| (path.clone(), "extra_files".to_owned()))
        .collect();
    Ok(files::closure(&Root::new(&context.root), &asked)?)
}

/// `crashkernel=` of the running kernel, else the config's.
fn configured(context: &Context, config: &Config) -> Option<String> {
    let cmdline = std::fs::read_to_string(context.path("/proc/cmdline")).unwrap_or_default();
    let running = cmdline
        .split_whitespace()
        .filter_map(|w| w.strip_prefix("crashkernel="))
        .next_back();
    match (running, &config.capture_kernel.crashkernel) {
        (Some(running), _) => Some(running.to_owned()),
        (None, Auto::Set(size)) => Some(size.clone()),
        (None, Auto::Auto) => None,
    }
}

/// The digests of this machine's kernel, image and config, before anything is rehearsed.
fn depends_on(
    context: &Context,
    config: &Config,
    session: &Session,
    warnings: &mut Vec<String>,
) -> anyhow::Result<Vec<Proven>> {
    let request = build::Request::new(
        &context.root,
        config.clone(),
        session.binaries.capture.clone(),
    );
    let path = context.config.clone();
    let path = path.unwrap_or_else(|| config::DEFAULT_PATH.into());
    let image = session.kernel.image.strip_prefix(&context.root);
    let image = image.map_or_else(
        |_| session.kernel.image.clone(),
        |path| Path::new("/").join(path),
    );
    let (with, why) = proof::with(&request, &session.kernel.release, &image, &path)
        .context("Cannot take the digests that the proof is bound to")?;
    warnings.extend(why.map(|why| {
        format!("this machine's own image cannot be built, so the proof is not bound to it: {why}")
    }));
    Ok(with)
}

fn keep_proof(
    context: &Context,
    session: &Session,
    verdict: &Verdict,
    with: Vec<Proven>,
) -> anyhow::Result<()> {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)?
        .as_secs();
    let proof = proof::of(session, verdict, with, i64::try_from(now)?);
    Ok(State::change(&context.root, |state| {
        state.proof = Some(proof);
    })?)
}

fn print(verdict: &Verdict, smallest: Option<u64>, not_proved: &str) -> anyhow::Result<()> {
    let mut out = output::stdout();
    let m = &verdict.moments;
    let named = [
        ("panic", m.panic_at),
        ("target mounted", m.mounted),
        ("log", m.log),
        ("report", m.report),
        ("core", m.core),
        ("reboot", m.reboot),
    ];
    let start = m.panic_at.unwrap_or_default();
    let times: Vec<String> = named
        .iter()
        .filter_map(|(name, at)| Some((name, (*at)?)))
        .map(|(name, at)| {
            format!(
                "{name} {:.0} s",
                if *name == "panic" { at } else { start + at }
            )
        })
        .collect();
    writeln!(out, "  {}", times.join("   "))?;
    if let Some(core) = &verdict.core {
        let reason = verdict.reason.as_deref().unwrap_or("no reason");
        writeln!(
            out,
            "  core: {}, {}, {}; report: {reason}",
            core.level,
            core.saved,
            output::size(core.bytes)
        )?;
    }
    let reserved = match verdict.reserved {
        Some(bytes) => output::size(bytes),
        None => verdict.crashkernel.clone(),
    };
    match verdict.peak {
        Some(peak) => writeln!(
            out,
            "  capture kernel's peak: {} of {reserved}",
            output::size(peak)
        )?,
        None => writeln!(out, "  reserved: {reserved}; its peak was not measured")?,
    }
    if let Some(mib) = smallest {
        writeln!(
            out,
            "  smallest crashkernel= that worked: {mib}M; reserve more than that"
        )?;
    }
    if verdict.passed {
        writeln!(
            out,
            "PROVED for this kernel, image and config. Not proved: {not_proved}."
        )?;
        writeln!(out, "For that: sudo afterpanic crash-test --yes")?;
    } else {
        writeln!(out, "NOT PROVED:")?;
        for wrong in &verdict.wrong {
            writeln!(out, "  {wrong}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_targets_and_drivers_are_named_as_not_proved() {
        let drivers = ["virtio_blk".to_owned(), "nvme".to_owned()];
        let text = not_proved(&drivers, 1, &["nas:/srv".to_owned()], Some("me@backup"));
        assert!(text.contains("drivers (nvme)"), "{text}");
        assert!(text.contains("the other targets (1)"), "{text}");
        assert!(text.contains("nas:/srv over the network"), "{text}");
        assert!(text.contains("me@backup itself (a server"), "{text}");
    }
}
