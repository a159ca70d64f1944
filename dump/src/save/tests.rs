use super::*;
use crate::level::Level;
use crate::seal::{Identities, Identity};
use vmcore::addr::{PAGE_BYTES, PhysAddr};
use vmcore::dump::map::MapWriter;
use vmcore::dump::{Completeness, DumpInfo, Format, ReadError};
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

/// Every second page of 4,000,000, each with its number in it.
struct Sieve(DumpInfo);

const RUNS: u64 = 2_000_000;

impl MemoryDump for Sieve {
    fn read_phys(&self, addr: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        let mut at = addr.0;
        for page in buf.chunks_mut(PAGE_BYTES) {
            page.fill(0);
            page[..8].copy_from_slice(&(at / PAGE_SIZE).to_le_bytes());
            at += PAGE_SIZE;
        }
        Ok(())
    }

    fn next_present(&self, from: Pfn) -> Option<PfnRange> {
        let at = from.0.next_multiple_of(2);
        (at < RUNS * 2).then(|| PfnRange::new(Pfn(at), Pfn(at + 1)))
    }

    fn info(&self) -> &DumpInfo {
        &self.0
    }
}

#[test]
#[ignore = "two million pages"]
fn a_sealed_kdump_of_two_million_runs_is_a_stream_that_is_read_where_it_lies() {
    let dir = tempfile::tempdir().unwrap();
    let identity = Identity::generate().unwrap();
    let recipients = [identity.recipient()];
    let sieve = Sieve(DumpInfo::new(Format::Elf));
    let save = |format: OutputFormat| Save {
        dump: &sieve,
        pages: Pages::All,
        meta: CoreMeta::of(&sieve.0),
        format,
        codec_level: Some(1),
        dir: dir.path(),
        name: format!("core{}", format.suffix()),
        region: None,
        map: None,
        recipients: &recipients,
        threads: 2,
        pace: Pace::Own,
        buffer: 1 << 20,
        flight: None,
        total: Some(RUNS),
        reserve: 0,
        scan_progress: None,
    };
    let run = |format| save(format).run(&mut |_| Vec::new(), &mut |_, _| {});
    assert!(matches!(
        run(OutputFormat::ElfZst),
        Err(SaveError::Unsupported(_))
    ));
    let saved = run(OutputFormat::KdumpZstd).unwrap();
    assert_eq!(saved.stats.pages, RUNS);
    let path = dir
        .path()
        .join(format!("core{}", OutputFormat::KdumpZstd.suffix()));
    saved
        .sums
        .unwrap()
        .check(&mut std::fs::File::open(&path).unwrap())
        .unwrap();
    let dump = crate::seal::open_dump(&path, &Identities::of(identity)).unwrap();
    assert!(!matches!(
        dump.info().completeness,
        Completeness::Incomplete(_)
    ));
    for pfn in (0..RUNS * 2).step_by(199_998).chain([RUNS * 2 - 2]) {
        let mut page = [0; PAGE_BYTES];
        dump.read_phys(PhysAddr(pfn * PAGE_SIZE), &mut page)
            .unwrap();
        assert_eq!(page[..8], pfn.to_le_bytes());
        assert!(
            dump.read_phys(PhysAddr((pfn + 1) * PAGE_SIZE), &mut page)
                .is_err()
        );
    }
}
