//! The ELF reader on cores made by `synth`.

use super::*;
use std::fs;
use std::path::PathBuf;
use synth::elf::{Elf, pages};

struct File {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

fn store(bytes: &[u8]) -> File {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("core");
    fs::write(&path, bytes).unwrap();
    File { _dir: dir, path }
}

fn open(bytes: &[u8]) -> Arc<dyn MemoryDump> {
    super::super::open(&store(bytes).path).unwrap()
}

fn read(dump: &dyn MemoryDump, addr: u64, len: usize) -> Result<Vec<u8>, ReadError> {
    let mut buf = vec![0; len];
    dump.read_phys(PhysAddr(addr), &mut buf).map(|()| buf)
}

fn range(start: u64, end: u64) -> Option<PfnRange> {
    Some(PfnRange::new(Pfn(start), Pfn(end)))
}

const BASE: u64 = 0xffff_8dd2_c000_0000;

#[test]
fn memory_notes_and_mappings_of_a_plain_core() {
    let low = pages(1, 3);
    let high = pages(2, 2);
    let core = Elf::new()
        .load(BASE, 0x10_0000, &high)
        .load(BASE, 0x1000, &low)
        .alias(0, 0x1000, 0xffff_ffff_8120_1000, 0x10_1000, 0x1000)
        .note("CORE", 1, &[3; 336])
        .note("VMCOREINFO", 0, b"OSRELEASE=6.9\n")
        .build();
    let dump = open(&core);
    assert_eq!(dump.next_present(Pfn(0)), range(1, 4));
    assert_eq!(dump.next_present(Pfn(2)), range(2, 4));
    assert_eq!(dump.next_present(Pfn(4)), range(0x100, 0x102));
    assert_eq!(dump.next_present(Pfn(0x102)), None);
    assert_eq!(read(&*dump, 0x1000, 3 * 4096).unwrap(), low);
    assert_eq!(read(&*dump, 0x10_0ff0, 0x20).unwrap(), high[0xff0..0x1010]);
    let beyond = read(&*dump, 0x3fff, 2).unwrap_err();
    let ReadError::Absent { pfn, why } = beyond else {
        panic!("{beyond}")
    };
    assert_eq!((pfn, why), (Pfn(4), Absence::NotInDump));
    assert!(matches!(
        read(&*dump, u64::MAX, 2),
        Err(ReadError::Overflow { .. })
    ));
    let info = dump.info();
    assert_eq!(info.format, Format::Elf);
    assert_eq!((info.machine, info.segments), (62, Some(3)));
    assert_eq!(info.direct_map_base, Some(BASE));
    let kernel = info.kernel_image.unwrap();
    assert_eq!(
        (kernel.vaddr.0, kernel.paddr.0, kernel.size),
        (0xffff_ffff_8120_1000, 0x10_1000, 0x1000)
    );
    assert_eq!(
        info.vmcoreinfo.as_deref(),
        Some(b"OSRELEASE=6.9\n".as_slice())
    );
    assert_eq!(info.notes.len(), 2);
    assert_eq!(info.completeness, Completeness::Unknown);
}

#[test]
fn the_count_may_stand_in_section_zero_before_the_program_headers() {
    let data = pages(9, 1);
    let dump = open(
        &Elf::new()
            .load(BASE, 0x7000, &data)
            .extended_count()
            .sections_first()
            .build(),
    );
    assert_eq!(dump.next_present(Pfn(0)), range(7, 8));
    assert_eq!(read(&*dump, 0x7000, 4096).unwrap(), data);
}

#[test]
fn seventy_thousand_segments() {
    let data = pages(5, 1);
    let mut core = Elf::new();
    for n in 0..70_000_u64 {
        core = core.load(BASE, n * 0x2000, &data[..8]);
    }
    core = core.load(BASE, 0x7000_0000, &data);
    let dump = open(&core.build());
    assert_eq!(dump.info().segments, Some(70_001));
    assert_eq!(dump.next_present(Pfn(1)), range(2, 3));
    assert_eq!(dump.next_present(Pfn(0x6_0000)), range(0x70000, 0x70001));
    assert_eq!(read(&*dump, 69_999 * 0x2000, 8).unwrap(), data[..8]);
}

#[test]
fn what_a_segment_leaves_out_was_excluded() {
    let data = pages(3, 2);
    let dump = open(
        &Elf::new()
            .short_load(0x4000, &data, 0x5000)
            .load(BASE, 0x9000, &data)
            .build(),
    );
    assert_eq!(dump.next_present(Pfn(0)), range(4, 6));
    assert_eq!(dump.next_ram(Pfn(0)), range(4, 0xb));
    assert_eq!(dump.absence(Pfn(6)), Absence::Excluded);
    assert_eq!(dump.absence(Pfn(0xb)), Absence::NotInDump);
    assert!(read(&*dump, 0x5fff, 2).is_err());
}

#[test]
fn a_core_cut_short_gives_what_it_has() {
    let data = pages(4, 4);
    let mut core = Elf::new().load(BASE, 0x4000, &data).build();
    core.truncate(core.len() - 4096 - 100);
    let dump = open(&core);
    assert_eq!(dump.next_present(Pfn(0)), range(4, 6));
    assert_eq!(dump.next_claimed(Pfn(0)), range(4, 8));
    assert_eq!(dump.absence(Pfn(7)), Absence::Truncated);
    assert_eq!(dump.absence(Pfn(8)), Absence::NotInDump);
    assert!(matches!(
        dump.info().completeness,
        Completeness::Incomplete(_)
    ));
    let mut damage = Vec::new();
    let sum = super::super::verify::verify(&*dump, &mut |_| (), &mut |d| damage.push(d)).unwrap();
    assert_eq!((sum.pages_good, sum.pages_lost, sum.damages), (2, 2, 1));
    let lost = Damage::Pages {
        pages: PfnRange::new(Pfn(6), Pfn(8)),
        why: Absence::Truncated,
    };
    assert_eq!(damage, [lost]);
}

#[test]
fn bad_notes_and_counts_are_soft_errors() {
    let data = pages(4, 1);
    let core = Elf::new()
        .load(BASE, 0x4000, &data)
        .note("CORE", 1, &[1; 10])
        .raw_note(&[0xff; 24])
        .build();
    let dump = open(&core);
    assert_eq!(dump.info().notes.len(), 1);
    assert_eq!(dump.info().warnings.len(), 1, "{:?}", dump.info().warnings);
    let mut hostile = core;
    hostile[56..58].copy_from_slice(&0xfffe_u16.to_le_bytes());
    let dump = open(&hostile);
    assert!(
        dump.info()
            .warnings
            .iter()
            .any(|w| w.contains("65534 program headers"))
    );
}

#[test]
fn segments_at_the_top_of_the_address_space_do_not_wrap() {
    let data = pages(4, 2);
    let core = Elf::new()
        .short_load(0xffff_ffff_ffff_f000, &data, u64::MAX)
        .short_load(0x1000, &data, u64::MAX)
        .build();
    let dump = open(&core);
    assert!(read(&*dump, 0x1000, 4096).is_ok());
    assert!(read(&*dump, 0xffff_ffff_ffff_f800, 0x7ff).is_ok());
    let mut from = Pfn(0);
    for _ in 0..8 {
        let Some(run) = dump.next_ram(from) else {
            return;
        };
        assert!(run.end > from);
        from = run.end;
    }
    panic!("runs do not end");
}

#[test]
fn what_is_no_dump_is_refused_with_a_hint() {
    for (bytes, hint) in [
        (b"".as_slice(), "empty"),
        (b"\x1f\x8b\x08 and more", "gzip -d"),
        (b"hello, world", "68 65 6c 6c"),
        (b"\x7fELF\x01\x01\x01", "32-bit"),
    ] {
        let error = super::super::open(&store(bytes).path)
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains(hint), "{error}");
    }
}

#[test]
fn a_page_held_in_part_is_a_page_of_the_dump() {
    let data = pages(7, 3);
    // Pages 1 and 2, and three quarters of page 3; another quarter of page 3 from elsewhere.
    let core = Elf::new()
        .load(BASE, 0x1000, &data[..0x2c00])
        .load(BASE, 0x5800, &data[..0x100])
        .build();
    let dump = open(&core);
    assert_eq!(dump.next_present(Pfn(0)), range(1, 4));
    assert_eq!(dump.next_present(Pfn(4)), range(5, 6));
    let mut expected = data[0x2000..0x2c00].to_vec();
    expected.resize(0x1000, 0);
    assert_eq!(read(&*dump, 0x3000, 0x1000).unwrap(), expected);
    let mut expected = vec![0; 0x1000];
    expected[0x800..0x900].copy_from_slice(&data[..0x100]);
    assert_eq!(read(&*dump, 0x5000, 0x1000).unwrap(), expected);
    assert!(read(&*dump, 0x3ff0, 0x20).is_err(), "page 4 is not there");
    let warnings = &dump.info().warnings;
    assert!(
        warnings.len() == 1 && warnings[0].contains("a part of 2 pages, the first of them 0x3"),
        "{warnings:?}"
    );
}
