//! `afterpanic what`: what stands at an address.

use super::read::place;
use crate::core_arg::{self, SymbolsArg};
use crate::exit::Exit;
use crate::output::{self, Context, Style};
use analysis::what::{self, What};
use std::io::{self, Write};
use vmcore::addr::VirtAddr;

/// Arguments of `what`.
#[derive(clap::Args, Debug)]
#[command(override_usage = "afterpanic what [OPTIONS] [CORE] <ADDR>")]
pub(crate) struct Args {
    /// A core file, a crash directory, `last` (the default where no file has the first word's name) or
    /// `live`
    core: String,
    #[command(flatten)]
    symbols: SymbolsArg,
    /// A virtual address in hex, or a symbol, with an optional +offset
    addr: Option<String>,
    /// Take a per-CPU variable of this CPU
    #[arg(long, value_name = "N")]
    cpu: Option<u32>,
    /// Print one JSON object (docs/json.md)
    #[arg(long)]
    json: bool,
}

/// Prints what is known; exit code 3 when nothing is.
pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let given = args.addr.as_deref();
    let (core, words) = core_arg::split(&args.core, given.as_slice(), 1, 1, "an address");
    let (found, kernel) = core_arg::kernel_with(context, Some(&core), &args.symbols)?;
    let at = place(&kernel, &words.concat(), args.cpu)?;
    let what = what::read(&kernel, at);
    let exit = match what.is_nothing() {
        true => Exit::No,
        false => Exit::Done.of_incomplete(found.incomplete),
    };
    if args.json {
        output::json("afterpanic.what/1", &[], &what)?;
        return Ok(exit);
    }
    let mut out = output::stdout();
    output::styled(
        &mut out,
        Style::Heading,
        &VirtAddr::from(what.address).to_string(),
    )?;
    print(&what, &mut out)?;
    Ok(exit)
}

fn print(what: &What, out: &mut impl Write) -> io::Result<()> {
    let of = |module: &Option<String>| match module {
        Some(module) => format!(" [{module}]"),
        None => String::new(),
    };
    if let Some(symbol) = &what.symbol {
        let (name, module) = (&symbol.name, of(&symbol.module));
        let (offset, size) = (symbol.offset, symbol.size);
        writeln!(out, "  symbol    {name}+{offset:#x}{module}, {size} bytes")?;
    }
    if let Some(var) = &what.per_cpu {
        let (name, offset, cpu, module) = (&var.name, var.offset, var.cpu, of(&var.module));
        writeln!(out, "  per-CPU   {name}+{offset:#x}{module} of CPU {cpu}")?;
    }
    if let Some(task) = &what.task {
        let place = format!("{}+{:#x}", task.part, task.offset);
        let (comm, pid, at) = (&task.comm, task.pid, VirtAddr::from(task.address));
        writeln!(out, "  task      {place} of {comm} ({pid}), task {at}")?;
    }
    if let Some(stack) = &what.stack {
        let (kind, offset, cpu, size) = (stack.kind, stack.offset, stack.cpu, stack.size);
        writeln!(
            out,
            "  stack     {kind} stack of CPU {cpu}+{offset:#x}, {size} bytes"
        )?;
    }
    if let Some(area) = &what.vmalloc {
        let (kind, offset, size) = (area.kind, area.offset, area.size);
        let (at, caller) = (VirtAddr::from(area.address), area.caller.as_deref());
        let caller = caller.map_or(String::new(), |caller| format!(", by {caller}"));
        writeln!(
            out,
            "  vmalloc   {kind} area {at}+{offset:#x}, {size} bytes{caller}"
        )?;
    }
    if let Some(slab) = &what.slab {
        let (cache, size, offset) = (&slab.cache, slab.size, slab.offset);
        let object = VirtAddr::from(slab.object);
        writeln!(
            out,
            "  slab      {cache}: object {object}+{offset:#x}, {size} bytes each"
        )?;
    }
    if let Some(page) = &what.page {
        let at = page.struct_page.map(VirtAddr::from);
        let at = at.map_or(String::new(), |at| format!(", struct page {at}"));
        writeln!(out, "  page      {:#x}, {}{at}", page.number, page.kind)?;
    }
    for by in &what.mapped_by {
        let (comm, pid, at) = (&by.comm, by.pid, VirtAddr::from(by.address));
        let physical = match what.physical {
            Some(_) => String::new(),
            None => format!(", physical {}", by.physical),
        };
        writeln!(out, "  mapped    by {comm} ({pid}) at {at}{physical}")?;
    }
    if let Some(physical) = what.physical {
        writeln!(out, "  physical  {physical}")?;
    }
    if let Some(why) = &what.unmapped {
        writeln!(out, "  not mapped: {why}")?;
    }
    Ok(())
}
