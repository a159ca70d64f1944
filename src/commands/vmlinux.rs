//! `afterpanic vmlinux`: what crash, drgn and gdb take from a debug vmlinux, made from the core.

use super::debugger::{Known, debug_file};
use crate::core_arg::{self, SymbolsArg};
use crate::exit::Exit;
use crate::interrupt::Interrupts;
use crate::output::{self, Context};
use debuginfo::{Options, Vmlinux};
use dump::{workplace, write_new};
use std::io::Write;
use std::path::PathBuf;

/// Arguments of `vmlinux`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  \
    afterpanic vmlinux last vmlinux\n  \
    crash vmlinux vmcore\n  \
    drgn -c vmcore -s vmlinux\n\
    docs/debuggers.md has more.")]
pub(crate) struct Args {
    /// A core file, a crash directory, `last` or `live`
    core: PathBuf,
    /// The file to make; it must not exist
    out: PathBuf,
    /// Write the addresses of the running kernel (for gdb) instead of those it was linked for (for
    /// crash and drgn)
    #[arg(long)]
    relocated: bool,
    #[command(flatten)]
    symbols: SymbolsArg,
}

/// Makes it. OUT's name appears only when the whole file is written.
pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    if let Some(dir) = workplace(&args.out) {
        Interrupts::hold()?.remove(dir);
    }
    let (_, kernel) = core_arg::kernel_with(context, Some(&args.core), &args.symbols)?;
    let options = Options {
        relocated: args.relocated,
    };
    let file = debug_file(args.symbols.symbols.as_deref())?;
    let known = Known::new(&kernel, file.as_ref())?;
    let made = Vmlinux::of(&kernel, &known, options)?;
    let size = write_new(&args.out, |out| made.write(out))?;
    for warning in &made.warnings {
        context.warn(warning);
    }
    let summary = &made.summary;
    let typed = summary.globals.values().sum::<usize>();
    let globals = typed.saturating_add(summary.untyped);
    writeln!(
        output::stdout(),
        "{}: {}, {}, {typed} of {globals} globals with a type, {}",
        args.out.display(),
        output::counted(summary.symbols as u64, "symbol"),
        output::counted(u64::from(summary.types), "type"),
        output::size(size)
    )?;
    Ok(match made.warnings.is_empty() {
        true => Exit::Done,
        false => Exit::Degraded,
    })
}
