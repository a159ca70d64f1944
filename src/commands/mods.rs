//! `afterpanic mods`: the modules that were loaded.

use crate::core_arg::CoreArg;
use crate::core_arg::{self, SymbolsArg};
use crate::exit::Exit;
use crate::output::{self, Context, Style};
use analysis::modules::{self, Module};
use serde::Serialize;
use std::io::Write;

/// Arguments of `mods`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    core: CoreArg,
    #[command(flatten)]
    symbols: SymbolsArg,
    /// Print only modules that taint the kernel
    #[arg(long)]
    tainting: bool,
    /// Print one JSON object (docs/json.md)
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Answer {
    modules: Vec<Module>,
}

/// Prints the modules, newest first.
pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let (found, kernel) = core_arg::kernel_with(context, args.core.core.as_deref(), &args.symbols)?;
    let mut modules = modules::read(&kernel)?;
    modules.retain(|module| !args.tainting || !module.taints.is_empty());
    if args.json {
        output::json("afterpanic.mods/1", &[], &Answer { modules })?;
        return Ok(Exit::Done.of_incomplete(found.incomplete));
    }
    let mut out = output::buffered();
    let heading = format!(
        "{:<24} {:>9} {:>4} {:<6} {:<18} USED BY",
        "MODULE", "BYTES", "USED", "TAINTS", "TEXT"
    );
    output::styled(&mut out, Style::Heading, &heading)?;
    for module in &modules {
        let used = module.used.map_or("?".into(), |used| used.to_string());
        let text = module.text.map_or("?".into(), |text| text.to_string());
        let taints = if module.taints.is_empty() {
            "-"
        } else {
            &module.taints
        };
        let users = match module.users.is_empty() {
            true => "-".to_string(),
            false => module.users.join(","),
        };
        writeln!(
            out,
            "{:<24} {:>9} {used:>4} {taints:<6} {text:<18} {users}",
            module.name, module.size
        )?;
    }
    out.flush()?;
    Ok(Exit::Done.of_incomplete(found.incomplete))
}
