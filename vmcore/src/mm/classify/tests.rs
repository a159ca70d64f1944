//! Kinds on the toy memory map, series by series.

use crate::addr::{Pfn, PfnRange};
use crate::mm::toy::{kernel, populated, walked, wrong};
use crate::mm::{Findings, Kind, Rules};
use synth::memmap::{FIRST_USABLE, RAM_START, SECTION, Series, Toy};

/// Nothing to say against any rule.
fn clean(untyped_compound: u64) -> Findings {
    Findings {
        untyped_compound,
        ..Findings::default()
    }
}

#[test]
fn every_kind_on_every_series() {
    for series in Series::ALL {
        let toy = populated(series);
        let kernel = kernel(&toy);
        let rules = Rules::of(&kernel);
        let (runs, summary) = walked(&kernel, &rules, 1);
        assert_eq!(wrong(&toy, &runs), [], "{series:?}");
        assert_eq!(summary.findings, clean(4), "{series:?}");
        assert_eq!(summary.unmapped, 0);
        assert!(!rules.degraded(), "{series:?}: {:?}", rules.off());
    }
}

#[test]
fn runs_are_maximal_and_cover_ram_for_any_number_of_threads() {
    let toy = populated(Series::V6_12);
    let kernel = kernel(&toy);
    let rules = Rules::of(&kernel);
    let (runs, summary) = walked(&kernel, &rules, 1);
    assert_eq!(runs.first().unwrap().pages.start, Pfn(RAM_START));
    assert_eq!(runs.last().unwrap().pages.end, Pfn(2 * SECTION));
    for pair in runs.windows(2) {
        assert_eq!(pair[0].pages.end, pair[1].pages.start);
        assert_ne!(pair[0].kind, pair[1].kind);
    }
    assert_eq!(summary.runs, runs.len() as u64);
    assert_eq!(summary.counts.total(), 2 * SECTION - RAM_START);
    for threads in [2, 3, 8] {
        let (again, other) = walked(&kernel, &rules, threads);
        assert!(again == runs && other.counts == summary.counts);
    }
}

#[test]
fn a_few_ranges_have_the_kinds_that_a_whole_walk_gives_them() {
    for series in Series::ALL {
        let toy = populated(series);
        let kernel = kernel(&toy);
        let rules = Rules::of(&kernel);
        let (whole, _) = walked(&kernel, &rules, 1);
        // Single pages, in the middle of free, unaccepted and compound blocks among them, stretches
        // across blocks, and what is no RAM.
        let starts = [0, 1, 7, 1500, 2053, 2090, 2600, 3573, 4100, 5000];
        let lengths = [1, 1, 30, 100, 2, 2, 700, 1, 400, 1];
        let mut ranges: Vec<PfnRange> = starts
            .iter()
            .zip(lengths)
            .map(|(at, len)| PfnRange::new(Pfn(FIRST_USABLE + at), Pfn(FIRST_USABLE + at + len)))
            .collect();
        ranges.push(PfnRange::new(Pfn(SECTION - 3), Pfn(SECTION + 3)));
        ranges.push(PfnRange::new(Pfn(9 * SECTION), Pfn(9 * SECTION + 5)));
        let mut found = Vec::new();
        let summary = crate::mm::walk_ranges(&kernel, &rules, &ranges, &mut |run| {
            found.push(run);
            Ok(())
        });
        assert_eq!(summary.unwrap().counts.total(), 1244);
        for run in found {
            for pfn in run.pages.start.0..run.pages.end.0 {
                let of =
                    |run: &&crate::mm::KindRun| (run.pages.start.0..run.pages.end.0).contains(&pfn);
                let kind = whole.iter().find(of).unwrap().kind;
                assert_eq!((pfn, run.kind), (pfn, kind), "{series:?}");
            }
        }
    }
}

#[test]
fn sections_that_are_not_online_are_not_looked_into() {
    for (flags, kind) in [
        (0x3, Kind::Offline),
        (0x13, Kind::Device),
        (0xb, Kind::Offline),
    ] {
        let mut toy = populated(Series::V6_12);
        toy.section_flags(1, flags);
        let kernel = kernel(&toy);
        let (_, summary) = walked(&kernel, &Rules::of(&kernel), 1);
        assert!(summary.counts.of(kind) >= SECTION, "{flags:#x}");
        assert_eq!(summary.unmapped, 0);
    }
}

#[test]
fn ram_of_the_image_is_the_limit() {
    let mut toy = Toy::new(Series::V6_1, 2);
    toy.free(FIRST_USABLE, 10);
    // A reserved region cuts a free block in two, and RAM ends in the middle of a section.
    toy.ram = vec![
        (RAM_START, FIRST_USABLE + 100),
        (FIRST_USABLE + 200, SECTION + 77),
    ];
    let kernel = kernel(&toy);
    let (runs, summary) = walked(&kernel, &Rules::of(&kernel), 2);
    assert_eq!(wrong(&toy, &runs), []);
    let free: Vec<(u64, u64)> = runs
        .iter()
        .filter(|r| r.kind == Kind::Free)
        .map(|r| (r.pages.start.0, r.pages.end.0))
        .collect();
    assert_eq!(
        free,
        [
            (FIRST_USABLE, FIRST_USABLE + 100),
            (FIRST_USABLE + 200, FIRST_USABLE + 1024)
        ]
    );
    assert_eq!(runs.last().unwrap().pages.end, Pfn(SECTION + 77));
    assert_eq!(summary.counts.of(Kind::Free), 924);
}

#[test]
fn a_gigantic_page_spans_sections() {
    for series in [Series::V6_1, Series::V6_12, Series::V7_1] {
        for shared in [false, true] {
            // Two whole sections: the second has no head of its own.
            let mut toy = Toy::new(series, 3);
            toy.hugetlb(0, 16, shared);
            toy.free(2 * SECTION, 3);
            let kernel = kernel(&toy);
            let (runs, summary) = walked(&kernel, &Rules::of(&kernel), 2);
            assert_eq!(wrong(&toy, &runs), [], "{series:?} shared {shared}");
            assert_eq!(summary.findings, clean(0));
        }
    }
}

#[test]
fn unmapped_struct_pages_are_unknown() {
    let mut toy = populated(Series::V6_1);
    toy.anon(SECTION + 4096, 0);
    toy.cache(SECTION + 4223, 0, false);
    toy.unmap_struct_pages(SECTION + 4160);
    let kernel = kernel(&toy);
    let (runs, summary) = walked(&kernel, &Rules::of(&kernel), 1);
    let unknown: Vec<PfnRange> = runs
        .iter()
        .filter(|r| r.kind == Kind::Unknown)
        .map(|r| r.pages)
        .collect();
    let hole = PfnRange::new(Pfn(SECTION + 4160), Pfn(SECTION + 4224));
    assert_eq!(unknown, [hole]);
    assert_eq!(summary.unmapped, 64);
    assert_eq!(wrong(&toy, &runs).len(), 64);
}

#[test]
fn other_struct_page_sizes() {
    let mut toy = Toy::with_struct_size(Series::V6_12, 2, 80);
    toy.anon(FIRST_USABLE, 9);
    toy.slab(FIRST_USABLE + 512, 3);
    toy.free(FIRST_USABLE + 1024, 10);
    toy.cache(SECTION, 3, true);
    let kernel = kernel(&toy);
    let (runs, summary) = walked(&kernel, &Rules::of(&kernel), 1);
    assert_eq!(wrong(&toy, &runs), []);
    assert_eq!(summary.findings, clean(0));
}

#[test]
fn a_wrong_order_reaches_no_further_than_the_tails() {
    let mut toy = Toy::new(Series::V6_12, 1);
    let base = FIRST_USABLE;
    toy.anon(base, 2);
    // The order says 512 pages, the tails say four; what follows is the kernel's.
    toy.page(base + 1, 0, &[9]);
    let kernel = kernel(&toy);
    let (runs, summary) = walked(&kernel, &Rules::of(&kernel), 1);
    assert_eq!(wrong(&toy, &runs), []);
    assert_eq!(summary.findings.order.count, 1);
    assert_eq!(summary.findings.order.first, Some(base));
}

#[test]
fn a_free_block_ends_at_a_page_in_use() {
    let mut toy = Toy::new(Series::V7_1, 1);
    let base = FIRST_USABLE;
    toy.free(base, 5);
    for pfn in base + 8..base + 32 {
        toy.truth.insert(pfn, "kernel");
        toy.page(pfn, 52, &1u32.to_le_bytes());
    }
    toy.slab(base + 16, 2);
    let kernel = kernel(&toy);
    let (runs, summary) = walked(&kernel, &Rules::of(&kernel), 1);
    assert_eq!(wrong(&toy, &runs), []);
    assert_eq!(summary.findings.free.first, Some(base + 8));
}

#[test]
fn impossible_pages_are_kept() {
    let mut toy = Toy::new(Series::V6_12, 1);
    let base = FIRST_USABLE;
    // An order past the free lists' end, and one that the page frame cannot have.
    toy.free(base, 0);
    toy.page(base, 40, &11u64.to_le_bytes());
    toy.free(base + 1, 0);
    toy.page(base + 1, 40, &3u64.to_le_bytes());
    // Marked anonymous, and no pointer.
    toy.page(base + 2, 24, &0xffff_ffffu64.to_le_bytes());
    // A tail whose head lies behind it, and one whose head is none.
    let behind = toy.struct_page(base + 64) | 1;
    toy.page(base + 4, 8, &behind.to_le_bytes());
    let none = toy.struct_page(base + 3) | 1;
    toy.page(base + 6, 8, &none.to_le_bytes());
    // A count that went below zero.
    toy.page(base + 8, 48, &(-3i32).to_le_bytes());
    let kernel = kernel(&toy);
    let (runs, summary) = walked(&kernel, &Rules::of(&kernel), 1);
    for pfn in [0, 1, 2, 4, 6, 8] {
        let run = runs.iter().find(|r| r.pages.contains(Pfn(base + pfn)));
        assert_eq!(run.unwrap().kind, Kind::Unknown, "page {pfn}");
    }
    assert_eq!(summary.findings.free.count, 2);
    assert_eq!(summary.findings.anon.count, 1);
    assert_eq!(summary.findings.tail.count, 2);
}

#[test]
fn poison_takes_its_page_alone_but_all_of_a_hugetlb_page() {
    let mut toy = Toy::new(Series::V6_12, 1);
    let base = FIRST_USABLE;
    toy.anon(base, 9);
    toy.poison(base + 5);
    toy.hugetlb(base + 512, 9, false);
    toy.poison(base + 512);
    for pfn in base + 512..base + 1024 {
        toy.truth.insert(pfn, "hwpoison");
    }
    let kernel = kernel(&toy);
    let (runs, _) = walked(&kernel, &Rules::of(&kernel), 1);
    assert_eq!(wrong(&toy, &runs), []);
}

#[test]
fn constants_of_x86_64_need_no_key() {
    let keys = ["NUMBER(SECTION_SIZE_BITS)", "NUMBER(MAX_PHYSMEM_BITS)"];
    // 5.10.0 to 5.10.x, 5.11 and 5.12 say neither the one nor, before 5.9, the other.
    let mut toy = populated(Series::V5_10);
    toy.without = keys.to_vec();
    assert!(keys.iter().all(|key| !toy.vmcoreinfo().contains(key)));
    let kernel = kernel(&toy);
    let (runs, _) = walked(&kernel, &Rules::of(&kernel), 1);
    assert_eq!(wrong(&toy, &runs), []);
}
