//! Proofs page by page, against things that know nothing of struct pages: the kernel image, and the
//! kernel's page tables outside the direct map.
//!
//! Facts: Documentation/arch/x86/x86_64/mm.rst; include/asm-generic/sections.h; kernel/vmlinux.lds.
//! Init memory and the gaps between the image's sections are given back to the allocator and are
//! classified like any page, so only the sections that stay are looked at, and the image's own
//! mapping is left out of the page tables' proof.

use super::{Check, Options, Report, Slack, Verdict};
use crate::addr::{PAGE_SHIFT, PAGE_SIZE, Pfn, PfnRange, PhysAddr, VirtAddr};
use crate::arch::paging::{Entry, Paging};
use crate::dump::MemoryDump;
use crate::dump::map::MapReader;
use crate::kernel::Kernel;
use crate::mm::{Kind, KindRun, Rule};
use std::io;
use std::time::Instant;

/// Runs of pages that are mapped and not the kernel's, kept in memory at most.
const ALSO_KEPT_MAX: usize = 4096;
/// What the direct map is taken to span when its length is not known.
const DIRECT_MAP_MAX: u64 = 1 << 46;

/// The parts of the image that the kernel never frees, by their first and last symbols. Of bss, the
/// unused part of the decrypted section goes back to the allocator (mm/mem_encrypt.c, since 5.0).
const SECTIONS: [[&str; 2]; 8] = [
    ["_stext", "_etext"],
    ["__start_rodata", "__end_rodata"],
    ["_sdata", "_edata"],
    ["__bss_start", "__start_bss_decrypted_unused"],
    ["__end_bss_decrypted", "__bss_stop"],
    ["__start_BTF", "__stop_BTF"],
    ["__start_orc_unwind_ip", "__stop_orc_unwind_ip"],
    ["__start_orc_unwind", "__stop_orc_unwind"],
];

/// The place of bss in [`SECTIONS`]; its second piece follows.
const BSS: usize = 3;

/// The rules that vouch for the kinds that a level may drop.
const ALL_RULES: [Rule; 4] = [Rule::Free, Rule::Cache, Rule::Anon, Rule::Hugetlb];

/// The kinds that a level may drop, with the rule that vouches for each.
const DROPPABLE: [(Kind, Rule); 6] = [
    (Kind::Free, Rule::Free),
    (Kind::Unaccepted, Rule::Free),
    (Kind::Cache, Rule::Cache),
    (Kind::CachePrivate, Rule::Cache),
    (Kind::Anon, Rule::Anon),
    (Kind::Hugetlb, Rule::Hugetlb),
];

fn rule_of(kind: Kind) -> Option<Rule> {
    DROPPABLE
        .iter()
        .find(|(droppable, _)| *droppable == kind)
        .map(|(_, rule)| *rule)
}

/// Text, rodata, data, bss, BTF and ORC (kallsyms lies in rodata) are kept: one check a rule.
///
/// # Errors
/// When the map cannot be read.
pub fn image(kernel: &Kernel, map: &MapReader) -> io::Result<Vec<Check>> {
    let names: Vec<&str> = SECTIONS.iter().flatten().copied().collect();
    let symbols = match kernel.symbols() {
        Ok(symbols) => symbols.lookup_many(&names),
        Err(error) => {
            let why = crate::kernel::chain(&error);
            return Ok(vec![Check::not_made("image", &ALL_RULES, why)]);
        }
    };
    let mut tally = Tally::default();
    for (section, bounds) in symbols.chunks_exact(2).enumerate() {
        let &[Some(start), end] = bounds else {
            continue;
        };
        // A kernel without memory encryption has no decrypted section: bss is one piece.
        let bss_end = || symbols.get(2 * BSS + 3).copied().flatten();
        let Some(end) = end.or_else(|| (section == BSS).then(bss_end).flatten()) else {
            continue;
        };
        if start < end
            && let Ok(first) = kernel.translate(start)
        {
            // Whole pages: what shares its last page with a gap is the gap's.
            let last = first.0.saturating_add(end.0 - start.0) >> PAGE_SHIFT;
            let pages = PfnRange::new(first.pfn(), Pfn(last));
            tally.pages(&**kernel.dump(), map, pages, false)?;
        }
    }
    Ok(tally.checks("image", true))
}

/// What the kernel's page tables map outside the direct map and the image (vmalloc, stacks, per-CPU
/// areas, modules, the memmap itself) is not free, and what of it belongs to a cache or a process
/// is kept.
///
/// # Errors
/// When the map cannot be read.
pub fn mapped(
    kernel: &Kernel,
    map: &MapReader,
    options: Options,
    report: &mut Report,
) -> io::Result<()> {
    let Some(direct) = kernel.direct_map_base() else {
        report.checks.push(Check::not_made(
            "mapped",
            &ALL_RULES,
            "where the direct map lies is not known",
        ));
        return Ok(());
    };
    let direct_len = kernel.direct().map_or(DIRECT_MAP_MAX, |direct| direct.len);
    let Some(paging) = kernel.paging().copied() else {
        report.checks.push(Check::not_made(
            "mapped",
            &ALL_RULES,
            "where the page tables are is not known",
        ));
        return Ok(());
    };
    let mut walk = TableWalk {
        kernel,
        paging,
        map,
        options,
        // Both are widened to whole 1 GiB, the coarsest page of the direct map.
        skip: [
            (
                direct & !(GIB - 1),
                (direct.saturating_add(direct_len) | (GIB - 1)),
            ),
            image_bounds(kernel),
        ],
        tally: Tally::default(),
        unread: 0,
        stopped: false,
    };
    walk.table(paging.root, paging.levels, paging.base())?;
    let (stopped, unread) = (walk.stopped, walk.unread);
    let mut tally = walk.tally;
    if stopped {
        let why = "the time for it ran out before all page tables were seen";
        report
            .checks
            .push(Check::not_made("mapped", &ALL_RULES, why));
    }
    if unread > 0 {
        let why = format!("{unread} page tables are not in the dump");
        report
            .checks
            .push(Check::not_made("mapped/tables", &[], why));
    }
    let full = tally.also_kept.len() >= ALSO_KEPT_MAX;
    report.checks.extend(tally.checks("mapped", full));
    tally.also_kept.sort_by_key(|run| run.pages.start);
    report.also_kept = join(tally.also_kept);
    Ok(())
}

const GIB: u64 = 1 << 30;

/// The first and the last byte of the image's mapping. Where the image shares its part of the address
/// space with what is looked at (arm64), its own mapping bounds it.
fn image_bounds(kernel: &Kernel) -> (u64, u64) {
    let image = kernel.layout().image;
    if image.len > 0 {
        return (
            image.start,
            image.start.saturating_add(image.len.min(GIB)) - 1,
        );
    }
    match kernel.image() {
        Some(image) if image.size > 0 => {
            let start = image.vaddr.0;
            (start, start.saturating_add(image.size) - 1)
        }
        _ => (u64::MAX, u64::MAX),
    }
}

fn join(runs: Vec<KindRun>) -> Vec<KindRun> {
    let mut joined: Vec<KindRun> = Vec::new();
    for run in runs {
        match joined.last_mut() {
            Some(last) if run.pages.start < last.pages.end => {
                if run.pages.end > last.pages.end {
                    last.pages.end = run.pages.end;
                }
            }
            Some(last) if last.kind == run.kind && last.pages.end == run.pages.start => {
                last.pages.end = run.pages.end;
            }
            _ => joined.push(run),
        }
    }
    joined
}

/// Pages found where no droppable page should be.
#[derive(Default)]
struct Tally {
    /// Pages by droppable kind, with the first of each.
    found: [(u64, Option<u64>); DROPPABLE.len()],
    seen: u64,
    also_kept: Vec<KindRun>,
}

impl Tally {
    /// Looks the RAM among `pages` up. With `keep`, what is not free is noted to be kept.
    fn pages(
        &mut self,
        dump: &dyn MemoryDump,
        map: &MapReader,
        pages: PfnRange,
        keep: bool,
    ) -> io::Result<()> {
        let mut at = pages.start;
        while let Some(ram) = dump
            .next_ram(at)
            .and_then(|ram| ram.intersect(PfnRange::new(at, pages.end)))
        {
            let Ok(run) = map.run_at(ram.start)? else {
                // The map was cut off before it.
                at = Pfn(ram.start.0.saturating_add(1));
                continue;
            };
            let Some(part) = run.pages.intersect(ram) else {
                break;
            };
            self.seen += part.len();
            self.note(part, run.kind);
            if keep
                && rule_of(run.kind).is_some_and(|rule| rule != Rule::Free)
                && self.also_kept.len() < ALSO_KEPT_MAX
            {
                match self.also_kept.last_mut() {
                    Some(last) if last.kind == run.kind && last.pages.end == part.start => {
                        last.pages.end = part.end;
                    }
                    _ => self.also_kept.push(KindRun {
                        pages: part,
                        kind: run.kind,
                    }),
                }
            }
            at = part.end;
        }
        Ok(())
    }

    fn note(&mut self, pages: PfnRange, kind: Kind) {
        let slot = DROPPABLE
            .iter()
            .position(|(droppable, _)| *droppable == kind);
        if let Some((count, first)) = slot.and_then(|slot| self.found.get_mut(slot)) {
            *count += pages.len();
            *first = Some(first.map_or(pages.start.0, |first| first.min(pages.start.0)));
        }
    }

    /// One check a rule. Unless `strict`, pages of caches and processes are no failure, because they
    /// are kept one by one.
    fn checks(&self, name: &str, strict: bool) -> Vec<Check> {
        if self.seen == 0 {
            // Nothing looked at proves nothing.
            let why = "no page of RAM was found to look at";
            return vec![Check::not_made(name, &ALL_RULES, why)];
        }
        let mut checks: Vec<Check> = Vec::new();
        for ((_, rule), (count, first)) in DROPPABLE.iter().zip(self.found) {
            let own = format!("{name}/{}", rule.name());
            if let Some(check) = checks.iter_mut().find(|check| check.name == own) {
                check.found += count;
                check.first = match (check.first, first) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
            } else {
                checks.push(Check {
                    first,
                    seen: self.seen,
                    ..Check::compare(own, &[*rule], count, 0, Vec::new())
                });
            }
        }
        for check in &mut checks {
            let tolerated = !strict && !check.judges.contains(&Rule::Free);
            if tolerated && check.found > 0 {
                check.slack.push(Slack {
                    source: "pages that a driver maps as well; they are kept one by one",
                    more: check.found,
                    fewer: 0,
                });
            }
            check.verdict = if check.found == 0 || tolerated {
                Verdict::Passed
            } else {
                Verdict::Failed
            };
        }
        checks
    }
}

struct TableWalk<'a> {
    kernel: &'a Kernel,
    paging: Paging,
    map: &'a MapReader,
    options: Options,
    /// Parts of the address space left out, first and last byte.
    skip: [(u64, u64); 2],
    tally: Tally,
    unread: u64,
    stopped: bool,
}

impl TableWalk<'_> {
    /// Goes through a table whose first entry maps `base`; recursion is as deep as there are levels.
    fn table(&mut self, table: PhysAddr, level: u32, base: u64) -> io::Result<()> {
        if self.options.deadline.is_some_and(|at| Instant::now() >= at) {
            self.stopped = true;
        }
        let paging = self.paging;
        let entries = paging.entries(level);
        let mut bytes = vec![0u8; usize::try_from(entries.saturating_mul(8)).unwrap_or(0)];
        if self.kernel.dump().read_phys(table, &mut bytes).is_err() {
            self.unread += 1;
            return Ok(());
        }
        let shift = paging.shift(level);
        let first = match level == paging.levels {
            true => usize::try_from(paging.first_of_kernel()).unwrap_or(0),
            false => 0,
        };
        for (number, entry) in bytes.as_chunks::<8>().0.iter().enumerate().skip(first) {
            let va = base.wrapping_add((number as u64) << shift);
            let last = va.wrapping_add((1 << shift) - 1);
            let skipped = |&(start, end): &(u64, u64)| start <= va && last <= end;
            if self.stopped || self.skip.iter().any(skipped) {
                continue;
            }
            match paging.read(paging.order.u64(*entry), level, number as u64) {
                Entry::None => {}
                Entry::Table(next) => self.table(next, level - 1, va)?,
                Entry::Page(phys) => {
                    self.leaf(VirtAddr(va), PhysAddr(phys.0 >> shift << shift), shift)?;
                }
            }
        }
        Ok(())
    }

    fn leaf(&mut self, va: VirtAddr, phys: PhysAddr, shift: u32) -> io::Result<()> {
        let inside = |&(start, end): &(u64, u64)| (start..=end).contains(&va.0);
        if self.skip.iter().any(inside) {
            return Ok(());
        }
        let start = phys.pfn();
        let pages = (1u64 << shift) / PAGE_SIZE;
        let end = start.checked_add(pages).unwrap_or(start);
        self.tally.pages(
            &**self.kernel.dump(),
            self.map,
            PfnRange::new(start, end),
            true,
        )
    }
}
