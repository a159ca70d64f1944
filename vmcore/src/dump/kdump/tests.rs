//! The kdump reader on files made by `synth`.

use super::super::{open, open_set};
use super::*;
use crate::addr::PAGE_BYTES;
use synth::elf::pages;
use synth::kdump::{Kdump, Packing};

fn store(dir: &tempfile::TempDir, name: &str, bytes: &[u8]) -> std::path::PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn opened(bytes: &[u8]) -> Arc<dyn MemoryDump> {
    let dir = tempfile::tempdir().unwrap();
    open(&store(&dir, "core", bytes)).unwrap()
}

fn page(dump: &dyn MemoryDump, pfn: u64) -> Result<Vec<u8>, Absence> {
    let mut buf = vec![0; PAGE_BYTES];
    match dump.read_phys(Pfn(pfn).phys().unwrap(), &mut buf) {
        Ok(()) => Ok(buf),
        Err(ReadError::Absent { why, .. }) => Err(why),
        Err(other) => panic!("{other}"),
    }
}

fn sample() -> Kdump {
    Kdump::new(40_000)
        .ram(0, 3)
        .ram(8, 30)
        .ram(39_000, 40_000)
        .note("CORE", 1, &[1; 336])
        .note("VMCOREINFO", 0, b"OSRELEASE=6.9\n")
        .page(9, &pages(1, 1))
        .page(10, &vec![0; PAGE_BYTES])
        .page(11, &pages(2, 1))
        .page(39_999, &pages(3, 1))
}

#[test]
fn every_version_and_packing() {
    for version in 1..=6 {
        for packing in [Packing::Raw, Packing::Zlib, Packing::Zstd] {
            let dump = opened(&sample().version(version).packing(packing).build());
            assert_eq!(page(&*dump, 9).unwrap(), pages(1, 1));
            assert_eq!(page(&*dump, 10).unwrap(), vec![0; PAGE_BYTES]);
            assert_eq!(page(&*dump, 11).unwrap(), pages(2, 1));
            assert_eq!(page(&*dump, 39_999).unwrap(), pages(3, 1));
            assert_eq!(page(&*dump, 12), Err(Absence::Excluded));
            assert_eq!(page(&*dump, 5), Err(Absence::NotRam));
            assert_eq!(page(&*dump, 40_000), Err(Absence::NotRam));
            assert_eq!(
                dump.next_present(Pfn(0)),
                Some(PfnRange::new(Pfn(9), Pfn(12)))
            );
            assert_eq!(dump.next_ram(Pfn(4)), Some(PfnRange::new(Pfn(8), Pfn(30))));
            assert_eq!(dump.next_present(Pfn(40_000)), None);
            let info = dump.info();
            assert_eq!((info.format, info.machine), (Format::Kdump, 62));
            assert_eq!(info.dump_level, Some(31));
            assert_eq!(info.completeness, Completeness::Complete);
            // The text came with version 3, all notes with version 4.
            let text = info.vmcoreinfo.as_deref();
            assert_eq!(
                text,
                (version >= 3).then_some(b"OSRELEASE=6.9\n".as_slice())
            );
            let notes = match version {
                1 | 2 => 0,
                3 => 1,
                _ => 2,
            };
            assert_eq!(info.notes.len(), notes, "version {version}");
        }
    }
}

#[test]
fn pages_in_old_packings() {
    // Written out by hand: 4096 bytes of 0x41.
    let lzo = synth::kdump::LZO_OF_A;
    let snappy = &synth::kdump::snappy_of_a();
    for (flag, data) in [(2, lzo), (4, snappy)] {
        let dump = opened(&sample().raw_data(11, flag, data).build());
        assert_eq!(page(&*dump, 11).unwrap(), vec![0x41; PAGE_BYTES]);
        let dump = opened(&sample().raw_data(11, flag, &data[..data.len() - 2]).build());
        assert_eq!(page(&*dump, 11), Err(Absence::Corrupt));
    }
}

#[test]
fn the_parts_of_a_split_dump_in_any_order() {
    let dir = tempfile::tempdir().unwrap();
    let first = store(&dir, "1", &sample().split(0, 11).build());
    let second = store(&dir, "2", &sample().split(11, 39_999).build());
    let third = store(&dir, "3", &sample().split(39_999, 40_000).build());
    let whole = open_set(&[third.clone(), first.clone(), second.clone()]).unwrap();
    assert_eq!(whole.info().completeness, Completeness::Complete);
    assert_eq!(
        whole.next_present(Pfn(0)),
        Some(PfnRange::new(Pfn(9), Pfn(12)))
    );
    for (pfn, seed) in [(9, 1), (11, 2), (39_999, 3)] {
        assert_eq!(page(&*whole, pfn).unwrap(), pages(seed, 1));
    }
    let some = open_set(&[third.clone(), first.clone()]).unwrap();
    assert!(matches!(
        some.info().completeness,
        Completeness::Incomplete(_)
    ));
    assert_eq!(
        some.next_present(Pfn(0)),
        Some(PfnRange::new(Pfn(9), Pfn(11)))
    );
    assert_eq!(page(&*some, 11), Err(Absence::NotInDump));
    assert!(open_set(&[first.clone(), first]).is_err());
    let other = store(&dir, "4", &sample().time(99).split(11, 39_999).build());
    assert!(open_set(&[third, other]).is_err());
}

#[test]
fn a_cut_anywhere_is_known_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = sample().packing(Packing::Raw).build();
    let mut opened = 0;
    for len in (0..bytes.len()).step_by(1021) {
        let path = store(&dir, "cut", &bytes[..len]);
        let Ok(dump) = open_set(&[path]) else {
            continue;
        };
        opened += 1;
        let completeness = &dump.info().completeness;
        assert!(
            matches!(completeness, Completeness::Incomplete(_)),
            "{len}: {completeness:?}"
        );
    }
    assert!(opened > 5, "{opened} of {}", bytes.len());
}

#[test]
fn a_full_disk_and_a_cut_leave_what_was_written() {
    let dump = opened(&sample().incomplete(39_999).build());
    assert!(matches!(
        dump.info().completeness,
        Completeness::Incomplete(_)
    ));
    assert_eq!(page(&*dump, 11).unwrap(), pages(2, 1));
    assert_eq!(page(&*dump, 39_999), Err(Absence::Truncated));
    let bytes = sample().packing(Packing::Raw).build();
    let dump = opened(&bytes[..bytes.len() - 5000]);
    assert!(matches!(
        dump.info().completeness,
        Completeness::Incomplete(_)
    ));
    assert_eq!(page(&*dump, 9).unwrap(), pages(1, 1));
    assert_eq!(page(&*dump, 39_999), Err(Absence::Truncated));
    let sum = super::super::verify::verify(&*dump, &mut |_| (), &mut |_| ()).unwrap();
    assert!(sum.pages_lost >= 1 && sum.pages_good >= 2, "{sum:?}");
}

#[test]
fn hostile_counts_are_bounded_by_the_file() {
    let good = sample().build();
    for (at, value) in [
        (432, 0x7fff_ffff_u32),
        (436, u32::MAX),
        (440, u32::MAX),
        (436, 1),
        (436, 0),
    ] {
        let mut bytes = good.clone();
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        let dir = tempfile::tempdir().unwrap();
        if let Ok(dump) = open(&store(&dir, "core", &bytes)) {
            let mut from = Pfn(0);
            for _ in 0..1000 {
                let Some(run) = dump.next_present(from) else {
                    break;
                };
                let _ = page(&*dump, run.start.0);
                from = run.end;
            }
        }
    }
}

#[test]
fn a_page_of_the_cache_is_the_page_of_the_file() {
    let dump = opened(&sample().build());
    let mut two = [0; 2];
    for _ in 0..3 {
        dump.read_phys(PhysAddr(9 * 4096 + 4095), &mut two).unwrap();
        assert_eq!(two, [pages(1, 1)[4095], 0]);
    }
}

#[test]
fn a_cut_is_seen_behind_zero_pages_that_share_their_data() {
    let dump = Kdump::new(100)
        .ram(0, 100)
        .page(1, &vec![0; PAGE_BYTES])
        .raw_data(1, 0, &vec![0; PAGE_BYTES])
        .page(2, &pages(1, 1))
        .page(3, &vec![0; PAGE_BYTES])
        .raw_data(3, 0, &[]);
    let mut bytes = dump.build();
    // Page 3 gets the data of page 1.
    let descs = 4096 * 4;
    bytes.copy_within(descs..descs + 24, descs + 48);
    let dump = opened(&bytes);
    assert_eq!(dump.info().completeness, Completeness::Complete);
    assert_eq!(page(&*dump, 3).unwrap(), vec![0; PAGE_BYTES]);
    let cut = opened(&bytes[..bytes.len() - 1]);
    assert!(matches!(
        cut.info().completeness,
        Completeness::Incomplete(_)
    ));
    assert_eq!(page(&*cut, 3).unwrap(), vec![0; PAGE_BYTES]);
}
