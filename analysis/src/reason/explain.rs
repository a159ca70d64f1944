//! The lines of a report that say what was wrong, and what can be read off them.

use super::class::{Class, LOW};
use super::oops::Oops;

/// Sentences kept.
const MOST: usize = 8;

/// What a line that explains holds. The kernel's own words are kept; only times are gone.
const SENTENCES: &[&str] = &[
    // lib/list_debug.c, lib/refcount.c, lib/string_helpers.c, mm/usercopy.c, kernel/cfi.c
    "list_add corruption",
    "list_del corruption",
    "list_add double add",
    "refcount_t: ",
    "detected buffer overflow",
    "sercopy: ",
    "CFI failure",
    "ODEBUG: ",
    "kobject_add_internal failed",
    // mm/kasan, mm/kfence, mm/kmsan, kernel/kcsan
    "KASAN: *in range [",
    "^Read of size",
    "^Write of size",
    "which belongs to the cache",
    "The buggy address is located",
    "Use-after-free read at",
    "Use-after-free write at",
    "Out-of-bounds read at",
    "Out-of-bounds write at",
    "Invalid free of",
    "^Corrupted memory at",
    "^value changed:",
    // lib/ubsan.c
    "UBSAN: ",
    "is out of range for type",
    "shift exponent",
    "cannot be represented in type",
    // kernel/locking/lockdep.c
    "is trying to acquire",
    "already holding lock",
    "is trying to release",
    "but there are no more locks to release",
    "usage.",
    "takes:",
    // kernel/sched/core.c, kernel/hung_task.c, kernel/workqueue.c
    "in_atomic(): ",
    "preempt_count: ",
    "blocked on a ",
    "is likely owned by",
    "last function: ",
    // arch: what the access was
    "BUG: unable to handle",
    "kernel tried to execute",
    "Modules linked in: [last unloaded",
    // firmware and machine checks
    "event severity: ",
    "section_type: ",
    "DIMM location",
    "mce: CPUs not responding",
    "[Hardware Error]: CPU ",
    // fs/xfs/xfs_message.c, fs/ext4/super.c, fs/btrfs/messages.c
    "XFS: Assertion failed",
    "-fs error (device ",
    "BTRFS critical (device ",
    "assertion failed: ",
    // kernel/workqueue.c
    "in-flight: ",
    // kernel/exit.c and init
    "VFS: Cannot open root device",
];

/// The lines before and in a report that explain it; `own` are those in it.
pub(super) fn sentences<'l>(
    before: impl Iterator<Item = &'l str>,
    headline: &str,
    own: &[&'l str],
) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut lines = before.chain(own.iter().copied()).take(120).peekable();
    while let Some(line) = lines.next() {
        let text = line.trim();
        let wanted = SENTENCES
            .iter()
            .any(|pattern| super::shapes::holds(text, pattern));
        if !wanted
            || text == headline.trim()
            || out.iter().any(|have| have == text)
            || out.len() >= MOST
        {
            continue;
        }
        out.push(text.to_string());
        // `is trying to acquire lock:` names it on the next line.
        let next = lines.peek().filter(|_| text.ends_with(':'));
        if let (Some(next), Some(last)) = (next, out.last_mut()) {
            last.push(' ');
            last.push_str(next.trim());
        }
    }
    out
}

/// A page fault at a low address is the bug that a NULL dereference is.
pub(super) fn refine(class: Class, line: &str) -> Class {
    let low = || bad_address(line).is_some_and(|address| address < LOW);
    match class {
        Class::BadAddress if low() => Class::NullDeref,
        other => other,
    }
}

/// The address that a headline names.
pub(super) fn bad_address(headline: &str) -> Option<u64> {
    let marks = [
        "virtual address ",
        "address: ",
        "address ",
        " request at ",
        "dereference at ",
        "data access at ",
        "access at ",
        "on read at ",
        "on write at ",
    ];
    let text = marks
        .iter()
        .find_map(|mark| headline.split_once(mark).map(|(_, rest)| rest))?;
    let word = text.trim_start().split([' ', ':', ',']).next()?;
    if word.starts_with("(null)") || word.starts_with("null") {
        return Some(0);
    }
    u64::from_str_radix(word.trim_start_matches("0x"), 16).ok()
}

/// The address on a line of its own: s390 and riscv.
pub(super) fn failing_address(own: &[&str]) -> Option<u64> {
    let behind = |line: &&str| {
        ["Failing address: ", "badaddr: "]
            .iter()
            .find_map(|mark| line.split_once(mark).map(|(_, rest)| rest.to_string()))
    };
    let text = own.iter().take(40).find_map(behind)?;
    u64::from_str_radix(text.split(' ').next()?, 16).ok()
}

/// The first address of `KASAN: null-ptr-deref in range [0x30-0x37]`: what the code followed, where the
/// fault's own address is that of KASAN's shadow memory.
pub(super) fn shadow_range(own: &[&str]) -> Option<(u64, bool)> {
    let line = own
        .iter()
        .take(16)
        .find(|line| line.contains("KASAN: ") && line.contains(" in range ["))?;
    let (_, range) = line.split_once("range [0x")?;
    let first = u64::from_str_radix(range.split('-').next()?, 16).ok()?;
    Some((first, line.contains("null-ptr-deref")))
}

/// What init's exit code says (kernel/exit.c prints the wait status).
pub(super) fn exit_code(message: &str) -> Option<String> {
    let (_, code) = message.split_once("exitcode=0x")?;
    let code = u32::from_str_radix(code.get(..8)?, 16).ok()?;
    let signal = code & 0x7f;
    let status = (code >> 8) & 0xff;
    if signal == 0 {
        return Some(format!("init exited with status {status}"));
    }
    let name = match signal {
        4 => " (SIGILL: a bad instruction)",
        6 => " (SIGABRT: it gave up)",
        7 => " (SIGBUS: memory that could not be read, often a failed disk)",
        8 => " (SIGFPE: a bad calculation)",
        9 => " (SIGKILL: something killed it)",
        11 => " (SIGSEGV: a bad address)",
        _ => "",
    };
    Some(format!("signal {signal}{name} ended init"))
}

/// The process with the most memory in the table of an OOM report (mm/oom_kill.c, `dump_tasks`). Behind `[pid]`
/// stand uid, tgid, total_vm and rss, in pages, others by version, and the name, which may have spaces.
pub(super) fn largest(own: &[&str]) -> Option<String> {
    let at = own.iter().position(|line| line.contains(" total_vm "))?;
    // The brackets of its pid are words, too.
    let columns = own.get(at)?.split_whitespace().count();
    let (mut most, mut found) = (0, None);
    for line in own.get(at..)? {
        let Some((pid, mut rest)) = line.split_once(']') else {
            continue;
        };
        let mut pages = 0_u64;
        for column in 4..columns {
            let (word, behind) = rest.trim_start().split_once(' ').unwrap_or_default();
            if column == 7 {
                pages = word.parse().unwrap_or(0);
            }
            rest = behind;
        }
        if pages > most {
            most = pages;
            found = Some((rest, pid));
        }
    }
    let (name, pid) = found?;
    let pid = pid.trim_start_matches(['[', ' ']);
    Some(format!("{name} ({pid}) held the most memory: {most} pages"))
}

/// The task that a hung task's lock belongs to, by the kernel (6.16 and newer, `debug_show_blocker`).
pub(super) fn blocker(own: &[&str]) -> Option<String> {
    let line = own
        .iter()
        .find(|line| line.contains("likely owned by task "))?;
    let (_, task) = line.split_once("owned by task ")?;
    Some(task.trim_end_matches('.').to_string())
}

/// Name and number of the task in `INFO: task NAME:PID blocked for more than …`.
pub(super) fn hung_task(headline: &str) -> Option<(&str, i32)> {
    let (_, rest) = headline.split_once("INFO: task ")?;
    let (task, _) = rest
        .rsplit_once(" blocked ")
        .or_else(|| rest.rsplit_once(" can't die"))?;
    let (comm, pid) = task.rsplit_once(':')?;
    Some((comm, pid.parse().ok()?))
}

/// Whether a block holds anything but its headline that belongs to it.
pub(super) fn is_cut(oops: &Oops) -> bool {
    oops.trace.is_empty() && oops.location.is_none() && oops.stacks.is_empty()
}
