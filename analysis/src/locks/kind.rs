//! What a sleeping task waits for, by the functions on its stack.
//!
//! Facts: kernel/sched/{core,wait_bit,completion}.c, kernel/locking/*.c, mm/filemap.c, 5.10 to 7.x.

use super::WaitKind;

/// What a stack tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Wait<'f> {
    /// The kind.
    pub kind: WaitKind,
    /// The first function outside the scheduler and the locks.
    pub function: Option<&'f str>,
    /// The stack pointer of that function: what the lock keeps on the stack is below it.
    pub outer_sp: u64,
}

/// Functions that only pass the wait on.
const PLUMBING: [&str; 21] = [
    // Where a task stands that does not run: on aarch64 and riscv64, s390x, powerpc. On x86_64 it is __schedule.
    "__switch_to",
    "__switch_to_asm",
    "_switch",
    "__schedule",
    "schedule",
    "__schedule_loop",
    "schedule_preempt_disabled",
    "schedule_timeout",
    "schedule_timeout_uninterruptible",
    "schedule_timeout_killable",
    "schedule_timeout_interruptible",
    "schedule_timeout_idle",
    "schedule_hrtimeout",
    "schedule_hrtimeout_range",
    "schedule_hrtimeout_range_clock",
    "bit_wait",
    "bit_wait_timeout",
    "preempt_schedule",
    "preempt_schedule_common",
    "schedule_rtlock",
    "context_switch",
];

/// Functions that tell the kind; a name is one of them when it begins so and then ends or goes on
/// with `_` or `.` (variants, and what the compiler split off).
const KINDS: [(&str, WaitKind); 27] = [
    ("__mutex_lock", WaitKind::Mutex),
    ("mutex_lock", WaitKind::Mutex),
    ("__ww_mutex_lock", WaitKind::Mutex),
    ("ww_mutex_lock", WaitKind::Mutex),
    ("rwsem_down_read", WaitKind::RwsemRead),
    ("__down_read", WaitKind::RwsemRead),
    ("down_read", WaitKind::RwsemRead),
    ("rwsem_down_write", WaitKind::RwsemWrite),
    ("__down_write", WaitKind::RwsemWrite),
    ("down_write", WaitKind::RwsemWrite),
    ("percpu_rwsem_wait", WaitKind::PercpuRwsem),
    ("__percpu_down_read", WaitKind::PercpuRwsem),
    ("percpu_down_write", WaitKind::PercpuRwsem),
    ("___down_common", WaitKind::Semaphore),
    ("__down", WaitKind::Semaphore),
    ("down", WaitKind::Semaphore),
    ("__wait_for_common", WaitKind::Completion),
    ("wait_for_common", WaitKind::Completion),
    ("wait_for_completion", WaitKind::Completion),
    ("__wait_on_bit", WaitKind::Bit),
    ("out_of_line_wait_on", WaitKind::Bit),
    ("folio_wait", WaitKind::Bit),
    ("__folio_lock", WaitKind::Bit),
    ("wait_on_page", WaitKind::Bit),
    ("__lock_page", WaitKind::Bit),
    ("io_schedule", WaitKind::Io),
    ("bit_wait_io", WaitKind::Io),
];

fn kind_of(name: &str) -> Option<WaitKind> {
    KINDS.iter().find_map(|(start, kind)| {
        let rest = name.strip_prefix(start)?;
        (rest.is_empty() || rest.starts_with(['_', '.'])).then_some(*kind)
    })
}

/// Reads a stack: names and stack pointers, innermost first.
#[must_use]
pub(super) fn of<'f>(frames: &[(&'f str, u64)]) -> Wait<'f> {
    let mut kind = WaitKind::Other;
    let mut outer_sp = 0;
    for (name, sp) in frames {
        outer_sp = *sp;
        match kind_of(name) {
            // What is further out is more to the point: a page lock sleeps in io_schedule().
            Some(found) if kind == WaitKind::Other || kind == WaitKind::Io => kind = found,
            Some(_) => {}
            None if PLUMBING.contains(name) => {}
            None => {
                return Wait {
                    kind,
                    function: Some(name),
                    outer_sp,
                };
            }
        }
    }
    Wait {
        kind,
        function: None,
        outer_sp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(names: &[&'static str]) -> (WaitKind, Option<&'static str>) {
        let frames: Vec<_> = names.iter().map(|&name| (name, 0)).collect();
        let wait = of(&frames);
        (wait.kind, wait.function)
    }

    #[test]
    fn the_kind_and_the_function_are_told_apart() {
        assert_eq!(
            wait(&[
                "__schedule",
                "schedule",
                "schedule_preempt_disabled",
                "__mutex_lock.constprop.0",
                "fdget_pos",
                "ksys_write"
            ]),
            (WaitKind::Mutex, Some("fdget_pos"))
        );
        assert_eq!(
            wait(&[
                "__schedule",
                "schedule",
                "rwsem_down_write_slowpath",
                "down_write",
                "ext4_buffered_write_iter"
            ]),
            (WaitKind::RwsemWrite, Some("ext4_buffered_write_iter"))
        );
        assert_eq!(
            wait(&[
                "__schedule",
                "schedule",
                "io_schedule",
                "folio_wait_bit_common",
                "truncate_inode_pages_range"
            ]),
            (WaitKind::Bit, Some("truncate_inode_pages_range"))
        );
        assert_eq!(
            wait(&["__schedule", "schedule", "io_schedule", "rq_qos_wait"]),
            (WaitKind::Io, Some("rq_qos_wait"))
        );
        assert_eq!(
            wait(&["__schedule", "schedule", "downgrade_me"]),
            (WaitKind::Other, Some("downgrade_me"))
        );
        assert_eq!(wait(&["__schedule"]), (WaitKind::Other, None));
        // The stack of a task of aarch64 begins one function further in.
        assert_eq!(
            wait(&[
                "__switch_to",
                "__schedule",
                "schedule",
                "mutex_lock",
                "acme_back"
            ]),
            (WaitKind::Mutex, Some("acme_back"))
        );
    }

    #[test]
    fn the_lock_is_below_the_function() {
        let wait = of(&[("schedule", 1), ("__down_read", 2), ("f", 3), ("g", 4)]);
        assert_eq!(wait.outer_sp, 3);
    }
}
