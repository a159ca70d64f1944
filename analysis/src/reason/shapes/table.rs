//! The rows of [`super`]: what kernels print, with the source of each wording.

use super::super::blame::Groups;
use super::super::class::Class;
use super::row::{Blame, Grade, Refers, Shape};
use Blame::{At, Entry, Fault, Named, Nobody, Stall, Titled, Trace, Waiter, Word, Worker};
use Grade::{Fatal, Note, Serious};

const NONE: Groups = Groups::COMMON;
const LOCKED: Groups = Groups::LOCKED;
const LITERAL: Groups = Groups::LITERAL;
const ALLOC: Groups = Groups::COMMON.and(Groups::FREE);
const SOCKET: Groups = Groups::COMMON.and(Groups::SOCKET);
const PREEMPT: Groups = Groups::COMMON.and(Groups::PREEMPT);
const RCU: Groups = Groups::COMMON.and(Groups::RCU);
const LEAK: Groups = Groups::COMMON.and(Groups::MAKER);
const OBJECT: Groups = Groups::COMMON.and(Groups::OBJECT).and(Groups::FREE);
const WAIT: Groups = Groups::COMMON.and(Groups::WAIT);
const REGISTER: Groups = Groups::COMMON.and(Groups::REGISTER);
const USB: Groups = Groups::COMMON.and(Groups::USB);
const TICK: Groups = Groups::COMMON.and(Groups::TICK);
const PACKET: Groups = Groups::COMMON.and(Groups::PACKET);
const BYTES: Groups = Groups::COMMON.and(Groups::BYTES);
const PAGES: Groups = Groups::COMMON.and(Groups::PAGES);
const CPU: Groups = Groups::COMMON.and(Groups::CPU);
const KEY: Groups = Groups::COMMON.and(Groups::KEY);

/// Writes the rows as lines: text, class, grade, where the culprit stands, helpers passed over.
macro_rules! rows {
    ($($text:literal $class:ident $grade:ident [$blame:expr] $skip:ident $($opens:ident)?;)*) => {
        &[$(Shape {
            text: $text,
            class: Class::$class,
            grade: $grade,
            blame: $blame,
            skip: $skip,
            opens: rows!(@ $($opens)?),
        }),*]
    };
    (@ opens) => { true };
    (@) => { false };
}

/// The same by the word that a line must hold, so that a line is compared with few rows.
macro_rules! by_trigger {
    ($($trigger:literal { $($row:tt)* })*) => { &[$(($trigger, rows! { $($row)* })),*] };
}

/// What begins a report.
pub(super) const SHAPES: &[(&str, &[Shape])] = by_trigger! {
    "BUG:" {
        // mm/kasan/report.c; `double-free or invalid-free` until 6.3.
        "BUG: KASAN: double-free" Kasan Serious [Named] ALLOC;
        "BUG: KASAN: invalid-free" Kasan Serious [Named] ALLOC;
        "BUG: KASAN: " Kasan Serious [Named] NONE;
        // mm/kfence/report.c, since 5.12.
        "BUG: KFENCE: memory corruption" Kfence Serious [Named] NONE;
        "BUG: KFENCE: invalid free" Kfence Serious [Named] NONE;
        "BUG: KFENCE: " Kfence Serious [Named] NONE;
        // mm/kmsan/report.c, since 6.1 (and the tree before it).
        "BUG: KMSAN: kernel-usb-infoleak" Kmsan Serious [Named] USB;
        "BUG: KMSAN: " Kmsan Serious [Named] BYTES;
        // kernel/kcsan/report.c, since 5.8.
        "BUG: KCSAN: " Kcsan Serious [Named] LITERAL;
        // arch/x86/mm/fault.c; `unable to handle` until 5.0 and on other architectures.
        "BUG: kernel NULL pointer dereference" NullDeref Fatal [Fault] NONE;
        "BUG: Kernel NULL pointer dereference" NullDeref Fatal [Fault] NONE;
        "BUG: unable to handle kernel NULL pointer" NullDeref Fatal [Fault] NONE;
        "BUG: unable to handle" BadAddress Fatal [Fault] NONE;
        "BUG: Unable to handle" BadAddress Fatal [Fault] NONE;
        "BUG: unable to lock the" Other Note [Nobody] NONE;
        // arch/x86/mm/fault.c, arch/x86/kernel/traps.c.
        "stack guard page was hit" StackOverflow Fatal [Entry] NONE;
        "BUG: IRQ stack overflow" StackOverflow Fatal [Entry] NONE;
        // kernel/watchdog.c, kernel/workqueue.c.
        "BUG: soft lockup" SoftLockup Serious [Stall] NONE;
        "BUG: workqueue lockup" WorkqueueLockup Serious [Worker] NONE;
        // 6.10 and newer print several lines in one.
        "BUG: workqueue leaked atomic, lock or RCU" Lockdep Serious [Word("workfn=")] NONE;
        "BUG: workqueue leaked" Lockdep Serious [Word("last function: ")] NONE;
        // lib/spinlock_debug.c (kernel/locking/spinlock_debug.c).
        "BUG: spinlock" Lockdep Serious [Trace] KEY;
        "BUG: rwlock" Lockdep Serious [Trace] KEY;
        "BUG: raw_spinlock" Lockdep Serious [Trace] KEY;
        // kernel/locking/lockdep.c until 4.12; since then WARNING.
        "BUG: bad unlock balance" Lockdep Serious [At("trying to release lock")] LOCKED;
        "BUG: held lock freed" Lockdep Serious [At("freeing memory")] LITERAL;
        "still has locks held" Lockdep Serious [At("held by")] LITERAL;
        "BUG: lock held when returning to user" Lockdep Serious [At("locks still held")] LITERAL;
        "BUG: bad contention detected" Lockdep Serious [At("trying to contend")] LOCKED;
        "BUG: Invalid wait context" Lockdep Serious [At("trying to lock")] LOCKED;
        "BUG: MAX_LOCK" Lockdep Serious [Trace] NONE;
        "BUG: MAX_STACK_TRACE" Lockdep Serious [Trace] NONE;
        "BUG: key " Lockdep Serious [Trace] NONE;
        "BUG: looking up invalid" Lockdep Serious [Trace] NONE;
        // kernel/sched/core.c, lib/smp_processor_id.c.
        "BUG: sleeping function called" AtomicSleep Serious [Trace] PREEMPT;
        "BUG: scheduling while atomic" AtomicSleep Serious [Trace] PREEMPT;
        "BUG: scheduling in a non-blocking section" AtomicSleep Serious [Trace] PREEMPT;
        "BUG: assuming atomic context" AtomicSleep Serious [Trace] PREEMPT;
        "BUG: assuming non migratable" AtomicSleep Serious [Trace] PREEMPT;
        "BUG: using " Lockdep Serious [Trace] CPU;
        // mm/kmemleak.c as syzkaller prints it.
        "BUG: memory leak" MemoryLeak Serious [Trace] LEAK;
        // mm/memory.c, mm/page_alloc.c, kernel/fork.c, fs/dcache.c.
        "BUG: Bad page" BadPage Serious [Titled("page last allocated")] PAGES;
        "BUG: Bad rss-counter" BadPage Serious [Nobody] NONE;
        "BUG: non-zero" BadPage Serious [Nobody] NONE;
        "BUG: Dentry " Bug Serious [Fault] NONE opens;
        // mm/slub.c: `BUG kmalloc-64 (Not tainted): …` is below.
        "BUG: Object already free" Slab Serious [Trace] ALLOC;
        // mm/mempool.c.
        "BUG: mempool element poison mismatch" Slab Serious [Trace] ALLOC;
        // arch/x86/entry/entry_fred.c, since 6.9.
        "BUG: invalid or fatal FRED event" Trap Fatal [Fault] NONE;
        "BUG: recent printk recursion" Other Note [Nobody] NONE;
        "BUG: TASK stack" StackOverflow Fatal [Entry] NONE;
        "BUG: stack overflow" StackOverflow Fatal [Entry] NONE;
        "BUG: corrupted list" ListCorruption Serious [Trace] NONE;
        "BUG: arch topology borken" Other Note [Nobody] NONE;
    }
    "BUG " {
        // lib/list_debug.c
        "ernel BUG at *lib/list_debug.c" ListCorruption Fatal [Fault] NONE;
        "kernel BUG at " Bug Fatal [Fault] PACKET;
        "Kernel BUG at " Bug Fatal [Fault] PACKET;
        "kernel BUG [verbose" Bug Fatal [Fault] PACKET;
        "^BUG *ainted*): " Slab Serious [Trace] ALLOC;
    }
    "WARNING:" {
        // kernel/locking/lockdep.c, since 4.13; INFO before.
        "possible circular locking" Lockdep Serious [At("trying to acquire lock")] LOCKED;
        "possible recursive locking" Lockdep Serious [At("trying to acquire lock")] LITERAL;
        "possible irq lock inversion" Lockdep Serious [At("just changed the state")] LITERAL;
        "-safe -> *unsafe lock order" Lockdep Serious [Titled("which became")] LOCKED;
        "WARNING: inconsistent lock state" Lockdep Serious [At(" takes:")] LOCKED;
        "still has locks held" Lockdep Serious [At("held by")] LITERAL;
        "WARNING: bad unlock balance" Lockdep Serious [At("trying to release lock")] LOCKED;
        "WARNING: held lock freed" Lockdep Serious [At("freeing memory")] LITERAL;
        "WARNING: Nested lock was not taken" Lockdep Serious [At("trying to lock")] LOCKED;
        "WARNING: lock held when returning to user" Lockdep Serious [At("locks still held")] LITERAL;
        "WARNING: suspicious RCU usage" Lockdep Serious [Trace] RCU;
        "WARNING: bad contention detected" Lockdep Serious [At("trying to contend")] LOCKED;
        "WARNING: chain_key collision" Lockdep Note [Trace] NONE;
        "WARNING: kernel stack " Warn Note [Nobody] NONE;
        // lib/debugobjects.c; the names of its users are helpers, too.
        "WARNING: *lib/debugobjects.c" Warn Serious [Fault] OBJECT;
        "WARNING: *mm/usercopy.c" Warn Serious [Fault] NONE;
        "WARNING: *lib/kobject.c" Warn Serious [Fault] NONE;
        "WARNING: *lib/refcount.c" Refcount Serious [Fault] NONE;
        "WARNING: *include/linux/refcount.h" Refcount Serious [Fault] NONE;
        "WARNING: *lib/list_debug.c" ListCorruption Serious [Fault] NONE;
        "WARNING: *lib/string_helpers.c*fortify" Warn Serious [Fault] NONE;
        "WARNING: *fs/proc/generic.c" Warn Serious [Fault] REGISTER;
        "WARNING: *fs/sysfs/" Warn Serious [Fault] NONE;
        "WARNING: *kernel/locking/lockdep.c" Lockdep Serious [Fault] SOCKET;
        "WARNING: *at mm/*alloc" Warn Serious [Fault] ALLOC;
        "WARNING: * usb_submit_urb" Warn Serious [Fault] USB;
        // kernel/panic.c: `CPU: 1 PID: 7 at FILE:LINE FUNCTION`, since 6.19 `FILE:LINE at FUNCTION, CPU#1:`;
        // before 3.x `at FILE:LINE`.
        "WARNING: CPU: * at " Warn Serious [Fault] NONE;
        "WARNING: * at *+0x" Warn Serious [Fault] NONE;
        "WARNING: * at *CPU#" Warn Serious [Fault] NONE;
        "WARNING: at " Warn Serious [Fault] NONE;
    }
    "INFO:" {
        "possible circular locking" Lockdep Serious [At("trying to acquire lock")] LOCKED;
        "possible recursive locking" Lockdep Serious [At("trying to acquire lock")] LITERAL;
        "possible irq lock inversion" Lockdep Serious [At("just changed the state")] LITERAL;
        "-safe -> *unsafe lock order" Lockdep Serious [Titled("which became")] LOCKED;
        "inconsistent lock state" Lockdep Serious [At(" takes:")] LOCKED;
        "suspicious RCU usage" Lockdep Serious [Trace] RCU;
        "trying to register non-static key" Lockdep Serious [Trace] KEY;
        // kernel/rcu/tasks.h: tasks that do not pass a quiescent state.
        "INFO: rcu_tasks*detected stall" RcuStall Serious [Waiter] WAIT;
        // kernel/rcu/tree_stall.h, kernel/rcu/tree_exp.h.
        "detected *stall" RcuStall Serious [Stall] NONE;
        // kernel/hung_task.c; `in I/O wait` since 6.19; `can't die` is a patch of linux-next.
        "INFO: task * blocked *for more than" HungTask Serious [Waiter] WAIT;
        "INFO: task * can't die for" HungTask Serious [Waiter] WAIT;
        "INFO: Freed in " Slab Serious [Trace] ALLOC;
        "INFO: Allocated in " Slab Serious [Trace] ALLOC;
    }
    "blocked for more than " {
        // The task's name holds a line break, and what is before it stands on the line above.
        ":* blocked for more than * seconds." HungTask Serious [Waiter] WAIT;
    }
    "stall" {
        // `rcu: INFO:` is above; these stand where INFO is on a line of its own.
        "detected stalls on CPUs" RcuStall Serious [Stall] NONE;
        "self-detected stall on CPU" RcuStall Serious [Stall] NONE;
    }
    "UBSAN:" {
        // lib/ubsan.c.
        "UBSAN: " Ubsan Serious [Trace] NONE;
    }
    "ODEBUG:" {
        "ODEBUG: " Warn Serious [Fault] OBJECT opens;
    }
    "nable to handle kernel" {
        // arch/arm64/mm/fault.c, arch/riscv/mm/fault.c, arch/arm/mm/fault.c.
        "nable to handle kernel NULL pointer" NullDeref Fatal [Fault] NONE;
        "nable to handle kernel " BadAddress Fatal [Fault] NONE;
    }
    "fault" {
        "general protection fault" GeneralProtection Fatal [Fault] NONE;
        "Unhandled fault: " BadAddress Fatal [Fault] NONE;
        "PANIC: double fault" DoubleFault Fatal [Fault] NONE;
        "PANIC: early exception" Trap Fatal [Fault] NONE;
        "Kernel stack fault" Trap Fatal [Fault] NONE;
        "traps: PANIC: double fault" DoubleFault Fatal [Fault] NONE;
        // arch/s390/mm/fault.c.
        "Unable to handle kernel pointer dereference" BadAddress Fatal [Fault] NONE;
    }
    "ernal error: " {
        // arch/arm64/kernel/traps.c, arch/arm/kernel/traps.c (`die`).
        "Internal error: Oops - BUG" Bug Fatal [Fault] NONE;
        "Internal error: Oops - CFI" Cfi Fatal [Fault] NONE;
        "Internal error: Oops - KASAN" Kasan Fatal [Fault] NONE;
        "Internal error: kernel stack overflow" StackOverflow Fatal [Entry] NONE;
        "Internal error: Oops: " BadAddress Fatal [Fault] NONE;
        "Internal error: " Trap Fatal [Fault] NONE;
    }
    "overflow" {
        // arch/arm64/kernel/traps.c, arch/riscv/kernel/traps.c, arch/x86/kernel/irq_64.c.
        "Insufficient stack space to handle exception" StackOverflow Fatal [Entry] NONE;
        "kernel stack overflow" StackOverflow Fatal [Entry] NONE;
        // arch/powerpc/kernel/traps.c, arch/s390/kernel/traps.c.
        "Oops: Kernel stack overflow" StackOverflow Fatal [Entry] NONE;
        "^Kernel stack overflow." StackOverflow Fatal [Entry] NONE;
        "detected buffer overflow" Bug Serious [Fault] NONE opens;
    }
    "corruption" {
        // lib/list_debug.c.
        "list_add corruption" ListCorruption Serious [Fault] NONE opens;
        "list_del corruption" ListCorruption Serious [Fault] NONE opens;
        "list_add double add" ListCorruption Serious [Fault] NONE opens;
    }
    "list_add double add" {
        "list_add double add" ListCorruption Serious [Fault] NONE opens;
    }
    "refcount_t: " {
        // lib/refcount.c.
        "refcount_t: " Refcount Serious [Fault] NONE opens;
    }
    "sercopy: " {
        // mm/usercopy.c, since 4.16; `usercopy: kernel memory exposure` before.
        "sercopy: " Bug Serious [Fault] NONE opens;
    }
    "CFI failure" {
        // kernel/cfi.c, since 6.1; before, `CFI failure (target: …)` and panic or a warning.
        "CFI failure" Cfi Fatal [Fault] NONE opens;
    }
    "LOCKUP" {
        // kernel/watchdog.c, kernel/watchdog_hld.c (watchdog_perf.c since 6.5), kernel/watchdog_buddy.c.
        "detected hard LOCKUP" HardLockup Serious [Fault] NONE;
        "hard LOCKUP on cpu" HardLockup Serious [Fault] NONE;
        "self-detected hard LOCKUP" HardLockup Serious [Fault] NONE;
        "detected Hard LOCKUP" HardLockup Serious [Fault] NONE;
        // arch/powerpc/kernel/watchdog.c.
        "^CPU * Hard LOCKUP" HardLockup Serious [Fault] NONE;
    }
    "Alignment trap: " {
        // arch/arm/mm/alignment.c.
        "Alignment trap: not handling" Trap Fatal [Fault] NONE;
    }
    "prefetch abort: " {
        // arch/arm/mm/fault.c.
        "Unhandled prefetch abort: " BadAddress Fatal [Fault] NONE;
    }
    "CSD lock" {
        // kernel/smp.c: a CPU does not answer interrupts of others; its backtrace follows.
        "non-responsive CSD lock" HardLockup Serious [Stall] NONE;
    }
    "invoked oom-killer" {
        "invoked oom-killer" Oom Note [Nobody] NONE;
    }
    "allocation failure" {
        // mm/page_alloc.c (`warn_alloc`), mm/vmalloc.c: no bug, but a stack among others.
        "page allocation failure: order" Oom Note [Nobody] NONE;
        "vmalloc: allocation failure" Oom Note [Nobody] NONE;
    }
    "FAULT_INJECTION: forcing a failure" {
        // lib/fault-inject.c: a failure that somebody asked for, with a stack.
        "FAULT_INJECTION: forcing a failure" Other Note [Nobody] NONE;
    }
    "Missing ENDBR: " {
        // arch/x86/kernel/cet.c, since 5.18: a jump to where none is allowed.
        "Missing ENDBR: " Cfi Fatal [Word("Missing ENDBR: ")] NONE opens;
    }
    "panicked at" {
        // rust/kernel/lib.rs, since 6.1: its BUG() follows.
        "rust_kernel: panicked at" Bug Fatal [Fault] NONE opens;
    }
    "VFS: " {
        // fs/super.c: a warning or a BUG() follows since 6.4. fs/open.c until 6.1.
        "VFS: Busy inodes after unmount" Bug Serious [Fault] NONE opens;
        "VFS: Close: file count is " Refcount Serious [Nobody] NONE;
    }
    "unregister_netdevice: waiting for " {
        // net/core/dev.c (`netdev_wait_allrefs`): somebody never gave a reference back.
        "unregister_netdevice: waiting for " Refcount Note [Nobody] NONE;
    }
    "trusty: panic" {
        // Android's drivers/trusty: the log of the other operating system.
        "trusty: panic" Other Serious [Nobody] NONE;
    }
    ": 0000 [#" {
        // arch/x86/kernel/traps.c: what has no line of its own.
        "divide error" Trap Fatal [Fault] NONE;
        "invalid opcode" Trap Fatal [Fault] NONE;
        "stack segment" Trap Fatal [Fault] NONE;
        "int3" Trap Fatal [Fault] NONE;
        "control protection fault" Trap Fatal [Fault] NONE;
        "*" Trap Fatal [Fault] NONE;
    }
    "[#" {
        "divide error" Trap Fatal [Fault] NONE;
        "invalid opcode" Trap Fatal [Fault] NONE;
        "stack segment" Trap Fatal [Fault] NONE;
        // arch/powerpc/kernel/traps.c.
        "Oops: Machine check" MachineCheck Fatal [Nobody] NONE;
        "Oops: *System Reset" Nmi Fatal [Nobody] NONE;
        "^Oops" Trap Fatal [Fault] NONE;
        "Oops: " Trap Fatal [Fault] NONE;
        "Oops[#" Trap Fatal [Fault] NONE;
        "Kernel BUG [#" Bug Fatal [Fault] NONE;
        "kernel BUG " Bug Fatal [Fault] NONE;
        // arch/s390/kernel/dumpstack.c: `addressing exception: 0005 ilc:3 [#1]`.
        " ilc:" Trap Fatal [Fault] NONE;
        "Kernel bad " Trap Fatal [Fault] NONE;
        // arch/mips/kernel/traps.c, arch/loongarch/kernel/traps.c.
        "Kernel bug detected[#" Bug Fatal [Fault] NONE;
        // arch/x86/kernel/dumpstack.c (`__die`): what has no line of its own, such as `Bad pagetable`.
        "*: *[#*] SMP" Trap Fatal [Fault] NONE;
        "*: *[#*] PREEMPT" Trap Fatal [Fault] NONE;
        // arch/mips, arch/loongarch: `Reserved instruction in kernel code[#1]:`.
        "[#*]:" Trap Fatal [Fault] NONE;
    }
    "sysrq: " {
        "Trigger a crash" Sysrq Fatal [Fault] NONE;
    }
    "SysRq : " {
        "SysRq : Trigger a crash" Sysrq Fatal [Fault] NONE;
    }
    "[Hardware Error]" {
        "event severity: fatal" MachineCheck Serious [Nobody] NONE;
        "[Hardware Error]: CPU *: Machine Check" MachineCheck Serious [Nobody] NONE;
    }
    "unreferenced object 0x" {
        "unreferenced object 0x" MemoryLeak Serious [Trace] LEAK;
    }
    "NMI: " {
        // arch/x86/kernel/nmi.c (`pci_serr_error`, `io_check_error`): the hardware's own reason.
        "NMI: PCI system error" Nmi Note [Nobody] NONE;
        "NMI: IOCK error" Nmi Note [Nobody] NONE;
    }
    "NMI received for unknown reason" {
        // arch/x86/kernel/nmi.c (`unknown_nmi_error`).
        "NMI received for unknown reason" Nmi Note [Nobody] NONE;
    }
    "ad mode" {
        // arch/arm64/kernel/traps.c until 5.11.
        "Bad mode in " Trap Fatal [Fault] NONE;
    }
};

/// What panic() says, with the class that it names.
pub(super) const MESSAGES: &[Shape] = rows! {
    // kernel/workqueue.c (`panic_on_wq_watchdog`), 6.19 and newer; a BUG() before.
    "workqueue: " WorkqueueLockup Fatal [Nobody] NONE;
    // kernel/sched/core.c, with panic_on_warn or a vendor's change.
    "scheduling while atomic" AtomicSleep Fatal [Trace] PREEMPT;
    "sysrq triggered crash" Sysrq Fatal [Trace] NONE;
    "hung_task: blocked tasks" HungTask Fatal [Waiter] WAIT;
    "softlockup: hung tasks" SoftLockup Fatal [Stall] TICK;
    "ard LOCKUP" HardLockup Fatal [Stall] TICK;
    "NMI watchdog" HardLockup Fatal [Stall] TICK;
    "RCU Stall" RcuStall Fatal [Stall] TICK;
    "panic_on_oom is enabled" Oom Fatal [Nobody] NONE;
    "System is deadlocked on memory" Oom Fatal [Nobody] NONE;
    "Out of memory" Oom Fatal [Nobody] NONE;
    "double fault" DoubleFault Fatal [Fault] NONE;
    "ernel stack overflow" StackOverflow Fatal [Entry] NONE;
    "corrupted stack end detected" StackOverflow Fatal [Entry] WAIT;
    // arch/x86/kernel/{traps,irq_32}.c, arch/s390/kernel/traps.c, kernel/sched/core.c.
    "stack guard hit" StackOverflow Fatal [Entry] NONE;
    "low stack detected" StackOverflow Fatal [Entry] NONE;
    "Corrupt kernel stack" StackOverflow Fatal [Entry] NONE;
    "corrupted shadow stack" StackCorruption Fatal [Trace] NONE;
    "stack-protector" StackCorruption Fatal [Word("corrupted in: ")] NONE;
    "achine check" MachineCheck Fatal [Nobody] NONE;
    "Machine Check" MachineCheck Fatal [Nobody] NONE;
    "Not all CPUs entered broadcast exception handler" MachineCheck Fatal [Nobody] NONE;
    "Fatal hardware error" MachineCheck Fatal [Nobody] NONE;
    "Fatal local machine check" MachineCheck Fatal [Nobody] NONE;
    "MCE" MachineCheck Fatal [Nobody] NONE;
    "ncorrected" MachineCheck Fatal [Nobody] NONE;
    // arch/x86/kernel/cpu/mce/core.c, mm/memory-failure.c, drivers/edac.
    "MCA architectural violation" MachineCheck Fatal [Nobody] NONE;
    "Memory failure on page" MachineCheck Fatal [Nobody] NONE;
    "EDAC" MachineCheck Fatal [Nobody] NONE;
    "^UE " MachineCheck Fatal [Nobody] NONE;
    "n NMI occurred" Nmi Fatal [Nobody] NONE;
    "NMI: Not continuing" Nmi Fatal [Nobody] NONE;
    "NMI: Unrecovered" Nmi Fatal [Nobody] NONE;
    "NMI IOCK error" Nmi Fatal [Nobody] NONE;
    "NMI" Nmi Fatal [Nobody] NONE;
    "Software Watchdog Timer expired" Watchdog Fatal [Nobody] NONE;
    "atchdog pretimeout" Watchdog Fatal [Nobody] NONE;
    "atchdog detected" Watchdog Fatal [Nobody] NONE;
    "watchdog" Watchdog Fatal [Nobody] NONE;
    // drivers/watchdog/{orion_wdt,intel-mid_wdt}.c, drivers/char/ipmi/ipmi_watchdog.c.
    "Watchdog" Watchdog Fatal [Nobody] NONE;
    "pre-timeout" Watchdog Fatal [Nobody] NONE;
    // arch/powerpc/kernel/traps.c: an NMI by its own name.
    "System Reset" Nmi Fatal [Nobody] NONE;
    "Attempted to kill init" InitKilled Fatal [Nobody] NONE;
    "VFS: Unable to mount root fs" NoRoot Fatal [Nobody] NONE;
    "No working init found" NoRoot Fatal [Nobody] NONE;
    "Requested init " NoRoot Fatal [Nobody] NONE;
    "No init found" NoRoot Fatal [Nobody] NONE;
    "CFI failure" Cfi Fatal [Trace] NONE;
    "Asynchronous SError" MachineCheck Fatal [Nobody] NONE;
    "bad mode" Trap Fatal [Nobody] NONE;
};

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
    ("system warned too often", Refers::Warning),
    ("panic_on_taint set", Refers::Warning),
    ("kasan.fault=panic", Refers::To(Class::Kasan)),
    ("killing interrupt handler", Refers::Oops),
    ("kill the idle task", Refers::Oops),
    ("Fatal exception", Refers::Oops),
    ("Fatal error", Refers::Oops),
    ("Oops", Refers::Oops),
    ("Unrecoverable exception", Refers::Oops),
    ("Machine halted", Refers::Oops),
];
