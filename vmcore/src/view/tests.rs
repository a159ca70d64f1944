//! Views read in pieces, opened as what they say they are.

use super::*;
use crate::addr::{PAGE_BYTES, PAGE_SIZE, Pfn, PfnRange, PhysAddr};
use crate::dump::{Absence, Completeness, DumpInfo, Format, MemoryDump, Note, ReadError, open};
use crate::write::{CoreMeta, PresentRuns, RamRuns, Runs};
use proptest::prelude::*;
use std::sync::Arc;

/// A dump that holds some pages, each full of its own number.
pub(super) struct Every {
    held: Vec<PfnRange>,
    ram: Vec<PfnRange>,
    info: DumpInfo,
}

impl Every {
    /// From (first page, pages) of each run; all RAM is held.
    pub(super) fn runs(runs: impl Iterator<Item = (u64, u64)>) -> Self {
        let held: Vec<_> = runs
            .map(|(start, n)| PfnRange::new(Pfn(start), Pfn(start + n)))
            .collect();
        let notes = vec![
            Note {
                name: b"CORE".to_vec(),
                n_type: 1,
                desc: vec![7; 336],
            },
            Note {
                name: b"VMCOREINFO".to_vec(),
                n_type: 0,
                desc: b"OSRELEASE=toy\nNUMBER(phys_base)=4096\n".to_vec(),
            },
        ];
        let info = DumpInfo {
            vmcoreinfo: notes.last().map(|note| note.desc.clone()),
            notes,
            direct_map_base: Some(0xffff_8880_0000_0000),
            dump_level: Some(31),
            ..DumpInfo::new(Format::Elf)
        };
        Self {
            ram: held.clone(),
            held,
            info,
        }
    }
}

fn next(runs: &[PfnRange], from: Pfn) -> Option<PfnRange> {
    let run = runs.get(runs.partition_point(|run| run.end <= from))?;
    Some(PfnRange::new(run.start.max(from), run.end))
}

impl MemoryDump for Every {
    fn read_phys(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        let mut at = addr.0;
        let mut rest = buf;
        while !rest.is_empty() {
            let pfn = Pfn(at / PAGE_SIZE);
            if next(&self.held, pfn).is_none_or(|run| run.start != pfn) {
                let why = Absence::NotInDump;
                return Err(ReadError::Absent { pfn, why });
            }
            let n = rest.len().min((PAGE_SIZE - at % PAGE_SIZE) as usize);
            let (now, later) = rest.split_at_mut(n);
            for (byte, i) in now.iter_mut().zip(at..) {
                *byte = pfn.0.to_le_bytes()[i as usize % 8];
            }
            at += n as u64;
            rest = later;
        }
        Ok(())
    }

    fn next_present(&self, from: Pfn) -> Option<PfnRange> {
        next(&self.held, from)
    }

    fn next_ram(&self, from: Pfn) -> Option<PfnRange> {
        next(&self.ram, from)
    }

    fn info(&self) -> &DumpInfo {
        &self.info
    }
}

/// The whole file, read in pieces of `step` bytes.
fn whole(view: &dyn View, step: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut buf = vec![0xa5; step];
    loop {
        let n = view.read_at(bytes.len() as u64, &mut buf).unwrap();
        bytes.extend_from_slice(&buf[..n]);
        if n < step {
            assert_eq!(bytes.len() as u64, view.size());
            assert_eq!(view.read_at(view.size(), &mut buf).unwrap(), 0);
            assert_eq!(view.read_at(u64::MAX, &mut buf).unwrap(), 0);
            return bytes;
        }
    }
}

fn listed(runs: &dyn Runs) -> Vec<PfnRange> {
    let mut all = Vec::new();
    let _ = runs.for_each(&mut |run| {
        all.push(run);
        Ok(())
    });
    all
}

/// Opens `bytes` as a dump and compares it with the dump they were made from.
fn same(bytes: &[u8], from: &Every, format: Format) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("core");
    std::fs::write(&path, bytes).unwrap();
    let read = open(&path).unwrap();
    assert_eq!(read.info().format, format);
    assert_eq!(read.info().vmcoreinfo, from.info.vmcoreinfo);
    assert_eq!(read.info().notes, from.info.notes);
    assert!(
        read.info().warnings.is_empty(),
        "{:?}",
        read.info().warnings
    );
    assert_eq!(listed(&PresentRuns(&*read)), from.held);
    if format == Format::Kdump {
        assert_eq!(read.info().completeness, Completeness::Complete);
        assert_eq!(listed(&RamRuns(&*read)), from.ram);
    }
    let (mut theirs, mut ours) = (vec![0; PAGE_BYTES], vec![1; PAGE_BYTES]);
    for pfn in from.held.iter().flat_map(|run| run.start.0..run.end.0) {
        let addr = PhysAddr(pfn * PAGE_SIZE);
        read.read_phys(addr, &mut theirs).unwrap();
        from.read_phys(addr, &mut ours).unwrap();
        assert_eq!(theirs, ours, "page {pfn:#x}");
    }
}

/// Runs out of (gap, pages), RAM around some of them.
fn dump(list: &[(u64, u64)], more_ram: u64) -> Every {
    let mut at = 0;
    let runs: Vec<_> = list
        .iter()
        .map(|(gap, len)| {
            let start = at + gap;
            at = start + len;
            (start, *len)
        })
        .collect();
    let mut dump = Every::runs(runs.into_iter());
    let end = dump.held.last().map_or(0, |run| run.end.0);
    let mut ram: Vec<PfnRange> = vec![PfnRange::new(Pfn(0), Pfn(end + more_ram))];
    ram.retain(|run| !run.is_empty());
    dump.ram = ram;
    dump
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn a_view_is_the_file_it_says_it_is(
        list in prop::collection::vec((1..300_u64, 1..12_u64), 1..25),
        more_ram in 0..80_000_u64,
        step in 1..150_000_usize,
    ) {
        let dump = Arc::new(dump(&list, more_ram));
        let kdump = KdumpView::new(Arc::<Every>::clone(&dump), &CoreMeta::of(dump.info())).unwrap();
        same(&whole(&kdump, step.max(97)), &dump, Format::Kdump);
        let elf = ElfView::new(Arc::<Every>::clone(&dump), CoreMeta::of(dump.info())).unwrap();
        same(&whole(&elf, step.max(97)), &dump, Format::Elf);
    }
}

#[test]
fn any_byte_is_the_same_however_it_is_asked_for() {
    let dump = Arc::new(dump(&[(3, 2), (40_000, 700), (1, 1)], 5));
    let view = KdumpView::new(Arc::<Every>::clone(&dump), &CoreMeta::of(dump.info())).unwrap();
    let all = whole(&view, 1 << 20);
    for (at, len) in [
        (0, 17),
        (4090, 5000),
        (4096 * 2 + 1, 9000),
        (4096 * 6 - 5, 33),
    ] {
        let mut buf = vec![0x5a; len];
        assert_eq!(view.read_at(at as u64, &mut buf).unwrap(), len);
        assert_eq!(buf, all[at..at + len]);
    }
}

#[test]
fn as_many_runs_as_the_header_of_a_core_cannot_count() {
    let dump = Arc::new(Every::runs((1..70_001_u64).map(|n| (n * 3, 1))));
    let view = KdumpView::new(Arc::<Every>::clone(&dump), &CoreMeta::of(dump.info())).unwrap();
    let mut page = [0; PAGE_BYTES];
    let last = view.size() - PAGE_SIZE;
    assert_eq!(view.read_at(last, &mut page).unwrap(), PAGE_BYTES);
    assert_eq!(page[..8], 210_000_u64.to_le_bytes());
    let elf = ElfView::new(Arc::<Every>::clone(&dump), CoreMeta::of(dump.info())).unwrap();
    assert_eq!(
        elf.read_at(elf.size() - PAGE_SIZE, &mut page).unwrap(),
        PAGE_BYTES
    );
    assert_eq!(page[..8], 210_000_u64.to_le_bytes());
}
