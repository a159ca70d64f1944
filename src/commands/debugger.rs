//! `afterpanic drgn` and `afterpanic crash`: the debugger on a core, with a vmlinux made from it.
//!
//! The vmlinux is kept in the user's cache. What else they need is made in a directory of its own under
//! TMPDIR (/var/tmp without it), which is removed afterwards: of a compressed core or a crash directory a
//! kdump file, which both open; the vmlinux, too, where it cannot be kept.

mod faults;
mod kept;

pub(super) use faults::in_general;
pub(super) use kept::kept;

use crate::core_arg::{self, SymbolsArg};
use crate::exit::Exit;
use crate::interrupt::Interrupts;
use crate::output::Context;
use crate::progress;
use anyhow::{Context as _, bail};
use debuginfo::{DebugFile, Globals, GlobalsError, Options, Vmlinux};
use dump::{Request, convert, write_new};
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use vmcore::addr::PAGE_SIZE;
use vmcore::dump::Format;
use vmcore::kernel::Kernel;
use vmcore::write::OutputFormat;

/// The plug-in through which drgn gets the vmlinux.
const PLUGIN: &str = include_str!("../../dist/drgn/afterpanic_drgn.py");

/// Arguments of both.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// A core file, a crash directory, `last` or `live`
    core: PathBuf,
    #[command(flatten)]
    symbols: SymbolsArg,
    /// More arguments for the debugger
    #[arg(
        value_name = "ARGS",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    rest: Vec<OsString>,
}

/// A debugger.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Debugger {
    Crash,
    Drgn,
}

impl Debugger {
    fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Drgn => "drgn",
        }
    }

    /// The packages that have it.
    fn packages(self) -> &'static str {
        match self {
            Self::Crash => "crash (Debian, Ubuntu, Fedora, RHEL, SUSE)",
            Self::Drgn => {
                "python3-drgn (Debian, Ubuntu), drgn (Fedora, RHEL with EPEL), or pip install drgn"
            }
        }
    }
}

/// Starts drgn.
pub(super) fn drgn(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    run(Debugger::Drgn, args, context)
}

/// Starts crash.
pub(super) fn crash(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    run(Debugger::Crash, args, context)
}

fn run(debugger: Debugger, args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let name = debugger.name();
    let Some(program) = on_path(name) else {
        bail!(
            "{name} is not installed. Packages that have it: {}. Without it: afterpanic bt, struct, \
             ps and read",
            debugger.packages()
        );
    };
    let (found, kernel) = core_arg::kernel_with(context, Some(&args.core), &args.symbols)?;
    let temporary = std::env::var_os("TMPDIR").map_or_else(|| "/var/tmp".into(), PathBuf::from);
    let dir = tempfile::Builder::new()
        .prefix("afterpanic-")
        .tempdir_in(&temporary)
        .with_context(|| format!("Cannot make a directory in {}", temporary.display()))?;
    let interrupts = Interrupts::hold()?.remove_until_run(dir.path().to_owned());
    let vmlinux = vmlinux(args, &kernel, dir.path(), context)?;
    let core = match is_plain(&found.path, &kernel) {
        true => found.path.clone(),
        false => converted(&kernel, dir.path(), context)?,
    };
    let fault = match debugger {
        Debugger::Crash => faults::of_program(&program, &kernel),
        Debugger::Drgn => None,
    };
    drop(kernel);
    let mut command = Command::new(program);
    match debugger {
        Debugger::Crash => {
            if let Some(fault) = fault {
                context.warn(&fault);
                command.arg(faults::WITHOUT_MODULES);
            }
            command.args(&args.rest).arg(&vmlinux).arg(&core)
        }
        Debugger::Drgn => {
            let plugin = dir.path().join("afterpanic_drgn.py");
            std::fs::write(&plugin, PLUGIN)?;
            command
                .env("DRGN_PLUGINS", plugins(&plugin))
                .env("AFTERPANIC_VMLINUX", &vmlinux)
                .arg("-c")
                .arg(&core)
                .args(&args.rest)
        }
    };
    let status = interrupts.run(&mut command);
    let status = status.with_context(|| format!("Cannot run {name}"))?;
    if !status.success() {
        bail!("{name} ended with {status}");
    }
    Ok(Exit::Done.of_incomplete(found.incomplete))
}

/// The vmlinux: out of the cache, or where that is no use, made in `dir`.
fn vmlinux(args: &Args, kernel: &Kernel, dir: &Path, context: &Context) -> anyhow::Result<PathBuf> {
    let options = Options {
        relocated: false,
        modules: true,
    };
    if args.symbols.symbols.is_none() {
        match kept(kernel, options, context) {
            Ok((path, _)) => return Ok(path),
            Err(error) => context.warn(&format!("the vmlinux is not kept: {error:#}")),
        }
    }
    let path = dir.join("vmlinux");
    let file = debug_file(args.symbols.symbols.as_deref())?;
    let known = Globals::of_kernel(kernel, file.as_ref())?;
    let made = Vmlinux::of(kernel, &known, options)?;
    write_new(&path, |out| made.write(out))?;
    made.warnings.iter().for_each(|why| context.warn(why));
    Ok(path)
}

/// The debug information that `--symbols` names, if that is a vmlinux.
pub(super) fn debug_file(symbols: Option<&Path>) -> Result<Option<DebugFile>, GlobalsError> {
    match symbols.map(DebugFile::open) {
        // A System.map has symbols alone.
        Some(Err(GlobalsError::NoDwarf { .. })) | None => Ok(None),
        Some(file) => file.map(Some),
    }
}

/// The plug-ins that the user has asked for, and ours.
fn plugins(ours: &Path) -> OsString {
    let mut all = std::env::var_os("DRGN_PLUGINS").unwrap_or_default();
    if !all.is_empty() {
        all.push(",");
    }
    all.push("afterpanic=");
    all.push(ours);
    all
}

/// Whether debuggers open the core as it is: one file, neither compressed as a whole nor sealed.
fn is_plain(path: &Path, kernel: &Kernel) -> bool {
    let is_sealed = path.extension().is_some_and(|extension| extension == "age");
    let format = kernel.dump().info().format;
    let is_known = matches!(format, Format::Elf | Format::Kdump | Format::Kcore);
    path.is_file() && !is_sealed && is_known
}

/// The core as a kdump file, in pages compressed by zlib: every crash and every libkdumpfile reads these.
fn converted(kernel: &Kernel, dir: &Path, context: &Context) -> anyhow::Result<PathBuf> {
    let out = dir.join("vmcore.kdump");
    let bar = progress::bytes(0, "unpacking", context.quiet);
    let request = Request {
        dump: Arc::clone(kernel.dump()),
        out: &out,
        format: OutputFormat::KdumpZlib,
        level: None,
        codec_level: Some(1),
        threads: std::thread::available_parallelism().map_or(1, usize::from),
    };
    let done = convert(&request, &mut |stats, total| {
        bar.set_length(total.saturating_mul(PAGE_SIZE));
        bar.set_position(stats.pages.saturating_mul(PAGE_SIZE));
    })?;
    bar.finish_and_clear();
    done.doubts.iter().for_each(|doubt| context.warn(doubt));
    Ok(out)
}

/// A program in one of the directories of PATH.
fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|file| {
            let data = file.metadata();
            data.is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
        })
}
