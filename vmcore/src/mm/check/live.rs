//! The same rules judged on a running kernel, while arming: whole zones, smallest first, each
//! against its own counter, as many as fit into the time.
//!
//! A running kernel moves pages while they are counted. Each zone's counter is read before and
//! after; the difference, and what each CPU can move meanwhile, are slack with a name. A zone that
//! disagrees is counted again before it is believed. The fields of a struct page are compared with
//! the kernel's own types first. Nothing here writes.

use super::counters::{self, Zone};
use super::{Check, Slack, chain_of, ram_in};
use crate::addr::{Pfn, PfnRange};
use crate::kernel::Kernel;
use crate::mm::walk::walk_within;
use crate::mm::{Findings, Kind, Rule, Rules, WalkError};
use std::time::{Duration, Instant};

/// Pages of one step between two looks at the clock: 1 GiB.
const STEP: u64 = 1 << 18;
/// Pages of the kernel that a CPU may free or take while a step is counted.
const MOVED_PER_CPU: u64 = 512;
/// How often a zone that disagrees is counted again.
const RETRIES: u32 = 3;

/// What was checked, and how much of RAM that was.
#[derive(Clone, Debug, Default)]
pub struct Live {
    /// One check a zone, and what single pages said.
    pub checks: Vec<Check>,
    /// Pages of RAM in the zones that were checked whole.
    pub covered: u64,
    /// Pages of RAM in all zones.
    pub total: u64,
}

/// Checks the running kernel until `deadline`.
///
/// # Errors
/// When the memory map cannot be found. A kernel whose zones cannot be read is a check not made.
pub fn live(kernel: &Kernel, rules: &Rules, deadline: Instant) -> Result<Live, WalkError> {
    let mut live = Live::default();
    live.checks.push(super::offsets(kernel));
    let mut zones = match counters::zones(kernel) {
        Ok(zones) => zones,
        Err(error) => {
            let why = chain_of(&error);
            live.checks
                .push(Check::not_made("free", &[Rule::Free], why));
            return Ok(live);
        }
    };
    zones.sort_by_key(|zone| zone.span.len());
    let mut findings = Findings::default();
    let mut speed: Option<(u64, Duration)> = None;
    for zone in &zones {
        let ram = ram_in(kernel, zone.span);
        live.total += ram;
        let rate = speed.filter(|(pages, _)| *pages > 0);
        let estimate = rate.map_or(Duration::ZERO, |(pages, time)| {
            time.mul_f64(ram as f64 / pages as f64)
        });
        let begun = Instant::now();
        let made = if begun + estimate < deadline {
            zone_check(kernel, rules, zone, deadline, &mut findings)?
        } else {
            None
        };
        let Some(check) = made else {
            let name = format!("free/{}/{}", zone.node, zone.name);
            let why = "the time did not suffice for this zone";
            live.checks.push(Check::not_made(name, &[Rule::Free], why));
            continue;
        };
        live.checks.push(check);
        live.covered += ram;
        speed = Some((ram, begun.elapsed()));
    }
    // Where nothing was looked at, nothing is proven.
    if live.covered == 0 {
        return Ok(live);
    }
    let cpus = counters::cpus(kernel);
    for (rule, evidence) in findings.by_rule() {
        let slack = vec![Slack {
            source: "pages that changed while they were read",
            more: cpus * 64,
            fewer: 0,
        }];
        live.checks.push(Check {
            seen: live.covered,
            first: evidence.first,
            ..Check::compare(
                format!("pages/{}", rule.name()),
                &[rule],
                evidence.count,
                0,
                slack,
            )
        });
    }
    Ok(live)
}

/// `None`: the time ran out in the middle.
fn zone_check(
    kernel: &Kernel,
    rules: &Rules,
    zone: &Zone,
    deadline: Instant,
    findings: &mut Findings,
) -> Result<Option<Check>, WalkError> {
    let mut check = None;
    for _ in 0..RETRIES {
        let before = free_now(kernel, zone);
        let Some((found, said)) = count_free(kernel, rules, zone.span, deadline)? else {
            return Ok(check);
        };
        let after = free_now(kernel, zone);
        let moved = before.abs_diff(after);
        let meanwhile =
            counters::cpus(kernel) * kernel.frames(MOVED_PER_CPU).min(zone.span.len() / 16);
        let slack = vec![
            Slack {
                source: "isolated blocks, which NR_FREE_PAGES leaves out",
                more: zone.isolated,
                fewer: 0,
            },
            Slack {
                source: "pages moved while they were counted",
                more: moved.saturating_add(meanwhile),
                fewer: moved.saturating_add(meanwhile),
            },
        ];
        let name = format!("free/{}/{}", zone.node, zone.name);
        let made = Check::compare(name, &[Rule::Free], found, after, slack);
        let agrees = !made.failed();
        check = Some(made);
        if agrees {
            findings.merge(&said);
            break;
        }
    }
    Ok(check)
}

/// The zone's counter as it stands now; its last known value when it cannot be read again.
fn free_now(kernel: &Kernel, zone: &Zone) -> u64 {
    let zones = counters::zones(kernel).unwrap_or_default();
    zones
        .iter()
        .find(|now| now.node == zone.node && now.name == zone.name)
        .map_or(zone.free, |now| now.free)
}

fn count_free(
    kernel: &Kernel,
    rules: &Rules,
    span: PfnRange,
    deadline: Instant,
) -> Result<Option<(u64, Findings)>, WalkError> {
    let mut free = 0u64;
    let mut findings = Findings::default();
    let mut at = span.start;
    while at < span.end {
        if Instant::now() >= deadline {
            return Ok(None);
        }
        // Steps end where sections do.
        let end = Pfn((at.0 / STEP + 1) * STEP).min(span.end);
        let summary = walk_within(kernel, rules, 1, PfnRange::new(at, end), &mut |_| Ok(()))?;
        free += summary.counts.of(Kind::Free) + summary.counts.of(Kind::Unaccepted);
        findings.merge(&summary.findings);
        at = end;
    }
    Ok(Some((free, findings)))
}
