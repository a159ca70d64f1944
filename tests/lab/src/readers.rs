//! How fast cores are read, beside libkdumpfile and crash on makedumpfile's file of the same memory.
//!
//! Both sides get the same list of pages, in turn, in one run; what counts is the ratio. The
//! library is called from Python's cffi without its wrapper class; the cost of that call is measured
//! too, on a page that the library has at hand, and said.

mod made;

pub use made::held;

use crate::tools;
use anyhow::{Context, Result, bail, ensure};
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use vmcore::addr::{PAGE_SIZE, Pfn, PhysAddr, VirtAddr};
use vmcore::dump;
use vmcore::kernel::Kernel;
use vmcore::write::{PresentRuns, Runs};

/// Times that each side of a pair is measured.
const PAIRS: usize = 5;
/// Pages that a side reads in all at least, and as often more pairs there are of a short list.
const AT_LEAST: usize = 5000;
/// Times that a process of its own reads a list once.
const ALONE: usize = 41;
/// Pages of the scattered reads.
const SCATTERED: usize = 4000;

/// What is to be read and with what.
#[derive(Debug)]
pub struct Options {
    /// A filtered `vmcore.elf.zst`.
    pub core: PathBuf,
    /// What is measured.
    pub parts: Vec<Part>,
    /// The vmlinux with debug information, for crash; none: crash is left out.
    pub vmlinux: Option<PathBuf>,
    /// The kdump file that crash starts on beside the mount; none: makedumpfile makes one.
    pub kdump: Option<PathBuf>,
    /// Our `afterpanic`, for its mount.
    pub afterpanic: PathBuf,
    /// Where files of the size of the core unpacked may be put.
    pub dir: PathBuf,
}

/// A part of what can be measured; each takes a few minutes at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// Lists of pages through both libraries.
    Scans,
    /// A page of a core of many runs, and of few.
    Runs,
    /// Opening a core of 4 TiB, and what memory that takes.
    Sizes,
    /// crash's start-up through the mount.
    Crash,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Scans, Self::Runs, Self::Sizes, Self::Crash];

    /// What it is called on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Scans => "scans",
            Self::Runs => "runs",
            Self::Sizes => "sizes",
            Self::Crash => "crash",
        }
    }
}

/// Measures and prints.
///
/// # Errors
/// A file cannot be made or a tool not be had.
pub fn compare(options: &Options) -> Result<bool> {
    fs::create_dir_all(&options.dir)?;
    for part in &options.parts {
        match (part, &options.vmlinux) {
            (Part::Scans, _) => scans(options)?,
            (Part::Runs, _) => made::runs(&options.dir)?,
            (Part::Sizes, _) => made::sizes(&options.dir)?,
            (Part::Crash, Some(vmlinux)) => crash(options, vmlinux)?,
            (Part::Crash, None) => println!("crash is left out: it wants --vmlinux"),
        }
    }
    Ok(true)
}

/// makedumpfile's kdump file of the core's memory.
fn theirs(options: &Options) -> Result<PathBuf> {
    let plain = options.dir.join("plain.elf");
    let theirs = options.dir.join("theirs.kdump");
    // Of this core and no other.
    let of = options.dir.join("theirs.of");
    let core = options.core.canonicalize()?;
    let same = fs::read(&of).is_ok_and(|was| was == core.as_os_str().as_encoded_bytes());
    if !(same && theirs.exists()) {
        let unpacked = Command::new("zstd")
            .args(["-q", "-d", "--sparse", "-f", "-o"])
            .args([plain.as_path(), core.as_path()])
            .status()?;
        ensure!(unpacked.success(), "zstd: {unpacked}");
        let made = tools::reader("makedumpfile")?
            .args(["-f", "-z", "-d", "31", "--message-level", "0"])
            .args([&plain, &theirs])
            .status()?;
        ensure!(made.success(), "makedumpfile: {made}");
        fs::remove_file(&plain)?;
        fs::write(&of, core.as_os_str().as_encoded_bytes())?;
    }
    Ok(theirs)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Lists of pages read through both libraries.
fn scans(options: &Options) -> Result<()> {
    let theirs = theirs(options)?;
    // What both hold: makedumpfile leaves zero pages out.
    let their_image = dump::open(&theirs)?;
    let holds = |pfn: &u64| {
        let run = their_image.next_present(Pfn(*pfn));
        run.is_some_and(|run| run.start.0 == *pfn)
    };
    let kernel = Kernel::new(dump::open(&options.core)?)?;
    let mut every = Vec::new();
    PresentRuns(&**kernel.dump()).for_each(&mut |run| {
        every.extend(run.start.0..run.end.0);
        Ok(())
    })?;
    let mut state = 1_u64;
    let scattered = (0..SCATTERED).filter_map(|_| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        every
            .get(usize::try_from(state >> 20).ok()? % every.len())
            .copied()
    });
    let lists = [
        ("task list", tasks(&kernel)?),
        ("all struct pages", struct_pages(&kernel)?),
        ("every page in order", every.clone()),
        ("pages here and there", scattered.collect()),
    ];
    drop(kernel);
    for (name, mut list) in lists {
        list.retain(holds);
        ensure!(list.len() > 10, "{name}: {} pages", list.len());
        let table = options.dir.join("list");
        let mut bytes = BufWriter::new(File::create(&table)?);
        for pfn in &list {
            bytes.write_all(&pfn.to_le_bytes())?;
        }
        bytes.flush()?;
        let pairs = PAIRS * AT_LEAST.div_ceil(list.len());
        let mut library = Library::start(&theirs, &table)?;
        let (mut ours, mut peer) = (Vec::new(), Vec::new());
        for _ in 0..pairs {
            ours.push(read_all(&options.core, &list)?);
            peer.push(library.ask("all")?);
        }
        let call = library.ask("call")?;
        let ratios = peer.iter().zip(&ours).map(|(peer, ours)| peer / ours);
        let ratio = median(ratios.collect());
        let (ours, peer) = (median(ours), median(peer));
        let count = list.len() as f64;
        println!(
            "{name}: {} pages, ours {:.2} us a page, libkdumpfile {:.2} us (of it {:.2} us the call \
             from Python), median of {pairs} pairs: {ratio:.2} times as many pages a second",
            list.len(),
            ours / count * 1e6,
            peer / count * 1e6,
            call * 1e6
        );
        drop(library);
        if name == "task list" {
            alone(&options.core, &theirs, &table, list.len())?;
        }
    }
    Ok(())
}

/// A list read once by a process of its own, which has no memory and no context from a pass before.
fn alone(core: &Path, theirs: &Path, table: &Path, pages: usize) -> Result<()> {
    let (mut ours, mut peer) = (Vec::new(), Vec::new());
    for _ in 0..ALONE {
        let said = Command::new(std::env::current_exe()?)
            .arg("pass")
            .args([core, table])
            .output()?;
        ensure!(said.status.success(), "lab pass: {}", said.status);
        ours.push(String::from_utf8_lossy(&said.stdout).trim().parse()?);
        peer.push(Library::start(theirs, table)?.ask("all")?);
    }
    let ratios = peer.iter().zip(&ours).map(|(peer, ours)| peer / ours);
    let (ratio, count) = (median(ratios.collect()), pages as f64);
    println!(
        "the same, each time in a process of its own: ours {:.2} us a page, libkdumpfile {:.2} us, \
         median of {ALONE} pairs: {ratio:.2} times as many pages a second",
        median(ours) / count * 1e6,
        median(peer) / count * 1e6,
    );
    Ok(())
}

/// Reads a list of pages once and says in how many seconds.
///
/// # Errors
/// The core or the list cannot be read.
pub fn pass(core: &Path, table: &Path) -> Result<()> {
    let list = fs::read(table)?;
    let list: Vec<u64> = list
        .chunks_exact(8)
        .filter_map(|pfn| Some(u64::from_le_bytes(pfn.try_into().ok()?)))
        .collect();
    println!("{}", read_all(core, &list)?);
    Ok(())
}

/// libkdumpfile in a process of its own, which reads a list of pages whenever it is asked to.
struct Library {
    child: Child,
    asked: std::process::ChildStdin,
    says: BufReader<std::process::ChildStdout>,
}

impl Library {
    fn start(dump: &Path, list: &Path) -> Result<Self> {
        let mut child = tools::reader("python3")?
            .args(["-c", PEER])
            .args([dump, list])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(asked), Some(says)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("libkdumpfile cannot be asked");
        };
        Ok(Self {
            child,
            asked,
            says: BufReader::new(says),
        })
    }

    /// Seconds to read all pages, with the file opened anew; or those of one more call.
    fn ask(&mut self, what: &str) -> Result<f64> {
        writeln!(self.asked, "{what}")?;
        let mut line = String::new();
        self.says.read_line(&mut line)?;
        let seconds = line.trim().parse();
        seconds.with_context(|| format!("libkdumpfile answered {line:?}"))
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Seconds to read the pages of a list, opened anew.
fn read_all(core: &Path, list: &[u64]) -> Result<f64> {
    let image = dump::open(core)?;
    let mut page = [0; 4096];
    let start = Instant::now();
    for pfn in list {
        image.read_phys(PhysAddr(pfn * PAGE_SIZE), &mut page)?;
        black_box(&page);
    }
    Ok(start.elapsed().as_secs_f64())
}

/// The pages of every task that the list of processes links, in its order.
fn tasks(kernel: &Kernel) -> Result<Vec<u64>> {
    let size = kernel.types()?.size_of("task_struct")?;
    let link = kernel.offset_of("task_struct", "tasks")?;
    let first = kernel.symbol("init_task")?;
    let (mut pages, mut task) = (Vec::new(), first);
    for _ in 0..100_000 {
        let mut at = task.0;
        while at < task.0.wrapping_add(size) {
            pages.push(kernel.memory().translate(VirtAddr(at))?.pfn().0);
            at = (at & !(PAGE_SIZE - 1)).wrapping_add(PAGE_SIZE);
        }
        let next = kernel.memory().read_ptr(task.wrapping_add(link))?;
        task = VirtAddr(next.0.wrapping_sub(link));
        if task == first {
            break;
        }
    }
    Ok(pages)
}

/// The pages that hold the struct pages of all RAM, in order.
fn struct_pages(kernel: &Kernel) -> Result<Vec<u64>> {
    let size = kernel.types()?.size_of("page")?;
    let base = kernel.memory().read_u64(kernel.symbol("vmemmap_base")?)?;
    let (mut pages, mut from) = (Vec::new(), Pfn(0));
    while let Some(run) = kernel.dump().next_ram(from) {
        let end = base.wrapping_add(run.end.0.wrapping_mul(size));
        let mut at = base.wrapping_add(run.start.0.wrapping_mul(size)) & !(PAGE_SIZE - 1);
        while at < end {
            if let Ok(phys) = kernel.memory().translate(VirtAddr(at)) {
                pages.push(phys.pfn().0);
            }
            at = at.wrapping_add(PAGE_SIZE);
        }
        from = run.end;
    }
    pages.dedup();
    Ok(pages)
}

/// crash's start-up on the mounted vmcore.kdump against a kdump file of the same memory.
fn crash(options: &Options, vmlinux: &Path) -> Result<()> {
    let file = match &options.kdump {
        Some(file) => file.clone(),
        None => theirs(options)?,
    };
    let script = options.dir.join("exit.cmd");
    fs::write(&script, "exit\n")?;
    let mounted = Mounted::new(&options.afterpanic, &options.core, &options.dir.join("mnt"))?;
    let mount = mounted.dir.join("vmcore.kdump");
    let start = |path: &Path| -> Result<f64> {
        let mut crash = tools::reader("crash")?;
        crash.args(["--no_scroll", "-s", "-i"]);
        crash.arg(&script).arg(vmlinux).arg(path);
        let start = Instant::now();
        let status = crash.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
        ensure!(status.success(), "crash {}: {status}", path.display());
        Ok(start.elapsed().as_secs_f64())
    };
    let mut ratios = Vec::new();
    for n in 0..PAIRS {
        // Who goes first alternates, too.
        let (theirs, ours) = if n % 2 == 0 {
            let theirs = start(&file)?;
            (theirs, start(&mount)?)
        } else {
            let ours = start(&mount)?;
            (start(&file)?, ours)
        };
        println!(
            "crash starts on the kdump file in {theirs:.2} s, on the mounted vmcore.kdump in \
             {ours:.2} s, {:.2} times",
            ours / theirs
        );
        ratios.push(ours / theirs);
    }
    println!("median of {PAIRS} pairs: {:.2} times", median(ratios));
    Ok(())
}

/// `afterpanic mount`, until it is dropped.
pub(crate) struct Mounted {
    child: Child,
    /// Where.
    pub(crate) dir: PathBuf,
}

impl Mounted {
    pub(crate) fn new(afterpanic: &Path, core: &Path, dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let child = Command::new(afterpanic)
            .args(["-q", "mount"])
            .args([core, dir])
            .stdin(Stdio::null())
            .spawn()
            .context("afterpanic mount cannot be run")?;
        let mut mounted = Self {
            child,
            dir: dir.to_owned(),
        };
        let start = Instant::now();
        while !dir.join("vmcore").exists() {
            ensure!(
                mounted.child.try_wait()?.is_none() && start.elapsed() < Duration::from_secs(120),
                "afterpanic mount did not mount on {}; it needs /dev/fuse",
                dir.display()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(mounted)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Not the signal of Ctrl-C, which what is started in the background is told to ignore.
        let _ = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status();
        let _ = self.child.wait();
    }
}

/// Reads the pages of a list through libkdumpfile, each time that it is asked to; prints the seconds.
const PEER: &str = r#"
import sys, struct, time, kdumpfile
from _kdumpfile import ffi, lib
dump = open(sys.argv[1], "rb")
pages = [pfn * 4096 for pfn, in struct.iter_unpack("<Q", open(sys.argv[2], "rb").read())]
space, read = kdumpfile.MACHPHYSADDR, lib.kdump_read
buffer, size = ffi.new("char[]", 4096), ffi.new("size_t*")
def run(pages):
    context = kdumpfile.Context()
    context.open_fd(dump.fileno())
    handle = context._cdata
    start = time.perf_counter()
    for at in pages:
        size[0] = 4096
        if read(handle, space, at, buffer, size) != 0:
            sys.exit(f"page at {at:#x} cannot be read")
    return time.perf_counter() - start
for line in sys.stdin:
    print(run(pages) if line == "all\n" else run(pages[:1] * 20000) / 20000, flush=True)
"#;
