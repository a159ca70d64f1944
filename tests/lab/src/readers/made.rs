//! Cores made for a measurement: of any number of runs, of 4 TiB, empty but for their headers.

use super::median;
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;
use vmcore::addr::{PAGE_SIZE, Pfn, PfnRange, PhysAddr};
use vmcore::dump;
use vmcore::write::{Batch, CoreMeta, Encoded, Output, OutputFormat, Runs, Spool, writer};

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

/// A page of a core of 100,000 runs against one of 100: as many pages in all, and each is read once
/// before, so that the system keeps the same in its cache. The two take turns in short batches.
pub(super) fn runs(dir: &Path) -> Result<()> {
    const PAGES: u64 = 200_000;
    const BATCH: u64 = 5_000;
    const BATCHES: usize = 101;
    let paths = ["few.core", "many.core"].map(|name| dir.join(name));
    let mut sides = Vec::new();
    for (path, runs) in paths.iter().zip([100_u64, 100_000]) {
        let each = PAGES / runs;
        sparse(path, runs, each + 1)?;
        let image = dump::open(path)?;
        let read = move |n: u64| {
            let pfn = 16 + n / each * (each + 1) + n % each;
            let mut page = [0; 4096];
            let read = image.read_phys(PhysAddr(pfn * PAGE_SIZE), &mut page);
            black_box(&page);
            read
        };
        (0..PAGES).try_for_each(&read)?;
        sides.push((read, Vec::new()));
    }
    let mut state = 7_u64;
    for _ in 0..BATCHES {
        for (read, times) in &mut sides {
            let start = Instant::now();
            for _ in 0..BATCH {
                state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                read((state >> 20) % PAGES)?;
            }
            times.push(start.elapsed().as_secs_f64() / BATCH as f64);
        }
    }
    let times: Vec<Vec<f64>> = sides.into_iter().map(|(_, times)| times).collect();
    let [few, many] = times.as_slice() else {
        return Ok(());
    };
    let ratios = many.iter().zip(few).map(|(many, few)| many / few);
    println!(
        "a page of a core of 100 runs: {:.2} us; of 100,000 runs: {:.2} us; median of {BATCHES} \
         pairs: {:.2} times",
        median(few.clone()) * 1e6,
        median(many.clone()) * 1e6,
        median(ratios.collect())
    );
    for path in &paths {
        fs::remove_file(path)?;
    }
    Ok(())
}

/// Opening a core of 4 TiB against one of 1 GiB with as many runs, plain and in frames.
pub(super) fn sizes(dir: &Path) -> Result<()> {
    const RUNS: u64 = 1000;
    const OPENED: usize = 51;
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
        for _ in 0..OPENED {
            for (path, times) in paths.iter().zip(&mut times) {
                let start = Instant::now();
                let image = dump::open(path)?;
                times.push(start.elapsed().as_secs_f64());
                drop(black_box(image));
            }
        }
        let [small, large] = times.map(median);
        let [small_file, large_file] = &paths;
        let (few, many) = (held_by(small_file)?, held_by(large_file)?);
        println!(
            "{}, {RUNS} runs: opening 1 GiB {:.2} ms, 4 TiB {:.2} ms, {:.2} times; {few} KiB held \
             of 1 GiB, {many} KiB of 4 TiB, {:.0} bytes a GiB more",
            format.name(),
            small * 1e3,
            large * 1e3,
            large / small,
            (many as f64 - few as f64) * 1024.0 / 4095.0
        );
        for path in &paths {
            fs::remove_file(path)?;
        }
    }
    const MANY: u64 = 1_000_000;
    let path = dir.join("runs.core");
    let mut held = [0, 0];
    for (held, runs) in held.iter_mut().zip([RUNS, MANY]) {
        sparse(&path, runs, 2)?;
        *held = held_by(&path)?;
    }
    fs::remove_file(path)?;
    let [few, many] = held;
    println!(
        "elf, {RUNS} runs: {few} KiB held; {MANY} runs: {many} KiB, {:.0} bytes a run",
        (many as f64 - few as f64) * 1024.0 / (MANY - RUNS) as f64
    );
    Ok(())
}

/// Says how many KiB a core that is opened, and of which a page was read, takes of this process.
///
/// # Errors
/// The core cannot be opened.
pub fn held(core: &Path) -> Result<()> {
    let before = anonymous()?;
    let image = dump::open(core)?;
    let first = image.next_present(Pfn(0)).and_then(|run| run.start.phys());
    let first = first.context("the core has no page")?;
    image.read_phys(first, &mut [0; 64])?;
    println!("{}", anonymous()?.saturating_sub(before));
    drop(black_box(image));
    Ok(())
}

/// The same in a process of its own, where no memory is left over from anything else.
fn held_by(core: &Path) -> Result<u64> {
    let said = Command::new(std::env::current_exe()?)
        .arg("held")
        .arg(core)
        .output()?;
    ensure!(said.status.success(), "lab held: {}", said.status);
    Ok(String::from_utf8_lossy(&said.stdout).trim().parse()?)
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
