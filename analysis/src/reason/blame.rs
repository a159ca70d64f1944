//! Which frame of a stack is to blame: the first that is no helper. Helpers are in one table ([`helpers`]), by
//! what they do; each shape of report says which groups it passes over besides the common ones.
//!
//! Names come from the sources of 3.x to 7.x: mm/kasan, mm/kmsan, kernel/kcsan, lib/ubsan.c,
//! kernel/panic.c, kernel/locking, lib/list_debug.c, lib/refcount.c, lib/usercopy.c, lib/string*.c,
//! mm/slub.c, mm/vmalloc.c, lib/vsprintf.c, kernel/printk, lib/debugobjects.c, kernel/sched,
//! kernel/workqueue.c and the traps of arch/.

mod helpers;

use super::Location;
use helpers::HELPERS;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Groups of helpers, as bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Groups(u32);

impl Groups {
    /// Prints the report or carries the trap to it: tells how the kernel spoke, not why.
    pub(super) const REPORT: Self = Self(1);
    /// Instrumentation of the compiler: runs before every access.
    pub(super) const SANITIZER: Self = Self(1 << 1);
    /// Copies, compares or fills what its caller gave it.
    pub(super) const MEMORY: Self = Self(1 << 2);
    /// Links list entries that belong to its caller.
    pub(super) const LIST: Self = Self(1 << 3);
    /// Copies from or to user space for its caller.
    pub(super) const USER: Self = Self(1 << 4);
    /// Takes or drops a lock that belongs to its caller.
    pub(super) const LOCK: Self = Self(1 << 5);
    /// Formats or prints what its caller gave it.
    pub(super) const PRINT: Self = Self(1 << 6);
    /// Hands out memory, or takes it back.
    pub(super) const ALLOC: Self = Self(1 << 7);
    /// Counts references for its caller.
    pub(super) const COUNT: Self = Self(1 << 8);
    /// Puts a task to sleep: how it waits, not for what.
    pub(super) const WAIT: Self = Self(1 << 9);
    /// Tears down what its caller owns (timers, work, devices): the wrong object is the caller's.
    pub(super) const TEARDOWN: Self = Self(1 << 10);
    /// The debug checks of objects, and the subsystems that call them for everyone.
    pub(super) const OBJECT: Self = Self(1 << 11);
    /// RCU's own checks.
    pub(super) const RCU: Self = Self(1 << 12);
    /// Checks of preemption and of sleeping, and what only sleeps for its caller.
    pub(super) const PREEMPT: Self = Self(1 << 13);
    /// Registers entries in /proc and sysfs for its caller.
    pub(super) const REGISTER: Self = Self(1 << 14);
    /// Sends USB requests for its caller.
    pub(super) const USB: Self = Self(1 << 15);
    /// Locks of sockets.
    pub(super) const SOCKET: Self = Self(1 << 16);
    /// Ticks and interrupts that found the CPU busy.
    pub(super) const TICK: Self = Self(1 << 17);
    /// Where every thread, system call or interrupt begins: nobody's own code.
    pub(super) const ENTRY: Self = Self(1 << 18);

    /// Structures of lib/ (trees, arrays, tables): the entries are the caller's. Signatures only.
    pub(super) const LIBRARY: Self = Self(1 << 19);
    /// Buffers and pages that the caller handed over. Signatures only.
    pub(super) const BUFFER: Self = Self(1 << 20);
    /// Timers, work and completions inside objects of the caller. Signatures only.
    pub(super) const EVENT: Self = Self(1 << 21);
    /// Ciphers and hashes: the data is the caller's. Signatures only.
    pub(super) const CRYPTO: Self = Self(1 << 22);

    /// Makes an object for its caller: whoever asked for it lost it.
    pub(super) const MAKER: Self = Self(1 << 23);

    /// Works on one object that its caller owns (an inode, a page's lock, a tree's node, a register) and
    /// is called from everywhere: the wrong object is the caller's.
    pub(super) const HANDED: Self = Self(1 << 24);
    /// Socket buffers: an assertion in them is about what the caller put in.
    pub(super) const PACKET: Self = Self(1 << 25);
    /// Passes on bytes that its caller never wrote: ciphers, random numbers, netlink.
    pub(super) const BYTES: Self = Self(1 << 26);
    /// Frees what its caller hands over, besides the slab allocator.
    pub(super) const FREE: Self = Self(1 << 27);
    /// Owns pages for its caller: the page cache and what maps and frees.
    pub(super) const PAGES: Self = Self(1 << 28);
    /// Sets up locks for its caller.
    pub(super) const KEY: Self = Self(1 << 29);
    /// The inside of the allocators, with locks of their own.
    pub(super) const POOL: Self = Self(1 << 30);
    /// Checks which CPU it runs on.
    pub(super) const CPU: Self = Self(1 << 31);

    /// Passed over in every report.
    pub(super) const COMMON: Self = Self(
        0x7f | Self::ALLOC.0 | Self::POOL.0 | Self::COUNT.0 | Self::TEARDOWN.0 | Self::HANDED.0,
    );

    /// Passed over where a lock is named: those inside the allocators are their own.
    pub(super) const LOCKED: Self = Self(0x7f | Self::ALLOC.0 | Self::TEARDOWN.0 | Self::HANDED.0);

    /// Passed over where the kernel itself has already named the function that counts.
    pub(super) const LITERAL: Self = Self(Self::REPORT.0 | Self::SANITIZER.0);

    /// Every helper.
    pub(super) const ALL: Self = Self(u32::MAX);

    /// Both sets.
    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The first set without the second.
    pub(super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(super) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// What is not compared of a name: leading underscores, and what the compiler put behind a dot.
fn plain(function: &str) -> &str {
    let name = super::name::normalise(function);
    let name = name.trim_start_matches('_');
    name.strip_prefix("pi_")
        .unwrap_or(name)
        .trim_start_matches('_')
}

/// Whether a name is that of a pattern.
fn fits(name: &str, pattern: &str) -> bool {
    let open_start = pattern.strip_prefix('*');
    let pattern = open_start.unwrap_or(pattern);
    let open_end = pattern.strip_suffix('*');
    let pattern = open_end.unwrap_or(pattern);
    match (open_start.is_some(), open_end.is_some()) {
        (false, false) if pattern.contains('*') => inner(name, pattern, false),
        (false, false) => name == pattern.trim_start_matches('_'),
        // One star inside: `do_*_trap`.
        (false, true) => inner(name, pattern, true),
        (true, false) => name.ends_with(pattern),
        (true, true) => name.contains(pattern),
    }
}

/// A pattern that begins the name, with one more star inside at most.
fn inner(name: &str, pattern: &str, open_end: bool) -> bool {
    match pattern.split_once('*') {
        None if open_end => name.starts_with(pattern),
        None => name == pattern,
        Some((head, tail)) => name.strip_prefix(head).is_some_and(|rest| {
            if open_end {
                rest.contains(tail)
            } else {
                rest.ends_with(tail)
            }
        }),
    }
}

/// The table of helpers with its patterns taken apart, so that a name is compared with them and not
/// with the text of the table.
struct Table {
    /// Names without a star.
    exact: BTreeMap<&'static str, Groups>,
    /// The rest: group, whether the name keeps its underscores, pattern.
    open: Vec<(Groups, bool, &'static str)>,
}

impl Table {
    fn of(helpers: &[(Groups, &'static str)]) -> Self {
        let mut table = Self {
            exact: BTreeMap::new(),
            open: Vec::new(),
        };
        for (group, names) in helpers {
            for name in names.split_ascii_whitespace() {
                let kept = name.strip_prefix('^');
                if kept.is_some() || name.contains('*') {
                    table
                        .open
                        .push((*group, kept.is_some(), kept.unwrap_or(name)));
                } else {
                    let name = name.trim_start_matches('_');
                    let groups = table.exact.entry(name).or_insert(Groups(0));
                    *groups = groups.and(*group);
                }
            }
        }
        table
    }

    fn holds(&self, function: &str, groups: Groups) -> bool {
        let name = plain(function);
        let with_underscores = super::name::normalise(function);
        self.exact.get(name).is_some_and(|group| groups.has(*group))
            || self.open.iter().any(|(group, kept, pattern)| {
                let name = if *kept { with_underscores } else { name };
                groups.has(*group) && fits(name, pattern)
            })
    }
}

/// Whether a function is a helper of one of the groups.
#[must_use]
pub(super) fn is_helper(function: &str, groups: Groups) -> bool {
    static TABLE: LazyLock<Table> = LazyLock::new(|| Table::of(HELPERS));
    TABLE.holds(function, groups)
}

/// The first frame that is no helper.
#[must_use]
pub(super) fn first<'f>(
    mut frames: impl Iterator<Item = &'f Location>,
    groups: Groups,
) -> Option<&'f Location> {
    // What the compiler inlined is in the frame below it: a log that is not decoded shows that one.
    frames.find(|frame| !frame.inline && !is_helper(&frame.function, groups))
}

/// Whether a function is where an interrupt or an exception of a busy CPU begins.
#[must_use]
pub(super) fn is_interrupt(function: &str) -> bool {
    const NAMES: &str = "*apic_timer_interrupt* asm_sysvec_* asm_common_interrupt common_interrupt ret_from_intr \
        el1_irq el1h_64_irq* el1_interrupt irq_svc timer_interrupt decrementer_common* asm_exc_nmi nmi end_repeat_nmi \
        reschedule_interrupt call_function_interrupt asm_exc_page_fault handle_riscv_irq do_irq ext_int_handler \
        handle_int hardware_interrupt_common*";
    let name = plain(function);
    NAMES
        .split_ascii_whitespace()
        .any(|pattern| fits(name, pattern))
}

/// Whether a function is where an idle CPU waits.
#[must_use]
pub(super) fn is_idle(function: &str) -> bool {
    const NAMES: &str = "native_safe_halt pv_native_safe_halt default_idle* mwait_idle* intel_idle* acpi_idle* acpi_safe_halt \
        arch_cpu_idle cpu_do_idle cpuidle_* poll_idle do_idle kvm_wait native_halt";
    let name = plain(function);
    NAMES
        .split_ascii_whitespace()
        .any(|pattern| fits(name, pattern))
}

/// Whether a function hands work to the function of another subsystem: system calls to file systems and
/// protocols, the work queue and timers to their users.
#[must_use]
pub(super) fn dispatches(function: &str) -> bool {
    const NAMES: &str = "process_one_work process_scheduled_works do_syscall_* do_fast_syscall_* do_int80_* x64_sys_call invoke_syscall el0_svc* \
        ret_fast_syscall system_call* syscall_* rtnetlink_rcv_msg netlink_rcv_skb nfnetlink_rcv_msg genl_rcv_msg genl_family_rcv_msg* \
        sock_sendmsg sock_sendmsg_nosec sock_recvmsg* sock_write_iter sock_read_iter sock_common_setsockopt sys_setsockopt do_sock_setsockopt \
        sys_getsockopt do_sock_getsockopt sys_connect sys_accept* sys_listen sys_bind sock_ioctl sock_do_ioctl sock_close sock_release vfs_ioctl vfs_write vfs_read vfs_open \
        do_dentry_open vfs_iter_* do_iter_* call_write_iter call_read_iter new_sync_* vfs_writev vfs_readv call_timer_fn run_timers expire_timers do_softirq handle_softirqs \
        sk_common_release kernel_listen kernel_accept kernel_setsockopt sock_mmap netlink_dump compat_sock_ioctl compat_ioctl* compat_sys_ioctl blkdev_driver_ioctl \
        hrtimer_run* run_timer_softirq tasklet_action* tasklet_hi_action smp_call_function* call_mmap exit_to_user* \
        netif_receive_skb* task_work_run fput handle_mm_fault do_fault mmap_region do_mmap kthread ret_from_fork* smpboot_thread_fn run_ksoftirqd \
        blkdev_ioctl do_idle cpu_startup_entry start_secondary";
    let name = plain(function);
    NAMES
        .split_ascii_whitespace()
        .any(|pattern| fits(name, pattern))
}

/// Whether a function is the gate to the kernel or to a thread: it has no data of its own to be wrong.
#[must_use]
pub(super) fn is_gate(function: &str) -> bool {
    const NAMES: &str = "entry_* do_syscall_* do_fast_syscall_* do_int80_* x64_sys_call ia32_sys_call invoke_syscall el0_* el0t_* \
        do_el0_svc ret_from_* ret_fast_syscall system_call* syscall_* secondary_startup* start_secondary x86_64_start* \
        common_startup_64";
    let name = plain(function);
    NAMES
        .split_ascii_whitespace()
        .any(|pattern| fits(name, pattern))
}
