//! Writer to reader, and files that were cut off or damaged.

use super::super::source::BytesSource;
use super::super::verify::{Damage, verify};
use super::super::{Absence, Completeness, MemoryDump, Note, open};
use super::*;
use crate::addr::{PAGE_BYTES, Pfn, PfnRange, PhysAddr, VirtAddr};
use crate::write::{Batch, CoreMeta, Encoded, KernelImage, Output, OutputFormat, Spool, writer};
use std::io::Read;
use std::path::PathBuf;

/// A file in memory.
#[derive(Default)]
pub(crate) struct Sink(pub Vec<u8>);

impl Output for Sink {
    fn write_at(&mut self, offset: u64, buf: &[u8]) -> io::Result<()> {
        let at = usize::try_from(offset).unwrap();
        self.0.resize(self.0.len().max(at + buf.len()), 0);
        self.0[at..at + buf.len()].copy_from_slice(buf);
        Ok(())
    }
}

fn page(pfn: u64) -> Vec<u8> {
    match pfn % 3 {
        0 => vec![0; PAGE_BYTES],
        _ => synth::elf::pages(pfn as u8, 1),
    }
}

fn meta() -> CoreMeta {
    CoreMeta {
        machine: 62,
        notes: vec![Note {
            name: b"VMCOREINFO".to_vec(),
            n_type: 0,
            desc: b"OSRELEASE=6.9\n".to_vec(),
        }],
        own: "LEVEL=31\n".into(),
        direct_map_base: Some(0xffff_8880_0000_0000),
        kernel_image: Some(KernelImage {
            vaddr: VirtAddr(0xffff_ffff_8100_0000),
            paddr: PhysAddr(0x14000),
            size: 0x8000,
        }),
        dump_level: 31,
        nr_cpus: 2,
        ..CoreMeta::default()
    }
}

/// A core of `runs`, each page holding what [`page`] says.
pub(crate) fn core(format: OutputFormat, runs: &[(u64, u64)], map: &[u8]) -> Vec<u8> {
    let runs: Vec<PfnRange> = runs
        .iter()
        .map(|(a, b)| PfnRange::new(Pfn(*a), Pfn(*b)))
        .collect();
    let mut out = Sink::default();
    let mut writer = writer(format, meta(), None, Spool::memory()).unwrap();
    let mut encoder = writer.encoder().unwrap();
    writer.begin(&runs, &runs, &mut out).unwrap();
    let mut batch = Batch::default();
    let mut encoded = Encoded::default();
    let mut send = |batch: &mut Batch, out: &mut Sink| {
        encoder.encode(batch, &mut encoded).unwrap();
        writer.append(&encoded, out).unwrap();
        *batch = Batch::default();
    };
    for pfn in runs.iter().flat_map(|run| run.start.0..run.end.0) {
        batch.runs.push(PfnRange::new(Pfn(pfn), Pfn(pfn + 1)));
        batch.data.extend_from_slice(&page(pfn));
        if batch.runs.len() == 4 {
            send(&mut batch, &mut out);
        }
    }
    if !batch.runs.is_empty() {
        send(&mut batch, &mut out);
    }
    for (what, body) in [
        (Attachment::PagesMap, map),
        (Attachment::Trailer, b"{}".as_slice()),
    ] {
        writer
            .attach(what, body.len() as u64, &mut &*body, &mut out)
            .unwrap();
    }
    let finished = writer.finish(&mut out).unwrap();
    assert_eq!(finished.len, out.0.len() as u64);
    out.0
}

fn opened(bytes: &[u8]) -> Arc<dyn MemoryDump> {
    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().join("core");
    std::fs::write(&path, bytes).unwrap();
    open(&path).unwrap()
}

fn read(dump: &dyn MemoryDump, pfn: u64) -> Result<Vec<u8>, Absence> {
    let mut buf = vec![0; PAGE_BYTES];
    match dump.read_phys(Pfn(pfn).phys().unwrap(), &mut buf) {
        Ok(()) => Ok(buf),
        Err(super::super::ReadError::Absent { why, .. }) => Err(why),
        Err(other) => panic!("{other}"),
    }
}

const RUNS: [(u64, u64); 4] = [(1, 3), (16, 30), (40, 41), (100, 140)];

#[test]
fn every_page_comes_back_and_what_was_attached() {
    for format in [OutputFormat::ElfZst, OutputFormat::ElfLz4] {
        let bytes = core(format, &RUNS, &[7; 100_000]);
        let dump = opened(&bytes);
        let mut from = Pfn(0);
        for (start, end) in RUNS {
            let run = dump.next_present(from).unwrap();
            assert_eq!(run, PfnRange::new(Pfn(start), Pfn(end)));
            from = run.end;
            for pfn in start..end {
                assert!(read(&*dump, pfn) == Ok(page(pfn)), "{pfn}");
            }
        }
        assert_eq!(dump.next_present(from), None);
        assert_eq!(read(&*dump, 3), Err(Absence::NotInDump));
        let info = dump.info();
        assert_eq!(info.format.name(), format.name());
        assert_eq!(info.dump_level, Some(31));
        assert_eq!(info.notes.len(), 2);
        assert_eq!(info.kernel_image.unwrap().paddr, PhysAddr(0x14000));
        assert_eq!(info.warnings, Vec::<String>::new());
        assert_eq!(info.completeness, Completeness::Complete);
        let mut map = Vec::new();
        dump.attachment(Attachment::PagesMap)
            .unwrap()
            .read_to_end(&mut map)
            .unwrap();
        assert_eq!(map, [7; 100_000]);
        let sum = verify(&*dump, &mut |_| (), &mut |d| panic!("{d}")).unwrap();
        assert_eq!((sum.pages_good, sum.pages_lost), (57, 0));
    }
}

#[test]
fn cut_off_anywhere_it_opens_and_never_lies() {
    for format in [OutputFormat::ElfZst, OutputFormat::ElfLz4] {
        let bytes = core(format, &RUNS, &[7; 1000]);
        let whole = opened(&bytes);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("core");
        let mut most = 0;
        let mut opens = 0;
        for len in (0..bytes.len()).rev().step_by(613) {
            std::fs::write(&path, &bytes[..len]).unwrap();
            let Ok(dump) = open(&path) else { continue };
            opens += 1;
            let mut good = 0;
            for pfn in 0..160 {
                match read(&*dump, pfn) {
                    Ok(got) => {
                        assert!(read(&*whole, pfn) == Ok(got), "{pfn} at {len}");
                        good += 1;
                    }
                    Err(why)
                        if whole
                            .next_present(Pfn(pfn))
                            .unwrap_or(PfnRange::new(Pfn(999), Pfn(999)))
                            .contains(Pfn(pfn)) =>
                    {
                        assert_eq!(why, Absence::Truncated, "{pfn} at {len}");
                    }
                    Err(why) => assert_eq!(why, Absence::NotInDump),
                }
            }
            assert!(most == 0 || good <= most);
            most = good;
            let info = dump.info();
            assert!(!info.warnings.is_empty() || info.completeness != Completeness::Complete);
        }
        assert!(opens > 20, "{opens}");
    }
}

#[test]
fn a_flipped_bit_costs_its_own_frame_and_is_found() {
    for format in [OutputFormat::ElfZst, OutputFormat::ElfLz4] {
        let mut bytes = core(format, &RUNS, b"map");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        let dump = opened(&bytes);
        let lost: Vec<u64> = RUNS
            .iter()
            .flat_map(|(a, b)| *a..*b)
            .filter(|pfn| match read(&*dump, *pfn) {
                Ok(got) => {
                    assert!(got == page(*pfn));
                    false
                }
                Err(why) => {
                    assert_eq!(why, Absence::Corrupt);
                    true
                }
            })
            .collect();
        assert!((1..=4).contains(&lost.len()), "{lost:?}");
        let mut found = Vec::new();
        let sum = verify(&*dump, &mut |_| (), &mut |d| found.push(d)).unwrap();
        assert_eq!(sum.pages_lost, lost.len() as u64);
        assert!(found.iter().any(|d| matches!(d, Damage::Unit { .. })));
        assert!(found.iter().any(|d| matches!(d, Damage::Pages { .. })));
    }
}

#[test]
fn a_table_without_our_index_is_summed_up() {
    // What another seekable writer makes: frames, then a table of 8-byte entries.
    let mut packer = zstd::bulk::Compressor::new(1).unwrap();
    let core = synth::elf::Elf::new()
        .load(0, 0x5000, &synth::elf::pages(1, 30))
        .build();
    let mut file = Vec::new();
    let mut entries = Vec::new();
    for part in core.chunks(10_000) {
        let frame = packer.compress(part).unwrap();
        entries.extend_from_slice(&(frame.len() as u32).to_le_bytes());
        entries.extend_from_slice(&(part.len() as u32).to_le_bytes());
        file.extend_from_slice(&frame);
    }
    let frames = (entries.len() / 8) as u32;
    file.extend_from_slice(&0x184d_2a5e_u32.to_le_bytes());
    file.extend_from_slice(&(entries.len() as u32 + 9).to_le_bytes());
    file.extend_from_slice(&entries);
    file.extend_from_slice(&frames.to_le_bytes());
    file.push(0);
    file.extend_from_slice(&0x8f92_eab1_u32.to_le_bytes());
    let dump = opened(&file);
    assert_eq!(dump.info().warnings, Vec::<String>::new());
    assert!(!dump.info().checksums);
    for pfn in 5..35 {
        let at = (pfn as usize - 5) * PAGE_BYTES;
        assert!(read(&*dump, pfn).unwrap() == synth::elf::pages(1, 30)[at..at + PAGE_BYTES]);
    }
}

/// A file of ours made by hand: `parts` as frames, an index of one checkpoint every `stride` of them
/// as `change` leaves it, and the table.
fn indexed(parts: &[&[u8]], stride: usize, change: impl FnOnce(&mut Vec<[u64; 2]>)) -> Vec<u8> {
    let mut packer = zstd::bulk::Compressor::new(1).unwrap();
    packer.include_checksum(true).unwrap();
    let (mut file, mut table, mut points) = (Vec::new(), Vec::new(), Vec::new());
    let mut plain = 0;
    for (n, part) in parts.iter().enumerate() {
        if n % stride == 0 {
            points.push([file.len() as u64, plain]);
        }
        let frame = packer.compress(part).unwrap();
        table.extend([frame.len(), part.len()].map(|n| n as u32));
        plain += part.len() as u64;
        file.extend(frame);
    }
    points.push([file.len() as u64, plain]);
    change(&mut points);
    let mut index = b"APindex1".to_vec();
    index.extend((stride as u64).to_le_bytes());
    index.extend((parts.len() as u64).to_le_bytes());
    index.extend(points.iter().flatten().flat_map(|n| n.to_le_bytes()));
    table.extend([index.len() as u32 + 8, 0]);
    for (magic, body) in [
        (0x184d_2a5a_u32, index),
        (0x184d_2a5e, {
            let mut body: Vec<u8> = table.iter().flat_map(|n| n.to_le_bytes()).collect();
            body.extend((parts.len() as u32 + 1).to_le_bytes());
            body.push(0);
            body.extend(0x8f92_eab1_u32.to_le_bytes());
            body
        }),
    ] {
        file.extend(magic.to_le_bytes());
        file.extend((body.len() as u32).to_le_bytes());
        file.extend(body);
    }
    file
}

#[test]
fn checkpoints_are_read_when_they_are_needed() {
    let content = synth::elf::pages(3, 100);
    // Frames of all lengths, so that no guess is right.
    let (mut parts, mut rest) = (Vec::new(), content.as_slice());
    for n in 1.. {
        let (part, later) = rest.split_at(rest.len().min(n * n * 13 % 7001 + 1));
        parts.push(part);
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    let checkpoints = parts.len() / 3;
    assert!(checkpoints > 30, "{checkpoints}");
    let bytes = indexed(&parts, 3, |_| ());
    let file = Arc::new(Asked(bytes, std::sync::Mutex::default()));
    let source = FramedSource::open(Arc::<Asked>::clone(&file), Codec::Zstd).unwrap();
    assert_eq!(source.facts().warnings, Vec::<String>::new());
    let asked = |len| file.1.lock().unwrap().iter().filter(|n| **n == len).count();
    assert!(asked(16) <= 4, "{} checkpoints for opening", asked(16));
    for at in (0..content.len()).step_by(997).rev() {
        file.1.lock().unwrap().clear();
        let mut got = vec![0; 500.min(content.len() - at)];
        source.read_at(at as u64, &mut got).unwrap();
        assert!(got == content[at..at + got.len()], "{at}");
        assert!(asked(16) <= 20, "{} checkpoints for {at}", asked(16));
    }
    assert!(
        source
            .read_at(content.len() as u64 - 1, &mut [0; 2])
            .is_err()
    );
}

#[test]
fn a_wrong_checkpoint_costs_nothing_but_a_warning() {
    let content = synth::elf::pages(5, 50);
    let parts: Vec<&[u8]> = content.chunks(6000).collect();
    let last = parts.len().div_ceil(4);
    for wrong in 0..=last {
        for (which, by) in [(0, 1), (1, 1), (0, 1 << 40), (1, 1 << 40), (1, 1 << 63)] {
            let bytes = indexed(&parts, 4, |points| {
                assert_eq!(points.len(), last + 1);
                points[wrong][which] ^= by;
            });
            let source = FramedSource::open(Arc::new(BytesSource(bytes)), Codec::Zstd).unwrap();
            assert_eq!(source.len(), content.len() as u64);
            let mut got = vec![0; content.len()];
            for (n, part) in got
                .chunks_mut(4500)
                .enumerate()
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
            {
                source.read_at(n as u64 * 4500, part).unwrap();
            }
            assert!(got == content, "checkpoint {wrong}");
            let warnings = source.facts().warnings;
            let [warning] = warnings.as_slice() else {
                panic!("{warnings:?} of checkpoint {wrong}");
            };
            assert!(
                warning.contains("index of the seek table is wrong"),
                "{warning}"
            );
            let mut found = Vec::new();
            source.check(&mut |_| (), &mut |d| found.push(d)).unwrap();
            assert!(
                matches!(found.as_slice(), [Damage::Structure { .. }]),
                "{found:?}"
            );
        }
    }
}

#[test]
fn verify_finds_a_wrong_checkpoint_that_nobody_came_by() {
    let content = synth::elf::pages(5, 50);
    let parts: Vec<&[u8]> = content.chunks(6000).collect();
    let bytes = indexed(&parts, 4, |points| points[5][0] += 1);
    let source = FramedSource::open(Arc::new(BytesSource(bytes)), Codec::Zstd).unwrap();
    source.read_at(0, &mut [0; 100]).unwrap();
    assert_eq!(source.facts().warnings, Vec::<String>::new());
    let mut found = Vec::new();
    source.check(&mut |_| (), &mut |d| found.push(d)).unwrap();
    assert!(
        matches!(found.as_slice(), [Damage::Structure { .. }]),
        "{found:?}"
    );
}

#[test]
fn a_table_that_lies_is_not_believed() {
    let good = core(OutputFormat::ElfZst, &RUNS, b"map");
    let table = good.len() - 9;
    for (at, value) in [
        (table - 12, 0xff),
        (table - 40, 0xff),
        (good.len() - 9, 1),
        (good.len() - 9, 0xff),
    ] {
        let mut bytes = good.clone();
        bytes[at] = value;
        let dump = opened(&bytes);
        let mut good = 0;
        for (start, end) in RUNS {
            for pfn in start..end {
                if let Ok(got) = read(&*dump, pfn) {
                    assert!(got == page(pfn));
                    good += 1;
                }
            }
        }
        assert_eq!(good, 57, "at {at}");
    }
}

#[test]
fn with_a_map_the_reasons_are_told_apart() {
    use crate::dump::map::MapWriter;
    use crate::mm::{Kind, KindRun};
    let mut map = MapWriter::new(Vec::new()).unwrap();
    for (start, end, kind) in [
        (1, 3, Kind::Kernel),
        (16, 30, Kind::Slab),
        (30, 40, Kind::Anon),
        (40, 41, Kind::Kernel),
        (100, 140, Kind::Kernel),
        (140, 150, Kind::Free),
    ] {
        let pages = PfnRange::new(Pfn(start), Pfn(end));
        map.push(KindRun { pages, kind }).unwrap();
    }
    let (map, _) = map.finish().unwrap();
    let dump = opened(&core(OutputFormat::ElfZst, &RUNS, &map));
    let ram = |from| dump.next_ram(Pfn(from)).map(|run| (run.start.0, run.end.0));
    assert_eq!(ram(0), Some((1, 3)));
    assert_eq!(ram(3), Some((16, 41)));
    assert_eq!(ram(35), Some((35, 41)));
    assert_eq!(ram(41), Some((100, 150)));
    assert_eq!(ram(150), None);
    assert_eq!(read(&*dump, 31), Err(Absence::Excluded));
    assert_eq!(read(&*dump, 145), Err(Absence::Excluded));
    assert_eq!(read(&*dump, 50), Err(Absence::NotRam));
    assert_eq!(read(&*dump, 150), Err(Absence::NotRam));
}

#[test]
fn pages_that_could_not_be_read_are_lost_pages() {
    let mut plain = synth::elf::pages(1, 6);
    for word in plain[4096 * 2..4096 * 4].chunks_mut(8) {
        word.copy_from_slice(&0xdead_feed_dead_feed_u64.to_le_bytes());
    }
    let dump = opened(&synth::elf::Elf::new().load(0, 0x5000, &plain).build());
    let mut found = Vec::new();
    let sum = verify(&*dump, &mut |_| (), &mut |d| found.push(d)).unwrap();
    assert_eq!((sum.pages_good, sum.pages_lost), (4, 2));
    let pages = PfnRange::new(Pfn(7), Pfn(9));
    assert_eq!(
        found,
        [Damage::Pages {
            pages,
            why: Absence::Missing
        }]
    );
}

/// A file that remembers what was asked of it.
struct Asked(Vec<u8>, std::sync::Mutex<Vec<usize>>);

impl ByteSource for Asked {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), SourceError> {
        let at = offset as usize;
        buf.copy_from_slice(&self.0[at..at + buf.len()]);
        self.1.lock().unwrap().push(buf.len());
        Ok(())
    }
}

#[test]
fn a_page_by_itself_costs_one_frame() {
    // Frames of four pages.
    let bytes = core(OutputFormat::ElfZst, &[(16, 416)], &[]);
    let largest = 4 * PAGE_BYTES + 100;
    for page in [1, 7, 50, 133, 399] {
        let file = Arc::new(Asked(bytes.clone(), std::sync::Mutex::default()));
        let source = FramedSource::open(Arc::<Asked>::clone(&file), Codec::Zstd).unwrap();
        let offset = source.len() - (400 - page) * PAGE_BYTES as u64;
        file.1.lock().unwrap().clear();
        source.read_at(offset, &mut [0; PAGE_BYTES]).unwrap();
        // A stretch of the seek table (here: all of it), and the frame.
        let asked = file.1.lock().unwrap().clone();
        assert_eq!(asked.len(), 2, "{asked:?}");
        assert!(asked.iter().all(|len| *len <= largest), "{asked:?}");
        source.read_at(offset, &mut [0; PAGE_BYTES]).unwrap();
        source.read_at(offset + 1, &mut [0; 9]).unwrap();
        assert_eq!(file.1.lock().unwrap().len(), 2, "the frame was kept");
    }
}
