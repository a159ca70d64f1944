//! `afterpanic struct`: a type's layout, and the values at an address.

use super::read::address;
use crate::core_arg::{self, SymbolsArg};
use crate::exit::Exit;
use crate::output::{self, Context};
use analysis::values::{self, Row};
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;
use vmcore::addr::VirtAddr;

/// Arguments of `struct`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// A core file, a crash directory, `last` or `live`
    core: PathBuf,
    #[command(flatten)]
    symbols: SymbolsArg,
    /// A struct, union, enum or typedef
    #[arg(value_name = "TYPE")]
    name: String,
    /// The address of one: hex, or a symbol with an optional +offset
    #[arg(value_name = "ADDR")]
    at: Option<String>,
    /// Print this member: a.b, or through pointers: a.b->c
    #[arg(long)]
    path: Option<String>,
    /// One JSON object (docs/json.md)
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Answer {
    #[serde(rename = "type")]
    name: String,
    address: Option<String>,
    size: Option<u64>,
    members: Vec<Row>,
}

/// Prints the layout; with an address the values too.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let (_, kernel) = core_arg::kernel_with(context, Some(&args.core), &args.symbols)?;
    let types = kernel.types()?;
    // From then on the symbols of modules are found, too.
    let _ = kernel.modules();
    let at = match &args.at {
        Some(text) => Some(VirtAddr(address(text, |name| Ok(kernel.symbol(name)?))?)),
        None => None,
    };
    let mut place = values::find(types, &args.name, at)?;
    if let Some(path) = &args.path {
        place = values::follow(&kernel, types, place, path)?;
    }
    let answer = Answer {
        name: types.declare(place.type_id, ""),
        address: place.address.map(|at| at.to_string()),
        size: types.size(place.type_id),
        members: values::rows(&kernel, types, place),
    };
    if args.json {
        output::json("afterpanic.struct/1", &[], &answer)?;
        return Ok(Exit::Done);
    }
    let mut out = output::buffered();
    let place = answer
        .address
        .as_deref()
        .map(|at| format!(" at {at}"))
        .unwrap_or_default();
    let size = answer
        .size
        .map(|size| format!(", {size} bytes"))
        .unwrap_or_default();
    writeln!(out, "{}{place}{size}", answer.name)?;
    for row in &answer.members {
        let bits = row
            .bits
            .map(|(bit, bits)| format!(" : {bits} from bit {bit}"))
            .unwrap_or_default();
        let value = row
            .value
            .as_deref()
            .map(|value| format!(" = {value}"))
            .unwrap_or_default();
        let indent = row.depth * 4;
        writeln!(
            out,
            "{:>6} {:>5} {:indent$}  {}{bits}{value}",
            row.offset, row.size, "", row.declaration
        )?;
    }
    out.flush()?;
    Ok(Exit::Done)
}
