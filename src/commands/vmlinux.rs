//! `afterpanic vmlinux`: what crash, drgn and gdb take from a debug vmlinux, made from the core.

use super::debugger::{debug_file, in_general, kept};
use crate::core_arg::{self, SymbolsArg};
use crate::exit::Exit;
use crate::interrupt::Interrupts;
use crate::output::{self, Context};
use debuginfo::{Globals, Options, Vmlinux};
use dump::{workplace, write_new};
use std::io::Write;
use std::path::PathBuf;
use vmcore::escape;

/// Arguments of `vmlinux`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// A core file, a crash directory, `last` or `live`
    core: PathBuf,
    /// The file to write; it must not exist yet
    #[arg(required_unless_present = "cached")]
    out: Option<PathBuf>,
    /// Write to ~/.cache/afterpanic instead, unless the file is there already, and print its name
    #[arg(long, conflicts_with_all = ["out", "symbols"])]
    cached: bool,
    /// Write the addresses of the running kernel (for gdb) instead of those it was linked for (for
    /// crash and drgn)
    #[arg(long)]
    relocated: bool,
    /// Write the types of the loaded modules, too; with --relocated also their symbols
    #[arg(long)]
    modules: bool,
    #[command(flatten)]
    symbols: SymbolsArg,
}

/// Makes it. OUT's name appears only when the whole file is written.
pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    if let Some(dir) = args.out.as_deref().and_then(workplace) {
        Interrupts::hold()?.remove(dir);
    }
    let (_, kernel) = core_arg::kernel_with(context, Some(&args.core), &args.symbols)?;
    let options = Options {
        relocated: args.relocated,
        modules: args.modules,
    };
    if let Some(fault) = in_general(&kernel).filter(|_| !args.relocated) {
        context.hint(&fault);
    }
    let Some(out) = &args.out else {
        let (path, doubtful) = kept(&kernel, options, context)?;
        writeln!(output::stdout(), "{}", path.display())?;
        return Ok(match doubtful {
            false => Exit::Done,
            true => Exit::Degraded,
        });
    };
    let file = debug_file(args.symbols.symbols.as_deref())?;
    let known = Globals::of_kernel(&kernel, file.as_ref())?;
    let made = Vmlinux::of(&kernel, &known, options)?;
    let size = write_new(out, |out| made.write(out))?;
    for warning in &made.warnings {
        context.warn(warning);
    }
    let summary = &made.summary;
    let typed = summary.globals.values().sum::<usize>();
    let globals = typed.saturating_add(summary.untyped);
    let mut parts = vec![
        output::counted(summary.symbols as u64, "symbol"),
        output::counted(u64::from(summary.types), "type"),
        format!("{typed} of {globals} globals with a type"),
    ];
    if args.modules {
        parts.push(output::counted(summary.modules as u64, "module"));
    }
    if !summary.untyped_modules.is_empty() {
        let names = summary.untyped_modules.join(", ");
        parts.push(format!("no types of {} (no BTF)", escape::line(&names)));
    }
    parts.push(output::size(size));
    writeln!(output::stdout(), "{}: {}", out.display(), parts.join(", "))?;
    Ok(match made.warnings.is_empty() {
        true => Exit::Done,
        false => Exit::Degraded,
    })
}
