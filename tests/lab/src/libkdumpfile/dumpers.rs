//! libkdumpfile's test programs that read a dump, over our reader: what their scripts call as `./dumpdata`,
//! `./checkattr` and `./multiread`. Options and output are those of the originals, as the scripts use them.

use anyhow::{Context, Result, bail, ensure};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vmcore::addr::{PAGE_SIZE, Pfn, PfnRange, PhysAddr, VirtAddr};
use vmcore::dump::{DumpInfo, MemoryDump};
use vmcore::kernel::Kernel;
use vmcore::order::Order;

/// What the originals print on a line.
const A_LINE: u64 = 16;
const NT_PRSTATUS: u32 = 1;

/// Runs one of the programs; its exit code. 1: the dump is not as the script says, or a read failed. 99: the dump cannot
/// be opened, or the program does not know what it is asked.
#[must_use]
pub fn run(program: &str, words: &[String]) -> u8 {
    let answer = match program {
        "dumpdata" => dumpdata(words),
        "checkattr" => checkattr(words),
        "multiread" => multiread(words),
        other => Err(anyhow::anyhow!("there is no dumper {other}")),
    };
    match answer {
        Ok(good) => u8::from(!good),
        Err(why) => {
            eprintln!("{program}: {why:#}");
            99
        }
    }
}

fn open(files: &[String]) -> Result<Arc<dyn MemoryDump>> {
    let paths: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
    Ok(vmcore::dump::open_set(&paths)?)
}

fn number(text: &str) -> Result<u64> {
    let text = text.trim();
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.with_context(|| format!("{text} is no number"))
}

/// `dumpdata [-n FILES] [-o OSTYPE] [-s SIZE] [-z] FILE… ADDRESS COUNT…`
fn dumpdata(words: &[String]) -> Result<bool> {
    let (mut files, mut size, mut zero) = (1, 1, false);
    let mut rest = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let (option, glued) = word.split_at(word.len().min(2));
        let mut value = || match glued {
            "" => words.next().cloned().context("an option without its value"),
            glued => Ok(glued.to_owned()),
        };
        match option {
            "-n" => files = usize::try_from(number(&value()?)?)?,
            "-s" => size = number(&value()?)?,
            // Our reader finds out by itself.
            "-o" => drop(value()?),
            "-z" => zero = true,
            _ => rest.push(word.clone()),
        }
    }
    ensure!(rest.len() > files, "there is no address");
    let (files, ranges) = rest.split_at(files);
    let dump = open(files)?;
    let mut good = true;
    for range in ranges.chunks(2) {
        let [address, count] = range else {
            bail!("an address without its length")
        };
        let reader = Reader::of(&dump, address)?;
        let arch = vmcore::arch::of(dump.info().machine);
        let shown = Shown {
            size: usize::try_from(size)?,
            order: arch.map_or(Order::Little, |arch| arch.order),
            zero,
        };
        good &= print(&reader, number(count)? * size, &shown)?;
        if !good {
            break;
        }
    }
    Ok(good)
}

/// Where a range begins.
enum Reader<'a> {
    Physical(&'a dyn MemoryDump, u64),
    Virtual(Box<Kernel>, u64),
}

impl<'a> Reader<'a> {
    fn of(dump: &'a Arc<dyn MemoryDump>, address: &str) -> Result<Self> {
        let (space, address) = address.split_once(':').unwrap_or(("MACHPHYSADDR", address));
        let address = number(address)?;
        match space {
            "MACHPHYSADDR" | "KPHYSADDR" => Ok(Self::Physical(dump.as_ref(), address)),
            "KVADDR" => Ok(Self::Virtual(
                Box::new(Kernel::new(Arc::clone(dump))?),
                address,
            )),
            other => bail!("{other} is no address space"),
        }
    }

    fn start(&self) -> u64 {
        match self {
            Self::Physical(_, at) | Self::Virtual(_, at) => *at,
        }
    }

    fn read(&self, at: u64, buf: &mut [u8]) -> Result<()> {
        match self {
            Self::Physical(dump, _) => Ok(dump.read_phys(PhysAddr(at), buf)?),
            Self::Virtual(kernel, _) => Ok(kernel.memory().read(VirtAddr(at), buf)?),
        }
    }
}

/// How values are printed.
struct Shown {
    /// Bytes of a value.
    size: usize,
    /// Those of the dump.
    order: Order,
    /// Whether what is not there is 0.
    zero: bool,
}

/// Prints a range; false where a byte of it is not to be had.
fn print(reader: &Reader<'_>, length: u64, how: &Shown) -> Result<bool> {
    let zero = how.zero;
    let mut out = std::io::stdout().lock();
    let (mut at, end) = (reader.start(), reader.start() + length);
    let mut good = true;
    while at < end {
        let step = (PAGE_SIZE - at % PAGE_SIZE).min(end - at);
        let mut page = vec![0; usize::try_from(step)?];
        let read = reader.read(at, &mut page);
        if let (Err(why), false) = (&read, zero) {
            // The words that the scripts look for are libkdumpfile's.
            eprintln!("Read failed at {at:#x}: {}", theirs(why));
            good = false;
        }
        for value in page.chunks(how.size) {
            at += value.len() as u64;
            match read.is_ok() || zero {
                true => write!(out, "{}", shown(value, how.order))?,
                false => write!(out, "{}", "??".repeat(value.len()))?,
            }
            write!(out, "{}", if at % A_LINE == 0 { "\n" } else { " " })?;
        }
    }
    if at % A_LINE != 0 {
        writeln!(out)?;
    }
    Ok(good)
}

fn theirs(why: &anyhow::Error) -> String {
    let said = format!("{why:#}");
    match said.contains("was excluded by the filter") {
        true => format!("Excluded page ({said})"),
        false => said,
    }
}

/// A value, the highest byte first.
fn shown(value: &[u8], order: Order) -> String {
    let hex = |byte: &u8| format!("{byte:02X}");
    match order {
        Order::Little => value.iter().rev().map(hex).collect(),
        Order::Big => value.iter().map(hex).collect(),
    }
}

/// `multiread [-i N] [-n THREADS] [-s CACHE] [-t SECONDS] FILE FIRST-PFN PAGES`: threads read the pages all at once, and
/// each must find what one alone finds.
fn multiread(words: &[String]) -> Result<bool> {
    let mut threads = 1_u64;
    let mut rest = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-i" | "-s" | "-t" => drop(words.next()),
            "-n" => threads = number(words.next().context("-n without a number")?)?,
            _ => rest.push(word.clone()),
        }
    }
    let [file, first, pages] = rest.as_slice() else {
        bail!("FILE FIRST PAGES are wanted")
    };
    let dump = open(std::slice::from_ref(file))?;
    let (first, pages) = (number(first)?, number(pages)?);
    let page = |pfn: u64| -> Result<Vec<u8>> {
        let mut page = vec![0; usize::try_from(PAGE_SIZE)?];
        dump.read_phys(PhysAddr(pfn * PAGE_SIZE), &mut page)?;
        Ok(page)
    };
    let alone: Vec<_> = (first..first + pages).map(page).collect::<Result<_>>()?;
    let (page, alone) = (&page, &alone);
    let read = |thread: u64| -> Result<bool> {
        // Each thread goes through all pages in an order of its own.
        for i in 0..pages * 4 {
            let n = (i * 7 + thread * 13) % pages;
            let same = alone.get(usize::try_from(n)?) == Some(&page(first + n)?);
            if !same {
                eprintln!("page {:#x} reads otherwise in a thread", first + n);
                return Ok(false);
            }
        }
        Ok(true)
    };
    let read = &read;
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|n| scope.spawn(move || read(n))).collect();
        let mut good = true;
        for one in all {
            good &= one.join().map_err(|_| anyhow::anyhow!("a thread died"))??;
        }
        Ok(good)
    })
}

/// `checkattr FILE… < KEY = TYPE: VALUE…`. What we have no counterpart of is named and passed.
fn checkattr(words: &[String]) -> Result<bool> {
    let dump = open(words)?;
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let text = text.replace("\\\n", "");
    let mut good = true;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let (key, wanted) = line.split_once('=').context("a line without =")?;
        let (key, wanted) = (key.trim(), wanted.trim());
        let (kind, wanted) = wanted.split_once(':').unwrap_or((wanted, ""));
        match attribute(dump.as_ref(), key, wanted.trim())? {
            None => eprintln!("not compared: {key}"),
            Some(is) if is.eq_ignore_ascii_case(&normal(kind, wanted)?) => {
                eprintln!("compared: {key}");
            }
            Some(is) => {
                eprintln!("{key} is {is} instead of {}", normal(kind, wanted)?);
                good = false;
            }
        }
    }
    Ok(good)
}

/// A value as [`attribute`] writes it.
fn normal(kind: &str, wanted: &str) -> Result<String> {
    let wanted = wanted.trim();
    Ok(match kind.trim() {
        "number" if !wanted.is_empty() => number(wanted)?.to_string(),
        "bitmap" => {
            let bytes = wanted.split_whitespace().map(number);
            let bytes = bytes.collect::<Result<Vec<_>>>()?;
            bytes.iter().map(|byte| format!("{byte:02x}")).collect()
        }
        _ => wanted.to_owned(),
    })
}

/// What our reader says of a key; `None`: we keep nothing like it.
fn attribute(dump: &dyn MemoryDump, key: &str, wanted: &str) -> Result<Option<String>> {
    let info = dump.info();
    let uts = |field: fn(&vmcore::dump::Utsname) -> &str| {
        info.utsname.as_ref().map(|uts| field(uts).to_owned())
    };
    Ok(match key {
        "file.format" => Some(info.format.name().replace("kdump", "diskdump")),
        "arch.name" => vmcore::arch::of(info.machine).map(|arch| arch.name.to_owned()),
        "file.pagemap" => Some(bitmap(wanted, |pfn| dump.next_present(pfn))),
        "memory.pagemap" => Some(bitmap(wanted, |pfn| dump.next_ram(pfn))),
        "uts.sysname" | "linux.uts.sysname" => uts(|uts| &uts.sysname),
        "uts.nodename" | "linux.uts.nodename" => uts(|uts| &uts.nodename),
        "uts.release" | "linux.uts.release" => uts(|uts| &uts.release),
        "uts.version" | "linux.uts.version" => uts(|uts| &uts.version),
        "uts.machine" | "linux.uts.machine" => uts(|uts| &uts.machine),
        "uts.domainname" | "linux.uts.domainname" => uts(|uts| &uts.domainname),
        "cpu.number" => Some(prstatus(info).count().to_string()),
        "cpu.0.PRSTATUS" => prstatus(info).next(),
        key => key
            .strip_prefix("linux.vmcoreinfo.lines.")
            .and_then(|line| vmcoreinfo(info, line)),
    })
}

fn prstatus(info: &DumpInfo) -> impl Iterator<Item = String> {
    let notes = info.notes.iter().filter(|note| note.n_type == NT_PRSTATUS);
    notes.map(|note| note.desc.iter().map(|b| format!("{b:02x}")).collect())
}

fn vmcoreinfo(info: &DumpInfo, key: &str) -> Option<String> {
    let text = String::from_utf8_lossy(info.vmcoreinfo.as_deref()?).into_owned();
    let mut lines = text.lines().filter_map(|line| line.split_once('='));
    lines
        .find(|(name, _)| *name == key)
        .map(|(_, value)| value.to_owned())
}

/// As many bytes of a bitmap as are compared, the lowest frame in the lowest bit.
fn bitmap(wanted: &str, next: impl Fn(Pfn) -> Option<PfnRange>) -> String {
    let bytes = wanted.split_whitespace().count().max(1) as u64;
    let has = |pfn: u64| next(Pfn(pfn)).is_some_and(|run| run.start.0 <= pfn);
    let byte = |n: u64| (0..8).fold(0_u8, |byte, bit| byte | (u8::from(has(n * 8 + bit)) << bit));
    (0..bytes).map(|n| format!("{:02x}", byte(n))).collect()
}

/// Where the scripts find a dumper: a script that calls this program.
///
/// # Errors
/// It cannot be written.
pub(super) fn install(dir: &Path, lab: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    for name in ["dumpdata", "checkattr", "multiread"] {
        let path = dir.join(name);
        let text = format!("#!/bin/sh\nexec '{}' dumper {name} \"$@\"\n", lab.display());
        std::fs::write(&path, text)?;
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755))?;
    }
    Ok(())
}
