//! The worker's memory against the size of the machine: the whole binary, under its own RLIMIT_DATA of
//! 8, 16 and 24 MiB, on cores of 1 GiB to 16 TiB with every second page kept.
//!
//! The core is a sparse file: what was never written reads as zeros. Its page tables map the whole
//! memory map to the same 2 MiB of struct pages (as vmemmap of hugetlb pages is shared), so that it is
//! as long as it would be and takes no room. What the worker holds is the VmData of its process
//! (what RLIMIT_DATA limits), looked at every few milliseconds.

use super::{Bench, sink};
use dump::facts::Verdict;
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};
use store::CrashDir;
use synth::elf::Elf;
use synth::endless::{struct_page, vmcoreinfo};
use synth::kernel::{Crash, Kernel};
use vmcore::addr::Pfn;
use vmcore::dump as formats;
use vmcore::write::OutputFormat;

const KERNEL_MAP: u64 = 0xffff_ffff_8000_0000;
const DIRECT_MAP: u64 = 0xffff_8880_0000_0000;
const VMEMMAP: u64 = 0xffff_ea00_0000_0000;
/// Physical addresses: three levels of page tables, section roots and sections, the struct pages.
const PGD: usize = 0x20_0000;
const PUD: usize = 0x20_1000;
const PMD: usize = 0x20_2000;
const ROOTS: usize = 0x20_4000;
const SECTIONS: usize = 0x20_8000;
const MEMMAP: usize = 0x100_0000;
/// Struct pages in 2 MiB.
const STRUCT_PAGES: usize = 32_768;

/// A machine without end: `run` pages of the kernel's, then as many free ones, and so on.
pub(super) fn endless(gib: u64, run: usize) -> File {
    let mut low = vec![0; MEMMAP + (2 << 20)];
    let mut put = |at: usize, bytes: &[u8]| low[at..at + bytes.len()].copy_from_slice(bytes);
    let entry = |at: usize, flags: u64| (at as u64 | flags).to_le_bytes();
    let top = usize::try_from(VMEMMAP >> 39 & 511).unwrap();
    put(PGD + top * 8, &entry(PUD, 0x3));
    for n in 0..512 {
        put(PUD + n * 8, &entry(PMD, 0x3));
        put(PMD + n * 8, &entry(MEMMAP, 0x83));
        // 512 roots of 256 sections of 128 MiB are 16 TiB.
        put(ROOTS + n * 8, &(KERNEL_MAP + SECTIONS as u64).to_le_bytes());
    }
    for n in 0..256 {
        put(SECTIONS + n * 16, &(VMEMMAP | 0xf).to_le_bytes());
    }
    for n in 0..STRUCT_PAGES {
        put(MEMMAP + n * 64, &struct_page(n / run % 2 == 1));
    }
    let kernel = |at: usize| KERNEL_MAP + at as u64;
    let text = vmcoreinfo(kernel(PGD), kernel(ROOTS), 0);
    let elf = Elf::new().note("VMCOREINFO", 0, text.as_bytes());
    let mut elf = elf.load(DIRECT_MAP, 0, &low).build();
    let begin = (elf.len() - low.len()) as u64;
    // The second program header: p_filesz and p_memsz.
    for at in [64 + 56 + 32, 64 + 56 + 40] {
        elf[at..at + 8].copy_from_slice(&(gib << 30).to_le_bytes());
    }
    let file = File::from(memfd_create("vmcore", MFdFlags::MFD_CLOEXEC).unwrap());
    file.write_all_at(&elf, 0).unwrap();
    file.set_len(begin + (gib << 30)).unwrap();
    file
}

/// Waits for a supervisor, with an eye on what its children hold.
fn watch(mut supervisor: Child) -> (ExitStatus, u64) {
    // In an hour it says more than a pipe takes.
    let mut said = supervisor.stderr.take().unwrap();
    std::thread::spawn(move || io::copy(&mut said, &mut io::sink()));
    let children = format!("/proc/{0}/task/{0}/children", supervisor.id());
    let mut most = 0;
    loop {
        if let Some(status) = supervisor.try_wait().unwrap() {
            return (status, most);
        }
        for pid in fs::read_to_string(&children)
            .unwrap_or_default()
            .split_whitespace()
        {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let data = status.lines().find_map(|line| line.strip_prefix("VmData:"));
            let kib = data.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse().ok());
            most = most.max(kib.unwrap_or(0));
        }
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// A machine, and how it is to be captured.
#[derive(Clone, Copy)]
struct Case<'a> {
    source: &'a File,
    gib: u64,
    /// Pages in a run.
    run: u64,
    format: OutputFormat,
    /// The worker's limit in MiB.
    limit: u64,
}

impl Case<'_> {
    fn bench(self) -> Bench {
        let mut bench = Bench::new();
        let fd = self.source.as_raw_fd();
        bench.plan.source = format!("/proc/{}/fd/{fd}", std::process::id());
        bench.plan.dump.format = Some(self.format);
        bench.plan.dump.worker_memory = Some(self.limit << 20);
        bench.plan.dump.threads = Some(2);
        bench
    }

    /// An ELF core may have 2^20 runs.
    fn written(self) -> OutputFormat {
        match (self.gib << 18) / 2 / self.run {
            0..=1_048_576 => self.format,
            _ => OutputFormat::KdumpZstd,
        }
    }

    /// Captures into the target of `bench`; the most VmData in KiB.
    fn capture(self, bench: &Bench) -> u64 {
        let begun = Instant::now();
        let (status, data) = watch(bench.start());
        let dir = bench.crashes().pop().unwrap();
        let manifest = CrashDir::open(&dir).unwrap().manifest().unwrap();
        let core = manifest.core;
        let core = core.unwrap_or_else(|| panic!("{:?}", manifest.soft_errors));
        println!(
            "{} GiB, runs of {}, {} ({}), {} MiB: {data} KiB of data, {} KiB resident, {:.1} s \
             ({} s to classify, {} s to write), {} bytes",
            self.gib,
            self.run,
            self.format.name(),
            core.format,
            self.limit,
            core.peak_rss_kib,
            begun.elapsed().as_secs_f64(),
            core.classify_s,
            core.write_s,
            core.size,
        );
        // There is no log in this machine.
        assert_eq!(status.code(), Some(5), "{:?}", core.soft_errors);
        let pages = self.gib << 18;
        assert_eq!((core.pages.ram, core.pages.kept), (pages, pages / 2));
        let free = core.kinds["free"].pages;
        assert_eq!((core.pages.missing, free), (0, pages / 2));
        assert_eq!(core.format, self.written().name());
        let as_asked = match self.written() == self.format {
            true => Verdict::Complete,
            false => Verdict::Degraded,
        };
        assert_eq!(core.verdict, as_asked, "{:?}", core.soft_errors);
        assert!(data <= self.limit << 10, "{data} KiB");
        data
    }

    /// The same into a file, which is then looked into.
    fn check(self) -> u64 {
        let bench = self.bench();
        let data = self.capture(&bench);
        let name = match self.written() {
            OutputFormat::KdumpZstd => "vmcore.kdump",
            OutputFormat::ElfLz4 => "vmcore.elf.lz4",
            _ => "vmcore.elf.zst",
        };
        let core = formats::open(&bench.crashes().pop().unwrap().join(name)).unwrap();
        let pages = self.gib << 18;
        for at in (0..pages).step_by(usize::try_from(pages / 16 - self.run).unwrap()) {
            let first = at / self.run / 2 * self.run * 2;
            let run = core.next_present(Pfn(first)).unwrap();
            assert_eq!((run.start.0, run.end.0), (first, first + self.run));
        }
        data
    }
}

#[test]
fn one_gib_with_8_16_and_24_mib() {
    let source = &endless(1, 1);
    for limit in [8, 16, 24] {
        for format in [
            OutputFormat::ElfZst,
            OutputFormat::ElfLz4,
            OutputFormat::KdumpZstd,
        ] {
            let (gib, run) = (1, 1);
            Case {
                source,
                gib,
                run,
                format,
                limit,
            }
            .check();
        }
    }
}

/// What the report and the essential pages of a kernel with such a log take, in KiB of data.
fn with_log(kernel: &Kernel, limit_mib: u64) -> u64 {
    let mut bench = Bench::new();
    fs::write(&bench.plan.source, kernel.elf()).unwrap();
    bench.plan.dump.format = None;
    bench.plan.dump.worker_memory = Some(limit_mib << 20);
    // Not optimised, and on a busy machine.
    bench.plan.dump.report_deadline_s = 280;
    let begun = Instant::now();
    let (status, data) = watch(bench.start());
    println!("{:.1} s", begun.elapsed().as_secs_f64());
    assert!(status.success() || status.code() == Some(4), "{status}");
    let dir = bench.crashes().pop().unwrap();
    let report = fs::read_to_string(dir.join("report.txt")).unwrap();
    assert!(report.contains("crasher_write"), "{report}");
    assert!(dir.join("essential.elf.zst").exists());
    data
}

/// A log of 2^`bits` bytes against one of 16 KiB.
fn long_log(bits: u32) {
    let small = with_log(&Kernel::new(Crash::NullPointer), 24);
    let large = with_log(&Kernel::with_log(Crash::NullPointer, bits), 24);
    println!("{small} KiB of data with a log of 16 KiB, {large} KiB with one of 2^{bits} bytes");
    assert!(large < small + (10 << 10), "{small} and {large} KiB");
}

#[test]
fn a_log_of_4_mib_costs_the_report_little() {
    long_log(22);
}

#[test]
#[ignore = "takes a minute; cargo xtask test --full runs it optimised"]
fn a_log_of_64_mib_costs_the_report_no_10_mib() {
    long_log(26);
}

#[test]
#[ignore = "takes a minute; cargo xtask test --full runs it optimised"]
fn the_same_memory_for_64_gib() {
    let (small, source) = (&endless(1, 1), &endless(64, 1));
    for limit in [8, 16, 24] {
        for format in [OutputFormat::ElfZst, OutputFormat::KdumpZstd] {
            let large = Case {
                source,
                gib: 64,
                run: 1,
                format,
                limit,
            };
            let small = Case {
                source: small,
                gib: 1,
                format: OutputFormat::KdumpZstd,
                ..large
            };
            let (one, all) = (small.check(), large.check());
            assert!(all < one + 1024, "{one} and {all} KiB");
        }
    }
    // As many runs as an ELF core may have.
    let source = &endless(64, 8);
    for format in [OutputFormat::ElfZst, OutputFormat::ElfLz4] {
        Case {
            source,
            gib: 64,
            run: 8,
            format,
            limit: 8,
        }
        .check();
    }
}

/// The target has no end: 51 GB of page descriptors alone are written.
fn without_end(gib: u64, run: u64, format: OutputFormat, limit: u64) -> u64 {
    let source = &endless(gib, usize::try_from(run).unwrap());
    let case = Case {
        source,
        gib,
        run,
        format,
        limit,
    };
    let mut bench = case.bench();
    bench.plan.targets[0].deadline_s = 24 * 3600;
    bench.plan.after.deadline_s = 24 * 3600;
    let at = bench.dir.path().join("crash");
    fs::create_dir(&at).unwrap();
    let session = sink::mount(&at);
    let data = case.capture(&bench);
    session.umount_and_join().unwrap();
    data
}

/// Too many runs for an ELF core, so a kdump file is written: the way of all formats at this size.
fn sixteen_tib(limit: u64) {
    let small = without_end(1, 1, OutputFormat::KdumpZstd, limit);
    let large = without_end(16 << 10, 1, OutputFormat::ElfZst, limit);
    assert!(large < small + 1024, "{small} and {large} KiB");
}

#[test]
#[ignore = "takes most of an hour and /dev/fuse"]
fn sixteen_tib_with_8_mib() {
    sixteen_tib(8);
}

#[test]
#[ignore = "takes most of an hour and /dev/fuse"]
fn sixteen_tib_with_16_mib() {
    sixteen_tib(16);
}

#[test]
#[ignore = "takes most of an hour and /dev/fuse"]
fn sixteen_tib_with_24_mib() {
    sixteen_tib(24);
}

#[test]
#[ignore = "takes a quarter of an hour and /dev/fuse"]
fn sixteen_tib_in_as_many_runs_as_an_elf_core_may_have() {
    without_end(16 << 10, 2048, OutputFormat::ElfZst, 8);
}
