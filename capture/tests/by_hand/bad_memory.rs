//! Memory that cannot be mapped, or not be read: the whole binary on a source with injected faults.
//!
//! The source is a file in memory, sealed so that it cannot shrink: the image layer maps it through
//! the windows that /proc/vmcore has. A seccomp filter (seccomp(2); struct seccomp_data and the AUDIT_
//! numbers of include/uapi/linux) answers mmap(2) and pread(2) of chosen parts of it with an error; a
//! process inherits it from the thread that starts it. To install it is the `unsafe` of this file.

#![allow(unsafe_code)]

use super::{Bench, elf_of, page, walkable};
use dump::facts::{CoreFacts, Verdict};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::prctl::set_no_new_privs;
use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::os::fd::AsRawFd;
use store::CrashDir;
use store::manifest::{REPORT_JSON, REPORT_TXT};
use synth::elf::Elf;
use synth::memmap::{Series, Toy};
use synth::printk::legacy_record;
use vmcore::dump::{self as formats, MemoryDump, verify};
use vmcore::write::OutputFormat;

/// Bytes of a window: see `vmcore::dump::mapping`.
const WINDOW: u64 = 2 << 20;
/// Pages with known content.
const FILLED: Range<u64> = 19_968..26_000;
/// The page that holds the struct pages of page frames 19,968 to 20,031.
const STRUCT_PAGES: u64 = (0x100_0000 + 19_968 * 64) / 4096;
const UNTOLD: Range<u64> = 19_968..20_032;

/// A dead machine in a file that cannot shrink.
struct Source {
    file: File,
    toy: Toy,
    len: u64,
}

impl Source {
    fn new() -> Self {
        Self::with_poison(None)
    }

    /// Every page of `FILLED` has content of its own, every fifth of them a process owned.
    fn with_poison(pfn: Option<u64>) -> Self {
        let mut toy = Toy::new(Series::V6_12, 1);
        pfn.into_iter().for_each(|pfn| toy.poison(pfn));
        for pfn in FILLED {
            toy.put(pfn * 4096, &content(pfn));
            if pfn % 5 == 0 {
                toy.anon(pfn, 0);
            }
        }
        let info = toy.vmcoreinfo() + &log(&mut toy);
        let (start, end) = toy.ram[0];
        let mut data = vec![0_u8; usize::try_from((end - start) * 4096).unwrap()];
        for (pfn, page) in toy.memory.range(start..end) {
            let at = usize::try_from((pfn - start) * 4096).unwrap();
            data[at..at + 4096].copy_from_slice(&page[..]);
        }
        let elf = Elf::new()
            .note("VMCOREINFO", 0, info.as_bytes())
            .load(toy.direct_map(), start * 4096, &data)
            .build();
        Self::sealed(toy, &elf)
    }

    fn sealed(toy: Toy, elf: &[u8]) -> Self {
        let fd = memfd_create(
            "vmcore",
            MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING,
        );
        let mut file = File::from(fd.unwrap());
        file.write_all(elf).unwrap();
        fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK)).unwrap();
        let len = elf.len() as u64;
        Self { file, toy, len }
    }

    /// Its name for other processes.
    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }

    /// Where pages lie in the file: RAM is its end.
    fn bytes(&self, pages: Range<u64>) -> Range<u64> {
        let (start, end) = self.toy.ram[0];
        let at = self.len - (end - start) * 4096;
        at + (pages.start - start) * 4096..at + (pages.end - start) * 4096
    }

    /// The window that shows a page.
    fn window(&self, pfn: u64) -> Range<u64> {
        let first = self.bytes(pfn..pfn + 1).start / WINDOW * WINDOW;
        first..first + WINDOW
    }

    /// A capture of it under faults: exit code, what was said, the crash directory's facts.
    fn captured(&self, bench: &mut Bench, faults: &Faults) -> (i32, String) {
        bench.plan.source = self.path();
        bench.plan.dump.threads = Some(2);
        let bench = &*bench;
        let run = || {
            faults.install();
            bench.run()
        };
        std::thread::scope(|scope| scope.spawn(run).join().unwrap())
    }
}

/// Bytes that no other page has.
fn content(pfn: u64) -> [u8; 4096] {
    let mut page = [0; 4096];
    for (n, word) in page.chunks_exact_mut(8).enumerate() {
        word.copy_from_slice(&(pfn << 16 | n as u64).to_le_bytes());
    }
    page
}

/// Where the log's text is.
const LOG: u64 = 0x600_1000;

/// A log of one line in the toy; answers what VMCOREINFO says of it.
fn log(toy: &mut Toy) -> String {
    const AT: u64 = LOG - 4096;
    const KERNEL_MAP: u64 = 0xffff_ffff_8000_0000;
    let record = legacy_record(1, b"Kernel panic - not syncing: toy", b"");
    let len = u32::try_from(record.len()).unwrap();
    toy.put64(AT, KERNEL_MAP + AT + 4096);
    toy.put(AT + 8, &4096_u32.to_le_bytes());
    // The page has content of its own.
    toy.put64(AT + 16, 0);
    toy.put(AT + 24, &len.to_le_bytes());
    toy.put(AT + 4096, &record);
    let mut text = String::new();
    for (name, at) in [("", 0), ("_len", 8)] {
        text += &format!("SYMBOL(log_buf{name})={:x}\n", KERNEL_MAP + AT + at);
    }
    for (name, at) in [("first", 16), ("next", 24)] {
        text += &format!("SYMBOL(log_{name}_idx)={:x}\n", KERNEL_MAP + AT + at);
    }
    text + "SIZE(printk_log)=16\nOFFSET(printk_log.ts_nsec)=0\nOFFSET(printk_log.len)=8\n\
            OFFSET(printk_log.text_len)=10\nOFFSET(printk_log.dict_len)=12\n"
}

/// What the kernel refuses, by the source's file offsets.
#[derive(Default)]
struct Faults {
    /// mmap(2) of any of it: EAGAIN, as where memory types conflict.
    unmappable: Vec<Range<u64>>,
    /// pread(2) of any of it: EIO.
    unreadable: Vec<Range<u64>>,
}

impl Faults {
    /// The filter as a program for struct seccomp_data: number at 0, architecture at 4, arguments of
    /// eight bytes from 16 on. Every fault is a few steps of its own; what no fault answers is allowed.
    fn program(&self) -> Vec<libc::sock_filter> {
        const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
        const JUMP: u32 = libc::BPF_JMP | libc::BPF_K;
        const TO_X: u32 = libc::BPF_MISC | libc::BPF_TAX;
        const ADD_X: u32 = libc::BPF_ALU | libc::BPF_ADD | libc::BPF_X;
        const RET: u32 = libc::BPF_RET | libc::BPF_K;
        const X86_64: u32 = 0xc000_003e;
        const ARGS: u32 = 16;
        let op = |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter {
            code: u16::try_from(code).unwrap(),
            jt,
            jf,
            k,
        };
        let is = |what: u32, k: u32, jt: u8, jf: u8| op(JUMP | what, k, jt, jf);
        let number = |n: i64| u32::try_from(n).unwrap();
        let allow = op(RET, libc::SECCOMP_RET_ALLOW, 0, 0);
        let refuse = |errno: i32| {
            let errno = u32::try_from(errno).unwrap();
            op(RET, libc::SECCOMP_RET_ERRNO | errno, 0, 0)
        };
        // Bytes `offset` to `offset + len` against a range, by the numbers of the arguments.
        let overlaps = |len: u32, offset: u32, range: &Range<u64>, errno: i32| {
            [
                op(LOAD, ARGS + 8 * len, 0, 0),
                op(TO_X, 0, 0, 0),
                op(LOAD, ARGS + 8 * offset, 0, 0),
                is(libc::BPF_JGE, u32::try_from(range.end).unwrap(), 3, 0),
                op(ADD_X, 0, 0, 0),
                is(libc::BPF_JGT, u32::try_from(range.start).unwrap(), 0, 1),
                refuse(errno),
            ]
        };
        let mut program = vec![
            op(LOAD, 4, 0, 0),
            is(libc::BPF_JEQ, X86_64, 1, 0),
            allow,
            op(LOAD, 0, 0, 0),
        ];
        for range in &self.unmappable {
            program.push(op(LOAD, 0, 0, 0));
            program.push(is(libc::BPF_JEQ, number(libc::SYS_mmap), 0, 9));
            // Ordinary memory has no file.
            program.push(op(LOAD, ARGS + 8 * 3, 0, 0));
            let anonymous = u32::try_from(libc::MAP_ANONYMOUS).unwrap();
            program.push(is(libc::BPF_JSET, anonymous, 7, 0));
            program.extend(overlaps(1, 5, range, libc::EAGAIN));
        }
        for range in &self.unreadable {
            program.push(op(LOAD, 0, 0, 0));
            program.push(is(libc::BPF_JEQ, number(libc::SYS_pread64), 0, 7));
            program.extend(overlaps(2, 3, range, libc::EIO));
        }
        program.push(allow);
        program
    }

    /// Puts this thread, and what it starts from now on, under the filter.
    fn install(&self) {
        let mut program = self.program();
        let filter = libc::sock_fprog {
            len: u16::try_from(program.len()).unwrap(),
            filter: program.as_mut_ptr(),
        };
        set_no_new_privs().unwrap();
        // SAFETY: the structure and the `len` steps that it points to outlive the call, which copies
        // them.
        let answer = unsafe {
            let mode = libc::c_ulong::from(libc::SECCOMP_MODE_FILTER);
            libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const filter)
        };
        assert_eq!(answer, 0, "{}", std::io::Error::last_os_error());
    }
}

/// The one crash directory of a bench.
struct Left {
    core: CoreFacts,
    verdict: Verdict,
    dump: std::sync::Arc<dyn MemoryDump>,
    dir: std::path::PathBuf,
}

fn result(bench: &Bench) -> Left {
    let dir = bench.crashes().pop().unwrap();
    let manifest = CrashDir::open(&dir).unwrap().manifest().unwrap();
    let core = manifest.core.unwrap();
    let dump = formats::open(&dir.join(&core.file)).unwrap();
    Left {
        core,
        verdict: manifest.verdict,
        dump,
        dir,
    }
}

/// Every page of RAM in a core against the machine's; answers those that hold the pattern instead.
fn compare(core: &dyn MemoryDump, source: &Source, kept: &dyn Fn(u64) -> bool) -> Vec<u64> {
    let pattern = [0xed, 0xfe, 0xad, 0xde].repeat(1024);
    let mut lost = Vec::new();
    let (start, end) = source.toy.ram[0];
    for pfn in start..end {
        let found = page(core, pfn);
        if found.as_deref() == Some(&pattern[..]) {
            lost.push(pfn);
            continue;
        }
        let truth = source.toy.memory.get(&pfn).map_or([0; 4096], |page| **page);
        assert_eq!(found.is_some(), kept(pfn), "page {pfn}");
        assert!(found.is_none_or(|page| page == truth), "page {pfn}");
    }
    lost
}

/// What `verify` says of a core: lost pages, and its words.
fn verified(core: &dyn MemoryDump) -> (u64, String) {
    let mut words = String::new();
    let mut found = |damage: verify::Damage| words += &format!("{damage}\n");
    let sum = verify::verify(core, &mut |_| {}, &mut found).unwrap();
    (sum.pages_lost, words)
}

fn anon(pfn: u64) -> bool {
    FILLED.contains(&pfn) && pfn.is_multiple_of(5)
}

#[test]
fn what_cannot_be_mapped_is_read_and_what_cannot_be_read_is_named() {
    let source = Source::new();
    let lost = [20_501, 23_001, 23_002, 23_003, 24_004];
    for format in [OutputFormat::ElfZst, OutputFormat::KdumpZstd] {
        let mut whole = Bench::new();
        whole.plan.dump.format = Some(format);
        let (code, said) = source.captured(&mut whole, &Faults::default());
        let whole = result(&whole);
        // The toy has no symbols, so there is no report.
        assert_eq!((code, whole.verdict), (4, Verdict::Degraded), "{said}");
        assert_eq!(whole.core.verdict, Verdict::Complete, "{said}");
        let nothing: [u64; 0] = [];
        assert_eq!(compare(&*whole.dump, &source, &|pfn| !anon(pfn)), nothing);

        // One window that cannot be mapped, with nothing wrong in it; two with pages that cannot be
        // read either; one that can be mapped and not be read: it is never asked to.
        let faults = Faults {
            unmappable: vec![source.window(21_600), source.window(20_501), {
                let two = source.window(23_001);
                two.start..source.window(24_004).end
            }],
            unreadable: vec![
                source.bytes(20_501..20_502),
                source.bytes(23_001..23_004),
                source.bytes(24_004..24_005),
                source.window(25_600),
            ],
        };
        let mut bench = Bench::new();
        bench.plan.dump.format = Some(format);
        let (code, said) = source.captured(&mut bench, &faults);
        let bad = result(&bench);
        assert_eq!((code, bad.verdict), (5, Verdict::Incomplete), "{said}");
        assert!(bad.dir.to_str().unwrap().ends_with(".incomplete"));
        assert_eq!(compare(&*bad.dump, &source, &|pfn| !anon(pfn)), lost);
        assert_eq!(bad.core.pages.missing, 5);
        let names: Vec<String> = lost.iter().map(|pfn| format!("{pfn:#x}")).collect();
        assert_eq!(bad.core.missing_first, names);
        assert_eq!(bad.core.soft_errors, ["5 pages could not be read"]);
        // Nothing else is different.
        let counts = |core: &CoreFacts| (core.pages.ram, core.pages.kept, core.pages.zero);
        assert_eq!(counts(&bad.core), counts(&whole.core));
        assert_eq!(bad.core.kinds, whole.core.kinds);
        let (pages, words) = verified(&*bad.dump);
        assert_eq!(pages, 5, "{words}");
        for name in [&names[0], &names[1], &names[4]] {
            assert!(words.contains(name.as_str()), "{words}");
        }
        assert!(words.contains("could not be read"), "{words}");
    }
}

#[test]
fn a_poisoned_page_of_the_log_is_not_read() {
    for (poison, read) in [(None, true), (Some(LOG / 4096), false)] {
        let source = Source::with_poison(poison);
        let mut bench = Bench::new();
        let (_, said) = source.captured(&mut bench, &Faults::default());
        let log = bench.crashes().pop().unwrap().join("dmesg.txt");
        let text = std::fs::read_to_string(log).unwrap_or_default();
        assert_eq!(text.contains("Kernel panic"), read, "{text}\n{said}");
    }
}

/// Struct pages in memory that cannot be read: their pages are kept, unless something is forbidden.
#[test]
fn pages_of_no_known_kind_are_kept_unless_something_is_forbidden() {
    let source = Source::new();
    let faults = Faults {
        unmappable: vec![source.window(STRUCT_PAGES)],
        unreadable: vec![source.bytes(STRUCT_PAGES..STRUCT_PAGES + 1)],
    };
    for (never, kept) in [(vec![], true), (vec!["user".to_owned()], false)] {
        let mut bench = Bench::new();
        bench.plan.dump.never = never;
        let (code, said) = source.captured(&mut bench, &faults);
        let bad = result(&bench);
        // The page itself is the kernel's, and lost.
        assert_eq!((code, bad.verdict), (5, Verdict::Incomplete), "{said}");
        let expected = |pfn| match UNTOLD.contains(&pfn) {
            true => kept,
            false => !anon(pfn),
        };
        assert_eq!(compare(&*bad.dump, &source, &expected), [STRUCT_PAGES]);
        let unknown = bad.core.kinds["unknown"];
        assert_eq!((unknown.pages, unknown.kept), (64, kept));
        let words = bad.core.soft_errors.join("\n");
        assert!(words.contains("struct pages of 64 pages"), "{words}");
        assert_eq!(words.contains("are left out"), !kept, "{words}");
    }
}

/// A machine whose structures can be walked, and one of its tasks in a page that cannot be read.
#[test]
fn the_report_is_made_and_says_that_pages_are_lost() {
    let machine = walkable();
    let pages: Vec<(u64, &[u8])> = machine.ram.pages().collect();
    let named = |page: &[u8]| page.windows(6).any(|part| part == b"seven\0");
    let seven = pages.iter().position(|(_, page)| named(page)).unwrap();
    let file = elf_of(&machine);
    let at = (file.len() - (pages.len() - seven) * 4096) as u64;
    let source = Source::sealed(Toy::new(Series::V6_12, 1), &file);
    let page = || std::iter::once(at..at + 4096).collect();
    let faults = Faults {
        unmappable: page(),
        unreadable: page(),
    };
    let mut bench = Bench::new();
    bench.plan.dump.allow_unfiltered = true;
    let (code, said) = source.captured(&mut bench, &faults);
    assert_eq!(code, 5, "{said}");
    let bad = result(&bench);
    let name = format!("{:#x}", pages[seven].0);
    assert_eq!(bad.core.missing_first, [name], "{said}");
    let read = |name| std::fs::read_to_string(bad.dir.join(name)).unwrap();
    assert!(read(REPORT_JSON).contains("afterpanic.report/1"), "{said}");
    let text = read(REPORT_TXT);
    assert!(text.contains("1 pages could not be read"), "{text}");
}
