//! Pages by kind against the kernel's counters.
//!
//! Every honest difference has a name and a size in pages. Sources: mm/swap.c (LRU batches),
//! mm/mmu_gather.c, mm/page_alloc.c (isolated blocks), mm/slab_common.c (large kmalloc), mm/kfence.

use super::counters::{self, Totals, Zone};
use super::{Check, Slack, ram_in};
use crate::addr::{PAGE_SIZE, Pfn, PfnRange};
use crate::dump::map::MapReader;
use crate::kernel::{Kernel, chain};
use crate::mm::{Kind, KindCounts, Rule, Summary};
use std::io;

/// Pages that one CPU's LRU batches can hold: 7 lists of PAGEVEC_SIZE, 31 since 6.9 (15 before).
const LRU_BATCHES: u64 = 7 * 31;
/// Pages in one batch of an mmu_gather: unmapped and uncounted, not yet freed.
const GATHER_BATCH: u64 = 512;
/// Pages below 1 MiB.
const LOW: u64 = 256;

/// Makes the comparisons that this dump allows.
///
/// # Errors
/// When the map cannot be read.
pub fn compare(
    kernel: &Kernel,
    summary: &Summary,
    map: &MapReader,
    cpus: u64,
) -> io::Result<Vec<Check>> {
    let mut checks = match counters::zones(kernel) {
        Ok(zones) => {
            let mut checks = vec![present(kernel, &zones, counters::reserved(kernel))];
            let largest = kernel.frames(counters::largest_block(kernel));
            checks.extend(of_zones(&zones, map, largest)?);
            checks
        }
        Err(error) => vec![Check::not_made("free", &[Rule::Free], chain(&error))],
    };
    match counters::totals(kernel) {
        Ok(totals) => {
            let kfence = kfence_slabs(kernel, map)?;
            checks.extend(of_totals(
                &summary.counts,
                &totals,
                &Extra {
                    in_flight: kernel.frames(cpus),
                    largest: kernel.frames(counters::largest_block(kernel)),
                    kfence,
                    untyped_compound: summary.findings.untyped_compound,
                },
            ));
        }
        Err(error) => checks.push(Check::not_made(
            "vmstat",
            &[
                Rule::Slab,
                Rule::Anon,
                Rule::Cache,
                Rule::Hugetlb,
                Rule::Typed,
            ],
            chain(&error),
        )),
    }
    Ok(checks)
}

/// Free pages against each zone's own count. `largest`: page frames of the largest block.
pub(crate) fn of_zones(zones: &[Zone], map: &MapReader, largest: u64) -> io::Result<Vec<Check>> {
    Ok(free(zones, &free_by_group(zones, map)?, largest))
}

/// RAM by the dump against what the zones have: a dump that lacks some of it is no whole one. It
/// judges no rule.
pub(crate) fn present(kernel: &Kernel, zones: &[Zone], reserved: u64) -> Check {
    // Device memory is no RAM.
    let zones: Vec<Zone> = zones
        .iter()
        .filter(|z| z.name != "Device")
        .cloned()
        .collect();
    let spans = groups(&zones);
    let found = spans.iter().map(|(span, _)| ram_in(kernel, *span)).sum();
    let spanned: u64 = spans.iter().map(|(span, _)| span.len()).sum();
    let expected = zones
        .iter()
        .fold(0, |sum, zone| zone.present.saturating_add(sum));
    let slack = vec![
        one_sided("memory below 1 MiB, which a dump need not have", 0, LOW),
        one_sided("reserved for the capture kernel", 0, reserved),
        one_sided(
            "spanned, but the firmware's or offline",
            spanned.saturating_sub(expected),
            0,
        ),
    ];
    Check::compare("present", &[], found, expected, slack)
}

/// Zones whose spans overlap (nodes interleaved in memory) are judged together.
fn groups(zones: &[Zone]) -> Vec<(PfnRange, Vec<&Zone>)> {
    let mut sorted: Vec<&Zone> = zones.iter().collect();
    sorted.sort_by_key(|zone| zone.span.start);
    let mut groups: Vec<(PfnRange, Vec<&Zone>)> = Vec::new();
    for zone in sorted {
        match groups.last_mut() {
            Some((span, members)) if zone.span.start < span.end => {
                span.end = span.end.max(zone.span.end);
                members.push(zone);
            }
            _ => groups.push((zone.span, vec![zone])),
        }
    }
    groups
}

/// Free pages (those not yet accepted among them: NR_FREE_PAGES has both) in each group.
fn free_by_group(zones: &[Zone], map: &MapReader) -> io::Result<Vec<u64>> {
    let spans: Vec<PfnRange> = groups(zones).into_iter().map(|(span, _)| span).collect();
    let mut found = vec![0u64; spans.len()];
    map.for_each(&mut |run| {
        if matches!(run.kind, Kind::Free | Kind::Unaccepted) {
            for (count, span) in found.iter_mut().zip(&spans) {
                *count += span.intersect(run.pages).map_or(0, PfnRange::len);
            }
        }
        Ok(())
    })?;
    Ok(found)
}

/// Free pages against NR_FREE_PAGES, zone by zone. `found` is in the order of [`groups`].
fn free(zones: &[Zone], found: &[u64], largest: u64) -> Vec<Check> {
    let of = |((_, members), found): ((PfnRange, Vec<&Zone>), &u64)| {
        let names: Vec<String> = members
            .iter()
            .map(|zone| format!("{}/{}", zone.node, zone.name))
            .collect();
        let locked = members.iter().filter(|zone| zone.locked).count() as u64 * largest;
        let slack = vec![
            Slack {
                source: "isolated blocks, which NR_FREE_PAGES leaves out",
                more: members.iter().map(|zone| zone.isolated).sum(),
                fewer: 0,
            },
            Slack {
                source: "a block on its way while the zone's lock was held",
                more: locked,
                fewer: locked,
            },
        ];
        let expected = members.iter().map(|zone| zone.free).sum();
        let name = format!("free/{}", names.join("+"));
        Check::compare(name, &[Rule::Free], *found, expected, slack)
    };
    groups(zones).into_iter().zip(found).map(of).collect()
}

/// What the comparisons need besides the counters.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Extra {
    /// CPUs that can have work in flight, times the page frames in a page of the kernel.
    pub in_flight: u64,
    /// Page frames in the largest block of the buddy allocator, which a common huge page does not pass.
    pub largest: u64,
    /// KFENCE's slabs, which no counter has.
    pub kfence: u64,
    /// Pages of compound pages without a type.
    pub untyped_compound: u64,
}

/// Pages by kind against the machine's totals.
pub(crate) fn of_totals(found: &KindCounts, totals: &Totals, extra: &Extra) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut check = |name: &str, rules: &[Rule], found, expected: Option<u64>, slack| {
        checks.push(match expected {
            Some(expected) => Check::compare(name, rules, found, expected, slack),
            None => Check::not_made(name, rules, "this kernel has no such counter"),
        });
    };
    let swap_cache = totals.swap_cache;
    let (swapped, unknown_swap) = match swap_cache {
        Some(pages) => (pages, 0),
        // Swap is on and uncounted (before 5.12): all of the file pages may be swap cache.
        None => (0, totals.file.unwrap_or(0)),
    };
    let batches = Slack {
        source: "pages in a CPU's LRU batches",
        more: extra.in_flight * LRU_BATCHES,
        fewer: extra.in_flight * LRU_BATCHES,
    };
    check(
        "slab",
        &[Rule::Slab],
        found.of(Kind::Slab),
        totals.slab,
        vec![
            one_sided("KFENCE's pool, which no counter has", extra.kfence, 0),
            one_sided(
                "large kmalloc blocks, counted as slab",
                0,
                extra.untyped_compound + found.of(Kind::Typed),
            ),
            one_sided(
                "a slab on its way",
                extra.in_flight * 8,
                extra.in_flight * 8,
            ),
        ],
    );
    check(
        "page-tables",
        &[Rule::Typed],
        found.of(Kind::PageTable),
        totals.page_tables,
        vec![one_sided(
            "a page table on its way",
            extra.in_flight,
            extra.in_flight,
        )],
    );
    check(
        "anon",
        &[Rule::Anon],
        found.of(Kind::Anon),
        totals.anon_mapped,
        vec![
            one_sided("swap cache that no process maps", swapped + unknown_swap, 0),
            one_sided("isolated pages", totals.isolated_anon, 0),
            one_sided("unmapped, not yet freed", extra.in_flight * GATHER_BATCH, 0),
            batches.clone(),
        ],
    );
    check(
        "file",
        &[Rule::Cache],
        found.of(Kind::Cache) + found.of(Kind::CachePrivate),
        totals.file.map(|file| file.saturating_sub(swapped)),
        vec![
            one_sided("swap cache of shared memory", swapped, unknown_swap),
            one_sided("isolated pages", 0, totals.isolated_file),
            one_sided(
                "truncated, not yet freed",
                extra.in_flight * GATHER_BATCH,
                0,
            ),
            batches,
        ],
    );
    if let Some(pages) = totals.hugetlb {
        let moving = if totals.hugetlb_locked {
            extra.largest
        } else {
            0
        };
        check(
            "hugetlb",
            &[Rule::Hugetlb],
            found.of(Kind::Hugetlb),
            Some(pages),
            vec![
                one_sided(
                    "a page on its way while hugetlb_lock was held",
                    moving,
                    moving,
                ),
                one_sided("poisoned pages, still counted", 0, found.of(Kind::HwPoison)),
            ],
        );
    }
    checks
}

fn one_sided(source: &'static str, more: u64, fewer: u64) -> Slack {
    Slack {
        source,
        more,
        fewer,
    }
}

/// KFENCE's pages that are marked as slabs: every second page of its pool.
fn kfence_slabs(kernel: &Kernel, map: &MapReader) -> io::Result<u64> {
    let pool = kernel
        .symbol("__kfence_pool")
        .ok()
        .and_then(|at| kernel.read_ptr(at).ok())
        .filter(|pool| pool.0 != 0)
        .and_then(|pool| kernel.translate(pool).ok());
    let Some(pool) = pool else { return Ok(0) };
    let mut slabs = 0;
    // The pool is (CONFIG_KFENCE_NUM_OBJECTS + 1) * 2 pages; objects lie from the third on.
    for number in 1..=65_535u64 {
        let page = Pfn(pool.0 / PAGE_SIZE + kernel.frames(2 * number));
        let Ok(run) = map.run_at(page)? else { break };
        if run.kind != Kind::Slab || run.pages.len() != kernel.frames(1) {
            break;
        }
        slabs += kernel.frames(1);
    }
    Ok(slabs)
}
