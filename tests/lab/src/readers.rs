//! How fast cores are read, beside libkdumpfile and crash on makedumpfile's file of the same memory.
//!
//! Both sides get the same list of pages, in turn, in one run; what counts is the ratio. The
//! library is called from Python's cffi without its wrapper class; the cost of that call is measured
//! too, on a page that the library has at hand, and said.

use crate::tools;
use anyhow::{Context, Result, bail, ensure};
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use vmcore::addr::{PAGE_SIZE, Pfn, PfnRange, PhysAddr, VirtAddr};
use vmcore::image;
use vmcore::kernel::Kernel;
use vmcore::write::{
    Batch, CoreMeta, Encoded, Output, OutputFormat, PresentRuns, Runs, Spool, writer,
};

/// Times that each side of a pair is measured.
const PAIRS: usize = 5;
/// Pages of the scattered reads.
const SCATTERED: usize = 4000;

/// What is to be read and with what.
#[derive(Debug)]
pub struct Options {
    /// A filtered `vmcore.elf.zst`.
    pub core: PathBuf,
    /// The vmlinux with debug information, for crash; none: crash is left out.
    pub vmlinux: Option<PathBuf>,
    /// Our `afterpanic`, for its mount.
    pub afterpanic: PathBuf,
    /// Where files of the size of the core unpacked may be put.
    pub dir: PathBuf,
}

/// Measures and prints.
///
/// # Errors
/// A file cannot be made or a tool not be had.
pub fn compare(options: &Options) -> Result<bool> {
    fs::create_dir_all(&options.dir)?;
    scans(options)?;
    runs(&options.dir)?;
    sizes(&options.dir)?;
    if let Some(vmlinux) = &options.vmlinux {
        crash(options, vmlinux)?;
    }
    Ok(true)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Lists of pages read through both libraries.
fn scans(options: &Options) -> Result<()> {
    let plain = options.dir.join("plain.elf");
    let theirs = options.dir.join("theirs.kdump");
    if !theirs.exists() {
        let unpacked = Command::new("zstd")
            .args(["-q", "-d", "--sparse", "-f", "-o"])
            .args([plain.as_path(), options.core.as_path()])
            .status()?;
        ensure!(unpacked.success(), "zstd: {unpacked}");
        let made = tools::reader("makedumpfile")?
            .args(["-z", "-d", "31", "--message-level", "0"])
            .args([&plain, &theirs])
            .status()?;
        ensure!(made.success(), "makedumpfile: {made}");
        fs::remove_file(&plain)?;
    }
    // What both hold: makedumpfile leaves zero pages out.
    let their_image = image::open(&theirs)?;
    let holds = |pfn: &u64| {
        let run = their_image.next_present(Pfn(*pfn));
        run.is_some_and(|run| run.start.0 == *pfn)
    };
    let kernel = Kernel::new(image::open(&options.core)?)?;
    let mut every = Vec::new();
    PresentRuns(&**kernel.image()).for_each(&mut |run| {
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
        let (mut ours, mut peer, mut call) = (Vec::new(), Vec::new(), 0.0);
        for _ in 0..PAIRS {
            ours.push(read_all(&options.core, &list)?);
            let said = tools::reader("python3")?
                .args(["-c", PEER])
                .args([&theirs, &table])
                .output()?;
            let text = String::from_utf8_lossy(&said.stdout).into_owned();
            let mut words = text.split_whitespace().map(str::parse::<f64>);
            let (Some(Ok(all)), Some(Ok(one))) = (words.next(), words.next()) else {
                bail!("libkdumpfile: {}", String::from_utf8_lossy(&said.stderr));
            };
            peer.push(all);
            call = one;
        }
        let (ours, peer) = (median(ours), median(peer));
        let count = list.len() as f64;
        println!(
            "{name}: {} pages, ours {:.2} us a page, libkdumpfile {:.2} us (of it {:.2} us the call \
             from Python), {:.2} times as many pages a second",
            list.len(),
            ours / count * 1e6,
            peer / count * 1e6,
            call * 1e6,
            peer / ours
        );
    }
    Ok(())
}

/// Seconds to read the pages of a list, opened anew.
fn read_all(core: &Path, list: &[u64]) -> Result<f64> {
    let image = image::open(core)?;
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
    while let Some(run) = kernel.image().next_ram(from) {
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

/// A plain core of as many single pages as are asked for, empty but for its headers.
fn sparse(path: &Path, runs: u64, apart: u64) -> Result<()> {
    struct Single(u64, u64);
    impl Runs for Single {
        fn for_each(
            &self,
            f: &mut dyn FnMut(PfnRange) -> std::io::Result<()>,
        ) -> std::io::Result<()> {
            (0..self.0).try_for_each(|n| {
                let at = 16 + n * self.1;
                f(PfnRange::new(Pfn(at), Pfn(at + self.1 - 1)))
            })
        }
    }
    let mut file = Head(File::create(path)?, 0);
    let meta = CoreMeta {
        machine: 62,
        direct_map_base: Some(0xffff_8880_0000_0000),
        ..CoreMeta::default()
    };
    let kept = Single(runs, apart);
    writer(OutputFormat::Elf, meta, None, Spool::memory())?.begin(&kept, &kept, &mut file)?;
    let pages = runs * (apart - 1);
    file.0.set_len(file.1 + pages * PAGE_SIZE)?;
    Ok(())
}

/// An output that remembers how far it got.
struct Head(File, u64);

impl Output for Head {
    fn write_at(&mut self, offset: u64, buf: &[u8]) -> std::io::Result<()> {
        self.1 = self.1.max(offset + buf.len() as u64);
        self.0.write_all_at(buf, offset)
    }
}

/// A page of a core of 100,000 runs against one of 100.
fn runs(dir: &Path) -> Result<()> {
    const PAGES: u64 = 200_000;
    let path = dir.join("runs.elf");
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..PAIRS {
        for (times, runs) in times.iter_mut().zip([100_u64, 100_000]) {
            // As many pages in all, and each is read: the system keeps the same in its cache.
            sparse(&path, runs, PAGES / runs + 1)?;
            let image = image::open(&path)?;
            let each = PAGES / runs;
            let mut page = [0; 4096];
            let mut read = |n: u64| {
                let pfn = 16 + n / each * (each + 1) + n % each;
                let read = image.read_phys(PhysAddr(pfn * PAGE_SIZE), &mut page);
                black_box(&page);
                read
            };
            (0..PAGES).try_for_each(&mut read)?;
            let mut state = 7_u64;
            let start = Instant::now();
            for _ in 0..PAGES {
                state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                read((state >> 20) % PAGES)?;
            }
            times.push(start.elapsed().as_secs_f64() / PAGES as f64);
        }
    }
    let [few, many] = times.map(median);
    println!(
        "a page of a core of 100 runs: {:.2} us; of 100,000 runs: {:.2} us, {:.2} times",
        few * 1e6,
        many * 1e6,
        many / few
    );
    fs::remove_file(path)?;
    Ok(())
}

/// Opening a core of 4 TiB against one of 1 GiB with as many runs, plain and in frames.
fn sizes(dir: &Path) -> Result<()> {
    const RUNS: u64 = 1000;
    for format in [OutputFormat::Elf, OutputFormat::ElfZst] {
        let paths = [dir.join("small.core"), dir.join("large.core")];
        let gib = [1_u64, 4096];
        for (path, gib) in paths.iter().zip(gib) {
            let pages = gib << 18;
            match format {
                OutputFormat::Elf => sparse(path, RUNS, pages / RUNS + 1)?,
                _ => framed(path, RUNS, pages / RUNS)?,
            }
        }
        let mut times = [Vec::new(), Vec::new()];
        let mut held = [0, 0];
        for _ in 0..PAIRS {
            for ((path, times), held) in paths.iter().zip(&mut times).zip(&mut held) {
                let before = anonymous()?;
                let start = Instant::now();
                let image = image::open(path)?;
                times.push(start.elapsed().as_secs_f64());
                *held = anonymous()?.saturating_sub(before).max(*held);
                drop(black_box(image));
            }
        }
        let [small, large] = times.map(median);
        let [few, many] = held;
        println!(
            "{}, {RUNS} runs: opening 1 GiB {:.2} ms ({few} KiB held), 4 TiB {:.2} ms ({many} KiB \
             held), {:.2} times; file of 4 TiB: {} bytes",
            format.name(),
            small * 1e3,
            large * 1e3,
            large / small,
            paths
                .last()
                .map_or(Ok(0), |path| fs::metadata(path).map(|m| m.len()))?
        );
        for path in &paths {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// A core in frames whose pages are all zero: one frame encoded once, written as often as needed.
fn framed(path: &Path, runs: u64, each: u64) -> Result<()> {
    let kept: Vec<PfnRange> = (0..runs)
        .map(|n| {
            let at = 16 + n * (each + 1);
            PfnRange::new(Pfn(at), Pfn(at + each))
        })
        .collect();
    let meta = CoreMeta {
        machine: 62,
        direct_map_base: Some(0xffff_8880_0000_0000),
        ..CoreMeta::default()
    };
    let mut out = Append(BufWriter::with_capacity(1 << 20, File::create(path)?));
    let mut writer = writer(OutputFormat::ElfZst, meta, None, Spool::memory())?;
    let mut encoder = writer.encoder()?;
    writer.begin(&kept, &kept, &mut out)?;
    let mut left = runs * each;
    let mut encoded = (0, Encoded::default());
    while left > 0 {
        let n = left.min(64);
        if encoded.0 != n {
            let batch = Batch {
                runs: vec![PfnRange::new(Pfn(0), Pfn(n))],
                data: vec![0; usize::try_from(n * PAGE_SIZE)?],
                missing: Vec::new(),
            };
            encoder.encode(&batch, &mut encoded.1)?;
            encoded.0 = n;
        }
        writer.append(&encoded.1, &mut out)?;
        left -= n;
    }
    writer.finish(&mut out)?;
    out.0.flush()?;
    Ok(())
}

/// An output that is only appended to.
struct Append(BufWriter<File>);

impl Output for Append {
    fn write_at(&mut self, _: u64, buf: &[u8]) -> std::io::Result<()> {
        self.0.write_all(buf)
    }
}

/// KiB of the process that are no file's.
fn anonymous() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:"));
    let number = line.and_then(|l| l.split_whitespace().next()?.parse().ok());
    number.context("/proc/self/status has no RssAnon")
}

/// crash's start-up on the mounted vmcore.kdump against a kdump file of the same memory.
fn crash(options: &Options, vmlinux: &Path) -> Result<()> {
    let script = options.dir.join("exit.cmd");
    fs::write(&script, "exit\n")?;
    let mounted = Mounted::new(&options.afterpanic, &options.core, &options.dir.join("mnt"))?;
    let files = [
        options.dir.join("theirs.kdump"),
        mounted.dir.join("vmcore.kdump"),
        mounted.dir.join("vmcore"),
    ];
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..PAIRS {
        for (path, times) in files.iter().zip(&mut times) {
            let mut crash = tools::reader("crash")?;
            crash.args(["--no_scroll", "-s", "-i"]);
            crash.arg(&script).arg(vmlinux).arg(path);
            let start = Instant::now();
            let status = crash.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
            ensure!(status.success(), "crash {}: {status}", path.display());
            times.push(start.elapsed().as_secs_f64());
        }
    }
    let [file, kdump, elf] = times.map(median);
    println!(
        "crash starts on makedumpfile's file in {file:.2} s, on the mounted vmcore.kdump in \
         {kdump:.2} s, {:.2} times, on the mounted vmcore in {elf:.2} s",
        kdump / file
    );
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
        // As Ctrl-C does.
        let _ = Command::new("kill")
            .args(["-INT", &self.child.id().to_string()])
            .status();
        let _ = self.child.wait();
    }
}

/// Reads the pages of a list through libkdumpfile; prints the seconds, and those of a call alone.
const PEER: &str = r#"
import sys, struct, time, kdumpfile
from _kdumpfile import ffi, lib
dump = open(sys.argv[1], "rb")
pages = [pfn * 4096 for pfn, in struct.iter_unpack("<Q", open(sys.argv[2], "rb").read())]
context = kdumpfile.Context()
context.open_fd(dump.fileno())
handle, space, read = context._cdata, kdumpfile.MACHPHYSADDR, lib.kdump_read
buffer, size = ffi.new("char[]", 4096), ffi.new("size_t*")
def run(pages):
    start = time.perf_counter()
    for at in pages:
        size[0] = 4096
        if read(handle, space, at, buffer, size) != 0:
            sys.exit(f"page at {at:#x} cannot be read")
    return time.perf_counter() - start
total = run(pages)
run(pages[:1])
print(total, run(pages[:1] * 2000) / 2000)
"#;
