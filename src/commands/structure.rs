//! `afterpanic struct`: a type's layout, and the values at an address.

use super::read::place;
use crate::core_arg::{self, SymbolsArg};
use crate::exit::Exit;
use crate::near::Near;
use crate::output::{self, Context};
use analysis::values::{self, Place, Row, data};
use anyhow::{Context as _, bail};
use serde::Serialize;
use std::io::{self, Write};
use vmcore::addr::VirtAddr;
use vmcore::kernel::{Kernel, KernelError, Types};

/// Arguments of `struct`.
#[derive(clap::Args, Debug)]
#[command(override_usage = "afterpanic struct [OPTIONS] [CORE] <TYPE> [ADDR]")]
pub(crate) struct Args {
    /// A core file, a crash directory, `last` (the default where no file has the first word's name) or
    /// `live`
    core: String,
    #[command(flatten)]
    symbols: SymbolsArg,
    /// A struct, union, enum or typedef of the kernel or of a module, as `module:type` of that module; `type.member` is --path
    #[arg(value_name = "TYPE")]
    name: Option<String>,
    /// The address of one: hex, or a symbol with an optional +offset
    #[arg(value_name = "ADDR")]
    at: Option<String>,
    /// Print this member: a.b, or through pointers: a.b->c
    #[arg(long)]
    path: Option<String>,
    /// Print the per-CPU variable of this CPU
    #[arg(long, value_name = "N")]
    cpu: Option<u32>,
    /// Print the per-CPU variable of every CPU that was online
    #[arg(long, conflicts_with = "cpu")]
    cpus: bool,
    /// One JSON object (docs/json.md)
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    first: One,
    enumerators: Vec<Enumerator>,
    cpus: Vec<One>,
}

/// One place.
#[derive(Serialize)]
struct One {
    #[serde(rename = "type")]
    name: String,
    cpu: Option<u32>,
    address: Option<String>,
    size: Option<u64>,
    members: Vec<Row>,
    data: serde_json::Value,
}

#[derive(Serialize)]
struct Enumerator {
    name: String,
    value: i64,
}

/// What is read of which core.
struct Asked<'a> {
    args: &'a Args,
    /// The type, and the path of members in it.
    name: &'a str,
    at: Option<&'a str>,
    path: Option<&'a str>,
    kernel: &'a Kernel,
    types: &'a Types,
}

/// Prints the layout; with an address the values too. Exit code 4 when some of them cannot be read, 5 out
/// of a core that is not whole.
pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let given = [&args.name, &args.at].map(|word| word.as_deref());
    let given: Vec<&str> = given.into_iter().flatten().collect();
    let (core, words) = core_arg::split(&args.core, &given, 1, 2, "a type");
    let mut words = words.into_iter();
    let (name, at) = (words.next().unwrap_or_default(), words.next());
    if at.is_none() && (args.cpus || args.cpu.is_some()) {
        bail!("--cpu and --cpus need the address or the symbol of a per-CPU variable");
    }
    let (found, kernel) = core_arg::kernel_with(context, Some(&core), &args.symbols)?;
    // `task_struct.comm` is `task_struct --path comm`.
    let (name, path) = match (name.split_once('.'), &args.path) {
        (Some((name, path)), None) => (name, Some(path)),
        (_, path) => (name.as_str(), path.as_deref()),
    };
    let types = kernel.types_with(values::bare(name))?;
    let asked = Asked {
        args,
        name,
        at: at.as_deref(),
        path,
        kernel: &kernel,
        types: &types,
    };
    let mut warnings = Vec::new();
    let cpus: Vec<Option<u32>> = match args.cpus {
        true => kernel.online_cpus()?.iter().map(Some).collect(),
        false => vec![args.cpu],
    };
    let mut all = Vec::new();
    let mut enumerators = Vec::new();
    for cpu in cpus {
        let place = asked.place(cpu)?;
        enumerators = values::enumerators(&types, place.type_id);
        all.push(asked.one(cpu, place, &mut warnings)?);
    }
    if args.json {
        json(all, enumerators, &warnings)?;
    } else {
        let mut out = output::buffered();
        for (n, one) in all.iter().enumerate() {
            if n > 0 {
                writeln!(out)?;
            }
            print(one, &mut out)?;
        }
        for (name, value) in &enumerators {
            writeln!(out, "{value:>12}   {name}")?;
        }
        out.flush()?;
        warnings.iter().for_each(|warning| context.warn(warning));
    }
    let exit = match warnings.is_empty() {
        true => Exit::Done,
        false => Exit::Degraded,
    };
    Ok(exit.of_incomplete(found.incomplete))
}

impl Asked<'_> {
    /// The place that the arguments name, on one CPU.
    fn place(&self, cpu: Option<u32>) -> anyhow::Result<Place> {
        let at = match self.at {
            Some(text) => Some(place(self.kernel, text, cpu)?),
            None => None,
        };
        let found = values::find(self.types, self.name, at).or_else(|why| self.hint(why))?;
        Ok(match self.path {
            Some(path) => values::follow(self.kernel, self.types, found, path)
                .or_else(|why| self.hint(why))?,
            None => found,
        })
    }

    /// The error with the names that were probably meant.
    fn hint(&self, why: KernelError) -> anyhow::Result<Place> {
        let mut near;
        match &why {
            KernelError::NoType { name } => {
                near = Near::new(name);
                self.types.names().for_each(|name| near.offer(name));
            }
            KernelError::NoMember { ty, member } => {
                near = Near::new(member);
                let id = self.types.find_type(values::bare(ty));
                let fields = id.into_iter().flat_map(|id| self.types.fields(id));
                fields.for_each(|field| near.offer(&field.name));
            }
            _ => return Err(why.into()),
        }
        bail!("{why}{}", near.words())
    }

    /// What stands there.
    fn one(
        &self,
        cpu: Option<u32>,
        place: Place,
        warnings: &mut Vec<String>,
    ) -> anyhow::Result<One> {
        let name = self.types.declare(place.type_id, "");
        let found = values::rows(self.kernel, self.types, place);
        if let Some(why) = found.why {
            if found.read == 0 {
                bail!("{why}");
            }
            let of = found.read.saturating_add(found.unreadable);
            let unreadable = found.unreadable;
            warnings.push(format!(
                "{unreadable} of {of} values are not readable: {why}"
            ));
        }
        let data = match self.args.json {
            true => data::data(self.kernel, self.types, place),
            false => serde_json::Value::Null,
        };
        Ok(One {
            name,
            cpu,
            address: place.address.map(|at: VirtAddr| at.to_string()),
            size: self.types.size(place.type_id),
            members: found.rows,
            data,
        })
    }
}

/// One object: the first place, and in `cpus` those of the further CPUs.
fn json(all: Vec<One>, enumerators: Vec<(String, i64)>, warnings: &[String]) -> anyhow::Result<()> {
    let mut all = all.into_iter();
    let first = all.next().context("no CPU was online")?;
    let named = |(name, value)| Enumerator { name, value };
    let answer = Answer {
        first,
        enumerators: enumerators.into_iter().map(named).collect(),
        cpus: all.collect(),
    };
    output::json("afterpanic.struct/1", warnings, &answer)
}

fn print(one: &One, out: &mut impl Write) -> io::Result<()> {
    let place = one
        .address
        .as_deref()
        .map(|at| format!(" at {at}"))
        .unwrap_or_default();
    let cpu = one.cpu.map(|cpu| format!(" of CPU {cpu}"));
    let cpu = cpu.unwrap_or_default();
    let size = one
        .size
        .map(|size| format!(", {size} bytes"))
        .unwrap_or_default();
    writeln!(out, "{}{cpu}{place}{size}", one.name)?;
    for row in &one.members {
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
    Ok(())
}
