//! Round trips of `pages.map`, cut off and damaged files, look-ups.

use super::*;
use crate::addr::{Pfn, PfnRange};
use crate::dump::Runs;
use crate::layout::page_kind::{Kind, KindRun};
use proptest::prelude::*;

fn run(start: u64, end: u64, kind: Kind) -> KindRun {
    KindRun {
        pages: PfnRange::new(Pfn(start), Pfn(end)),
        kind,
    }
}

fn written(runs: &[KindRun]) -> (Vec<u8>, MapSummary) {
    let mut map = MapWriter::new(Vec::new()).unwrap();
    for run in runs {
        map.push(*run).unwrap();
    }
    map.finish().unwrap()
}

fn opened(bytes: &[u8]) -> MapReader {
    MapReader::open(Box::new(bytes.to_vec())).unwrap()
}

fn all(map: &MapReader) -> Vec<KindRun> {
    let mut runs = Vec::new();
    map.for_each(&mut |run| {
        runs.push(run);
        Ok(())
    })
    .unwrap();
    runs
}

/// Alternating single pages: the longest map there is for its amount of RAM.
fn chequered(pages: u64) -> Vec<KindRun> {
    (0..pages)
        .map(|n| run(n, n + 1, if n % 2 == 0 { Kind::Kernel } else { Kind::Free }))
        .collect()
}

#[test]
fn neighbours_join_and_gaps_stay() {
    let (bytes, summary) = written(&[
        run(1, 3, Kind::Free),
        run(3, 200, Kind::Free),
        run(200, 201, Kind::Slab),
        run(5000, 1 << 40, Kind::Anon),
    ]);
    let map = opened(&bytes);
    assert!(map.is_complete());
    assert_eq!(summary.bytes, bytes.len() as u64);
    assert_eq!((summary.runs, map.runs()), (3, 3));
    assert_eq!(map.counts(), &summary.counts);
    assert_eq!(map.counts().of(Kind::Free), 199);
    assert_eq!(
        all(&map),
        [
            run(1, 200, Kind::Free),
            run(200, 201, Kind::Slab),
            run(5000, 1 << 40, Kind::Anon)
        ]
    );
    for (pfn, expected) in [
        (0, Lookup::NotRam),
        (1, Lookup::Kind(Kind::Free)),
        (200, Lookup::Kind(Kind::Slab)),
        (201, Lookup::NotRam),
        (9999, Lookup::Kind(Kind::Anon)),
        (1 << 40, Lookup::NotRam),
    ] {
        assert_eq!(map.kind_of(Pfn(pfn)).unwrap(), expected, "page {pfn}");
    }
}

#[test]
fn runs_out_of_order_are_refused() {
    let mut map = MapWriter::new(Vec::new()).unwrap();
    map.push(run(10, 20, Kind::Free)).unwrap();
    let error = map.push(run(19, 30, Kind::Free)).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}

#[test]
fn an_empty_map_is_complete() {
    let (bytes, _) = written(&[]);
    let map = opened(&bytes);
    assert!(map.is_complete() && all(&map).is_empty());
    assert_eq!(map.kind_of(Pfn(0)).unwrap(), Lookup::NotRam);
}

#[test]
fn many_blocks_are_found_through_the_index() {
    let runs = chequered(1_000_000);
    let (bytes, _) = written(&runs);
    assert!(bytes.len() < 20_000, "{} bytes", bytes.len());
    let map = opened(&bytes);
    assert!(all(&map) == runs);
    for pfn in [0, 1, 65_535, 65_536, 777_777, 999_999] {
        assert_eq!(
            map.kind_of(Pfn(pfn)).unwrap(),
            Lookup::Kind(runs[pfn as usize].kind)
        );
    }
    let mut first = None;
    map.for_each_from(Pfn(654_321), &mut |run| {
        first.get_or_insert(run);
        Ok(())
    })
    .unwrap();
    assert_eq!(first, Some(runs[654_321]));
}

#[test]
fn the_index_keeps_its_size() {
    let mut index = super::index::Index::default();
    for n in 0..100_000u64 {
        index.push(Pfn(n * 10), n);
    }
    let mut bytes = Vec::new();
    index.encode(&mut bytes);
    assert!(bytes.len() <= 1024 * 16);
    assert!(bytes.len() >= 512 * 16);
    for pfn in [0, 9, 10, 123_456, 999_999] {
        let block = index.seek(Pfn(pfn)).unwrap();
        assert!(block * 10 <= pfn && pfn < block * 10 + 10 * 256, "{pfn}");
    }
}

#[test]
fn a_cut_file_is_good_up_to_the_cut() {
    let runs = chequered(300_000);
    let (bytes, _) = written(&runs);
    let mut lost_something = false;
    for cut in [
        16,
        17,
        60,
        bytes.len() / 2,
        bytes.len() - 17,
        bytes.len() - 1,
    ] {
        let map = opened(&bytes[..cut]);
        let got = all(&map);
        assert!(!map.is_complete());
        assert_eq!(got, runs[..got.len()]);
        assert_eq!(map.runs(), got.len() as u64);
        assert_eq!(
            map.counts().total(),
            got.iter().map(|r| r.pages.len()).sum::<u64>()
        );
        lost_something |= got.len() < runs.len();
        let after = got.last().map_or(0, |r| r.pages.end.0);
        assert_eq!(map.kind_of(Pfn(after)).unwrap(), Lookup::Lost);
    }
    assert!(lost_something);
    // The end block's loss alone loses no run.
    assert_eq!(all(&opened(&bytes[..bytes.len() - 1])).len(), runs.len());
}

#[test]
fn damage_is_found() {
    let (bytes, _) = written(&chequered(300_000));
    for at in 0..16 {
        let mut bad = bytes.clone();
        bad[at] ^= 0x40;
        assert!(MapReader::open(Box::new(bad)).is_err(), "header byte {at}");
    }
    let mut bad = bytes.clone();
    bad[16 + 40 + 5] ^= 1;
    let map = opened(&bad);
    let error = map.for_each(&mut |_| Ok(())).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    assert_eq!(map.kind_of(Pfn(0)).unwrap(), Lookup::Lost);
    assert!(MapReader::open(Box::new(b"\x7fELF and so on, no map".to_vec())).is_err());
    assert!(MapReader::open(Box::new(Vec::new())).is_err());
}

#[test]
fn kept_runs_are_maximal() {
    let (bytes, _) = written(&[
        run(0, 4, Kind::Kernel),
        run(4, 6, Kind::Slab),
        run(6, 8, Kind::Free),
        run(8, 9, Kind::Kernel),
        run(20, 30, Kind::Kernel),
    ]);
    let map = opened(&bytes);
    let kept = map.kept(|kind| kind != Kind::Free);
    let mut runs = Vec::new();
    kept.for_each(&mut |pages| {
        runs.push((pages.start.0, pages.end.0));
        Ok(())
    })
    .unwrap();
    assert_eq!(runs, [(0, 6), (8, 9), (20, 30)]);
}

#[test]
fn pages_kept_besides_join_their_neighbours() {
    let (bytes, _) = written(&[
        run(0, 4, Kind::Kernel),
        run(4, 20, Kind::Cache),
        run(20, 22, Kind::Kernel),
        run(22, 40, Kind::Cache),
    ]);
    let map = opened(&bytes);
    let also = [
        run(2, 5, Kind::Cache),
        run(10, 12, Kind::Cache),
        run(18, 25, Kind::Cache),
        run(39, 50, Kind::Cache),
    ];
    let mut runs = Vec::new();
    map.kept_with(|kind| kind == Kind::Kernel, &also)
        .for_each(&mut |pages| {
            runs.push((pages.start.0, pages.end.0));
            Ok(())
        })
        .unwrap();
    assert_eq!(runs, [(0, 5), (10, 12), (18, 25), (39, 40)]);
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(
        parts in prop::collection::vec((0u64..3, 1u64..5000, 0u8..15), 0..400)
    ) {
        let mut at = 0;
        let mut runs: Vec<KindRun> = Vec::new();
        for (gap, len, kind) in parts {
            at += gap * gap * 77;
            let kind = Kind::from_u8(kind);
            match runs.last_mut() {
                Some(last) if last.kind == kind && last.pages.end == Pfn(at) => {
                    last.pages.end = Pfn(at + len);
                }
                _ => runs.push(run(at, at + len, kind)),
            }
            at += len;
        }
        let (bytes, _) = written(&runs);
        prop_assert_eq!(all(&opened(&bytes)), runs);
    }

    #[test]
    fn no_bytes_break_the_reader(mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let (good, _) = written(&chequered(50));
        let keep = bytes.len().min(16);
        bytes[..keep].copy_from_slice(&good[..keep]);
        if let Ok(map) = MapReader::open(Box::new(bytes)) {
            let _ = map.for_each(&mut |_| Ok(()));
            let _ = map.kind_of(Pfn(3));
        }
    }
}
