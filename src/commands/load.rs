//! `afterpanic load`: builds the capture image and loads the capture kernel.

use super::status;
use super::syscall::Call;
use crate::exit::Exit;
use crate::output::{self, Context};
use anyhow::{Context as _, bail};
use config::{Action, Auto, Config, KernelChoice, Syscall};
use initramfs::cache::{self, CacheError, Ensured, Outcome as Kept};
use initramfs::read::Contents;
use initramfs::resolve::LeftOut;
use initramfs::{binary, build};
use loader::arm::{self, Choice, LoadRequest, Loaded, Purgatory, Source};
use loader::cmdline::{self, Derived, Facts, Wishes};
use loader::filter::{self, Filter, Outcome};
use loader::sys::Linux;
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Arguments of `load`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Print the kernel, image and command line that would be loaded, with the reason for each word.
    /// Load nothing
    #[arg(long)]
    dry_run: bool,
    /// Load the image kept from the last load, without rebuilding it (used early at boot and after
    /// hotplug)
    #[arg(long, conflicts_with_all = ["dry_run", "syscall", "image"])]
    refresh: bool,
    /// Skip if the loaded kernel, image and command line are current (used by the udev rules)
    #[arg(long, conflicts_with_all = ["dry_run", "refresh", "image", "json"])]
    if_changed: bool,
    /// Check the page filter on all of RAM instead of a two-second sample
    #[arg(long, conflicts_with_all = ["dry_run", "refresh"])]
    deep: bool,
    /// Record the host keys of SSH targets that have none on record, and print their fingerprints.
    /// Compare them with the server's
    #[arg(long, conflicts_with_all = ["dry_run", "refresh", "if_changed", "json"])]
    record_host_keys: bool,
    /// Use this system call [default: from the config]
    #[arg(long, value_enum)]
    syscall: Option<Call>,
    /// Load this image instead of building one
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// Print one JSON object (docs/json.md)
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Answer {
    loaded: Option<Loaded>,
    kernel: PathBuf,
    image_bytes: u64,
    image_unpacked_bytes: Option<u64>,
    command_line: Derived,
    filter: Option<Filter>,
}

/// Loads, or says what it would load.
pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    if args.refresh {
        return refresh(args, context);
    }
    let config = context.load_config()?;
    if !args.dry_run {
        // Before anything that only root can read: who may not load is told that, and nothing else.
        loader::access::check(&context.root)?;
    }
    if args.record_host_keys {
        for one in loader::host_keys::record(&context.root, &config)? {
            match one.fingerprint {
                Ok(print) => writeln!(output::stdout(), "{}: {print}", one.account)?,
                Err(why) => context.warn(&format!("{}: no host key: {why}", one.account)),
            }
        }
    }
    // Also for a load that fails: it is tried again when the network has changed.
    let unmarked = match args.dry_run {
        true => None,
        false => loader::servers::mark(&context.root, &config).err(),
    };
    let unmarked = unmarked.map(|why| why.to_string());
    let kernel = kernel_path(&config, context)?;
    let release = initramfs::kernel::release_of(&context.path(&kernel.to_string_lossy()))?;
    let configured = match config.capture_kernel.syscall {
        Syscall::Auto => Choice::Auto,
        Syscall::File => Choice::File,
        Syscall::Load => Choice::Load,
    };
    let syscall = args.syscall.map_or(configured, Choice::from);
    if syscall != Choice::Load {
        arm::check_signature(&context.root, &kernel)?;
    }
    let image = match &args.image {
        Some(path) => {
            let meta = std::fs::metadata(path);
            let meta = meta.with_context(|| format!("cannot read the image {}", path.display()))?;
            Image {
                source: Source::Path(path.clone()),
                bytes: meta.len(),
                unpacked: None,
                as_kept: false,
                left_out: Vec::new(),
                as_it_was: false,
            }
        }
        None => built(args, context, &config, &release)?,
    };
    let left_out: Vec<String> = (image.left_out.iter())
        .map(|one| match image.as_it_was {
            true => format!(
                "The way to {} cannot be checked now. It stays as it was loaded. {}",
                one.name, one.why
            ),
            false => one.to_string(),
        })
        .collect();
    let derived = cmdline::derive(&Facts::read(&context.root, &release), &wishes(&config));
    if args.if_changed
        && image.as_kept
        && loader::status::is_current(&context.root, &kernel, &derived.cmdline)
    {
        context.hint(&format!(
            "nothing has changed: Linux {release} stays loaded"
        ));
        left_out.iter().for_each(|warning| context.warn(warning));
        return Ok(exit(&left_out));
    }
    let mut answer = Answer {
        loaded: None,
        kernel: kernel.clone(),
        image_bytes: image.bytes,
        image_unpacked_bytes: image.unpacked,
        command_line: derived,
        filter: None,
    };
    if !args.dry_run {
        let request = LoadRequest {
            root: context.root.clone(),
            kernel,
            image: image.source,
            cmdline: answer.command_line.cmdline.clone(),
            syscall,
            keep: Some(inputs(context, &config, &release, &answer.kernel)),
            purgatory: Purgatory {
                // It can reset or halt; switching off needs a kernel.
                reset: config.after.failure == Action::Reboot,
            },
        };
        answer.loaded = Some(arm::load(&Linux, &request)?);
    }
    let mut warnings = left_out;
    warnings.extend(unmarked);
    warnings.extend(answer.loaded.iter().flat_map(|l| l.warnings.clone()));
    if answer.loaded.is_some() {
        match filter::check_once(&context.root, args.deep) {
            Ok(filter) => {
                if filter.outcome == Outcome::DoesNotFit {
                    warnings.push(format!("The filter {}", status::filter(Some(&filter))));
                }
                answer.filter = Some(filter);
            }
            Err(why) => warnings.push(format!(
                "cannot record the result of the filter check: {why}"
            )),
        }
    }
    if args.json {
        output::json("afterpanic.load/1", &warnings, &answer)?;
    } else {
        warnings.iter().for_each(|warning| context.warn(warning));
        print(&answer)?;
    }
    Ok(exit(&warnings))
}

/// A capture image to load.
struct Image {
    source: Source,
    bytes: u64,
    unpacked: Option<u64>,
    /// It was right as it was kept.
    as_kept: bool,
    /// Targets of the config that are not in it, or that are in it as they were.
    left_out: Vec<LeftOut>,
    as_it_was: bool,
}

/// The image that is kept for the release, built again if an input changed; for a dry run it is built
/// beside it.
fn built(args: &Args, context: &Context, config: &Config, release: &str) -> anyhow::Result<Image> {
    let mut request = build::Request::new(&context.root, config.clone(), binary::find()?);
    request.kernel = Some(release.to_owned());
    request.keep_servers = args.if_changed;
    let path = cache::path(&context.root, release);
    let kept = match args.dry_run {
        true => None,
        false => match cache::ensure(&request, &path) {
            Ok(ensured) => Some(ensured),
            // A full or read-only disk is no reason not to be armed; it is said after loading.
            Err(CacheError::Write { .. }) => None,
            Err(error) => return Err(error.into()),
        },
    };
    let Some(Ensured {
        outcome,
        left_out,
        as_it_was,
    }) = kept
    else {
        let image = build::build(&request)?;
        return Ok(Image {
            bytes: image.bytes.len() as u64,
            source: Source::Bytes(image.bytes),
            unpacked: Some(image.unpacked),
            as_kept: false,
            left_out: image.left_out,
            as_it_was: false,
        });
    };
    let contents = Contents::open(&path)?;
    let sections = contents.sections();
    Ok(Image {
        source: Source::Path(path),
        bytes: sections.iter().map(|section| section.packed).sum(),
        unpacked: Some(sections.iter().map(|section| section.unpacked()).sum()),
        as_kept: outcome == Kept::Kept,
        left_out,
        as_it_was,
    })
}

/// Loads what is kept; exit code 4 with a warning.
fn refresh(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let loaded = arm::reload_kept(&Linux, &context.root)?;
    if args.json {
        output::json("afterpanic.load.refresh/1", &loaded.warnings, &loaded)?;
    } else {
        loaded
            .warnings
            .iter()
            .for_each(|warning| context.warn(warning));
        writeln!(
            output::stdout(),
            "loaded Linux {} as kept, with {}",
            loaded.release,
            loaded.syscall.name()
        )?;
    }
    Ok(exit(&loaded.warnings))
}

/// How a load ended that succeeded.
fn exit(warnings: &[String]) -> Exit {
    match warnings.is_empty() {
        true => Exit::Done,
        false => Exit::Degraded,
    }
}

/// The kernel file, as a path that is not prefixed.
fn kernel_path(config: &Config, context: &Context) -> anyhow::Result<PathBuf> {
    if let KernelChoice::Path(path) = &config.capture_kernel.kernel {
        return Ok(path.clone());
    }
    let release = loader::probe::running_release(&context.root)
        .context("cannot read the running kernel's release. Is /proc mounted?")?;
    match loader::kimage::find_any(&context.root, &release) {
        Ok(path) => Ok(path),
        Err(places) => bail!(
            "no kernel image for {release} in {}. Set capture_kernel.kernel in /etc/afterpanic.toml",
            places.join(", ")
        ),
    }
}

fn wishes(config: &Config) -> Wishes {
    Wishes {
        cpus: match config.capture_kernel.cpus {
            Auto::Auto => None,
            Auto::Set(cpus) => Some(cpus),
        },
        add: config.capture_kernel.cmdline_add.clone(),
        drop: config.capture_kernel.cmdline_drop.clone(),
    }
}

/// The files whose change makes the loaded image stale.
fn inputs(context: &Context, config: &Config, release: &str, kernel: &Path) -> Vec<PathBuf> {
    let modules = PathBuf::from(format!("/lib/modules/{release}/modules.dep"));
    let mut inputs = vec![kernel.to_owned(), modules];
    let file = context.config.clone();
    inputs.push(file.unwrap_or_else(|| PathBuf::from("/etc/afterpanic.toml")));
    let accounts = config
        .target
        .iter()
        .filter(|one| one.ssh.is_some() && !one.at_boot);
    let keys: Vec<PathBuf> = accounts.map(|one| one.private_key().to_owned()).collect();
    if !keys.is_empty() {
        inputs.push(PathBuf::from(initramfs::host_keys::PATH));
        inputs.extend(keys);
    }
    inputs.extend(
        binary::find()
            .ok()
            .filter(|_| context.root == Path::new("/")),
    );
    inputs
}

fn print(answer: &Answer) -> anyhow::Result<()> {
    let mut out = output::stdout();
    let image = output::size(answer.image_bytes);
    let unpacked = answer.image_unpacked_bytes.map(output::size);
    let unpacked = unpacked
        .map(|size| format!(", {size} unpacked"))
        .unwrap_or_default();
    match &answer.loaded {
        Some(loaded) => {
            let region = loaded.region.map(|region| {
                format!(
                    " into {} at {:#x}",
                    output::size(region.len()),
                    region.start
                )
            });
            writeln!(
                out,
                "loaded Linux {}{} with {}; image {image}{unpacked}",
                loaded.release,
                region.unwrap_or_default(),
                loaded.syscall.name()
            )?;
            writeln!(out, "filter {}", status::filter(answer.filter.as_ref()))?;
        }
        None => {
            writeln!(
                out,
                "would load {}; image {image}{unpacked}",
                answer.kernel.display()
            )?;
            writeln!(out, "command line: {}", answer.command_line.cmdline)?;
            for decision in &answer.command_line.dropped {
                writeln!(out, "  - {:<28} {}", decision.parameter, decision.why)?;
            }
            for decision in &answer.command_line.added {
                writeln!(out, "  + {:<28} {}", decision.parameter, decision.why)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_with_a_warning_is_degraded() {
        assert_eq!(exit(&[]), Exit::Done);
        assert_eq!(exit(&["not on record".into()]), Exit::Degraded);
    }
}
