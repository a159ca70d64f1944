//! Tests of the derivation.

use super::*;

fn facts(running: &str) -> Facts {
    Facts {
        running: running.to_owned(),
        release: "6.12.107+deb13-cloud-amd64".to_owned(),
        running_release: "6.12.107+deb13-cloud-amd64".to_owned(),
        cpus: 4,
        reserved: 96 << 20,
        ..Facts::default()
    }
}

fn has(derived: &Derived, word: &str) -> bool {
    words(&derived.cmdline).iter().any(|w| w == word)
}

#[test]
fn keeps_what_reaches_the_machine_and_drops_what_is_the_first_kernels() {
    let running = "BOOT_IMAGE=/vmlinuz root=UUID=1 ro console=tty0 console=ttyS0,115200 quiet \
        crashkernel=192M rd.luks.uuid=2 intel_iommu=on dyndbg=\"file a.c +p\" hugepagesz=1G hugepages=4 \
        systemd.unit=x panic_on_warn net.ifnames=0 crash-kexec-post-notifiers -- guest-init";
    let got = derive(&facts(running), &Wishes::default());
    assert!(
        got.cmdline.starts_with(
            "console=tty0 console=ttyS0,115200 intel_iommu=on dyndbg=\"file a.c +p\" reset_devices"
        ),
        "{}",
        got.cmdline
    );
    assert!(!got.cmdline.contains("guest-init") && !got.cmdline.contains("--"));
    assert_eq!(got.dropped.len(), 13);
    assert!(has(&got, "panic=10") && has(&got, "oops=panic") && has(&got, "nr_cpus=1"));
    assert!(has(&got, "cryptomgr.notests=1"));
}

#[test]
fn wishes_win_over_both_lists() {
    let wishes = Wishes {
        cpus: Some(2),
        add: vec!["panic=30 loglevel=7".to_owned(), "root=/dev/x".to_owned()],
        drop: vec!["intel-iommu".to_owned(), "irqpoll".to_owned()],
    };
    let got = derive(&facts("intel_iommu=on console=ttyS0"), &wishes);
    assert!(has(&got, "panic=30") && !has(&got, "panic=10"));
    assert!(has(&got, "root=/dev/x") && has(&got, "nr_cpus=2"));
    assert!(!got.cmdline.contains("iommu") && !has(&got, "irqpoll"));
}

#[test]
fn version_specific_words_follow_the_symbols_else_the_version() {
    let mut f = facts("");
    f.reserved = 256 << 20;
    f.boot_apicid = Some(3);
    f.symbols = Some(vec!["apic_set_disabled_cpu_apicid".to_owned()]);
    let got = derive(&f, &Wishes::default());
    assert!(has(&got, "nr_cpus=4") && has(&got, "disable_cpu_apicid=3"));
    assert!(!got.cmdline.contains("initramfs_options") && !has(&got, "acpi_no_memhotplug"));
    f.release = "6.18.1".to_owned();
    let got = derive(&f, &Wishes::default());
    assert!(
        has(&got, "initramfs_options=size=90%"),
        "another kernel: by its version"
    );
    assert!(!got.cmdline.contains("disable_cpu_apicid") && !got.cmdline.contains("hest_disable"));
    f.release = "6.1.9".to_owned();
    assert!(has(&derive(&f, &Wishes::default()), "disable_cpu_apicid=3"));
}

#[test]
fn the_cpu_budget() {
    for (mib, online, want) in [
        (0, 8, 1),
        (128, 8, 1),
        (160, 8, 2),
        (256, 8, 4),
        (4096, 64, 4),
        (256, 2, 2),
        (256, 0, 1),
    ] {
        assert_eq!(
            cpu_budget(mib << 20, online),
            want,
            "{mib} MiB, {online} CPUs"
        );
    }
}

#[test]
fn reads_a_tree() {
    let dir = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    put("proc/cmdline", "console=ttyS0\n");
    put("proc/sys/kernel/osrelease", "6.1.0-56\n");
    put("sys/devices/system/cpu/online", "0-2,7\n");
    put(
        "proc/cpuinfo",
        "processor\t: 0\napicid\t\t: 9\ninitial apicid\t: 5\n",
    );
    put(
        "proc/kallsyms",
        "ffffffff81 t initramfs_options_setup\nffffffff82 d x\n",
    );
    put("sys/kernel/kexec/crash_size", "100\n");
    put("sys/module/iTCO_wdt/parameters/pretimeout", "0");
    std::fs::create_dir_all(
        dir.path()
            .join("sys/class/watchdog/watchdog0/device/driver"),
    )
    .unwrap();
    std::os::unix::fs::symlink(
        "../../../../../module/iTCO_wdt",
        dir.path()
            .join("sys/class/watchdog/watchdog0/device/driver/module"),
    )
    .unwrap();
    let got = Facts::read(dir.path(), "6.1.0-56");
    assert_eq!((got.cpus, got.boot_apicid, got.reserved), (4, Some(5), 100));
    assert_eq!(got.watchdogs, ["iTCO_wdt"]);
    let line = derive(&got, &Wishes::default());
    assert!(has(&line, "iTCO_wdt.pretimeout=0") && has(&line, "initramfs_options=size=90%"));
}

#[test]
fn words_and_quotes() {
    assert_eq!(
        words(" a  b=\"c d\" \"e f\"\ng"),
        ["a", "b=\"c d\"", "\"e f\"", "g"]
    );
    assert_eq!(words("a\0b"), ["a"]);
    assert_eq!(words("\"open  end"), ["\"open  end"]);
}

#[test]
fn nothing_that_ends_the_dump_or_eats_its_memory_is_carried_over() {
    let running = "sysctl.kernel.panic_on_warn=1 sysctl.vm.nr_hugepages=512 nmi_watchdog=panic,1 memtest=17 \
        hugepages=0:2,1:2 default_hugepagesz=1G hugepage_alloc_threads=4 hugetlb_free_vmemmap=on \
        workqueue.panic_on_stall=1 kfence.sample_interval=100 trace_buf_size=64M thash_entries=131072 \
        panic_sys_info=tasks efi_pstore.pstore_disable=0 pause_on_oops=5 initcall_debug showopts \
        console=ttyS0 modprobe.blacklist=bad";
    let got = derive(&facts(running), &Wishes::default());
    assert!(
        got.cmdline
            .starts_with("console=ttyS0 modprobe.blacklist=bad reset_devices"),
        "{}",
        got.cmdline
    );
    assert_eq!(got.dropped.len(), 17);
    let why = |name: &str| {
        let word = got.dropped.iter().find(|d| d.parameter.starts_with(name));
        word.map(|d| d.why.as_str()).unwrap_or_default()
    };
    assert!(why("memtest").contains("takes time"), "{}", why("memtest"));
    assert!(why("nmi_watchdog").contains("NMI"));
}

#[test]
fn the_table_names_each_word_once() {
    for (at, (name, why)) in DROP.iter().enumerate() {
        assert!(!why.is_empty());
        let first = DROP.iter().position(|(pattern, _)| matches(pattern, name));
        assert_eq!(first, Some(at), "{name} is covered by an earlier entry");
    }
}

#[test]
fn interrupts_are_not_polled_on_graviton() {
    let mut f = facts("console=ttyS0");
    f.vendor = "Amazon EC2".to_owned();
    assert!(has(&derive(&f, &Wishes::default()), "irqpoll"));
    f.machine = "aarch64".to_owned();
    assert!(!has(&derive(&f, &Wishes::default()), "irqpoll"));
}
