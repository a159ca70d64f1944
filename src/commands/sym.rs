//! `afterpanic sym`: names to addresses and addresses to names, out of the core's own kallsyms.

use super::read::{address, near};
use crate::core_arg::{self, SymbolsArg};
use crate::exit::Exit;
use crate::output::{self, Context};
use initramfs::modules;
use serde::Serialize;
use std::io::{self, BufRead, Write};
use vmcore::addr::VirtAddr;
use vmcore::kernel::{Resolved, Symbol, Symbols};

/// Arguments of `sym`.
#[derive(clap::Args, Debug)]
#[command(override_usage = "afterpanic sym [OPTIONS] [CORE] <NAME|ADDR|->...")]
pub(crate) struct Args {
    /// A core file, a crash directory, `last` (the default where no file has the first word's name) or
    /// `live`
    core: String,
    #[command(flatten)]
    symbols: SymbolsArg,
    /// Names, patterns such as `ext4_*`, addresses in hex, or `-`: annotate the addresses in the text on
    /// stdin
    #[arg(value_name = "NAME|ADDR|-")]
    what: Vec<String>,
    /// Print one JSON object (docs/json.md)
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Answer {
    symbols: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    asked: String,
    address: Option<String>,
    name: Option<String>,
    offset: Option<String>,
    size: Option<u64>,
    module: Option<String>,
}

/// Looks up each; exit code 3 when one is not known, 5 out of a core that is not whole.
pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let given: Vec<&str> = args.what.iter().map(String::as_str).collect();
    let usage = "a name or an address";
    let (core, asked) = core_arg::split(&args.core, &given, 1, usize::MAX, usage);
    let (found, kernel) = core_arg::kernel_with(context, Some(&core), &args.symbols)?;
    let symbols = kernel.symbols()?;
    // From then on the table knows the modules' symbols, too. Without them it knows the kernel's.
    let _ = kernel.modules();
    let done = Exit::Done.of_incomplete(found.incomplete);
    let mut out = output::buffered();
    if asked.iter().any(|what| what == "-") {
        for line in io::stdin().lock().lines() {
            writeln!(out, "{}", annotate(&line?, |va| symbols.resolve(va)))?;
        }
        out.flush()?;
        return Ok(done);
    }
    let mut rows = Vec::new();
    for what in &asked {
        match is_pattern(what) {
            true => matching(symbols, what, &mut rows)?,
            false => rows.push(look_up(symbols, what)),
        }
    }
    let unknown = rows.iter().any(|row| row.name.is_none());
    if args.json {
        output::json("afterpanic.sym/1", &[], &Answer { symbols: rows })?;
        return Ok(if unknown { Exit::No } else { done });
    }
    for row in rows {
        match (&row.name, &row.address) {
            (Some(name), Some(address)) => {
                let offset = row.offset.as_deref().filter(|offset| *offset != "0x0");
                let offset = offset
                    .map(|offset| format!("+{offset}"))
                    .unwrap_or_default();
                let module = row
                    .module
                    .map(|module| format!(" [{module}]"))
                    .unwrap_or_default();
                writeln!(out, "{address}  {name}{offset}{module}")?;
            }
            _ if is_pattern(&row.asked) => {
                context.warn(&format!("no symbol matches {}", row.asked));
            }
            _ => {
                let near = near(&kernel, &row.asked);
                context.warn(&format!("no symbol {} in this kernel{near}", row.asked));
            }
        }
    }
    out.flush()?;
    Ok(if unknown { Exit::No } else { done })
}

/// Whether a word is a shell pattern, which no name is.
pub(super) fn is_pattern(word: &str) -> bool {
    word.contains(['*', '?', '['])
}

/// A row for each symbol that matches, the kernel's in its table's order and then the modules'; one
/// without an address when none does. `module:pattern` asks that module alone.
fn matching(symbols: &Symbols, asked: &str, rows: &mut Vec<Row>) -> anyhow::Result<()> {
    let before = rows.len();
    let (of, pattern) = match asked.split_once(':') {
        Some((module, pattern)) => (Some(module), pattern),
        None => (None, asked),
    };
    let mut found: Vec<(Option<String>, Symbol)> = Vec::new();
    if of.is_none() {
        symbols.for_each(|symbol| {
            if modules::matches(pattern, &symbol.name) {
                found.push((None, symbol));
            }
        })?;
    }
    symbols.for_each_of_modules(|module, symbol| {
        let wanted = of.is_none_or(|of| modules::matches(of, module));
        if wanted && modules::matches(pattern, &symbol.name) {
            found.push((Some(module.to_owned()), symbol));
        }
    });
    rows.extend(found.into_iter().map(|(module, symbol)| {
        let size = symbols.resolve(symbol.address).map(|found| found.size);
        Row {
            asked: asked.to_owned(),
            address: Some(format!("{:#018x}", symbol.address.0)),
            name: Some(symbol.name),
            offset: Some("0x0".to_owned()),
            size,
            module,
        }
    }));
    if rows.len() == before {
        rows.push(Row {
            asked: asked.to_owned(),
            address: None,
            name: None,
            offset: None,
            size: None,
            module: None,
        });
    }
    Ok(())
}

/// A name is looked up first: `add` and `bad` are names as well as numbers.
fn look_up(symbols: &Symbols, what: &str) -> Row {
    let known = |name: &str| {
        symbols
            .lookup(name)
            .ok_or_else(|| anyhow::anyhow!("no symbol {name} in this kernel"))
    };
    let at = known(what)
        .map(|va| va.0)
        .or_else(|_| address(what, known))
        .ok()
        .map(VirtAddr);
    let found = at.and_then(|va| symbols.resolve(va));
    Row {
        asked: what.to_string(),
        address: at.map(|va| format!("{:#018x}", va.0)),
        // An exact name keeps the name that was asked for: aliases share an address. A module's may be
        // asked for as `module:name`.
        name: symbols
            .lookup(what)
            .map(|_| what.rsplit(':').next().unwrap_or(what).to_string())
            .or_else(|| found.as_ref().map(|found| found.name.clone())),
        offset: found.as_ref().map(|found| format!("{:#x}", found.offset)),
        size: found.as_ref().map(|found| found.size),
        module: found.and_then(|found| found.module),
    }
}

/// Puts `(name+0x10)` behind each kernel address in a line of text.
fn annotate(line: &str, resolve: impl Fn(VirtAddr) -> Option<Resolved>) -> String {
    let mut text = String::with_capacity(line.len());
    let mut word = String::new();
    for c in line.chars().chain(['\n']) {
        if c.is_ascii_alphanumeric() || c == '_' {
            word.push(c);
            continue;
        }
        text.push_str(&word);
        let digits = word.strip_prefix("0x").unwrap_or(&word);
        let number = u64::from_str_radix(digits, 16)
            .ok()
            .filter(|_| digits.len() == 16);
        if let Some(found) = number.and_then(|number| resolve(VirtAddr(number))) {
            let module = found
                .module
                .map(|module| format!(" [{module}]"))
                .unwrap_or_default();
            text.push_str(&format!(" ({}+{:#x}{module})", found.name, found.offset));
        }
        word.clear();
        text.push(c);
    }
    text.pop();
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_kernel_addresses_are_annotated() {
        let resolve = |va: VirtAddr| {
            (va.0 == 0xffff_ffff_8100_0010).then(|| Resolved {
                name: "_stext".into(),
                offset: 0x10,
                size: 0x40,
                module: Some("m".into()),
            })
        };
        assert_eq!(
            annotate(
                "ip 0xffffffff81000010, 12 deadbeef ffffffff81000010",
                resolve
            ),
            "ip 0xffffffff81000010 (_stext+0x10 [m]), 12 deadbeef ffffffff81000010 (_stext+0x10 [m])"
        );
        assert_eq!(annotate("", resolve), "");
    }
}
