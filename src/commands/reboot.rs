//! `afterpanic reboot`: into a kernel by kexec, past the firmware.

use super::syscall::Call;
use crate::exit::Exit;
use crate::output::{self, Context};
use anyhow::Context as _;
use loader::probe::{is_loaded, running_release};
use loader::reboot::{self, RebootRequest};
use loader::sys::Linux;
use std::io::Write;
use std::path::PathBuf;

/// Arguments of `reboot`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The kernel image [default: the loaded one, or the running kernel's]
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// The initramfs [default with --kernel: the one in a unified kernel image, otherwise none]
    #[arg(long, value_name = "FILE")]
    initrd: Option<PathBuf>,
    /// The command line [default: the running kernel's]
    #[arg(long, value_name = "TEXT", conflicts_with = "reuse_cmdline")]
    cmdline: Option<String>,
    /// Use the running kernel's command line
    #[arg(long)]
    reuse_cmdline: bool,
    /// System call that loads the kernel
    #[arg(long, value_enum, default_value = "auto")]
    syscall: Call,
    /// Jump without stopping services: only write all data to disk and make filesystems read-only
    #[arg(long)]
    force: bool,
    /// Load the kernel and stay up
    #[arg(long, conflicts_with_all = ["force", "unload"])]
    load_only: bool,
    /// Unload the kernel and stay up
    #[arg(long, conflicts_with_all = ["kernel", "initrd", "cmdline", "reuse_cmdline", "force"])]
    unload: bool,
}

/// Loads and reboots, or one of both.
pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let root = &context.root;
    if args.unload {
        reboot::unload(&Linux, root)?;
        writeln!(
            output::stdout(),
            "unloaded: the next reboot goes through the firmware"
        )?;
        return Ok(Exit::Done);
    }
    let loaded = is_loaded(root, loader::kernel::Slot::Boot) == Some(true);
    if args.kernel.is_some() || args.load_only || !loaded {
        load(args, context)?;
    }
    if args.load_only {
        writeln!(output::stdout(), "Next: sudo afterpanic reboot")?;
        return Ok(Exit::Done);
    }
    if args.force {
        reboot::at_once(&Linux, root)?;
    } else {
        reboot::through_systemd(root)?;
    }
    Ok(Exit::Done)
}

fn load(args: &Args, context: &Context) -> anyhow::Result<()> {
    let (kernel, initrd) = match &args.kernel {
        Some(kernel) => (kernel.clone(), args.initrd.clone()),
        None => {
            let release = running_release(&context.root)
                .context("cannot read the running kernel's release. Is /proc mounted?")?;
            let (kernel, initrd) = reboot::installed(&context.root, &release);
            (kernel, args.initrd.clone().or(initrd))
        }
    };
    let request = RebootRequest {
        root: context.root.clone(),
        kernel,
        initrd,
        cmdline: args.cmdline.clone(),
        syscall: args.syscall.into(),
    };
    let loaded = reboot::load(&Linux, &request)?;
    loaded
        .warnings
        .iter()
        .for_each(|warning| context.warn(warning));
    writeln!(
        output::stdout(),
        "loaded Linux {} for the next reboot with {}",
        loaded.release,
        loaded.syscall.name()
    )?;
    Ok(())
}
