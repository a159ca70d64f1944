//! `afterpanic struct`: a type's layout, and the values at an address or of a global.

mod cast;
mod global;
mod pattern;

use super::read::place;
use super::sym::is_pattern;
use crate::core_arg::{self, SymbolsArg};
use crate::exit::Exit;
use crate::near::Near;
use crate::output::{self, Context};
use analysis::values::{self, Place, Radix, Row, data};
use anyhow::{Context as _, anyhow, bail};
use serde::Serialize;
use std::collections::BTreeSet;
use std::io::{self, Write};
use vmcore::addr::VirtAddr;
use vmcore::kernel::{Kernel, KernelError, Types};

/// Arguments of `struct`.
#[derive(clap::Args, Debug)]
#[command(override_usage = "afterpanic struct [OPTIONS] [CORE] <TYPE|GLOBAL|CAST> [ADDR]")]
pub(crate) struct Args {
    /// A core file, a crash directory, `last` (the default where no file has the first word's name) or
    /// `live`
    core: String,
    #[command(flatten)]
    symbols: SymbolsArg,
    /// A struct, union, enum or typedef of the kernel or of a module, as `module:type` of that module;
    /// `type.member` is --path. Or a global, whose type is looked up: init_task, init_task.comm. Or a cast
    /// as in C: '(struct task_struct *)ADDR'. Or a pattern that lists types: 'ext4_*'
    #[arg(value_name = "TYPE|GLOBAL|CAST")]
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
    /// Print all integers in hex [default: unsigned ones above 0xffff]
    #[arg(long, conflicts_with = "json")]
    hex: bool,
    /// Print all integers in decimal; pointers stay hex
    #[arg(long, conflicts_with_all = ["json", "hex"])]
    decimal: bool,
    /// Print one JSON object (docs/json.md)
    #[arg(long)]
    json: bool,
}

impl Args {
    fn radix(&self) -> Radix {
        match (self.hex, self.decimal) {
            (true, _) => Radix::Hex,
            (_, true) => Radix::Decimal,
            _ => Radix::BySize,
        }
    }
}

#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    first: One,
    enumerators: Vec<Enumerator>,
    cpus: Vec<One>,
    others: Vec<One>,
}

#[derive(Serialize)]
struct Listing {
    types: BTreeSet<pattern::Match>,
}

/// One place.
#[derive(Serialize)]
struct One {
    #[serde(rename = "type")]
    name: String,
    /// The global that was asked for, and how its type is known.
    symbol: Option<String>,
    type_source: Option<&'static str>,
    #[serde(skip)]
    remark: Option<&'static str>,
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
    let (core, words) = core_arg::split(&args.core, &given, 1, 2, "a type or a global");
    let mut words = words.into_iter();
    let (word, at) = (words.next().unwrap_or_default(), words.next());
    let (core, kernel) = core_arg::kernel_with(context, Some(&core), &args.symbols)?;
    let is_cast = word.starts_with('(');
    if is_pattern(&word) && !is_cast {
        let exit = list(&kernel, &word, args.json, context)?;
        return Ok(exit.of_incomplete(core.incomplete));
    }
    let (name, at, path) = match is_cast {
        true => {
            let cast = cast::parse(&word)?;
            (cast.name, Some(cast.at), cast.path)
        }
        // `task_struct.comm` is `task_struct --path comm`.
        false => {
            let (name, path) = split_path(&word);
            (name, at.as_deref(), path)
        }
    };
    let path = path.or(args.path.as_deref());
    let types = kernel.types_with(values::bare(name))?;
    let mut shown = Shown::default();
    let is_type = values::find(&types, name, None).is_ok();
    // Of a name that a type has, too, only the global is on a CPU.
    if at.is_none() && (!is_type || args.cpus || args.cpu.is_some()) {
        let symbols = args.symbols.symbols.as_deref();
        if let Some(found) = global::find(&kernel, name, symbols)? {
            shown.global(&kernel, args, name, &found, path)?;
            let exit = shown.print(args, context)?;
            return Ok(exit.of_incomplete(core.incomplete));
        }
    }
    if at.is_none() && (args.cpus || args.cpu.is_some()) {
        bail!("--cpu and --cpus need the address or the symbol of a per-CPU variable");
    }
    let asked = Asked {
        args,
        name,
        at,
        path,
        kernel: &kernel,
        types: &types,
    };
    for cpu in cpus(&kernel, args)? {
        let found = asked.place(cpu)?;
        shown.enumerators = values::enumerators(&types, found.type_id);
        let one = asked.one(cpu, found, &mut shown.warnings)?;
        shown.all.push(one);
    }
    let exit = shown.print(args, context)?;
    Ok(exit.of_incomplete(core.incomplete))
}

/// A name, and the path of members behind it.
fn split_path(word: &str) -> (&str, Option<&str>) {
    let dot = word.find('.').map(|at| (at, at.saturating_add(1)));
    // An arrow stays before the path: it follows the place itself.
    let arrow = word.find("->").map(|at| (at, at));
    let first = [dot, arrow].into_iter().flatten().min();
    let parts = first.and_then(|(end, from)| Some((word.get(..end)?, word.get(from..)?)));
    match parts {
        Some((name, path)) => (name, Some(path)),
        None => (word, None),
    }
}

/// The CPUs that are asked for; `None` is no CPU.
fn cpus(kernel: &Kernel, args: &Args) -> anyhow::Result<Vec<Option<u32>>> {
    Ok(match args.cpus {
        true => kernel.online_cpus()?.iter().map(Some).collect(),
        false => vec![args.cpu],
    })
}

/// Lists the types that match; exit code 3 when none does.
fn list(kernel: &Kernel, word: &str, json: bool, context: &Context) -> anyhow::Result<Exit> {
    let types = pattern::find(kernel, word)?;
    let exit = match types.is_empty() {
        true => Exit::No,
        false => Exit::Done,
    };
    if json {
        output::json("afterpanic.types/1", &[], &Listing { types })?;
        return Ok(exit);
    }
    let mut out = output::buffered();
    pattern::print(&types, &mut out)?;
    out.flush()?;
    if types.is_empty() {
        context.warn(&format!("no type of this kernel matches {word}"));
    }
    Ok(exit)
}

/// What is to be printed.
#[derive(Default)]
struct Shown {
    all: Vec<One>,
    enumerators: Vec<(String, i64)>,
    warnings: Vec<String>,
}

impl Shown {
    /// A global: each CPU's where it is per-CPU, each one's where several have the name.
    fn global(
        &mut self,
        kernel: &Kernel,
        args: &Args,
        name: &str,
        found: &global::Global,
        path: Option<&str>,
    ) -> anyhow::Result<()> {
        let types = &found.types;
        let mut places = Vec::new();
        if args.cpus || args.cpu.is_some() || found.symbols.len() < 2 {
            for cpu in cpus(kernel, args)? {
                places.push((cpu, place(kernel, name, cpu)?));
            }
        } else {
            places.extend(found.symbols.iter().map(|at| (None, *at)));
        }
        for (cpu, at) in places {
            let led = match path {
                Some(path) => Some(global::follow(kernel, types, &found.ty, at, path)?),
                None => None,
            };
            let lines = match led {
                Some(place) => values::rows(kernel, types, place, args.radix()),
                None => global::rows(kernel, types, &found.ty, at, args.radix()),
            };
            let data = match (args.json, led) {
                (false, _) => serde_json::Value::Null,
                (true, Some(place)) => data::data(kernel, types, place),
                (true, None) => global::value(kernel, types, &found.ty, at),
            };
            self.warnings.extend(unreadable(&lines)?);
            let (name_of_type, size, address) = match led {
                Some(place) => {
                    let id = place.type_id;
                    (types.declare(id, ""), types.size(id), place.address)
                }
                None => {
                    let ty = &found.ty;
                    (ty.declare(types, ""), ty.size(types), Some(at))
                }
            };
            self.all.push(One {
                name: name_of_type,
                symbol: Some(match path {
                    Some(path) if path.starts_with("->") => format!("{name}{path}"),
                    Some(path) => format!("{name}.{path}"),
                    None => name.to_owned(),
                }),
                type_source: Some(global::word(found.source)),
                remark: Some(global::phrase(found)),
                cpu,
                address: address.map(|at| at.to_string()),
                size,
                members: lines.rows,
                data,
            });
        }
        Ok(())
    }

    fn print(self, args: &Args, context: &Context) -> anyhow::Result<Exit> {
        let Self {
            all,
            enumerators,
            warnings,
        } = self;
        let exit = match warnings.is_empty() {
            true => Exit::Done,
            false => Exit::Degraded,
        };
        if args.json {
            json(all, enumerators, &warnings)?;
            return Ok(exit);
        }
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
        Ok(exit)
    }
}

/// A warning where some values cannot be read; an error where none can.
fn unreadable(found: &values::Values) -> anyhow::Result<Option<String>> {
    let Some(why) = &found.why else {
        return Ok(None);
    };
    if found.read == 0 {
        bail!("{why}");
    }
    let of = found.read.saturating_add(found.unreadable);
    let unreadable = found.unreadable;
    Ok(Some(format!(
        "{unreadable} of {of} values are not readable: {why}"
    )))
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
            KernelError::NoType { name } if self.at.is_none() => {
                near = Near::new(name);
                self.types.names().for_each(|name| near.offer(name));
                super::read::offer_symbols(self.kernel, &mut near);
                bail!(
                    "no type and no global {name} in this kernel{}",
                    near.words()
                );
            }
            KernelError::NoType { name } => {
                near = Near::new(name);
                self.types.names().for_each(|name| near.offer(name));
            }
            _ => return Err(no_member(self.types, why)),
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
        let found = values::rows(self.kernel, self.types, place, self.args.radix());
        warnings.extend(unreadable(&found)?);
        let data = match self.args.json {
            true => data::data(self.kernel, self.types, place),
            false => serde_json::Value::Null,
        };
        Ok(One {
            name,
            symbol: None,
            type_source: None,
            remark: None,
            cpu,
            address: place.address.map(|at: VirtAddr| at.to_string()),
            size: self.types.size(place.type_id),
            members: found.rows,
            data,
        })
    }
}

/// The error with the names of members that were probably meant.
fn no_member(types: &Types, why: KernelError) -> anyhow::Error {
    let KernelError::NoMember { ty, member } = &why else {
        return why.into();
    };
    let mut near = Near::new(member);
    let id = types.find_type(values::bare(ty));
    let fields = id.into_iter().flat_map(|id| types.fields(id));
    fields.for_each(|field| near.offer(&field.name));
    anyhow!("{why}{}", near.words())
}

/// One object: the first place, in `cpus` those of the further CPUs, in `others` those of further variables
/// of that name.
fn json(all: Vec<One>, enumerators: Vec<(String, i64)>, warnings: &[String]) -> anyhow::Result<()> {
    let mut all = all.into_iter();
    let first = all.next().context("no CPU was online")?;
    let named = |(name, value)| Enumerator { name, value };
    let (cpus, others) = all.partition(|one| one.cpu.is_some());
    let answer = Answer {
        first,
        enumerators: enumerators.into_iter().map(named).collect(),
        cpus,
        others,
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
    let symbol = one.symbol.as_ref().map(|symbol| format!(" {symbol}"));
    let symbol = symbol.unwrap_or_default();
    let remark = one.remark.map(|remark| format!("; {remark}"));
    let remark = remark.unwrap_or_default();
    writeln!(out, "{}{symbol}{cpu}{place}{size}{remark}", one.name)?;
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
