//! The words of the sections behind the head of a report.

use super::Report;
use crate::checks::Check;
use crate::cpus::Cpu;
use crate::locks::{Blocked, Holder, Lock, WaitKind, Waiter};
use crate::memory::Memory;
use crate::notifiers::{Hook, Notifiers, Outcome};
use std::fmt::{self, Write};
use vmcore::addr::VirtAddr;

/// Slab caches shown.
const TOP_SLABS: usize = 20;
/// Blocked tasks shown one by one.
const SHOWN: usize = 10;

/// Writes every section that the report has, except the log.
pub(super) fn write(report: &Report, out: &mut dyn Write) -> fmt::Result {
    if let Some(cpus) = &report.cpus {
        others(cpus, out)?;
    }
    if let Some(tasks) = &report.tasks {
        let total: u64 = tasks.values().sum();
        let states: Vec<String> = tasks
            .iter()
            .map(|(state, count)| format!("{count} {state}"))
            .collect();
        writeln!(out, "  tasks: {total} ({})", states.join(", "))?;
    }
    if let Some(list) = &report.blocked {
        blocked(list, out)?;
    }
    if let Some(list) = &report.locks {
        locks(list, out)?;
    }
    if let Some(facts) = &report.memory {
        memory(facts, out)?;
    }
    if let Some(caches) = &report.slabs {
        writeln!(out, "  slab caches that take most:")?;
        for cache in caches.iter().take(TOP_SLABS) {
            let (kib, objects) = (cache.bytes >> 10, cache.objects);
            let in_use = cache.in_use.map_or("?".into(), |n| n.to_string());
            writeln!(
                out,
                "    {:<24} {kib:>9} KiB  {in_use:>9} of {objects} objects of {} bytes in use",
                cache.name, cache.size
            )?;
        }
    }
    if let Some(modules) = &report.modules {
        writeln!(out, "  modules: {}", modules.len())?;
        for module in modules {
            let taints = if module.taints.is_empty() {
                "-"
            } else {
                &module.taints
            };
            let version = module.version.as_deref().unwrap_or("");
            let line = format!(
                "    {:<24} {:>9} B  {taints:<3} {version}",
                module.name, module.size
            );
            writeln!(out, "{}", line.trim_end())?;
        }
    }
    if let Some(mounts) = &report.mounts {
        writeln!(out, "  mounts: {}", mounts.len())?;
        for mount in mounts {
            let ro = if mount.read_only { ", read-only" } else { "" };
            writeln!(
                out,
                "    {} on {} ({}{ro})",
                mount.source, mount.target, mount.fs_type
            )?;
        }
    }
    if let Some(list) = &report.notifiers {
        notifiers(list, out)?;
    }
    if let Some(list) = &report.checks {
        checks(list, out)?;
    }
    Ok(())
}

/// What the CPUs that did not panic ran, unless they idled.
fn others(cpus: &[Cpu], out: &mut dyn Write) -> fmt::Result {
    let others: Vec<String> = cpus
        .iter()
        .filter(|cpu| !cpu.panicked && !cpu.idle)
        .take(SHOWN)
        .map(|cpu| format!("CPU {} {} ({})", cpu.cpu, cpu.comm, cpu.pid))
        .collect();
    let idle = cpus.iter().filter(|cpu| !cpu.panicked && cpu.idle).count();
    match (others.is_empty(), idle) {
        (true, 0) => Ok(()),
        (true, idle) => writeln!(out, "  other CPUs: {idle} idle"),
        (false, 0) => writeln!(out, "  other CPUs: {}", others.join(", ")),
        (false, idle) => writeln!(out, "  other CPUs: {}; {idle} idle", others.join(", ")),
    }
}

fn blocked(list: &Blocked, out: &mut dyn Write) -> fmt::Result {
    for waiter in list.waiters.iter().take(SHOWN) {
        writeln!(out, "  blocked: {}", sentence(waiter))?;
    }
    if let Some(more) = list
        .waiters
        .len()
        .checked_sub(SHOWN)
        .filter(|more| *more > 0)
    {
        writeln!(out, "  blocked: and {more} more")?;
    }
    for cycle in &list.cycles {
        let pids: Vec<String> = cycle.iter().map(ToString::to_string).collect();
        writeln!(
            out,
            "  deadlock: tasks {} wait for each other in a ring",
            pids.join(" -> ")
        )?;
    }
    Ok(())
}

pub(super) fn kind_words(kind: WaitKind) -> &'static str {
    match kind {
        WaitKind::Mutex => "a mutex",
        WaitKind::RwsemRead => "a read-write semaphore, to read",
        WaitKind::RwsemWrite => "a read-write semaphore, to write",
        WaitKind::Semaphore => "a semaphore",
        WaitKind::PercpuRwsem => "a per-CPU read-write semaphore",
        WaitKind::Completion => "a completion",
        WaitKind::Io => "input or output",
        WaitKind::Bit => "a page or buffer",
        WaitKind::Other => "something",
    }
}

fn locks(list: &[Lock], out: &mut dyn Write) -> fmt::Result {
    writeln!(out, "  locks that somebody waits for: {}", list.len())?;
    for lock in list {
        let name = lock.symbol.as_deref().map(|name| format!(" {name}"));
        let name = name.unwrap_or_default();
        let holder = lock.holder.as_ref().map_or_else(
            || "held by nobody known".to_string(),
            |holder| format!("{} {}", held(holder), who(holder)),
        );
        let waiters: Vec<String> = lock
            .waiters
            .iter()
            .take(SHOWN)
            .map(|task| format!("{} ({})", task.comm, task.pid))
            .collect();
        let more = match lock.waiters.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let (kind, at) = (kind_words(lock.kind), VirtAddr::from(lock.address));
        let waiters = waiters.join(", ");
        writeln!(
            out,
            "    {kind}{name} at {at}: {holder}; {waiters}{more} wait"
        )?;
    }
    Ok(())
}

fn held(holder: &Holder) -> &'static str {
    if holder.reader {
        "was last taken to read by"
    } else {
        "is held by"
    }
}

fn who(holder: &Holder) -> String {
    format!("{} ({})", holder.task.comm, holder.task.pid)
}

fn checks(list: &[Check], out: &mut dyn Write) -> fmt::Result {
    writeln!(out, "  checks of the dump:")?;
    for check in list {
        let word = if check.ok { "ok" } else { "WRONG" };
        writeln!(out, "    {word:<6} {}: {}", check.what, check.detail)?;
    }
    Ok(())
}

/// `cat (99) waits for a mutex acme_lock that kworker/2:1 (212) holds, in acme_poll`.
pub(super) fn sentence(waiter: &Waiter) -> String {
    let what = kind_words(waiter.kind);
    let mut text = format!(
        "{} ({}) waits for {what}",
        waiter.task.comm, waiter.task.pid
    );
    if let Some(symbol) = &waiter.symbol {
        // Writing into a String cannot fail.
        let _ = write!(text, " {symbol}");
    }
    if let Some(holder) = &waiter.holder {
        let _ = write!(text, " that {} {}", held(holder), who(holder));
    }
    if let Some(function) = &waiter.function {
        let _ = write!(text, ", in {function}");
    }
    text
}

fn memory(facts: &Memory, out: &mut dyn Write) -> fmt::Result {
    let mib = |bytes: Option<u64>| bytes.map_or("?".into(), |bytes| (bytes >> 20).to_string());
    writeln!(
        out,
        "  memory: {} MiB free of {}",
        mib(facts.free_bytes),
        mib(facts.total_bytes)
    )?;
    totals(facts, out)?;
    for zone in &facts.zones {
        let mark = |value: Option<u64>| value.map_or("?".into(), |value| value.to_string());
        writeln!(
            out,
            "    node {} {:<8} {:>9} pages managed, {:>9} free (min {} low {} high {})",
            zone.node,
            zone.name,
            zone.managed,
            zone.free,
            mark(zone.min),
            mark(zone.low),
            mark(zone.high)
        )?;
    }
    for (name, value) in facts.counters.iter().filter(|(_, value)| **value != 0) {
        writeln!(out, "    {name:<32} {value:>12}")?;
    }
    Ok(())
}

/// What the memory that was not free was used for, in MiB.
fn totals(facts: &Memory, out: &mut dyn Write) -> fmt::Result {
    let Some(used) = facts.total_bytes.zip(facts.free_bytes) else {
        return Ok(());
    };
    let mut text = format!("    used: {} MiB", used.0.saturating_sub(used.1) >> 20);
    let slab: &[&str] = &["nr_slab_reclaimable", "nr_slab_unreclaimable"];
    for (words, names) in [
        ("file cache", &["nr_file_pages"][..]),
        ("anonymous", &["nr_anon_pages"][..]),
        ("slab", slab),
        ("page tables", &["nr_page_table_pages"][..]),
    ] {
        let pages = names.iter().filter_map(|name| facts.counters.get(*name));
        let counted: Vec<u64> = pages.map(|pages| pages.max(&0).unsigned_abs()).collect();
        if !counted.is_empty() {
            let pages = counted.into_iter().fold(0_u64, u64::saturating_add);
            // Writing into a String cannot fail.
            let _ = write!(
                text,
                ", {words} {}",
                pages.saturating_mul(facts.page_bytes) >> 20
            );
        }
    }
    writeln!(out, "{text}")
}

fn notifiers(list: &Notifiers, out: &mut dyn Write) -> fmt::Result {
    writeln!(out, "  registered to run at a panic ({}):", list.evidence)?;
    let hooks = list.notifiers.iter().map(|hook| ("notifier", hook));
    for (what, hook) in hooks.chain(list.dumpers.iter().map(|hook| ("kmsg dumper", hook))) {
        writeln!(out, "    {what:<11} {}", registered(hook))?;
    }
    Ok(())
}

fn registered(hook: &Hook) -> String {
    let outcome = match hook.outcome {
        Outcome::Ran => "ran",
        Outcome::NotReached => "not reached",
        Outcome::Unknown => "unknown whether it ran",
    };
    let module = hook
        .module
        .as_deref()
        .map(|name| format!(" [{name}]"))
        .unwrap_or_default();
    let priority = hook
        .priority
        .map(|n| format!(", priority {n}"))
        .unwrap_or_default();
    format!("{}{module}{priority}: {outcome}", hook.function)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_free_is_told_by_use() {
        let mib = |n: u64| n << 20;
        let pages = |n: i64| n << 8;
        let counters = [
            ("nr_file_pages", pages(300)),
            ("nr_slab_reclaimable", pages(20)),
            ("nr_slab_unreclaimable", pages(30)),
        ];
        let facts = Memory {
            total_bytes: Some(mib(1000)),
            free_bytes: Some(mib(400)),
            page_bytes: 4096,
            counters: counters.map(|(name, n)| (name.to_owned(), n)).into(),
            ..Memory::default()
        };
        let mut text = String::new();
        totals(&facts, &mut text).unwrap();
        assert_eq!(text, "    used: 600 MiB, file cache 300, slab 50\n");
        let mut text = String::new();
        totals(&Memory::default(), &mut text).unwrap();
        assert_eq!(text, "");
    }
}
