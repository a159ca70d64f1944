//! Writer to reader, every format, random layouts.

use super::*;
use crate::addr::{PAGE_BYTES, PhysAddr, VirtAddr};
use crate::dump::{Absence, MemoryDump, Note, ReadError, open};
use proptest::prelude::*;
use std::sync::Arc;

#[derive(Default)]
struct Sink(Vec<u8>);

impl Output for Sink {
    fn write_at(&mut self, offset: u64, buf: &[u8]) -> io::Result<()> {
        let at = usize::try_from(offset).unwrap();
        self.0.resize(self.0.len().max(at + buf.len()), 0);
        self.0[at..at + buf.len()].copy_from_slice(buf);
        Ok(())
    }
}

/// Zeros, noise, or something that packs.
fn page(pfn: u64) -> Vec<u8> {
    let mut state = pfn.wrapping_mul(0x2545_f491_4f6c_dd1d) | 1;
    match pfn * 7 % 5 {
        0..=2 => vec![0; PAGE_BYTES],
        3 => {
            let words = (0..PAGE_BYTES / 8).flat_map(|_| {
                state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(99);
                state.rotate_left(21).to_le_bytes()
            });
            words.collect()
        }
        _ => [pfn.to_le_bytes(), (!pfn).to_le_bytes()]
            .concat()
            .repeat(PAGE_BYTES / 16),
    }
}

fn meta(image: Option<KernelImage>) -> CoreMeta {
    CoreMeta {
        machine: 62,
        notes: vec![
            Note {
                name: b"CORE".to_vec(),
                n_type: 1,
                desc: vec![3; 336],
            },
            Note {
                name: b"VMCOREINFO".to_vec(),
                n_type: 0,
                desc: b"CRASHTIME=77\n".to_vec(),
            },
        ],
        own: "LEVEL=31\n".into(),
        direct_map_base: Some(0xffff_8880_0000_0000),
        kernel_image: image,
        dump_level: 31,
        crash_time: Some(77),
        nr_cpus: 1,
        ..CoreMeta::default()
    }
}

fn write(
    format: OutputFormat,
    meta: CoreMeta,
    kept: &[PfnRange],
    ram: &[PfnRange],
    page: fn(u64) -> Vec<u8>,
) -> Vec<u8> {
    let mut out = Sink::default();
    let mut writer = writer(format, meta, None, Spool::memory()).unwrap();
    let mut encoder = writer.encoder().unwrap();
    let (kept, ram) = (kept.to_vec(), ram.to_vec());
    writer.begin(&kept, &ram, &mut out).unwrap();
    let pages: Vec<u64> = kept.iter().flat_map(|run| run.start.0..run.end.0).collect();
    let mut encoded = Encoded::default();
    for part in pages.chunks(BATCH_PAGES) {
        let batch = Batch {
            runs: part
                .iter()
                .map(|p| PfnRange::new(Pfn(*p), Pfn(p + 1)))
                .collect(),
            data: part.iter().flat_map(|p| page(*p)).collect(),
            missing: Vec::new(),
        };
        encoder.encode(&batch, &mut encoded).unwrap();
        assert_eq!(encoded.plain_len, part.len() * PAGE_BYTES);
        writer.append(&encoded, &mut out).unwrap();
    }
    let finished = writer.finish(&mut out).unwrap();
    assert_eq!(finished.len, out.0.len() as u64);
    out.0
}

fn opened(bytes: &[u8]) -> Arc<dyn MemoryDump> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("core");
    std::fs::write(&path, bytes).unwrap();
    open(&path).unwrap()
}

fn runs_of(dump: &dyn MemoryDump) -> Vec<PfnRange> {
    let mut runs = Vec::new();
    PresentRuns(dump)
        .for_each(&mut |run| {
            runs.push(run);
            Ok(())
        })
        .unwrap();
    runs
}

/// The same meta of a machine with pages of so many bytes.
fn meta_of_pages(bytes: u32) -> CoreMeta {
    let mut meta = meta(None);
    for note in &mut meta.notes {
        if note.name == b"VMCOREINFO" {
            note.desc = format!("PAGESIZE={bytes}\nCRASHTIME=77\n").into_bytes();
        }
    }
    meta
}

#[test]
fn a_kdump_file_counts_in_pages_of_its_machine() {
    let page = |pfn: u64| match pfn {
        // One page of the machine that is all zeros.
        32..48 => vec![0; PAGE_BYTES],
        _ => pfn.to_le_bytes().repeat(PAGE_BYTES / 8),
    };
    for (bytes, shift) in [(4096, 0), (16 << 10, 2), (64 << 10, 4)] {
        let runs = |list: &[(u64, u64)]| -> Vec<PfnRange> {
            let run = |(start, end): &(u64, u64)| PfnRange::new(Pfn(*start), Pfn(*end));
            list.iter().map(run).collect()
        };
        let (kept, ram) = (runs(&[(16, 64), (96, 112)]), runs(&[(0, 130)]));
        for format in [OutputFormat::KdumpZstd, OutputFormat::KdumpZlib] {
            let file = write(format, meta_of_pages(bytes), &kept, &ram, page);
            let word = |at: usize| u32::from_le_bytes(*file[at..].first_chunk().unwrap());
            // block_size and max_mapnr.
            assert_eq!(
                (word(428), u64::from(word(440))),
                (bytes, 130u64.div_ceil(1 << shift))
            );
            let dump = opened(&file);
            assert_eq!(runs_of(&*dump), kept);
            let end = 130u64.div_ceil(1 << shift) << shift;
            assert_eq!(dump.next_ram(Pfn(3)), Some(PfnRange::new(Pfn(3), Pfn(end))));
            assert_eq!(dump.ram_end(), Pfn(end));
            for pfn in kept.iter().flat_map(|run| run.start.0..run.end.0) {
                let mut own = vec![1; PAGE_BYTES];
                dump.read_phys(Pfn(pfn).phys().unwrap(), &mut own).unwrap();
                assert_eq!(own, page(pfn), "{pfn} {bytes}");
            }
            assert_eq!(dump.absence(Pfn(64)), Absence::Excluded);
            // From inside a page of the machine into the next.
            let mut across = [0; 16];
            dump.read_phys(PhysAddr(0x1_fff8), &mut across).unwrap();
            assert_eq!(across[..8], 31u64.to_le_bytes());
            assert_eq!(across[8..], 0u64.to_le_bytes());
        }
    }
}

#[test]
fn pages_of_the_machine_are_never_written_in_part() {
    let kept = vec![PfnRange::new(Pfn(16), Pfn(40))];
    let mut out = Sink::default();
    let meta = meta_of_pages(64 << 10);
    let mut writer = writer(OutputFormat::KdumpZstd, meta, None, Spool::memory()).unwrap();
    let why = writer.begin(&kept, &kept, &mut out).unwrap_err();
    assert_eq!(why.kind(), std::io::ErrorKind::Unsupported);
}

/// Gaps and lengths into ascending, disjoint, maximal runs; and the RAM around them.
fn layout(list: &[(u64, u64)]) -> (Vec<PfnRange>, Vec<PfnRange>) {
    let mut at = 0;
    let mut kept = Vec::new();
    for (gap, len) in list {
        let start = at + gap;
        at = start + len;
        kept.push(PfnRange::new(Pfn(start), Pfn(at)));
    }
    let ram = vec![PfnRange::new(Pfn(0), Pfn(at + 3))];
    (kept, ram)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn what_is_written_is_read(
        list in prop::collection::vec((1..400_u64, 1..150_u64), 1..8),
        image_at in 0..300_u64,
        image_pages in 1..300_u64,
        format in prop::sample::select(OutputFormat::ALL.to_vec()),
    ) {
        let (kept, ram) = layout(&list);
        let image = KernelImage {
            vaddr: VirtAddr(0xffff_ffff_8100_0000),
            paddr: PhysAddr(image_at * 4096),
            size: image_pages * 4096,
        };
        let bytes = write(format, meta(Some(image)), &kept, &ram, page);
        prop_assert_eq!(&bytes, &write(format, meta(Some(image)), &kept, &ram, page));
        let core = opened(&bytes);
        prop_assert_eq!(runs_of(&*core), kept.clone());
        let mut buf = vec![0; PAGE_BYTES];
        for pfn in kept.iter().flat_map(|run| run.start.0..run.end.0) {
            core.read_phys(PhysAddr(pfn * 4096), &mut buf).unwrap();
            prop_assert!(buf == page(pfn), "{}", pfn);
        }
        // Across a page border, and around each run.
        for run in &kept {
            if run.len() > 1 {
                let mut both = [0; 20];
                core.read_phys(PhysAddr((run.start.0 + 1) * 4096 - 10), &mut both).unwrap();
                prop_assert_eq!(&both[..10], &page(run.start.0)[4086..]);
                prop_assert_eq!(&both[10..], &page(run.start.0 + 1)[..10]);
            }
            for outside in [run.start.0 - 1, run.end.0] {
                let error = core.read_phys(PhysAddr(outside * 4096), &mut buf).unwrap_err();
                let ReadError::Absent { pfn, why } = error else { panic!("{error}") };
                prop_assert_eq!(pfn, Pfn(outside));
                let kdump = format.suffix() == ".kdump";
                prop_assert_eq!(why, if kdump { Absence::Excluded } else { Absence::NotInDump });
            }
        }
        let info = core.info();
        prop_assert_eq!(info.dump_level, if info.format.name() == "elf" { Some(31) } else { info.dump_level });
        prop_assert_eq!(info.notes.len(), 3);
        prop_assert_eq!(info.vmcoreinfo.as_deref(), Some(b"CRASHTIME=77\n".as_slice()));
        prop_assert_eq!(info.machine, 62);
        prop_assert_eq!(info.warnings.clone(), Vec::<String>::new());
    }
}

#[test]
fn sixty_six_thousand_runs() {
    let list = vec![(1, 1); 66_000];
    let (kept, ram) = layout(&list);
    // Nearly all zero, or the file would be 270 MB.
    fn some(pfn: u64) -> Vec<u8> {
        if (pfn / 2).is_multiple_of(7919) {
            page(pfn)
        } else {
            vec![0; PAGE_BYTES]
        }
    }
    for format in [
        OutputFormat::ElfZst,
        OutputFormat::ElfLz4,
        OutputFormat::KdumpZstd,
        OutputFormat::KdumpZlib,
    ] {
        let bytes = write(format, meta(None), &kept, &ram, some);
        let core = opened(&bytes);
        assert_eq!(runs_of(&*core).len(), 66_000);
        let mut buf = vec![0; PAGE_BYTES];
        for run in kept.iter().step_by(7919) {
            core.read_phys(run.start.phys().unwrap(), &mut buf).unwrap();
            assert!(buf == some(run.start.0));
        }
    }
}

#[test]
fn an_elf_core_ends_at_a_million_runs_and_kdump_does_not() {
    struct Many;
    impl Runs for Many {
        fn for_each(&self, f: &mut dyn FnMut(PfnRange) -> io::Result<()>) -> io::Result<()> {
            (0..(1 << 20) + 1).try_for_each(|n| f(PfnRange::new(Pfn(n * 2), Pfn(n * 2 + 1))))
        }
    }
    for format in OutputFormat::ALL {
        let mut writer = writer(format, meta(None), None, Spool::memory()).unwrap();
        let begun = writer.begin(&Many, &Many, &mut Sink::default());
        if format.suffix() == ".kdump" {
            begun.unwrap();
        } else {
            assert_eq!(begun.unwrap_err().kind(), io::ErrorKind::Unsupported);
        }
    }
}

#[test]
fn runs_out_of_order_and_pages_too_few_are_refused() {
    for format in OutputFormat::ALL {
        let wrong = vec![PfnRange::new(Pfn(5), Pfn(6)), PfnRange::new(Pfn(6), Pfn(7))];
        let mut first = writer(format, meta(None), None, Spool::memory()).unwrap();
        assert!(first.begin(&wrong, &wrong, &mut Sink::default()).is_err());
        let right = vec![PfnRange::new(Pfn(5), Pfn(6))];
        let mut second = writer(format, meta(None), None, Spool::memory()).unwrap();
        let mut out = Sink::default();
        second.begin(&right, &right, &mut out).unwrap();
        assert!(second.finish(&mut out).is_err());
    }
}

#[test]
fn what_a_kdump_header_calls_phys_base_is_known_of_every_architecture() {
    let dir = tempfile::tempdir().unwrap();
    for (line, base) in [
        ("NUMBER(phys_base)=-4096", -4096),
        // arm64 may place its direct map below where RAM begins.
        ("NUMBER(PHYS_OFFSET)=0xffffa5a640000000", -0x5a59_c000_0000),
        ("NUMBER(phys_ram_base)=0x80000000", 0x8000_0000),
        ("NUMBER(other)=1", 0),
    ] {
        let text = format!("OSRELEASE=toy\n{line}\n");
        let path = dir.path().join("core");
        let core = synth::elf::Elf::new().note("VMCOREINFO", 0, text.as_bytes());
        std::fs::write(&path, core.load(0, 0, &page(3)).build()).unwrap();
        let meta = CoreMeta::of(open(&path).unwrap().info());
        assert_eq!(meta.phys_base.cast_signed(), base, "{line}");
    }
}
