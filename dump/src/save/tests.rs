use super::*;
use crate::level::Level;
use vmcore::dump::map::MapWriter;
use vmcore::mm::Kind;

fn run(start: u64, end: u64, kind: Kind) -> KindRun {
    KindRun {
        pages: PfnRange::new(Pfn(start), Pfn(end)),
        kind,
    }
}

fn chosen(also: &[KindRun], never: &[String]) -> Vec<(u64, u64)> {
    let mut writer = MapWriter::new(Vec::new()).unwrap();
    for (start, end, kind) in [
        (10, 20, Kind::Kernel),
        (20, 30, Kind::Anon),
        (30, 40, Kind::Slab),
        (40, 50, Kind::Slab),
        (50, 60, Kind::Free),
        (60, 70, Kind::Cache),
        (80, 90, Kind::Offline),
    ] {
        writer.push(run(start, end, kind)).unwrap();
    }
    let (bytes, _) = writer.finish().unwrap();
    let map = MapReader::open(Box::new(bytes)).unwrap();
    let policy = Policy::new(Level::STANDARD, &[], never);
    let mut runs = Vec::new();
    kept(&map, policy, also, &mut |run| {
        runs.push((run.start.0, run.end.0));
        Ok(())
    })
    .unwrap();
    runs
}

#[test]
fn runs_are_maximal() {
    assert_eq!(chosen(&[], &[]), [(10, 20), (30, 50)]);
}

#[test]
fn single_pages_are_kept_beside_the_kinds() {
    let also = [
        run(12, 14, Kind::Kernel),
        run(20, 21, Kind::Anon),
        run(29, 30, Kind::Anon),
        run(55, 62, Kind::Free),
        run(66, 67, Kind::Cache),
        run(82, 83, Kind::Offline),
    ];
    assert_eq!(chosen(&also, &[]), [(10, 21), (29, 50), (55, 62), (66, 67)]);
    // What the operator forbids stays out, and so does what must not be read.
    assert_eq!(
        chosen(&also, &["user".into()]),
        [(10, 20), (30, 50), (55, 62), (66, 67)]
    );
}
