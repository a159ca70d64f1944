//! The capture kernel's binary, on a file: `afterpanic-capture PLAN`.

// Helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod bad_memory;
mod bounded;
mod full;
mod hooks;
mod limits;
mod raw;
mod report_only;
mod sealed;
mod shared;
mod sink;

use dump::allowed;
use dump::facts::Verdict;
use dump::{ConvertError, Request, convert};
use dump::{Level, Policy};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plan::{Directory, FinalAction, FirstKernel, Plan, Target, TargetKind};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use store::CrashDir;
use synth::elf::Elf;
use synth::machine::{Machine, Spec};
use synth::memmap::{Series, Toy};
use vmcore::addr::{Pfn, PfnRange, PhysAddr};
use vmcore::dump::{self as formats, Completeness, MemoryDump};
use vmcore::kernel::Kernel;
use vmcore::mm::Kind;
use vmcore::write::OutputFormat;

/// Pages of the toy that hold something known: (page frame, first byte).
const KEPT: [(u64, u8); 3] = [(4096, 0x11), (9000, 0x22), (20_000, 0x33)];
/// One that a process owned.
const ANON: u64 = 12_000;

fn toy(path: &Path) -> Toy {
    toy_without(path, "no such key")
}

/// The toy, with a kernel that does not say `key` of itself.
fn toy_without(path: &Path, key: &str) -> Toy {
    let mut toy = Toy::new(Series::V6_12, 1);
    for (pfn, byte) in KEPT {
        toy.put(pfn * 4096, &[byte; 4096]);
    }
    toy.anon(ANON, 0);
    toy.put(ANON * 4096, &[0x77; 4096]);
    toy.free(16_384, 8);
    write(&toy, path, key);
    toy
}

fn write(toy: &Toy, path: &Path, key: &str) {
    let (start, end) = toy.ram[0];
    let mut data = vec![0_u8; usize::try_from((end - start) * 4096).unwrap()];
    for (pfn, page) in toy.memory.range(start..end) {
        let at = usize::try_from((pfn - start) * 4096).unwrap();
        data[at..at + 4096].copy_from_slice(&page[..]);
    }
    let info = toy.vmcoreinfo();
    let info: Vec<&str> = info.lines().filter(|line| !line.contains(key)).collect();
    let elf = Elf::new()
        .note("VMCOREINFO", 0, (info.join("\n") + "\n").as_bytes())
        .load(toy.direct_map(), start * 4096, &data)
        .build();
    fs::write(path, elf).unwrap();
}

struct Bench {
    dir: tempfile::TempDir,
    plan: Plan,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut plan = Plan::new(FirstKernel {
            nodename: "toy".into(),
            ..FirstKernel::default()
        });
        plan.source = dir.path().join("vmcore").to_string_lossy().into_owned();
        plan.targets.push(Target {
            kind: TargetKind::Directory(Directory {
                path: dir.path().join("crash").to_string_lossy().into_owned(),
            }),
            deadline_s: 600,
            device_wait_s: 1,
            takes: plan::Takes::Dump,
            keep: None,
        });
        plan.keep.free = 0;
        plan.after.success = FinalAction::Exit;
        plan.after.failure = FinalAction::Exit;
        Self { dir, plan }
    }

    fn start(&self) -> Child {
        let path = self.dir.path().join("plan.json");
        fs::create_dir_all(self.dir.path().join("crash")).unwrap();
        fs::write(&path, self.plan.to_json().unwrap()).unwrap();
        Command::new(env!("CARGO_BIN_EXE_afterpanic-capture"))
            .arg(path)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Exit code and what was said.
    fn run(&self) -> (i32, String) {
        let output = self.start().wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().unwrap(), said)
    }

    fn crashes(&self) -> Vec<PathBuf> {
        let mut dirs: Vec<_> = fs::read_dir(self.dir.path().join("crash"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        dirs.sort();
        dirs
    }
}

fn page(dump: &dyn MemoryDump, pfn: u64) -> Option<Vec<u8>> {
    let mut page = vec![0; 4096];
    dump.read_phys(PhysAddr(pfn * 4096), &mut page)
        .ok()
        .map(|()| page)
}

#[test]
fn a_core_arrives_with_little_memory() {
    for limit in [8, 24] {
        let mut bench = Bench::new();
        toy(Path::new(&bench.plan.source));
        bench.plan.dump.worker_memory = Some(limit << 20);
        bench.plan.dump.threads = Some(2);
        bench.plan.dump.host_tag = (limit == 24).then(|| "tag".into());
        let (code, said) = bench.run();
        // The toy has no log, so it cannot be complete.
        assert_eq!(code, 5, "{said}");
        let dirs = bench.crashes();
        assert_eq!(dirs.len(), 1);
        let dir = &dirs[0];
        let name = dir.file_name().unwrap().to_string_lossy();
        assert_eq!(name.starts_with("tag-"), limit == 24, "{name}");
        assert!(dir.to_str().unwrap().ends_with(".incomplete"), "{dir:?}");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(dir), 0o700);
        for entry in fs::read_dir(dir).unwrap() {
            assert_eq!(mode(&entry.unwrap().path()), 0o600);
        }
        let manifest = CrashDir::open(dir).unwrap().manifest().unwrap();
        assert_eq!(manifest.verdict, Verdict::Incomplete);
        let core = manifest.core.unwrap();
        assert_eq!(core.pages.missing, 0);
        assert_eq!(core.kinds["anon"].pages, 1);
        assert_eq!(core.kinds["free"].pages, 256);
        assert_eq!(core.pages.kept + 257, core.pages.ram);
        assert!(core.pages.zero > core.pages.kept / 2);
        let dump = formats::open(&dir.join(&core.file)).unwrap();
        for (pfn, byte) in KEPT {
            assert_eq!(page(&*dump, pfn).unwrap(), [byte; 4096]);
        }
        assert_eq!(page(&*dump, ANON), None);
        assert_eq!(page(&*dump, 16_384), None);
    }
}

/// What is kept of a compressed core while it is read is not the worker's.
#[test]
fn a_compressed_core_is_captured_with_little_memory() {
    let first = Bench::new();
    let path = PathBuf::from(&first.plan.source);
    let mut toy = Toy::new(Series::V6_12, 1);
    let mut noise = 1_u64;
    let mut page = [0; 4096];
    for pfn in 17_408..17_408 + 64 * 120 {
        for word in page.chunks_exact_mut(8) {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            word.copy_from_slice(&noise.to_le_bytes());
        }
        toy.put(pfn * 4096, &page);
    }
    write(&toy, &path, "no such key");
    let (code, said) = first.run();
    assert_eq!(code, 5, "{said}");
    for format in [OutputFormat::KdumpZstd, OutputFormat::ElfZst] {
        let mut bench = Bench::new();
        let core = first.crashes()[0].join("vmcore.elf.zst");
        bench.plan.source = core.to_string_lossy().into_owned();
        bench.plan.dump.worker_memory = Some(8 << 20);
        bench.plan.dump.threads = Some(2);
        bench.plan.dump.format = Some(format);
        let (code, said) = bench.run();
        assert_eq!(code, 5, "{said}");
        let core = CrashDir::open(&bench.crashes()[0])
            .unwrap()
            .manifest()
            .unwrap()
            .core;
        assert_eq!(core.expect(&said).pages.missing, 0, "{said}");
    }
}

/// Without the mark of slab pages, memory of processes cannot be told from slab for certain.
#[test]
fn what_is_forbidden_is_not_written_when_it_cannot_be_told() {
    for (never, written) in [(vec![], true), (vec!["user".to_owned()], false)] {
        let mut bench = Bench::new();
        toy_without(Path::new(&bench.plan.source), "PAGE_SLAB_MAPCOUNT_VALUE");
        bench.plan.dump.never = never;
        bench.plan.dump.allow_unfiltered = true;
        let (_, said) = bench.run();
        let dir = &bench.crashes()[0];
        let manifest = CrashDir::open(dir).unwrap().manifest().unwrap();
        let core = manifest
            .core
            .map(|core| formats::open(&dir.join(&core.file)).unwrap());
        // Without the wish it is kept: what is not understood is.
        assert_eq!(core.is_some(), written, "{said}");
        if let Some(core) = core {
            assert_eq!(page(&*core, ANON).unwrap()[0], 0x77);
        } else {
            assert!(said.contains("kind anon must never be written"), "{said}");
        }
    }
}

/// Without `mem_section` no page has a kind. Without any key not even the kernel is found.
#[test]
fn all_pages_need_no_classification() {
    for (key, level, never, written, exit) in [
        ("mem_section", Level::ALL, vec![], true, 5),
        ("mem_section", Level::ALL, vec!["user".to_owned()], false, 5),
        ("mem_section", Level::STANDARD, vec![], false, 5),
        ("=", Level::ALL, vec![], true, 5),
        // There is no log to save either.
        ("=", Level::ALL, vec!["user".to_owned()], false, 1),
        ("=", Level::STANDARD, vec![], false, 1),
    ] {
        let mut bench = Bench::new();
        toy_without(Path::new(&bench.plan.source), key);
        bench.plan.dump.level = level;
        bench.plan.dump.never = never;
        let (code, said) = bench.run();
        assert_eq!(code, exit, "{said}");
        let dir = &bench.crashes()[0];
        let core = CrashDir::open(dir).unwrap().manifest().unwrap().core;
        assert_eq!(core.is_some(), written, "{said}");
        if let Some(core) = core {
            assert_eq!(core.verdict, Verdict::Degraded, "{:?}", core.soft_errors);
            assert!(core.soft_errors[0].contains("were not classified"));
            assert_eq!(core.pages.kept, core.pages.ram);
            assert!(!dir.join("pages.map").exists());
            let core = formats::open(&dir.join(&core.file)).unwrap();
            assert_eq!(page(&*core, ANON).unwrap()[0], 0x77);
        }
    }
}

#[test]
fn a_few_pages_are_looked_up_before_they_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vmcore");
    let mut built = toy(&path);
    built.poison(9000);
    built.offline(9001);
    write(&built, &path, "no such key");
    let kernel = Kernel::new(formats::open(&path).unwrap()).unwrap();
    let range = |start, end| PfnRange::new(Pfn(start), Pfn(end));
    let ranges = [
        range(4096, 4098),
        range(8999, 9003),
        range(ANON - 1, ANON + 1),
    ];
    let policy = |never: &[String]| Policy::new(Level::Essential, &[], never);
    let (kept, left_out) = allowed(&kernel, &ranges, policy(&[])).unwrap();
    assert_eq!(
        kept,
        [
            range(4096, 4098),
            range(8999, 9000),
            range(9002, 9003),
            range(ANON - 1, ANON + 1)
        ]
    );
    assert_eq!(
        (left_out.of(Kind::HwPoison), left_out.of(Kind::Offline)),
        (1, 1)
    );
    let (kept, left_out) = allowed(&kernel, &ranges, policy(&["user".to_owned()])).unwrap();
    assert_eq!(kept.last(), Some(&range(ANON - 1, ANON)));
    assert_eq!(left_out.of(Kind::Anon), 1);
}

/// A machine whose structures can be walked, with a process called seven; it has no struct pages.
fn walkable() -> Machine {
    let mut machine = Machine::new(1, true);
    machine.process(Spec {
        pid: 7,
        comm: "seven",
        rss: Some([1, 1, 1, 1]),
        ..Spec::default()
    });
    machine
}

fn elf_of(machine: &Machine) -> Vec<u8> {
    let mut elf = Elf::new().note("VMCOREINFO", 0, machine.ram.text.as_bytes());
    for (pfn, page) in machine.ram.pages() {
        // Without an address of its own, as QEMU writes them.
        elf = elf.load((pfn * 4096).wrapping_neg(), pfn * 4096, page);
    }
    elf.build()
}

fn has_seven(core: &Path) -> bool {
    let core = Kernel::new(formats::open(core).unwrap()).unwrap();
    let options = analysis::tasks::Options {
        command_lines: false,
        idle: false,
    };
    let tasks = analysis::tasks::read(&core, options).unwrap();
    tasks.tasks.iter().any(|task| task.comm == "seven")
}

#[test]
fn a_core_is_converted_to_its_essential_pages() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, out) = (
        dir.path().join("vmcore"),
        dir.path().join("essential.kdump"),
    );
    let convert_to = |out: &Path, format| {
        let request = Request {
            dump: formats::open(&whole).unwrap(),
            out,
            format,
            level: Some(Level::Essential),
            codec_level: None,
            threads: 1,
        };
        convert(&request, &mut |_, _| {})
    };
    fs::write(&whole, elf_of(&walkable())).unwrap();
    let done = convert_to(&out, OutputFormat::KdumpZstd).unwrap();
    let all = fs::metadata(&whole).unwrap().len() / 4096;
    let (kept, missing) = (done.stats.pages, done.stats.missing);
    assert!(kept > 10 && kept < all && missing == 0, "{kept} of {all}");
    // There was nothing to tell poisoned pages by.
    let said = done.warnings.join("\n");
    assert!(said.contains("were not looked up"), "{said}");
    assert!(has_seven(&out));
    // Without symbols there is no walk, and no file.
    toy(&whole);
    let out = dir.path().join("no.elf");
    let error = convert_to(&out, OutputFormat::Elf).unwrap_err();
    assert!(matches!(error, ConvertError::Kernel(_)), "{error}");
    assert!(!out.exists());
}

/// A machine whose structures can be walked and whose struct pages cannot be found: with a wish that
/// something never be written the essential pages are dropped, and the report stays.
#[test]
fn essential_pages_of_no_known_kind_are_dropped_when_something_is_forbidden() {
    for (never, written) in [(vec![], true), (vec!["user".to_owned()], false)] {
        let mut bench = Bench::new();
        fs::write(&bench.plan.source, elf_of(&walkable())).unwrap();
        bench.plan.dump.never = never;
        bench.plan.dump.level = Level::Essential;
        let (_, said) = bench.run();
        let dir = &bench.crashes()[0];
        let essential = dir.join("essential.elf.zst");
        assert_eq!(essential.exists(), written, "{said}");
        let report = std::fs::read(dir.join("report.json")).unwrap();
        let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
        assert_eq!(report["schema"], "afterpanic.report/1", "{said}");
        if written {
            // The source is the toy without its struct pages, and not one that cannot be walked.
            assert!(
                said.contains("kinds of the essential pages are not known"),
                "{said}"
            );
            assert!(has_seven(&essential));
        } else {
            assert!(
                said.contains("needs the kinds of pages, which are not known"),
                "{said}"
            );
        }
    }
}

#[test]
fn a_core_cut_off_anywhere_opens_and_never_lies() {
    let mut bench = Bench::new();
    toy(Path::new(&bench.plan.source));
    bench.plan.dump.threads = Some(1);
    bench.run();
    let dir = &bench.crashes()[0];
    let bytes = fs::read(dir.join("vmcore.elf.zst")).unwrap();
    let whole = formats::open(&dir.join("vmcore.elf.zst")).unwrap();
    let cut = dir.join("cut");
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut opened = 0;
    for _ in 0..200 {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let len = usize::try_from(seed % bytes.len() as u64).unwrap();
        fs::write(&cut, &bytes[..len]).unwrap();
        // Before the headers are whole there is nothing to open.
        let Ok(dump) = formats::open(&cut) else {
            assert!(len < 64 << 10, "cut at {len} does not open");
            continue;
        };
        opened += 1;
        let complete = dump.info().completeness == Completeness::Complete;
        assert!(!complete, "cut at {len} of {}", bytes.len());
        for pfn in (0..32_768).step_by(509).chain(KEPT.map(|(pfn, _)| pfn)) {
            if let Some(page) = page(&*dump, pfn) {
                assert_eq!(Some(page), self::page(&*whole, pfn), "cut at {len}");
            }
        }
        assert!(dump.next_present(Pfn(0)).is_some() || len < 64 << 10);
    }
    assert!(opened > 100, "{opened}");
}

/// A source without an end, as far as a test goes: a terabyte of zeros without VMCOREINFO, which is
/// searched for.
fn hung() -> Bench {
    const SIZE: u64 = 1 << 40;
    let mut bench = Bench::new();
    let mut header = vec![0_u8; 4096];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    // The ELF64 header of a core for x86_64, and one program header (elf.h).
    put(0, b"\x7fELF\x02\x01\x01");
    put(16, &4_u16.to_le_bytes());
    put(18, &62_u16.to_le_bytes());
    put(20, &1_u32.to_le_bytes());
    put(32, &64_u64.to_le_bytes());
    put(52, &64_u16.to_le_bytes());
    put(54, &56_u16.to_le_bytes());
    put(56, &1_u16.to_le_bytes());
    put(64, &1_u32.to_le_bytes());
    put(64 + 8, &4096_u64.to_le_bytes());
    put(64 + 16, &0xffff_8880_0000_0000_u64.to_le_bytes());
    put(64 + 32, &SIZE.to_le_bytes());
    put(64 + 40, &SIZE.to_le_bytes());
    fs::write(&bench.plan.source, header).unwrap();
    let source = fs::OpenOptions::new().write(true).open(&bench.plan.source);
    source.unwrap().set_len(4096 + SIZE).unwrap();
    bench.plan.targets[0].deadline_s = 2;
    bench.plan.after.deadline_s = 4;
    bench
}

#[test]
fn a_child_that_hangs_is_given_up() {
    let bench = hung();
    let begun = Instant::now();
    let (code, said) = bench.run();
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("log: not done within 2 s"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_child_that_is_killed_costs_its_step() {
    let bench = hung();
    let supervisor = bench.start();
    let children = format!("/proc/{0}/task/{0}/children", supervisor.id());
    let begun = Instant::now();
    let mut killed = false;
    while !killed && begun.elapsed() < Duration::from_secs(2) {
        for pid in fs::read_to_string(&children).unwrap_or_default().split(' ') {
            // The child of the step that reads the source is at work by then.
            if begun.elapsed() > Duration::from_secs(1) {
                killed |= pid
                    .parse()
                    .is_ok_and(|pid| kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok());
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = supervisor.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(killed && said.contains("log: was killed"), "{said}");
    assert_eq!(output.status.code(), Some(1));
}
