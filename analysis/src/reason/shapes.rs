//! The table of what kernels print when something is wrong: one row a shape, with where its stack and
//! its culprit stand. The first row of the first trigger in a line decides.
//!
//! The comment at a row names the kernel file, and the versions where the wording is not that of
//! all of 4.4 to 7.x. `*` in a pattern stands for anything.

use super::blame::Groups;
use super::class::Class;

/// How heavy a report is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Grade {
    /// Worth a count, never the reason if there is another.
    Note,
    /// A bug of the kernel, or a victim of one; the machine goes on.
    Serious,
    /// The task or the machine ends here.
    Fatal,
}

/// Where the function to blame stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Blame {
    /// At the instruction pointer, then in the trace.
    Fault,
    /// In the function that the stack was entered by: a stack ran out, whoever was innermost.
    Entry,
    /// In the trace alone.
    Trace,
    /// In the headline behind ` in `, then in the trace.
    Named,
    /// Behind `at:` or `at` on the line of a lock that follows this phrase, then in the trace.
    At(&'static str),
    /// In the stack whose title holds this phrase: of two users of a lock, the one in the interrupt.
    Titled(&'static str),
    /// The word behind this phrase.
    Word(&'static str),
    /// In the trace below the interrupt that found the CPU busy.
    Stall,
    /// In the trace of a task that waits.
    Waiter,
    /// In nobody: the machine, its configuration or user space.
    Nobody,
}

/// A row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// What the line holds.
    pub(super) text: &'static str,
    pub(super) class: Class,
    pub(super) grade: Grade,
    pub(super) blame: Blame,
    /// Helpers passed over beside the common ones.
    pub(super) skip: Groups,
    /// The line announces a report whose own header follows: `kernel BUG at`, `WARNING: CPU:`.
    pub(super) opens: bool,
}

const fn row(text: &'static str, class: Class, grade: Grade, blame: Blame, skip: Groups) -> Shape {
    Shape {
        text,
        class,
        grade,
        blame,
        skip,
        opens: false,
    }
}

const fn opener(
    text: &'static str,
    class: Class,
    grade: Grade,
    blame: Blame,
    skip: Groups,
) -> Shape {
    Shape {
        opens: true,
        ..row(text, class, grade, blame, skip)
    }
}

use Blame::{At, Entry, Fault, Named, Nobody, Stall, Titled, Trace, Waiter, Word};
use Grade::{Fatal, Note, Serious};

const NONE: Groups = Groups::COMMON;
const ALLOC: Groups = Groups::COMMON.and(Groups::ALLOC);
const COUNT: Groups = Groups::COMMON.and(Groups::COUNT);
const SOCKET: Groups = Groups::COMMON.and(Groups::SOCKET);
const PREEMPT: Groups = Groups::CALLED;
const LOCKED: Groups = Groups::LOCKED;
const RCU: Groups = ALLOC.and(Groups::RCU);
const LEAK: Groups = ALLOC.and(Groups::MAKER);
const OBJECT: Groups = ALLOC.and(Groups::OBJECT);
const WAIT: Groups = Groups::COMMON.and(Groups::WAIT);
const REGISTER: Groups = Groups::COMMON.and(Groups::REGISTER);
const USB: Groups = Groups::COMMON.and(Groups::USB);
const TICK: Groups = Groups::COMMON.and(Groups::TICK);

/// Rows by the word that a line must hold, so that a line is compared with few of them.
pub(super) const SHAPES: &[(&str, &[Shape])] = &[
    (
        "BUG:",
        &[
            // mm/kasan/report.c; `double-free or invalid-free` until 6.3.
            row(
                "BUG: KASAN: double-free",
                Class::Kasan,
                Serious,
                Named,
                ALLOC,
            ),
            row(
                "BUG: KASAN: invalid-free",
                Class::Kasan,
                Serious,
                Named,
                ALLOC,
            ),
            row("BUG: KASAN: ", Class::Kasan, Serious, Named, NONE),
            // mm/kfence/report.c, since 5.12.
            row(
                "BUG: KFENCE: memory corruption",
                Class::Kfence,
                Serious,
                Named,
                ALLOC,
            ),
            row(
                "BUG: KFENCE: invalid free",
                Class::Kfence,
                Serious,
                Named,
                ALLOC,
            ),
            row("BUG: KFENCE: ", Class::Kfence, Serious, Named, NONE),
            // mm/kmsan/report.c, since 6.1 (and the tree before it).
            row(
                "BUG: KMSAN: kernel-usb-infoleak",
                Class::Kmsan,
                Serious,
                Named,
                USB,
            ),
            row("BUG: KMSAN: ", Class::Kmsan, Serious, Named, NONE),
            // kernel/kcsan/report.c, since 5.8.
            row("BUG: KCSAN: ", Class::Kcsan, Serious, Named, NONE),
            // arch/x86/mm/fault.c; `unable to handle` until 5.0 and on other architectures.
            row(
                "BUG: kernel NULL pointer dereference",
                Class::NullDeref,
                Fatal,
                Fault,
                NONE,
            ),
            row(
                "BUG: Kernel NULL pointer dereference",
                Class::NullDeref,
                Fatal,
                Fault,
                NONE,
            ),
            row(
                "BUG: unable to handle kernel NULL pointer",
                Class::NullDeref,
                Fatal,
                Fault,
                NONE,
            ),
            row(
                "BUG: unable to handle",
                Class::BadAddress,
                Fatal,
                Fault,
                NONE,
            ),
            row(
                "BUG: Unable to handle",
                Class::BadAddress,
                Fatal,
                Fault,
                NONE,
            ),
            row("BUG: unable to lock the", Class::Other, Note, Nobody, NONE),
            // arch/x86/mm/fault.c, arch/x86/kernel/traps.c.
            row(
                "stack guard page was hit",
                Class::StackOverflow,
                Fatal,
                Entry,
                NONE,
            ),
            row(
                "BUG: IRQ stack overflow",
                Class::StackOverflow,
                Fatal,
                Entry,
                NONE,
            ),
            // kernel/watchdog.c, kernel/workqueue.c.
            row("BUG: soft lockup", Class::SoftLockup, Serious, Stall, NONE),
            row(
                "BUG: workqueue lockup",
                Class::WorkqueueLockup,
                Serious,
                Nobody,
                NONE,
            ),
            row(
                "BUG: workqueue leaked",
                Class::Lockdep,
                Serious,
                Word("last function: "),
                NONE,
            ),
            // lib/spinlock_debug.c (kernel/locking/spinlock_debug.c).
            row("BUG: spinlock", Class::Lockdep, Serious, Trace, NONE),
            row("BUG: rwlock", Class::Lockdep, Serious, Trace, NONE),
            row("BUG: raw_spinlock", Class::Lockdep, Serious, Trace, NONE),
            // kernel/locking/lockdep.c until 4.12; since then WARNING.
            row(
                "BUG: bad unlock balance",
                Class::Lockdep,
                Serious,
                At("trying to release lock"),
                LOCKED,
            ),
            row(
                "BUG: held lock freed",
                Class::Lockdep,
                Serious,
                At("freeing memory"),
                LOCKED,
            ),
            row(
                "still has locks held",
                Class::Lockdep,
                Serious,
                At("held by"),
                LOCKED,
            ),
            row(
                "BUG: lock held when returning to user",
                Class::Lockdep,
                Serious,
                At("locks still held"),
                LOCKED,
            ),
            row(
                "BUG: bad contention detected",
                Class::Lockdep,
                Serious,
                At("trying to contend"),
                LOCKED,
            ),
            row(
                "BUG: Invalid wait context",
                Class::Lockdep,
                Serious,
                At("trying to lock"),
                LOCKED,
            ),
            row("BUG: MAX_LOCK", Class::Lockdep, Serious, Trace, NONE),
            row("BUG: MAX_STACK_TRACE", Class::Lockdep, Serious, Trace, NONE),
            row("BUG: key ", Class::Lockdep, Serious, Trace, NONE),
            row(
                "BUG: looking up invalid",
                Class::Lockdep,
                Serious,
                Trace,
                NONE,
            ),
            // kernel/sched/core.c, lib/smp_processor_id.c.
            row(
                "BUG: sleeping function called",
                Class::AtomicSleep,
                Serious,
                Trace,
                PREEMPT,
            ),
            row(
                "BUG: scheduling while atomic",
                Class::AtomicSleep,
                Serious,
                Trace,
                PREEMPT,
            ),
            row(
                "BUG: assuming atomic context",
                Class::AtomicSleep,
                Serious,
                Trace,
                PREEMPT,
            ),
            row(
                "BUG: assuming non migratable",
                Class::AtomicSleep,
                Serious,
                Trace,
                PREEMPT,
            ),
            row("BUG: using ", Class::Lockdep, Serious, Trace, PREEMPT),
            // mm/kmemleak.c as syzkaller prints it.
            row("BUG: memory leak", Class::MemoryLeak, Serious, Trace, LEAK),
            // mm/memory.c, mm/page_alloc.c, kernel/fork.c, fs/dcache.c.
            row(
                "BUG: Bad page",
                Class::BadPage,
                Serious,
                Titled("page last allocated"),
                ALLOC,
            ),
            row(
                "BUG: Bad rss-counter",
                Class::BadPage,
                Serious,
                Nobody,
                NONE,
            ),
            row("BUG: non-zero", Class::BadPage, Serious, Nobody, NONE),
            row("BUG: Dentry ", Class::Bug, Serious, Fault, NONE),
            // mm/slub.c: `BUG kmalloc-64 (Not tainted): …` is below.
            row(
                "BUG: Object already free",
                Class::Slab,
                Serious,
                Trace,
                ALLOC,
            ),
            row(
                "BUG: recent printk recursion",
                Class::Other,
                Note,
                Nobody,
                NONE,
            ),
            row("BUG: TASK stack", Class::StackOverflow, Fatal, Entry, NONE),
            row(
                "BUG: stack overflow",
                Class::StackOverflow,
                Fatal,
                Entry,
                NONE,
            ),
            row(
                "BUG: corrupted list",
                Class::ListCorruption,
                Serious,
                Trace,
                NONE,
            ),
            row(
                "BUG: arch topology borken",
                Class::Other,
                Note,
                Nobody,
                NONE,
            ),
        ],
    ),
    (
        // mm/slub.c, `slab_bug`.
        "BUG ",
        &[
            // lib/list_debug.c
            row(
                "ernel BUG at *lib/list_debug.c",
                Class::ListCorruption,
                Fatal,
                Fault,
                NONE,
            ),
            row("kernel BUG at ", Class::Bug, Fatal, Fault, NONE),
            row("Kernel BUG at ", Class::Bug, Fatal, Fault, NONE),
            row("kernel BUG [verbose", Class::Bug, Fatal, Fault, NONE),
            row("^BUG *ainted*): ", Class::Slab, Serious, Trace, ALLOC),
        ],
    ),
    (
        "WARNING:",
        &[
            // kernel/locking/lockdep.c, since 4.13; INFO before.
            row(
                "possible circular locking",
                Class::Lockdep,
                Serious,
                At("trying to acquire lock"),
                LOCKED,
            ),
            row(
                "possible recursive locking",
                Class::Lockdep,
                Serious,
                At("trying to acquire lock"),
                LOCKED,
            ),
            row(
                "possible irq lock inversion",
                Class::Lockdep,
                Serious,
                At("just changed the state"),
                LOCKED,
            ),
            row(
                "-safe -> *unsafe lock order",
                Class::Lockdep,
                Serious,
                Titled("which became"),
                LOCKED,
            ),
            row(
                "WARNING: inconsistent lock state",
                Class::Lockdep,
                Serious,
                At(" takes:"),
                LOCKED,
            ),
            row(
                "still has locks held",
                Class::Lockdep,
                Serious,
                At("held by"),
                LOCKED,
            ),
            row(
                "WARNING: bad unlock balance",
                Class::Lockdep,
                Serious,
                At("trying to release lock"),
                LOCKED,
            ),
            row(
                "WARNING: held lock freed",
                Class::Lockdep,
                Serious,
                At("freeing memory"),
                LOCKED,
            ),
            row(
                "WARNING: Nested lock was not taken",
                Class::Lockdep,
                Serious,
                At("trying to lock"),
                LOCKED,
            ),
            row(
                "WARNING: lock held when returning to user",
                Class::Lockdep,
                Serious,
                At("locks still held"),
                LOCKED,
            ),
            row(
                "WARNING: suspicious RCU usage",
                Class::Lockdep,
                Serious,
                Trace,
                RCU,
            ),
            row("WARNING: kernel stack ", Class::Warn, Note, Nobody, NONE),
            // lib/debugobjects.c; the names of its users are helpers, too.
            row(
                "WARNING: *lib/debugobjects.c",
                Class::Warn,
                Serious,
                Fault,
                OBJECT,
            ),
            row("WARNING: *mm/usercopy.c", Class::Warn, Serious, Fault, NONE),
            row(
                "WARNING: *lib/kobject.c",
                Class::Warn,
                Serious,
                Fault,
                COUNT,
            ),
            row(
                "WARNING: *lib/refcount.c",
                Class::Refcount,
                Serious,
                Fault,
                COUNT,
            ),
            row(
                "WARNING: *include/linux/refcount.h",
                Class::Refcount,
                Serious,
                Fault,
                COUNT,
            ),
            row(
                "WARNING: *lib/list_debug.c",
                Class::ListCorruption,
                Serious,
                Fault,
                NONE,
            ),
            row(
                "WARNING: *lib/string_helpers.c*fortify",
                Class::Warn,
                Serious,
                Fault,
                NONE,
            ),
            row(
                "WARNING: *fs/proc/generic.c",
                Class::Warn,
                Serious,
                Fault,
                REGISTER,
            ),
            row("WARNING: *fs/sysfs/", Class::Warn, Serious, Fault, REGISTER),
            row(
                "WARNING: *kernel/locking/lockdep.c",
                Class::Lockdep,
                Serious,
                Fault,
                SOCKET,
            ),
            row("WARNING: *at mm/*alloc", Class::Warn, Serious, Fault, ALLOC),
            row(
                "WARNING: * usb_submit_urb",
                Class::Warn,
                Serious,
                Fault,
                USB,
            ),
            row("WARNING: * at ", Class::Warn, Serious, Fault, NONE),
        ],
    ),
    (
        "INFO:",
        &[
            row(
                "possible circular locking",
                Class::Lockdep,
                Serious,
                At("trying to acquire lock"),
                LOCKED,
            ),
            row(
                "possible recursive locking",
                Class::Lockdep,
                Serious,
                At("trying to acquire lock"),
                LOCKED,
            ),
            row(
                "possible irq lock inversion",
                Class::Lockdep,
                Serious,
                At("just changed the state"),
                LOCKED,
            ),
            row(
                "-safe -> *unsafe lock order",
                Class::Lockdep,
                Serious,
                Titled("which became"),
                LOCKED,
            ),
            row(
                "inconsistent lock state",
                Class::Lockdep,
                Serious,
                At(" takes:"),
                LOCKED,
            ),
            row("suspicious RCU usage", Class::Lockdep, Serious, Trace, RCU),
            row(
                "trying to register non-static key",
                Class::Lockdep,
                Serious,
                Trace,
                NONE,
            ),
            // kernel/rcu/tree_stall.h, kernel/rcu/tasks.h.
            row("detected *stall", Class::RcuStall, Serious, Stall, NONE),
            row(
                "detected expedited stalls",
                Class::RcuStall,
                Serious,
                Stall,
                NONE,
            ),
            row(
                "rcu_tasks detected stalls",
                Class::RcuStall,
                Serious,
                Waiter,
                WAIT,
            ),
            // kernel/hung_task.c; `can't die` is a patch of linux-next.
            row(
                "INFO: task * blocked for more than",
                Class::HungTask,
                Serious,
                Waiter,
                WAIT,
            ),
            row(
                "INFO: task * can't die for",
                Class::HungTask,
                Serious,
                Waiter,
                WAIT,
            ),
            row("INFO: Freed in ", Class::Slab, Serious, Trace, ALLOC),
            row("INFO: Allocated in ", Class::Slab, Serious, Trace, ALLOC),
        ],
    ),
    (
        "stall",
        &[
            // `rcu: INFO:` is above; these stand where INFO is on a line of its own.
            row(
                "detected stalls on CPUs",
                Class::RcuStall,
                Serious,
                Stall,
                NONE,
            ),
            row(
                "self-detected stall on CPU",
                Class::RcuStall,
                Serious,
                Stall,
                NONE,
            ),
        ],
    ),
    (
        "UBSAN:",
        // lib/ubsan.c.
        &[row("UBSAN: ", Class::Ubsan, Serious, Trace, NONE)],
    ),
    (
        "ODEBUG:",
        &[opener("ODEBUG: ", Class::Warn, Serious, Fault, OBJECT)],
    ),
    (
        "nable to handle kernel",
        &[
            // arch/arm64/mm/fault.c, arch/riscv/mm/fault.c, arch/arm/mm/fault.c.
            row(
                "nable to handle kernel NULL pointer",
                Class::NullDeref,
                Fatal,
                Fault,
                NONE,
            ),
            row(
                "nable to handle kernel ",
                Class::BadAddress,
                Fatal,
                Fault,
                NONE,
            ),
        ],
    ),
    (
        "fault",
        &[
            row(
                "general protection fault",
                Class::GeneralProtection,
                Fatal,
                Fault,
                NONE,
            ),
            row("Unhandled fault: ", Class::BadAddress, Fatal, Fault, NONE),
            row(
                "PANIC: double fault",
                Class::DoubleFault,
                Fatal,
                Fault,
                NONE,
            ),
            row("PANIC: early exception", Class::Trap, Fatal, Fault, NONE),
            row("Kernel stack fault", Class::Trap, Fatal, Fault, NONE),
            row(
                "traps: PANIC: double fault",
                Class::DoubleFault,
                Fatal,
                Fault,
                NONE,
            ),
            // arch/s390/mm/fault.c.
            row(
                "Unable to handle kernel pointer dereference",
                Class::BadAddress,
                Fatal,
                Fault,
                NONE,
            ),
        ],
    ),
    (
        "ernal error: ",
        // arch/arm64/kernel/traps.c, arch/arm/kernel/traps.c (`die`).
        &[
            row("Internal error: Oops - BUG", Class::Bug, Fatal, Fault, NONE),
            row(
                "Internal error: Oops: ",
                Class::BadAddress,
                Fatal,
                Fault,
                NONE,
            ),
            row("Internal error: ", Class::Trap, Fatal, Fault, NONE),
        ],
    ),
    (
        "overflow",
        &[
            // arch/arm64/kernel/traps.c, arch/riscv/kernel/traps.c, arch/x86/kernel/irq_64.c.
            row(
                "Insufficient stack space to handle exception",
                Class::StackOverflow,
                Fatal,
                Entry,
                NONE,
            ),
            row(
                "kernel stack overflow",
                Class::StackOverflow,
                Fatal,
                Entry,
                NONE,
            ),
            row(
                "kernel stack overflow (",
                Class::StackOverflow,
                Fatal,
                Entry,
                NONE,
            ),
            opener("detected buffer overflow", Class::Bug, Serious, Fault, NONE),
        ],
    ),
    (
        "corruption",
        // lib/list_debug.c.
        &[
            opener(
                "list_add corruption",
                Class::ListCorruption,
                Serious,
                Fault,
                NONE,
            ),
            opener(
                "list_del corruption",
                Class::ListCorruption,
                Serious,
                Fault,
                NONE,
            ),
            opener(
                "list_add double add",
                Class::ListCorruption,
                Serious,
                Fault,
                NONE,
            ),
        ],
    ),
    (
        "list_add double add",
        &[opener(
            "list_add double add",
            Class::ListCorruption,
            Serious,
            Fault,
            NONE,
        )],
    ),
    (
        "refcount_t: ",
        // lib/refcount.c.
        &[opener(
            "refcount_t: ",
            Class::Refcount,
            Serious,
            Fault,
            COUNT,
        )],
    ),
    (
        "sercopy: ",
        // mm/usercopy.c, since 4.16; `usercopy: kernel memory exposure` before.
        &[opener("sercopy: ", Class::Bug, Serious, Fault, NONE)],
    ),
    (
        "CFI failure",
        // kernel/cfi.c, since 6.1; before, `CFI failure (target: …)` and panic or a warning.
        &[opener("CFI failure", Class::Cfi, Fatal, Fault, NONE)],
    ),
    (
        "LOCKUP",
        // kernel/watchdog.c, kernel/watchdog_hld.c (watchdog_perf.c since 6.5), kernel/watchdog_buddy.c.
        &[
            row(
                "detected hard LOCKUP",
                Class::HardLockup,
                Serious,
                Fault,
                NONE,
            ),
            row(
                "hard LOCKUP on cpu",
                Class::HardLockup,
                Serious,
                Fault,
                NONE,
            ),
            row(
                "self-detected hard LOCKUP",
                Class::HardLockup,
                Serious,
                Fault,
                NONE,
            ),
            row(
                "detected Hard LOCKUP",
                Class::HardLockup,
                Serious,
                Fault,
                NONE,
            ),
        ],
    ),
    (
        "invoked oom-killer",
        &[row("invoked oom-killer", Class::Oom, Note, Nobody, NONE)],
    ),
    (
        ": 0000 [#",
        // arch/x86/kernel/traps.c: what has no line of its own.
        &[
            row("divide error", Class::Trap, Fatal, Fault, NONE),
            row("invalid opcode", Class::Trap, Fatal, Fault, NONE),
            row("stack segment", Class::Trap, Fatal, Fault, NONE),
            row("int3", Class::Trap, Fatal, Fault, NONE),
            row("control protection fault", Class::Trap, Fatal, Fault, NONE),
            row("*", Class::Trap, Fatal, Fault, NONE),
        ],
    ),
    (
        "[#",
        &[
            row("divide error", Class::Trap, Fatal, Fault, NONE),
            row("invalid opcode", Class::Trap, Fatal, Fault, NONE),
            row("stack segment", Class::Trap, Fatal, Fault, NONE),
            row("^Oops", Class::Trap, Fatal, Fault, NONE),
            row("Oops: ", Class::Trap, Fatal, Fault, NONE),
            row("Oops[#", Class::Trap, Fatal, Fault, NONE),
            row("Kernel BUG [#", Class::Bug, Fatal, Fault, NONE),
            row("kernel BUG ", Class::Bug, Fatal, Fault, NONE),
            // arch/s390/kernel/dumpstack.c: `addressing exception: 0005 ilc:3 [#1]`.
            row(" ilc:", Class::Trap, Fatal, Fault, NONE),
            row("Kernel bad ", Class::Trap, Fatal, Fault, NONE),
        ],
    ),
    (
        "sysrq: ",
        &[row("Trigger a crash", Class::Sysrq, Fatal, Fault, NONE)],
    ),
    (
        "SysRq : ",
        &[row(
            "SysRq : Trigger a crash",
            Class::Sysrq,
            Fatal,
            Fault,
            NONE,
        )],
    ),
    (
        "[Hardware Error]",
        &[
            row(
                "event severity: fatal",
                Class::MachineCheck,
                Serious,
                Nobody,
                NONE,
            ),
            row(
                "[Hardware Error]: CPU *: Machine Check",
                Class::MachineCheck,
                Serious,
                Nobody,
                NONE,
            ),
        ],
    ),
    (
        "unreferenced object 0x",
        &[row(
            "unreferenced object 0x",
            Class::MemoryLeak,
            Serious,
            Trace,
            LEAK,
        )],
    ),
    (
        "ad mode",
        // arch/arm64/kernel/traps.c until 5.11.
        &[row("Bad mode in ", Class::Trap, Fatal, Fault, NONE)],
    ),
];

/// What panic() says, with the class that it names. `None` of a class: another report tells.
pub(super) const MESSAGES: &[Shape] = &[
    // kernel/sched/core.c, with panic_on_warn or a vendor's change.
    row(
        "scheduling while atomic",
        Class::AtomicSleep,
        Fatal,
        Trace,
        PREEMPT,
    ),
    row("sysrq triggered crash", Class::Sysrq, Fatal, Trace, NONE),
    row(
        "hung_task: blocked tasks",
        Class::HungTask,
        Fatal,
        Waiter,
        WAIT,
    ),
    row(
        "softlockup: hung tasks",
        Class::SoftLockup,
        Fatal,
        Stall,
        TICK,
    ),
    row("ard LOCKUP", Class::HardLockup, Fatal, Stall, TICK),
    row("NMI watchdog", Class::HardLockup, Fatal, Stall, TICK),
    row("RCU Stall", Class::RcuStall, Fatal, Stall, TICK),
    row("panic_on_oom is enabled", Class::Oom, Fatal, Nobody, NONE),
    row(
        "System is deadlocked on memory",
        Class::Oom,
        Fatal,
        Nobody,
        NONE,
    ),
    row("Out of memory", Class::Oom, Fatal, Nobody, NONE),
    row("double fault", Class::DoubleFault, Fatal, Fault, NONE),
    row(
        "kernel stack overflow",
        Class::StackOverflow,
        Fatal,
        Entry,
        NONE,
    ),
    row(
        "corrupted stack end detected",
        Class::StackOverflow,
        Fatal,
        Entry,
        NONE,
    ),
    row(
        "stack-protector",
        Class::StackCorruption,
        Fatal,
        Word("corrupted in: "),
        NONE,
    ),
    row("achine check", Class::MachineCheck, Fatal, Nobody, NONE),
    row("Machine Check", Class::MachineCheck, Fatal, Nobody, NONE),
    row(
        "Not all CPUs entered broadcast exception handler",
        Class::MachineCheck,
        Fatal,
        Nobody,
        NONE,
    ),
    row(
        "Fatal hardware error",
        Class::MachineCheck,
        Fatal,
        Nobody,
        NONE,
    ),
    row(
        "Fatal local machine check",
        Class::MachineCheck,
        Fatal,
        Nobody,
        NONE,
    ),
    row("MCE", Class::MachineCheck, Fatal, Nobody, NONE),
    row("ncorrected", Class::MachineCheck, Fatal, Nobody, NONE),
    row("n NMI occurred", Class::Nmi, Fatal, Nobody, NONE),
    row("NMI: Not continuing", Class::Nmi, Fatal, Nobody, NONE),
    row("NMI: Unrecovered", Class::Nmi, Fatal, Nobody, NONE),
    row("NMI IOCK error", Class::Nmi, Fatal, Nobody, NONE),
    row("NMI", Class::Nmi, Fatal, Nobody, NONE),
    row(
        "Software Watchdog Timer expired",
        Class::Watchdog,
        Fatal,
        Nobody,
        NONE,
    ),
    row("atchdog pretimeout", Class::Watchdog, Fatal, Nobody, NONE),
    row("atchdog detected", Class::Watchdog, Fatal, Nobody, NONE),
    row("watchdog", Class::Watchdog, Fatal, Nobody, NONE),
    row(
        "Attempted to kill init",
        Class::InitKilled,
        Fatal,
        Nobody,
        NONE,
    ),
    row(
        "VFS: Unable to mount root fs",
        Class::NoRoot,
        Fatal,
        Nobody,
        NONE,
    ),
    row("No working init found", Class::NoRoot, Fatal, Nobody, NONE),
    row("Requested init ", Class::NoRoot, Fatal, Nobody, NONE),
    row("No init found", Class::NoRoot, Fatal, Nobody, NONE),
    row("CFI failure", Class::Cfi, Fatal, Trace, NONE),
    row(
        "Asynchronous SError",
        Class::MachineCheck,
        Fatal,
        Nobody,
        NONE,
    ),
    row("bad mode", Class::Trap, Fatal, Nobody, NONE),
];

/// What panic() says where the report before it tells the reason, and which reports those are.
pub(super) const REFERS: &[(&str, Refers)] = &[
    ("KASAN: ", Refers::To(Class::Kasan)),
    ("KFENCE: ", Refers::To(Class::Kfence)),
    ("KMSAN: ", Refers::To(Class::Kmsan)),
    ("kmsan.panic set", Refers::To(Class::Kmsan)),
    ("panic_on_kmsan", Refers::To(Class::Kmsan)),
    ("KCSAN: ", Refers::To(Class::Kcsan)),
    ("UBSAN: ", Refers::To(Class::Ubsan)),
    ("panic_on_warn set", Refers::Warning),
    ("Fatal exception", Refers::Oops),
    ("Fatal error", Refers::Oops),
    ("Oops", Refers::Oops),
    ("Unrecoverable exception", Refers::Oops),
    ("Machine halted", Refers::Oops),
];

/// Which reports before it a panic message means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refers {
    /// Those of a class.
    To(Class),
    /// Whatever is no oops.
    Warning,
    /// The oops that ended a task or the machine.
    Oops,
}

/// The shape of a line that begins a report.
#[must_use]
pub(super) fn of_line(line: &str) -> Option<&'static Shape> {
    if line.len() < 6 || is_noise(line) {
        return None;
    }
    let triggers = SHAPES.iter().filter(|(trigger, _)| line.contains(trigger));
    triggers
        .flat_map(|(_, rows)| *rows)
        .find(|shape| holds(line, shape.text))
}

/// The shape of a panic message.
#[must_use]
pub(super) fn of_message(message: &str) -> Option<&'static Shape> {
    MESSAGES.iter().find(|shape| holds(message, shape.text))
}

/// Which report a panic message means.
#[must_use]
pub(super) fn refers(message: &str) -> Option<Refers> {
    let found = REFERS.iter().find(|(text, _)| message.contains(text));
    found.map(|(_, refers)| *refers)
}

/// Lines that hold a row's words and begin nothing.
fn is_noise(line: &str) -> bool {
    const NOISE: &[&str] = &[
        "ODEBUG: Out of memory",
        "DEBUG:",
        "INFO: lockdep is turned off",
        "INFO: Stall ended before state dump start",
        "INFO: NMI handler",
        "took too long",
        "WARNING: /etc/",
        "WARNING: workqueue cpumask",
        "[ cut here ]",
        "end trace",
        "end Kernel panic",
        "oom_reaper",
    ];
    NOISE.iter().any(|text| line.contains(text)) && !line.contains("ODEBUG: ")
}

/// Whether a line holds a pattern: parts between `*` in this order; `^` binds the first to the start.
#[must_use]
pub(super) fn holds(line: &str, pattern: &str) -> bool {
    let (mut rest, pattern) = match pattern.strip_prefix('^') {
        Some(pattern) => {
            let head = pattern.split('*').next().unwrap_or_default();
            if !line.starts_with(head) {
                return false;
            }
            (line, pattern)
        }
        None => (line, pattern),
    };
    for part in pattern.split('*') {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = rest
            .get(at.saturating_add(part.len())..)
            .unwrap_or_default();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_hold_in_order() {
        assert!(holds("WARNING: CPU: 1 at lib/x.c", "WARNING: *lib/"));
        assert!(!holds("lib/ WARNING: ", "WARNING: *lib/"));
        assert!(holds(
            "BUG kmalloc-64 (Not tainted): Redzone",
            "^BUG *ainted*): "
        ));
        assert!(!holds(
            "x BUG kmalloc-64 (Not tainted): Redzone",
            "^BUG *ainted*): "
        ));
    }

    #[test]
    fn every_row_is_reached_by_its_own_words() {
        for (trigger, rows) in SHAPES {
            for shape in *rows {
                let words = shape.text.trim_start_matches('^').replace('*', " x ");
                let line = if words.contains(trigger) {
                    words
                } else {
                    format!("{words} {trigger}")
                };
                assert!(of_line(&format!("{line} ...")).is_some(), "{line}");
            }
        }
    }

    #[test]
    fn ordinary_lines_begin_nothing() {
        for line in [
            "INFO: lockdep is turned off.",
            "INFO: NMI handler (perf_event_nmi_handler) took too long to run",
            "WARNING: The mand mount option has been deprecated and",
            "XFS (loop4): WARNING: Reset corrupted AGFL on AG 0. 1 blocks leaked.",
            "EXT4-fs (loop1): INFO: recovery required on readonly filesystem",
            "usb 1-1: port [#x] failed",
            "---[ end Kernel panic - not syncing: Fatal exception ]---",
        ] {
            assert!(of_line(line).is_none(), "{line}");
        }
    }
}
