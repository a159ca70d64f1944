//! `afterpanic read`: memory of the crashed kernel, by address.

use crate::core_arg::{self, SymbolsArg};
use crate::exit::Exit;
use crate::near::Near;
use crate::output::{self, Context};
use anyhow::{Context as _, bail};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use vmcore::addr::{PhysAddr, VirtAddr};
use vmcore::kernel::{Kernel, KernelError, Memory};

/// Bytes read at a time.
const CHUNK: u64 = 64 << 10;
/// Bytes on a line of a hex dump.
const LINE: usize = 16;

/// Arguments of `read`.
#[derive(clap::Args, Debug)]
#[command(override_usage = "afterpanic read [OPTIONS] [CORE] <ADDR> <LEN>")]
pub(crate) struct Args {
    /// A core file, a crash directory, `last` (the default where no file has the first word's name) or
    /// `live`
    core: String,
    #[command(flatten)]
    symbols: SymbolsArg,
    /// A virtual address in hex, or a symbol, with an optional +offset
    addr: Option<String>,
    /// Number of bytes: 64, 4K or 0x40
    len: Option<String>,
    /// Take the address as physical
    #[arg(long, conflicts_with = "cpu")]
    phys: bool,
    /// Read a per-CPU variable of this CPU
    #[arg(long, value_name = "N")]
    cpu: Option<u32>,
    /// Write the bytes themselves instead of a hex dump
    #[arg(long, conflicts_with = "hex")]
    raw: bool,
    /// Print a hex dump (the default)
    #[arg(long)]
    hex: bool,
}

/// Prints the bytes. What cannot be read ends it with the page and the reason; exit code 5 out of a core
/// that is not whole.
pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let given = [&args.addr, &args.len].map(|word| word.as_deref());
    let given: Vec<&str> = given.into_iter().flatten().collect();
    let usage = "an address and a number of bytes";
    let (core, words) = core_arg::split(&args.core, &given, 2, 2, usage);
    let [addr, len] = words.as_slice() else {
        bail!("Give an address and a number of bytes");
    };
    let len = number(len).unwrap_or_else(|why| {
        let text = format!("{len:?} is not a number of bytes: {why}\n");
        clap::Error::raw(clap::error::ErrorKind::ValueValidation, text).exit()
    });
    let mut out: Box<dyn Write> = match args.raw {
        true => Box::new(output::raw()),
        false => Box::new(output::buffered()),
    };
    let emit = |at: u64, bytes: &[u8], out: &mut dyn Write| {
        if args.raw {
            out.write_all(bytes)
        } else {
            dump(at, bytes, out)
        }
    };
    let incomplete = if args.phys {
        let (found, dump) = core_arg::open(context, Some(&core))?;
        if found.incomplete {
            core_arg::warn_incomplete(context, found.dir.as_ref().unwrap_or(&found.path));
        }
        let start = parse_hex(addr)?;
        each_chunk(start, len, |at, buf| {
            dump.read_phys(PhysAddr(at), buf)?;
            Ok(emit(at, buf, &mut out)?)
        })?;
        found.incomplete
    } else {
        let kernel = core_arg::kernel_with(context, Some(&core), &args.symbols);
        let (start, memory, incomplete) = match kernel {
            Ok((found, kernel)) => {
                let start = place(&kernel, addr, args.cpu)?;
                (start.0, Arc::clone(kernel.memory()), found.incomplete)
            }
            Err(why) => by_segments(addr, &core, context, why)?,
        };
        each_chunk(start, len, |at, buf| {
            memory.read(VirtAddr(at), buf)?;
            Ok(emit(at, buf, &mut out)?)
        })?;
        incomplete
    };
    out.flush()?;
    Ok(Exit::Done.of_incomplete(incomplete))
}

/// The address and the memory of a core whose kernel cannot be found, and whether it is incomplete, `why` being why: what its
/// segments map can be read all the same.
fn by_segments(
    addr: &str,
    core: &Path,
    context: &Context,
    why: anyhow::Error,
) -> anyhow::Result<(u64, Arc<Memory>, bool)> {
    let Ok(start) = parse_hex(addr) else {
        return Err(why);
    };
    let Ok((found, dump)) = core_arg::open(context, Some(core)) else {
        return Err(why);
    };
    match Memory::of_segments(dump) {
        Some(memory) => Ok((start, Arc::new(memory), found.incomplete)),
        None => Err(why),
    }
}

/// Calls `f` with each piece of `start + len`, cut at multiples of [`CHUNK`].
fn each_chunk(
    start: u64,
    len: u64,
    mut f: impl FnMut(u64, &mut [u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let end = start
        .checked_add(len)
        .context("the range ends outside the address space")?;
    let mut buffer = vec![0_u8; usize::try_from(len.min(CHUNK))?];
    let mut at = start;
    while at < end {
        let piece = (CHUNK - at % CHUNK).min(end - at);
        let bytes = buffer
            .get_mut(..usize::try_from(piece)?)
            .context("No buffer")?;
        f(at, bytes)?;
        at += piece;
    }
    Ok(())
}

/// `0xffff…`, `ffff…`, `symbol` or `symbol+0x10`.
pub(super) fn address(
    text: &str,
    symbol: impl Fn(&str) -> anyhow::Result<VirtAddr>,
) -> anyhow::Result<u64> {
    if let Ok(address) = parse_hex(text) {
        return Ok(address);
    }
    let (name, offset) = match text.split_once('+') {
        Some((name, offset)) => (name, parse_hex(offset)?),
        None => (text, 0),
    };
    Ok(symbol(name)?.wrapping_add(offset).0)
}

/// The address that an argument names: hex, or a symbol of the kernel or of a module. A per-CPU variable
/// is that of `cpu`; hex with a CPU is a per-CPU pointer.
pub(super) fn place(kernel: &Kernel, text: &str, cpu: Option<u32>) -> anyhow::Result<VirtAddr> {
    // From then on the symbols of modules are found, too.
    let _ = kernel.modules();
    if let Ok(address) = parse_hex(text) {
        let at = VirtAddr(address);
        return Ok(match cpu {
            Some(cpu) => kernel.per_cpu(at, cpu)?,
            None => at,
        });
    }
    let symbol = |name: &str| {
        let at = match kernel.symbol(name) {
            Err(why @ KernelError::NoSymbol { .. }) => bail!("{why}{}", near(kernel, name)),
            other => other?,
        };
        match (kernel.is_per_cpu(at), cpu) {
            (false, None) => Ok(at),
            (true, Some(cpu)) => Ok(kernel.per_cpu(at, cpu)?),
            (true, None) => {
                bail!("{name} is a per-CPU variable: each CPU has its own. Choose one: --cpu N")
            }
            (false, Some(_)) => bail!("{name} is not a per-CPU variable. Leave out --cpu"),
        }
    };
    Ok(VirtAddr(address(text, symbol)?))
}

/// `. Did you mean …?` for a symbol that the kernel does not have.
pub(super) fn near(kernel: &Kernel, name: &str) -> String {
    let mut near = Near::new(name);
    offer_symbols(kernel, &mut near);
    near.words()
}

/// Looks at the names of all symbols.
pub(super) fn offer_symbols(kernel: &Kernel, near: &mut Near<'_>) {
    if let Ok(symbols) = kernel.symbols() {
        // Names of a table that is cut off are names, too.
        let _ = symbols.for_each(|symbol| near.offer(&symbol.name));
        symbols.for_each_of_modules(|_, symbol| near.offer(&symbol.name));
    }
}

/// A number in hex, with or without `0x`.
fn parse_hex(text: &str) -> anyhow::Result<u64> {
    let digits = text.trim_start_matches("0x");
    match u64::from_str_radix(digits, 16) {
        Ok(number) => Ok(number),
        Err(_) => bail!("{text:?} is not an address. Give hex digits or a symbol"),
    }
}

/// A count: decimal, with K, M or G behind it for units of 1024, or hex with `0x`.
fn number(text: &str) -> Result<u64, String> {
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).map_err(|why| why.to_string());
    }
    let units = [('K', 1_u64 << 10), ('M', 1 << 20), ('G', 1 << 30)];
    let unit = units
        .into_iter()
        .find_map(|(letter, unit)| Some((text.strip_suffix(letter)?, unit)));
    let (digits, unit) = unit.unwrap_or((text, 1));
    let number: u64 = digits
        .parse()
        .map_err(|why: std::num::ParseIntError| why.to_string())?;
    number
        .checked_mul(unit)
        .ok_or_else(|| "more than an address space has".to_owned())
}

/// `ffff888000000000  48 65 6c 6c …  |Hell…|`.
fn dump(at: u64, bytes: &[u8], out: &mut dyn Write) -> io::Result<()> {
    for (i, line) in bytes.chunks(LINE).enumerate() {
        let offset = u64::try_from(i * LINE).unwrap_or(u64::MAX);
        write!(out, "{:016x} ", at.wrapping_add(offset))?;
        for byte in line {
            write!(out, " {byte:02x}")?;
        }
        let pad = (LINE - line.len()) * 3;
        let text: String = line
            .iter()
            .map(|byte| {
                if (0x20..0x7f).contains(byte) {
                    char::from(*byte)
                } else {
                    '.'
                }
            })
            .collect();
        writeln!(out, "{:pad$}  |{text}|", "")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_hex_or_symbols() {
        let symbol = |name: &str| match name {
            "jiffies" => Ok(VirtAddr(0x1000)),
            _ => bail!("no symbol {name}"),
        };
        assert_eq!(address("0xff", symbol).unwrap(), 0xff);
        assert_eq!(address("ff", symbol).unwrap(), 0xff);
        assert_eq!(address("jiffies+0x10", symbol).unwrap(), 0x1010);
        assert!(address("jiffies+x", symbol).is_err());
        assert!(address("nothing", symbol).is_err());
    }

    #[test]
    fn counts_have_units() {
        assert_eq!(number("64"), Ok(64));
        assert_eq!(number("0x40"), Ok(64));
        assert_eq!(number("4K"), Ok(4096));
        assert_eq!(number("2G"), Ok(2 << 30));
        assert!(number("K").is_err());
        assert!(number("99999999999G").is_err());
    }

    #[test]
    fn pieces_cover_the_range_once() {
        let mut seen = Vec::new();
        each_chunk(CHUNK - 1, CHUNK + 2, |at, buf| {
            seen.push((at, buf.len() as u64));
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, [(CHUNK - 1, 1), (CHUNK, CHUNK), (2 * CHUNK, 1)]);
        assert!(each_chunk(u64::MAX, 2, |_, _| Ok(())).is_err());
    }

    #[test]
    fn a_hex_dump_is_aligned() {
        let mut out = Vec::new();
        dump(0x10, b"0123456789abcdef\n", &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "0000000000000010  30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66  |0123456789abcdef|"
        );
        assert_eq!(lines[1].find('|'), lines[0].find('|'));
        assert!(lines[1].ends_with("|.|"));
    }
}
