//! Classification and `pages.map` under a hard limit on data, for memory maps that no test machine
//! could hold: the struct pages are made up while they are read, and every second page is kept.
//!
//! The work is done in a child process, because the limit (RLIMIT_DATA, set by the shell) covers a
//! whole process. The full 16 TiB take minutes and are run on request.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::process::Command;
use std::sync::Arc;
use synth::endless::{struct_page, vmcoreinfo};
use vmcore::addr::{Pfn, PfnRange, PhysAddr};
use vmcore::dump::map::{MapReader, MapWriter};
use vmcore::dump::{DumpInfo, Format, MemoryDump, ReadError};
use vmcore::kernel::Kernel;
use vmcore::mm::{Kind, Rules, walk_threads};
use vmcore::write::Runs;

/// The limit: 16 MiB, in the shell's units of 1024 bytes.
const LIMIT_KIB: u64 = 16 << 10;
const CHILD: &str = "AFTERPANIC_BOUNDED_GIB";

const MEMMAP: u64 = 0x2000_0000_0000;
const TABLES: u64 = 0x3000_0000_0000;
const VMEMMAP: u64 = 0xffff_ea00_0000_0000;
const ROOTS: u64 = TABLES + 0x10_0000;
const SECTIONS: u64 = TABLES + 0x20_0000;
const SECTION_PAGES: u64 = 32768;

/// RAM without end, every odd page free.
struct Endless {
    pages: u64,
    /// Two struct pages, as often as they go into 64 KiB.
    pattern: Vec<u8>,
    info: DumpInfo,
}

impl Endless {
    fn new(gib: u64) -> Self {
        let kernel_map = 0xffff_ffff_8000_0000;
        let text = vmcoreinfo(kernel_map, kernel_map + (ROOTS - TABLES), TABLES);
        Self {
            pages: gib << 18,
            pattern: [false, true].map(struct_page).concat().repeat(512),
            info: DumpInfo {
                vmcoreinfo: Some(text.into_bytes()),
                ..DumpInfo::new(Format::Elf)
            },
        }
    }

    /// The eight bytes at an aligned address of the tables.
    fn table_word(at: u64) -> u64 {
        let offset = at - TABLES;
        let page = offset & !0xfff;
        let index = offset % 4096 / 8;
        match page {
            // The top table points to the one table of 1 GiB pages that maps the memmap.
            0 if index == VMEMMAP >> 39 & 511 => (TABLES + 0x1000) | 3,
            0x1000 => (MEMMAP + (index << 30)) | 0x83,
            // A page of roots per 256 sections, each of 16 bytes.
            0x10_0000..0x20_0000 => {
                0xffff_ffff_8000_0000 + (SECTIONS - TABLES) + (offset - 0x10_0000) / 8 * 4096
            }
            0x20_0000.. if offset.is_multiple_of(16) => VMEMMAP | 0xf,
            _ => 0,
        }
    }
}

impl MemoryDump for Endless {
    fn read_phys(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        if addr.0 >= TABLES {
            for (n, byte) in buf.iter_mut().enumerate() {
                let at = addr.0 + n as u64;
                *byte = Self::table_word(at & !7).to_le_bytes()[(at & 7) as usize];
            }
        } else {
            let mut at = addr.0;
            for part in buf.chunks_mut(32 << 10) {
                let start = (at % 128) as usize;
                part.copy_from_slice(&self.pattern[start..start + part.len()]);
                at += part.len() as u64;
            }
        }
        Ok(())
    }

    fn next_present(&self, from: Pfn) -> Option<PfnRange> {
        (from.0 < self.pages).then(|| PfnRange::new(from, Pfn(self.pages)))
    }

    fn info(&self) -> &DumpInfo {
        &self.info
    }
}

fn classify(gib: u64) {
    // The limit is in force: without it this would succeed.
    let mut too_much: Vec<u8> = Vec::new();
    assert!(too_much.try_reserve_exact(17 << 20).is_err());

    let dump = Arc::new(Endless::new(gib));
    let pages = dump.pages;
    let kernel = Kernel::new(dump).unwrap();
    let rules = Rules::of(&kernel);
    let file = tempfile::tempfile().unwrap();
    let mut writer = MapWriter::new(std::io::BufWriter::new(file.try_clone().unwrap())).unwrap();
    let summary = walk_threads(&kernel, &rules, 2, &mut |run| writer.push(run)).unwrap();
    let (_, written) = writer.finish().unwrap();
    assert_eq!(summary.counts.of(Kind::Free), pages / 2);
    assert_eq!(summary.counts.of(Kind::Kernel), pages / 2);
    assert_eq!((summary.runs, written.runs), (pages, pages));

    let map = MapReader::open(Box::new(file)).unwrap();
    let mut kept = 0u64;
    map.kept(|kind| kind != Kind::Free)
        .for_each(&mut |run| {
            assert!(run.start.0 == kept * 2 && run.len() == 1);
            kept += 1;
            Ok(())
        })
        .unwrap();
    assert_eq!(kept, pages / 2);
    let last = map.kind_of(Pfn(pages - SECTION_PAGES - 1)).unwrap();
    assert_eq!(last, vmcore::dump::map::Lookup::Kind(Kind::Free));
    println!("peak {}", peak());
}

/// The most memory that this process had at once, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap()
}

/// Runs the test of this name in a child with the limit; the child's peak in KiB.
fn limited(test: &str, gib: u64) -> u64 {
    let script = format!("ulimit -d {LIMIT_KIB} && exec \"$@\"");
    let output = Command::new("sh")
        .args(["-c", &script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args([
            test,
            "--exact",
            "--include-ignored",
            "--test-threads=1",
            "--nocapture",
        ])
        .env(CHILD, gib.to_string())
        .env("RUST_MIN_STACK", "1048576")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let peak = text.lines().find_map(|line| line.split_once("peak "));
    peak.unwrap().1.trim().parse().unwrap()
}

fn in_child() -> Option<u64> {
    std::env::var(CHILD).ok()?.parse().ok()
}

#[test]
fn the_same_memory_for_one_gib_and_for_64() {
    if let Some(gib) = in_child() {
        return classify(gib);
    }
    let of = |gib| limited("the_same_memory_for_one_gib_and_for_64", gib);
    let (small, large) = (of(1), of(64));
    assert!(large < small + 1024, "{small} KiB, {large} KiB");
}

#[test]
#[ignore = "takes minutes; cargo xtask test --full runs it optimised"]
fn sixteen_tib_under_sixteen_mib_of_data() {
    match in_child() {
        Some(gib) => classify(gib),
        None => {
            let peak = limited("sixteen_tib_under_sixteen_mib_of_data", 16 << 10);
            assert!(peak < 32 << 10, "{peak} KiB");
        }
    }
}
