//! Tests of the estimate.

use super::*;

fn inputs() -> Inputs {
    Inputs {
        release: "6.12.107+deb13-cloud-amd64".to_owned(),
        kernel: 44 * MIB,
        init_size: 56 * MIB,
        image: 3 * MIB / 2,
        unpacked: 4 * MIB,
        worker: 24 * MIB,
        cpus: 1,
        filesystems: vec!["ext4".to_owned()],
        drivers: Vec::new(),
        peak: None,
        hardware_ram: None,
    }
}

#[test]
fn the_parts_add_up_and_the_sum_is_a_multiple_of_the_alignment() {
    let got = estimate(&inputs());
    let sum: u64 = got.parts.iter().map(|p| p.bytes).sum();
    assert!(
        sum <= got.bytes && got.bytes < sum + 2 * STEP,
        "{sum} {}",
        got.bytes
    );
    assert_eq!(got.bytes % STEP, 0);
    assert_eq!(value_of(&got), "128M");
}

#[test]
fn more_of_anything_never_needs_less() {
    let base = estimate(&inputs()).bytes;
    let more = |change: fn(&mut Inputs)| {
        let mut i = inputs();
        change(&mut i);
        estimate(&i).bytes
    };
    assert!(more(|i| i.cpus = 16) > base);
    assert!(more(|i| i.filesystems.push("btrfs".to_owned())) > base);
    assert!(more(|i| i.unpacked = 100 * MIB) > base);
    assert!(more(|i| i.init_size = 300 * MIB) >= 300 * MIB);
    assert!(more(|i| i.release = "7.2.1".to_owned()) >= base);
}

#[test]
fn in_a_guest_a_measured_peak_replaces_the_sum() {
    for here in [false, true] {
        let got = estimate(&Inputs {
            peak: Some(Peak {
                bytes: 71 * MIB,
                here,
            }),
            ..inputs()
        });
        assert_eq!(value_of(&got), "96M");
        assert_eq!(got.parts.len(), 2);
    }
}

#[test]
fn on_hardware_only_a_crash_test_goes_below_what_others_reserve() {
    let with = |ram_gib: u64, peak: Option<(u64, bool)>| {
        let peak = peak.map(|(mib, here)| Peak {
            bytes: mib * MIB,
            here,
        });
        value_of(&estimate(&Inputs {
            hardware_ram: Some(ram_gib << 30),
            peak,
            ..inputs()
        }))
    };
    assert_eq!(with(2, None), "192M");
    assert_eq!(with(16, None), "256M");
    assert_eq!(with(512, None), "512M");
    assert_eq!(with(16, Some((71, false))), "256M");
    assert_eq!(with(16, Some((300, false))), "368M");
    assert_eq!(with(16, Some((71, true))), "96M");
}

#[test]
fn drivers_that_need_memory_are_parts() {
    let got = estimate(&Inputs {
        drivers: vec!["megaraid_sas".to_owned(), "ext4".to_owned()],
        ..inputs()
    });
    let parts: Vec<&str> = got.parts.iter().map(|part| part.what.as_str()).collect();
    assert!(parts.contains(&"driver megaraid_sas"), "{parts:?}");
    assert_eq!(
        parts
            .iter()
            .filter(|what| what.starts_with("driver"))
            .count(),
        1
    );
}

#[test]
fn a_guest_is_told_by_its_firmware_or_its_cpu() {
    let dir = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    put("proc/meminfo", "MemTotal:       16166036 kB\n");
    put("proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu vme\n");
    put("sys/class/dmi/id/sys_vendor", "Dell Inc.\n");
    assert_eq!(Inputs::read(dir.path(), None).hardware_ram, Some(16 << 30));
    put(
        "proc/iomem",
        "1000-9ffff : System RAM\n100000000-4ffffffff : System RAM\n",
    );
    assert_eq!(
        Inputs::read(dir.path(), None).hardware_ram,
        Some((16 << 30) + 0x9f000)
    );
    put("proc/cpuinfo", "flags\t\t: fpu hypervisor\n");
    assert_eq!(Inputs::read(dir.path(), None).hardware_ram, None);
    put("proc/cpuinfo", "flags\t\t: fpu\n");
    put("sys/class/dmi/id/sys_vendor", "QEMU\n");
    assert_eq!(Inputs::read(dir.path(), None).hardware_ram, None);
}

#[test]
fn the_running_kernel_is_measured() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("proc/sys/kernel")).unwrap();
    std::fs::write(dir.path().join("proc/sys/kernel/osrelease"), "6.12.1\n").unwrap();
    let text = "100000-3fffffff : System RAM\n  21600000-225fffff : Kernel code\n  23cd8000-241fffff : Kernel bss\n";
    std::fs::write(dir.path().join("proc/iomem"), text).unwrap();
    let got = Inputs::read(dir.path(), None);
    assert_eq!((got.kernel, got.release.as_str()), (44 * MIB, "6.12.1"));
}
