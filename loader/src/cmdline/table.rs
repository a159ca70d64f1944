//! The words of the running kernel's command line that the capture kernel does not get.
//!
//! Facts: Documentation/admin-guide/kernel-parameters.txt and kernel/panic.c, kernel/watchdog.c,
//! mm/hugetlb.c, mm/memtest.c, fs/proc/proc_sysctl.c (`sysctl.*`, since 5.8), Linux 5.10 to 7.2. The
//! lists of Fedora (kdump-utils 1.0.61), openSUSE (kdump 2.0) and Debian (kdump-tools 1.10.9) are
//! covered, except for what we set again ourselves (see the parent module).

/// Why a word is dropped. Each text completes "dropped: …".
const MEMORY: &str = "takes memory from the small reservation";
const TIME: &str = "takes time";
const LOST: &str = "a warning or a slow disk must not end the dump";
const NMI: &str = "an NMI must not end the dump";
const SYSCTL: &str =
    "the panic and memory settings of the running system do not suit the capture kernel";
const CRASHED: &str = "is for the crashed kernel";
const OVERWRITES: &str = "would overwrite the crashed kernel's records";
const MAP: &str = "the capture kernel has its own memory map";
const EARLIER: &str = "belongs to an earlier capture kernel";
const SCREEN: &str = "there is no screen to draw on";
const ROOT: &str = "the capture image is the root filesystem";
const INIT: &str = "the capture image has its own /init";
const INITRD: &str = "the image is loaded together with the kernel";
const INITRAMFS: &str = "is for another initramfs";
const SYSTEMD: &str = "systemd does not run";
const UDEV: &str = "udev does not run";
const CPUS: &str = "names CPUs that are not started";
const AGAIN: &str = "afterpanic sets it";

/// Parameter names (`-` and `_` are the same, as in the kernel; `*` at the end is any rest), each
/// with the reason.
pub(super) const DROP: &[(&str, &str)] = &[
    ("BOOT_IMAGE", "is the boot loader's"),
    ("showopts", "is the boot loader's"),
    ("crashkernel", "nothing is reserved inside the reservation"),
    ("elfcorehdr", EARLIER),
    ("dmcryptkeys", EARLIER),
    // The capture kernel's memory.
    ("mem", MAP),
    ("memmap", MAP),
    ("kernelcore", MAP),
    ("movablecore", MAP),
    ("movable_node", MAP),
    ("efi_fake_mem", MAP),
    ("reserve_mem", MEMORY),
    ("kho", MEMORY),
    ("kho_scratch", MEMORY),
    ("hugepages", MEMORY),
    ("hugepagesz", MEMORY),
    ("default_hugepagesz", MEMORY),
    ("hugepage_alloc_threads", MEMORY),
    ("hugetlb_cma", MEMORY),
    ("hugetlb_cma_only", MEMORY),
    ("hugetlb_free_vmemmap", MEMORY),
    ("transparent_hugepage", AGAIN),
    ("transparent_hugepage_*", MEMORY),
    ("thp_*", MEMORY),
    ("cma", MEMORY),
    ("cma_pernuma", MEMORY),
    ("numa_cma", MEMORY),
    ("log_buf_len", MEMORY),
    ("trace_*", MEMORY),
    ("ftrace*", MEMORY),
    ("tp_printk*", TIME),
    ("kprobe_event", MEMORY),
    ("bootconfig", INITRD),
    ("dhash_entries", MEMORY),
    ("ihash_entries", MEMORY),
    ("mhash_entries", MEMORY),
    ("mphash_entries", MEMORY),
    ("thash_entries", MEMORY),
    ("uhash_entries", MEMORY),
    ("swiotlb", "takes memory; the kernel's default is right"),
    ("page_owner", MEMORY),
    ("page_table_check", MEMORY),
    ("kasan*", MEMORY),
    ("kmemleak", MEMORY),
    ("kfence.*", MEMORY),
    ("slub_debug", MEMORY),
    ("slab_debug", MEMORY),
    ("debug_pagealloc", MEMORY),
    ("debug_objects", MEMORY),
    ("zswap.*", MEMORY),
    ("numa", AGAIN),
    ("numa_balancing", MEMORY),
    ("cgroup_*", AGAIN),
    ("initramfs_options", AGAIN),
    // Time before /init runs.
    (
        "memtest",
        "tests the whole reservation first, which takes time",
    ),
    ("page_poison", TIME),
    ("init_on_alloc", TIME),
    ("init_on_free", TIME),
    ("initcall_debug", TIME),
    ("boot_delay", TIME),
    ("printk_delay", TIME),
    // What turns a small trouble of the capture kernel into a panic or a stop.
    ("sysctl.*", SYSCTL),
    ("nmi_watchdog", NMI),
    ("unknown_nmi_panic", NMI),
    ("panic_on_unrecovered_nmi", NMI),
    ("panic_on_io_nmi", NMI),
    ("nmi_backtrace*", NMI),
    ("panic", AGAIN),
    ("oops", AGAIN),
    ("panic_on_oops", AGAIN),
    ("pause_on_oops", LOST),
    ("panic_on_warn", LOST),
    ("panic_on_taint", LOST),
    ("softlockup_panic", LOST),
    ("hardlockup_panic", LOST),
    ("hung_task_panic", LOST),
    ("panic_on_rcu_stall", LOST),
    ("max_rcu_stall_to_panic", LOST),
    ("workqueue.panic_on_stall*", LOST),
    ("watchdog_thresh", LOST),
    ("smp.panic_on_ipistall", LOST),
    ("kunit*", "tests run in the crashed kernel, not here"),
    // What is about the panic itself.
    ("panic_print", CRASHED),
    ("panic_sys_info", CRASHED),
    ("panic_console_replay", CRASHED),
    ("panic_force_cpu", CRASHED),
    ("crash_kexec_post_notifiers", CRASHED),
    ("sysrq_always_enabled", CRASHED),
    ("ramoops*", OVERWRITES),
    ("pstore*", OVERWRITES),
    ("efi_pstore*", OVERWRITES),
    ("quiet", "the console shows what the capture kernel does"),
    ("splash", SCREEN),
    ("vt.handoff", SCREEN),
    // User space of the running system.
    ("root", ROOT),
    ("rootflags", ROOT),
    ("rootfstype", ROOT),
    ("rootwait", ROOT),
    ("rootdelay", ROOT),
    ("ro", ROOT),
    ("rw", ROOT),
    ("resume*", ROOT),
    ("noresume", ROOT),
    ("hibernate", ROOT),
    ("init", INIT),
    ("rdinit", INIT),
    ("initrd", INITRD),
    ("noinitrd", INITRD),
    ("rd.*", INITRAMFS),
    ("ip", INITRAMFS),
    ("netroot", INITRAMFS),
    ("nfsroot", INITRAMFS),
    ("fcoe", INITRAMFS),
    ("iscsi_initiator", INITRAMFS),
    ("abm", INITRAMFS),
    ("ostree*", INITRAMFS),
    ("cloud-init*", INITRAMFS),
    ("ds", INITRAMFS),
    ("ignition.*", INITRAMFS),
    ("systemd.*", SYSTEMD),
    ("systemd_*", SYSTEMD),
    ("luks.*", SYSTEMD),
    ("fsck.*", SYSTEMD),
    ("udev.*", UDEV),
    ("net.ifnames", UDEV),
    ("biosdevname", UDEV),
    // CPUs.
    ("nr_cpus", AGAIN),
    ("maxcpus", AGAIN),
    ("possible_cpus", AGAIN),
    ("nosmp", AGAIN),
    ("disable_cpu_apicid", AGAIN),
    ("isolcpus", CPUS),
    ("nohz_full", CPUS),
    ("rcu_nocbs", CPUS),
    ("irqaffinity", CPUS),
    ("kthread_cpus", CPUS),
    // Set again below the derived line.
    ("irqpoll", AGAIN),
    ("reset_devices", AGAIN),
    ("nokaslr", AGAIN),
    ("kaslr", AGAIN),
];
