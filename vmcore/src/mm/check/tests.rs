//! Checks on the toy memory map: honest rules pass, and each break of history is caught.
//!
//! The breaks are those that made makedumpfile drop too much, or too little, without a word. Each
//! is put back by altering the decoder that the rule table gives.

use super::counters::{Totals, Zone};
use super::*;
use crate::addr::{Pfn, PfnRange};
use crate::dump::map::MapWriter;
use crate::mm::rules::{Decoder, Hugetlb, Order, TypeTest};
use crate::mm::toy::{dropped, kernel, populated, walked};
use crate::mm::{KindCounts, Rules};
use synth::memmap::{FIRST_USABLE, SECTION, Series, Toy};

/// Slack that the toy's counters never need is still granted, for two CPUs as on the cores.
const CPUS: u64 = 2;

/// Enough slabs, page tables and processes to stand out from the slack.
fn crowded(series: Series) -> Toy {
    let mut toy = populated(series);
    for n in 0..8 {
        toy.slab(SECTION + 1024 + 8 * n, 3);
        toy.treacherous_slab(SECTION + 2048 + 8 * n, 3);
        toy.table(SECTION + 3072 + n);
        toy.anon(SECTION + 4096 + 512 * n, 9);
        toy.hugetlb(SECTION + 16384 + 512 * n, 9, n % 2 == 1);
    }
    for n in 0..2000 {
        toy.cache(SECTION + 10240 + n, 0, n % 3 == 0);
    }
    for n in 0..64 {
        toy.map_kernel_page(0xffff_c900_0000_0000 + n * 4096, SECTION + 600 + n);
    }
    toy
}

/// The counters that a kernel with this memory would have.
fn truth(toy: &Toy) -> (Vec<Zone>, Totals) {
    let count = |kinds: &[&str], from: u64, to: u64| {
        let here = toy.truth.range(from..to);
        here.filter(|(_, kind)| kinds.contains(kind)).count() as u64
    };
    let all = |kinds: &[&str]| Some(count(kinds, 0, u64::MAX));
    let zone = |name: &str, from: u64, to: u64| Zone {
        name: name.to_owned(),
        node: 0,
        span: PfnRange::new(Pfn(from), Pfn(to)),
        free: count(&["free", "unaccepted"], from, to),
        present: to - from,
        isolated: 0,
        locked: false,
    };
    let zones = vec![zone("A", 1, SECTION), zone("B", SECTION, 2 * SECTION)];
    let totals = Totals {
        slab: all(&["slab"]),
        page_tables: all(&["page-table"]),
        anon_mapped: all(&["anon"]),
        file: all(&["cache", "cache-private"]),
        swap_cache: Some(0),
        hugetlb: all(&["hugetlb"]),
        ..Totals::default()
    };
    (zones, totals)
}

fn judged(toy: &Toy, alter: &dyn Fn(&mut Decoder)) -> (Vec<KindRun>, KindCounts, Report) {
    let kernel = kernel(toy);
    let mut rules = Rules::of(&kernel);
    alter(rules.decoder_mut());
    let (runs, summary) = walked(&kernel, &rules, 1);
    let mut writer = MapWriter::new(Vec::new()).unwrap();
    runs.iter().for_each(|run| writer.push(*run).unwrap());
    let map = MapReader::open(Box::new(writer.finish().unwrap().0)).unwrap();
    let (zones, totals) = truth(toy);
    let mut report = Report::default();
    report.checks.extend(findings(&summary, CPUS));
    report
        .checks
        .extend(sums::of_zones(&zones, &map, 1024).unwrap());
    let extra = sums::Extra {
        in_flight: CPUS,
        largest: 512,
        kfence: 0,
        untyped_compound: summary.findings.untyped_compound,
    };
    report
        .checks
        .extend(sums::of_totals(&summary.counts, &totals, &extra));
    proofs::mapped(&kernel, &map, Options::default(), &mut report).unwrap();
    (runs, summary.counts, report)
}

/// Pages of the kernel that level 31 would lose, the distrusted kinds being kept.
fn lost(toy: &Toy, runs: &[KindRun], report: &Report) -> Vec<(u64, Kind)> {
    let distrusted = report.distrusted();
    let mut lost = Vec::new();
    for run in runs {
        if !dropped(run.kind) || distrusted.contains(&run.kind) {
            continue;
        }
        for pfn in run.pages.start.0..run.pages.end.0 {
            let truth = toy.truth.get(&pfn).copied().unwrap_or("kernel");
            let kernels = ["kernel", "slab", "page-table", "typed", "reserved"];
            let kept_besides = report
                .also_kept
                .iter()
                .any(|run| run.pages.contains(Pfn(pfn)));
            if kernels.contains(&truth) && !kept_besides {
                lost.push((pfn, run.kind));
            }
        }
    }
    lost
}

fn failures(report: &Report) -> Vec<&str> {
    let failed = report.checks.iter().filter(|check| check.failed());
    failed.map(|check| check.name.as_str()).collect()
}

#[test]
fn honest_rules_pass_on_every_series() {
    for series in Series::ALL {
        let toy = crowded(series);
        let (runs, _, report) = judged(&toy, &|_| ());
        assert!(
            failures(&report).is_empty(),
            "{series:?} {:?}",
            report.checks
        );
        assert!(report.distrusted().is_empty());
        assert_eq!(lost(&toy, &runs, &report), []);
        let mapped = report.checks.iter().find(|c| c.name == "mapped/free");
        assert!(mapped.unwrap().seen >= 64, "{mapped:?}");
    }
}

/// A break of history: the kernel that brought it, what the filter of the day did, and a check that
/// has to fail.
struct Break {
    series: Series,
    alter: fn(&mut Decoder),
    caught_by: &'static str,
}

const BREAKS: [Break; 9] = [
    // 6.2: a slab's fields moved under `mapping`, which was tested without asking for slabs first.
    Break {
        series: Series::V6_1,
        alter: |d| {
            d.slab_flag = 0;
            d.typed_below = i32::MIN;
        },
        caught_by: "slab",
    },
    // 6.3: order and destructor moved to struct folio.
    Break {
        series: Series::V6_3,
        alter: |d| {
            d.order = Order::Byte(17);
            d.hugetlb = Hugetlb::Destructor {
                offset: 16,
                want: 2,
            };
        },
        caught_by: "hugetlb",
    },
    // 6.6: the order moved to the flags of the second page, the destructor became a flag there.
    Break {
        series: Series::V6_6,
        alter: |d| {
            d.order = Order::Byte(19);
            d.hugetlb = Hugetlb::Destructor {
                offset: 18,
                want: 2,
            };
        },
        caught_by: "hugetlb",
    },
    // 6.9: the flag became a page type.
    Break {
        series: Series::V6_9,
        alter: |d| d.hugetlb = Hugetlb::SecondFlags(1 << 8),
        caught_by: "hugetlb",
    },
    // 6.10: so did the slab flag; a filter that knows no types took slabs for user pages.
    Break {
        series: Series::V6_10,
        alter: |d| {
            d.slab = TypeTest::NEVER;
            d.slab_flag = 1 << 9;
            d.typed_below = i32::MIN;
        },
        caught_by: "slab",
    },
    // 6.12: types became numbers; the old bit test takes every type for a buddy page …
    Break {
        series: Series::V6_12,
        alter: |d| {
            d.buddy = TypeTest {
                mask: 0xf000_0080,
                want: 0xf000_0000,
            };
        },
        caught_by: "free/0/B",
    },
    // … and the old value finds none at all.
    Break {
        series: Series::V6_12,
        alter: |d| {
            d.buddy = TypeTest {
                mask: u32::MAX,
                want: 0xffff_ff7f,
            };
        },
        caught_by: "free/0/A",
    },
    // 7.1: compound_head became compound_info; no tail was recognised.
    Break {
        series: Series::V7_1,
        alter: |d| d.tail = None,
        caught_by: "pages/tail",
    },
    // 5.18 to 7.0: hugetlb's shared struct pages show heads where there are none.
    Break {
        series: Series::V6_12,
        alter: |d| d.fake_heads = false,
        caught_by: "pages/order",
    },
];

#[test]
fn every_break_of_history_is_caught_and_loses_nothing() {
    for broken in &BREAKS {
        let toy = crowded(broken.series);
        let (runs, _, report) = judged(&toy, &broken.alter);
        let failed = failures(&report);
        let name = broken.caught_by;
        assert!(
            failed.contains(&name),
            "{name} of {:?}: {failed:?}",
            broken.series
        );
        assert_eq!(lost(&toy, &runs, &report), [], "{:?}", broken.series);
    }
}

#[test]
fn a_break_costs_only_what_it_touches() {
    // hugetlb unknown: its pages stay, everything else is dropped as before.
    let toy = crowded(Series::V6_9);
    let (_, _, report) = judged(&toy, &|d| d.hugetlb = Hugetlb::Never);
    assert_eq!(report.failed_rules(), [Rule::Hugetlb]);
    assert_eq!(report.distrusted(), [Kind::Hugetlb]);
}

#[test]
fn what_the_kernel_maps_is_never_free_and_never_lost() {
    let mut toy = crowded(Series::V6_12);
    let vmalloc = 0xffff_c900_4000_0000;
    toy.map_kernel_page(vmalloc, FIRST_USABLE + 3);
    toy.map_kernel_page(vmalloc + 4096, SECTION + 10240 + 50);
    toy.map_kernel_page(vmalloc + 8192, SECTION + 10240 + 51);
    // Not RAM: a device's registers.
    toy.map_kernel_page(vmalloc + 12288, 1 << 30);
    let (_, _, report) = judged(&toy, &|_| ());
    assert_eq!(failures(&report), ["mapped/free"]);
    let free = report
        .checks
        .iter()
        .find(|c| c.name == "mapped/free")
        .unwrap();
    assert_eq!((free.found, free.first), (1, Some(FIRST_USABLE + 3)));
    let kept: Vec<(u64, u64)> = report
        .also_kept
        .iter()
        .map(|run| (run.pages.start.0, run.pages.end.0))
        .collect();
    let first = SECTION + 10240 + 50;
    assert_eq!(kept.first().unwrap().0, first);
    assert_eq!(kept.last().unwrap().1, first + 2);
}

#[test]
fn a_deadline_is_said() {
    let toy = crowded(Series::V6_1);
    let kernel = kernel(&toy);
    let (runs, _) = walked(&kernel, &Rules::of(&kernel), 1);
    let mut writer = MapWriter::new(Vec::new()).unwrap();
    runs.iter().for_each(|run| writer.push(*run).unwrap());
    let map = MapReader::open(Box::new(writer.finish().unwrap().0)).unwrap();
    let mut report = Report::default();
    let options = Options {
        deadline: Some(Instant::now()),
    };
    proofs::mapped(&kernel, &map, options, &mut report).unwrap();
    let said = report.checks.iter().find(|c| c.name == "mapped").unwrap();
    assert!(matches!(&said.verdict, Verdict::NotChecked(why) if why.contains("time")));
    assert!(!said.failed());
}

#[test]
fn tolerances_have_two_sides() {
    let slack = |more, fewer| {
        vec![Slack {
            source: "a test",
            more,
            fewer,
        }]
    };
    let verdict = |found, more, fewer| {
        Check::compare("n", &[Rule::Free], found, 100, slack(more, fewer)).verdict
    };
    assert_eq!(verdict(105, 5, 0), Verdict::Passed);
    assert_eq!(verdict(106, 5, 0), Verdict::Failed);
    assert_eq!(verdict(95, 0, 5), Verdict::Passed);
    assert_eq!(verdict(94, 99, 5), Verdict::Failed);
}

#[test]
fn zones_that_overlap_are_judged_together() {
    let toy = crowded(Series::V6_12);
    let (mut zones, _) = truth(&toy);
    zones[1].span.start = Pfn(SECTION - 4096);
    let kernel = kernel(&toy);
    let (runs, _) = walked(&kernel, &Rules::of(&kernel), 1);
    let mut writer = MapWriter::new(Vec::new()).unwrap();
    runs.iter().for_each(|run| writer.push(*run).unwrap());
    let map = MapReader::open(Box::new(writer.finish().unwrap().0)).unwrap();
    let checks = sums::of_zones(&zones, &map, 1024).unwrap();
    assert_eq!(checks.len(), 1);
    assert_eq!(checks[0].name, "free/0/A+0/B");
    assert_eq!(checks[0].verdict, Verdict::Passed);
}

#[test]
fn ram_that_the_dump_lacks_is_missed() {
    let toy = crowded(Series::V6_12);
    let kernel = kernel(&toy);
    let (mut zones, _) = truth(&toy);
    // More than the dump has.
    zones[0].present += 1000;
    let ram: u64 = toy.ram.iter().map(|(start, end)| end - start).sum();
    let check = |zones: &[Zone], reserved| sums::present(&kernel, zones, reserved);
    let lacking = 2 * SECTION - 1 + 1000 - ram;
    let made = check(&zones, lacking);
    assert_eq!((made.found, made.expected), (ram, ram + lacking));
    assert_eq!(made.verdict, Verdict::Passed);
    // What is below 1 MiB is never missed, what is reserved neither, one page more is.
    assert_eq!(check(&zones, lacking - 256).verdict, Verdict::Passed);
    assert_eq!(check(&zones, lacking - 257).verdict, Verdict::Failed);
    // A zone that spans more than it has may have that much more in the dump, and no more.
    let mut holes = zones.clone();
    holes[1].present -= 5000;
    assert_eq!(check(&holes, 0).verdict, Verdict::Passed);
    holes[1].span.end = Pfn(holes[1].span.end.0 - 100);
    let few = check(&holes, 0);
    assert_eq!((few.found, few.verdict), (ram - 100, Verdict::Passed));
}

#[test]
fn a_zone_at_a_time_until_the_deadline() {
    // Without BTF the toy's zones cannot be read: not made, not failed.
    let toy = crowded(Series::V6_12);
    let kernel = kernel(&toy);
    let rules = Rules::of(&kernel);
    let said = live(
        &kernel,
        &rules,
        Instant::now() + std::time::Duration::from_secs(9),
    )
    .unwrap();
    assert_eq!(said.covered, 0);
    assert_eq!(said.checks.len(), 2);
    assert!(!said.checks.iter().any(Check::failed));
}

/// The same breaks on a real core of the kernel that brought them, or a later one.
#[test]
#[ignore = "needs a real core: AFTERPANIC_CORE=FILE"]
fn breaks_on_a_real_core_are_caught() {
    let path = std::env::var("AFTERPANIC_CORE").unwrap();
    let dump = crate::dump::open(std::path::Path::new(&path)).unwrap();
    let kernel = Kernel::new(dump).unwrap();
    let honest = on_real_core(&kernel, &|_| ());
    assert_eq!(failures(&honest.1), [] as [&str; 0]);
    let truth: Vec<KindRun> = honest.0;
    for broken in &BREAKS {
        let (runs, report) = on_real_core(&kernel, &broken.alter);
        let harmless = runs == truth;
        let distrusted = report.distrusted();
        let mut lost = 0u64;
        let mut honest = truth.iter().filter(|run| !dropped(run.kind)).peekable();
        for run in runs
            .iter()
            .filter(|r| dropped(r.kind) && !distrusted.contains(&r.kind))
        {
            while honest
                .next_if(|kept| kept.pages.end <= run.pages.start)
                .is_some()
            {}
            let mut ahead = honest.clone();
            while let Some(kept) = ahead.next_if(|kept| kept.pages.start < run.pages.end) {
                lost += kept.pages.intersect(run.pages).map_or(0, PfnRange::len);
            }
        }
        println!(
            "{:?} {}: failed {:?}, {lost} pages lost, harmless {harmless}",
            broken.series,
            broken.caught_by,
            failures(&report)
        );
        assert_eq!(lost, 0);
        assert!(harmless || !failures(&report).is_empty());
    }
}

fn on_real_core(kernel: &Kernel, alter: &dyn Fn(&mut Decoder)) -> (Vec<KindRun>, Report) {
    let mut rules = Rules::of(kernel);
    alter(rules.decoder_mut());
    let (runs, summary) = walked(kernel, &rules, 2);
    let mut writer = MapWriter::new(Vec::new()).unwrap();
    runs.iter().for_each(|run| writer.push(*run).unwrap());
    let map = MapReader::open(Box::new(writer.finish().unwrap().0)).unwrap();
    let report = run(kernel, &summary, &map, Options::default()).unwrap();
    (runs, report)
}
