//! Runs in the guest of the scenarios `kinds-*`: makes memory of every kind, lets the host inflate
//! the balloon, and saves what the kernel says of each page.
//!
//! Facts: Documentation/admin-guide/mm/{pagemap,hugetlbpage}.rst, madvise(2), swapon(2), mm/swapfile.c
//! (the header of a swap area). The process that holds the memory is a child, which lives on when
//! this program has ended. It says on the console what it made; the host judges.

// System calls without a safe wrapper; the file holds nothing else that needs it.
#![allow(unsafe_code)]

use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

const PAGE: usize = 4096;
const MIB: usize = 1 << 20;
/// Where the target is mounted.
const TARGET: &str = "/var/crash";
const HUGE: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
/// Sizes that aarch64 has besides, with pages of 4 KiB: sixteen neighbours each, of pages and of huge pages.
const OTHERS: [(&str, &str); 2] = [("64kB", "4"), ("32768kB", "1")];
const GIGANTIC: &str = "/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages";
const HVO: &str = "/proc/sys/vm/hugetlb_optimize_vmemmap";

fn main() -> ExitCode {
    let result = match std::env::args().nth(1).as_deref() {
        None => start(),
        Some("poison") => poison(),
        Some(_) => hold(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn say(text: &str) {
    // The console and not the pipe to the parent.
    if let Ok(mut console) = File::options().write(true).open("/dev/console") {
        let _ = writeln!(console, "guest: kinds: {text}");
    }
}

/// Starts the child and waits until it is ready.
fn start() -> Result<()> {
    let mut child = Command::new("/proc/self/exe")
        .arg("hold")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut byte = [0u8; 1];
    let out = child.stdout.as_mut().context("No pipe to the child")?;
    out.read_exact(&mut byte).context("The child has failed")
}

fn hold() -> Result<()> {
    let huge = hugetlb().context("hugetlb")?;
    page_cache().context("page cache")?;
    let anon = Area::new(16 * MIB, libc::MAP_PRIVATE)?
        .advise(libc::MADV_NOHUGEPAGE)?
        .fill();
    let thp = Area::new(16 * MIB, libc::MAP_PRIVATE)?
        .advise(libc::MADV_HUGEPAGE)?
        .fill();
    let shared = Area::new(4 * MIB, libc::MAP_SHARED)?.fill();
    let locked = Area::new(2 * MIB, libc::MAP_PRIVATE)?.fill().lock()?;
    let pipe = pipe().context("pipe")?;
    slab().context("slab")?;
    let swapped = swap().context("swap")?;
    // A process of its own, which the kernel may kill for it.
    let _ = Command::new("/proc/self/exe").arg("poison").status()?;
    let memory = fs::read_to_string("/proc/meminfo")?;
    let poisoned = memory
        .lines()
        .find(|line| line.starts_with("HardwareCorrupted"));
    say(poisoned.unwrap_or("HardwareCorrupted is not known here"));
    say(&format!(
        "{} pages of devices",
        devices().context("devices")?
    ));
    balloon().context("balloon")?;
    let record = record().context("record")?;
    std::io::stdout().write_all(b"\n")?;
    std::io::stdout().flush()?;
    std::hint::black_box((
        &huge, &anon, &thp, &shared, &locked, &pipe, &swapped, &record,
    ));
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// Tells the kernel that a page has failed.
fn poison() -> Result<()> {
    let area = Area::new(PAGE, libc::MAP_PRIVATE)?.fill();
    area.advise(libc::MADV_HWPOISON).map(drop)
}

/// Memory from mmap(2), never given back.
struct Area {
    at: *mut u8,
    len: usize,
}

impl Area {
    fn new(len: usize, sharing: libc::c_int) -> Result<Self> {
        let (access, how) = (
            libc::PROT_READ | libc::PROT_WRITE,
            sharing | libc::MAP_ANONYMOUS,
        );
        // SAFETY: a fresh anonymous mapping, at an address of the kernel's choice, touches no memory
        // that this program has.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), len, access, how, -1, 0) };
        ensure!(
            at != libc::MAP_FAILED,
            "mmap: {}",
            std::io::Error::last_os_error()
        );
        Ok(Self { at: at.cast(), len })
    }

    /// Its first bytes.
    fn part(&self, len: usize) -> Self {
        Self {
            at: self.at,
            len: len.min(self.len),
        }
    }

    fn advise(self, advice: libc::c_int) -> Result<Self> {
        // SAFETY: the range is one that `new` mapped and nobody else uses; its contents may go.
        let answer = unsafe { libc::madvise(self.at.cast(), self.len, advice) };
        ensure!(answer == 0, "madvise: {}", std::io::Error::last_os_error());
        Ok(self)
    }

    fn lock(self) -> Result<Self> {
        // SAFETY: the range is one that `new` mapped; locking changes no contents.
        let answer = unsafe { libc::mlock(self.at.cast(), self.len) };
        ensure!(answer == 0, "mlock: {}", std::io::Error::last_os_error());
        Ok(self)
    }

    /// Writes something else into every page.
    fn fill(self) -> Self {
        for page in (0..self.len).step_by(PAGE) {
            // SAFETY: inside the mapping, which is private to this value and writable.
            unsafe { self.at.add(page).cast::<usize>().write_volatile(page + 1) };
        }
        self
    }

    /// Reads every page.
    fn touch(&self) {
        for page in (0..self.len).step_by(PAGE) {
            // SAFETY: inside the mapping, which is readable.
            std::hint::black_box(unsafe { self.at.add(page).read_volatile() });
        }
    }
}

/// Four huge pages with struct pages of their own, eight that share them where the kernel can, six
/// of the twelve in use.
fn hugetlb() -> Result<File> {
    fs::create_dir_all("/run/huge")?;
    let flags = nix::mount::MsFlags::empty();
    nix::mount::mount(
        Some("none"),
        "/run/huge",
        Some("hugetlbfs"),
        flags,
        None::<&str>,
    )?;
    fs::write(HUGE, "4")?;
    let shares = Path::new(HVO).exists();
    if shares {
        fs::write(HVO, "1")?;
    }
    fs::write(HUGE, "12")?;
    for (size, count) in OTHERS {
        let at = format!("/sys/kernel/mm/hugepages/hugepages-{size}/nr_hugepages");
        if Path::new(&at).exists() {
            fs::write(&at, count)?;
            let got = fs::read_to_string(&at)?;
            say(&format!("{} huge pages of {size}", got.trim()));
        }
    }
    // Those of 1 GiB are the kernel's command line's.
    let gigantic = fs::read_to_string(GIGANTIC).unwrap_or_default();
    say(&format!("{} gigantic pages", gigantic.trim()));
    let got = fs::read_to_string(HUGE)?;
    say(&format!(
        "{} huge pages, struct pages {}",
        got.trim(),
        if shares { "shared" } else { "not shared" }
    ));
    let file = File::create("/run/huge/used")?;
    nix::fcntl::fallocate(
        &file,
        nix::fcntl::FallocateFlags::empty(),
        0,
        12 * MIB as i64,
    )?;
    Ok(file)
}

/// Files of the target: one that is on the disk, one that is not yet.
fn page_cache() -> Result<()> {
    let block = vec![0xcau8; MIB];
    let mut clean = File::create(format!("{TARGET}/clean"))?;
    let mut dirty = File::create(format!("{TARGET}/dirty"))?;
    for _ in 0..8 {
        clean.write_all(&block)?;
    }
    clean.sync_all()?;
    for _ in 0..4 {
        dirty.write_all(&block)?;
    }
    Ok(())
}

fn pipe() -> Result<(std::io::PipeReader, std::io::PipeWriter)> {
    let (reader, mut writer) = std::io::pipe()?;
    writer.write_all(&[0x91; 48 << 10])?;
    Ok((reader, writer))
}

/// Many small files: inodes and directory entries.
fn slab() -> Result<()> {
    fs::create_dir_all("/tmp/many")?;
    (0..4000).try_for_each(|n| File::create(format!("/tmp/many/{n}")).map(drop))?;
    Ok(())
}

/// Memory that is written to a swap area and read again, so that it is in both places.
fn swap() -> Result<Area> {
    let path = format!("{TARGET}/swap");
    let pages = 4096usize;
    let mut file = File::create(&path)?;
    let zeros = vec![0u8; MIB];
    for _ in 0..pages * PAGE / MIB {
        file.write_all(&zeros)?;
    }
    // union swap_header: version 1, last page, no bad pages; the magic ends the first page.
    file.write_all_at(&1u32.to_le_bytes(), 1024)?;
    file.write_all_at(&u32::try_from(pages - 1)?.to_le_bytes(), 1028)?;
    file.write_all_at(b"SWAPSPACE2", PAGE as u64 - 10)?;
    file.sync_all()?;
    let name = std::ffi::CString::new(path)?;
    // SAFETY: the pointer is to a NUL-terminated string that outlives the call.
    let answer = unsafe { libc::swapon(name.as_ptr(), 0) };
    ensure!(answer == 0, "swapon: {}", std::io::Error::last_os_error());
    let area = Area::new(8 * MIB, libc::MAP_PRIVATE)?
        .advise(libc::MADV_NOHUGEPAGE)?
        .fill();
    let area = area.advise(libc::MADV_PAGEOUT)?;
    std::thread::sleep(Duration::from_millis(500));
    // Half of it: the other half stays out.
    area.part(4 * MIB).touch();
    Ok(area)
}

/// Pages of the zones of devices: memory with struct pages that the allocator never had.
fn devices() -> Result<u64> {
    let text = fs::read_to_string("/proc/zoneinfo")?;
    let zones = text.split("\nNode ").filter(|zone| {
        let name = zone.lines().next().unwrap_or_default();
        name.ends_with("Device")
    });
    let spanned = zones.filter_map(|zone| {
        let line = zone
            .lines()
            .find_map(|l| l.trim().strip_prefix("spanned "))?;
        line.trim().parse::<u64>().ok()
    });
    Ok(spanned.sum())
}

/// Asks the host for it and waits until the pages are gone.
fn balloon() -> Result<()> {
    let inflated = || -> Result<u64> {
        let text = fs::read_to_string("/proc/vmstat")?;
        let line = text
            .lines()
            .find_map(|l| l.strip_prefix("balloon_inflate "));
        Ok(line.and_then(|n| n.trim().parse().ok()).unwrap_or(0))
    };
    say("wants the balloon");
    let begun = Instant::now();
    let mut before = 0;
    loop {
        ensure!(
            begun.elapsed() < Duration::from_secs(60),
            "it does not inflate"
        );
        std::thread::sleep(Duration::from_secs(1));
        let now = inflated()?;
        if now >= 4096 && now == before {
            break;
        }
        before = now;
    }
    say(&format!("the balloon holds {before} pages"));
    Ok(())
}

/// Saves what the kernel says, into files whose pages are there already: saving changes little.
/// The buffers stay: what is freed now would be something else in the dump.
fn record() -> Result<Vec<Vec<u8>>> {
    let names = ["kpageflags", "kpagecount"];
    let mut saved = Vec::new();
    for name in names {
        let mut bytes = Vec::new();
        File::open(format!("/proc/{name}"))?.read_to_end(&mut bytes)?;
        let file = File::create(format!("{TARGET}/{name}"))?;
        file.write_all_at(&bytes, 0)?;
        file.sync_all()?;
        saved.push((name, file, bytes));
    }
    for (name, _, bytes) in &mut saved {
        let mut proc = File::open(format!("/proc/{name}"))?;
        let len = bytes.len();
        for part in bytes.chunks_mut(MIB) {
            proc.read_exact(part)
                .with_context(|| format!("/proc/{name} is shorter than {len}"))?;
        }
    }
    for (_, file, bytes) in &saved {
        file.write_all_at(bytes, 0)?;
        file.sync_data()?;
    }
    Ok(saved.into_iter().map(|(_, _, bytes)| bytes).collect())
}
