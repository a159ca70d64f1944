//! `afterpanic dis`: a function's code from the core's memory.

use super::read::{address, near};
use crate::core_arg::{self, SymbolsArg};
use crate::exit::Exit;
use crate::output::{self, Context};
use analysis::disassembly::{Instruction, disassemble};
use anyhow::{Context as _, bail};
use serde::Serialize;
use std::io::Write;
use vmcore::addr::VirtAddr;
use vmcore::kernel::{AreaKind, Kernel, KernelError};

/// Bytes shown when the symbol table does not tell where a function ends.
const UNSIZED: u64 = 64;
/// Longest function shown.
const LONGEST: u64 = 1 << 20;

/// Arguments of `dis`.
#[derive(clap::Args, Debug)]
#[command(override_usage = "afterpanic dis [OPTIONS] [CORE] <SYM|ADDR>")]
pub(crate) struct Args {
    /// A core file, a crash directory, `last` (the default where no file has the first word's name) or
    /// `live`
    core: String,
    #[command(flatten)]
    symbols: SymbolsArg,
    /// A function, or any address inside one
    #[arg(value_name = "SYM|ADDR")]
    at: Option<String>,
    /// Print one JSON object (docs/json.md)
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Answer {
    function: Option<String>,
    module: Option<String>,
    instructions: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    address: String,
    offset: u64,
    text: String,
    target: Option<String>,
    /// The instruction that holds the address asked for.
    here: bool,
}

/// Prints the whole function; exit code 5 out of a core that is not whole.
pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let given = args.at.as_deref();
    let (core, words) = core_arg::split(
        &args.core,
        given.as_slice(),
        1,
        1,
        "a function or an address",
    );
    let at = words.concat();
    let (core, kernel) = core_arg::kernel_with(context, Some(&core), &args.symbols)?;
    let symbols = kernel.symbols()?;
    // From then on the table knows the modules' symbols, too. Without them it knows the kernel's.
    let _ = kernel.modules();
    let asked = address(&at, |name| match kernel.symbol(name) {
        Err(why @ KernelError::NoSymbol { .. }) => bail!("{why}{}", near(&kernel, name)),
        other => Ok(other?),
    })?;
    if let Some(what) = data(&kernel, VirtAddr(asked)) {
        bail!("{at} is {what}, not code. Next: afterpanic read or struct");
    }
    let found = symbols.resolve(VirtAddr(asked));
    let (start, len) = match &found {
        Some(found) => (asked.wrapping_sub(found.offset), found.size.min(LONGEST)),
        None => (asked, UNSIZED),
    };
    let mut code = vec![0_u8; usize::try_from(len)?];
    kernel
        .read(VirtAddr(start), &mut code)
        .with_context(|| format!("Cannot read {at}"))?;
    let name_of = |va: u64| {
        symbols.resolve(VirtAddr(va)).map(|at| match at.offset {
            0 => at.name,
            offset => format!("{}+{offset:#x}", at.name),
        })
    };
    let decoded = disassemble(kernel.arch(), start, &code, name_of);
    if decoded.is_empty() {
        bail!(
            "no decoder of {} is built in; gdb-multiarch shows its code: `disassemble NAME`, on the files of \
             `afterpanic vmlinux --relocated CORE OUT` and `afterpanic convert CORE OUT.elf`",
            kernel.arch().name
        );
    }
    let instructions = rows(decoded, start, asked);
    let answer = Answer {
        function: found.as_ref().map(|found| found.name.clone()),
        module: found.and_then(|found| found.module),
        instructions,
    };
    let exit = Exit::Done.of_incomplete(core.incomplete);
    if args.json {
        output::json("afterpanic.dis/1", &[], &answer)?;
        return Ok(exit);
    }
    let mut out = output::buffered();
    let name = answer.function.as_deref().unwrap_or("no symbol");
    let module = answer
        .module
        .as_deref()
        .map(|module| format!(" [{module}]"))
        .unwrap_or_default();
    writeln!(out, "{name}{module}:")?;
    for row in &answer.instructions {
        let mark = if row.here { "=>" } else { "  " };
        let target = row
            .target
            .as_deref()
            .map(|name| format!("  # {name}"))
            .unwrap_or_default();
        writeln!(
            out,
            "{mark} {}  +{:<#6x} {}{target}",
            row.address, row.offset, row.text
        )?;
    }
    out.flush()?;
    Ok(exit)
}

/// What `at` is when it is certain that it is no code: the symbols bound the kernel's text, and the
/// areas of a module (one for all before 6.4) tell it apart.
fn data(kernel: &Kernel, at: VirtAddr) -> Option<&'static str> {
    let symbol = |name: &str| kernel.symbol(name).ok();
    if kernel.is_per_cpu(at) {
        return Some("a per-CPU variable");
    }
    if let Some(module) = kernel.module_of(at) {
        let area = module.areas.iter().find(|area| area.contains(at))?;
        let is_data = matches!(area.kind, AreaKind::Data | AreaKind::RoData);
        return is_data.then_some("data of a module");
    }
    let (start, text_end, end) = (symbol("_stext")?, symbol("_etext")?, symbol("_end")?);
    let init = symbol("_sinittext").zip(symbol("_einittext"));
    let in_init = init.is_some_and(|(start, end)| (start.0..end.0).contains(&at.0));
    let in_image = at.0 >= text_end.0 && at.0 < end.0 && text_end.0 > start.0;
    (in_image && !in_init).then_some("data of the kernel")
}

fn rows(instructions: Vec<Instruction>, start: u64, asked: u64) -> Vec<Row> {
    let row = |at: Instruction| Row {
        address: format!("{:#018x}", at.address),
        offset: at.address.wrapping_sub(start),
        text: at.text,
        target: at.target,
        here: asked >= at.address && asked < at.next && asked != start,
    };
    instructions.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_marked() {
        // call +0; mov 0x18(%rax),%rax; ret
        let code = [0xe8, 0, 0, 0, 0, 0x48, 0x8b, 0x40, 0x18, 0xc3];
        let rows = rows(
            disassemble(&vmcore::arch::x86_64::ARCH, 0x1000, &code, |_| None),
            0x1000,
            0x1005,
        );
        assert_eq!(
            rows.iter().map(|row| row.here).collect::<Vec<_>>(),
            [false, true, false]
        );
    }
}
