//! Tests of the checks on fixture trees, each with one thing changed.

use super::*;
use std::fs;

/// A copy of a fixture tree, to be changed.
fn tree(name: &str) -> tempfile::TempDir {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let to = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                copy(&entry.path(), &to);
            } else {
                fs::copy(entry.path(), to).unwrap();
            }
        }
    }
    let dir = tempfile::tempdir().unwrap();
    copy(
        &Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../tests/fixtures")
            .join(name),
        dir.path(),
    );
    dir
}

fn put(dir: &tempfile::TempDir, path: &str, text: &str) {
    let path = dir.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn examined(dir: &tempfile::TempDir) -> Report {
    examine(
        dir.path(),
        &Config::default(),
        dir.path().join("usr/lib/afterpanic/afterpanic-capture"),
    )
}

fn levels(report: &Report, check: &str) -> Vec<Level> {
    report
        .findings
        .iter()
        .filter(|f| f.check == check)
        .map(|f| f.level)
        .collect()
}

fn said(report: &Report, check: &str) -> String {
    let found = report.findings.iter().filter(|f| f.check == check);
    found
        .map(|f| format!("{} [{}]", f.text, f.fix.as_deref().unwrap_or("")))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn an_unreserved_server() {
    let dir = tree("machine-unreserved");
    let report = examined(&dir);
    assert_eq!(
        (report.machine.hostname.as_str(), report.machine.cpus),
        ("web-03", 4)
    );
    assert_eq!(
        (report.boot_loader, report.machine.platform.as_str()),
        (BootLoader::GrubMkconfig, "KVM guest")
    );
    assert_eq!(levels(&report, "memory"), [Level::Fail]);
    assert!(
        said(&report, "memory")
            .contains("no memory is reserved for the capture kernel [afterpanic reserve"),
        "{}",
        said(&report, "memory")
    );
    assert!(said(&report, "policy").contains("an oops does not panic"));
    assert!(said(&report, "others").contains("systemctl disable --now kdump-tools.service"));
    assert_eq!(levels(&report, "proof"), [Level::Note]);
    assert_eq!(report.next.as_deref(), Some("sudo afterpanic reserve"));
    assert!(!report.armed);
}

#[test]
fn an_armed_machine() {
    let dir = tree("machine-armed");
    let report = examined(&dir);
    assert_eq!(
        levels(&report, "memory"),
        [Level::Ok],
        "{}",
        said(&report, "memory")
    );
    assert_eq!(levels(&report, "policy"), [Level::Ok]);
    assert_eq!(levels(&report, "others"), [Level::Ok]);
    assert_eq!(levels(&report, "watchdog"), [Level::Ok]);
    assert_eq!(levels(&report, "proof"), [Level::Ok]);
    assert!(report.armed && report.boot_loader == BootLoader::Bls);
}

#[test]
fn each_change_of_the_kernel_is_found() {
    let found = |change: fn(&tempfile::TempDir), level: Level, text: &str| {
        let dir = tree("machine-armed");
        change(&dir);
        let report = examined(&dir);
        assert!(
            levels(&report, "kernel").contains(&level),
            "{}",
            said(&report, "kernel")
        );
        assert!(
            said(&report, "kernel").contains(text),
            "{}",
            said(&report, "kernel")
        );
    };
    found(
        |d| put(d, "proc/sys/kernel/kexec_load_disabled", "1"),
        Level::Fail,
        "kexec_load_disabled is 1",
    );
    found(
        |d| put(d, "proc/sys/kernel/kexec_load_limit_panic", "0"),
        Level::Warn,
        "used up",
    );
    found(
        |d| {
            put(
                d,
                "boot/config-6.12.107+deb13-cloud-amd64",
                "CONFIG_KEXEC=y\nCONFIG_PROC_VMCORE=y\n",
            );
        },
        Level::Fail,
        "no CONFIG_CRASH_DUMP",
    );
    found(
        |d| put(d, "boot/vmlinuz-6.12.107+deb13-cloud-amd64", "\x1f"),
        Level::Fail,
        "not a bzImage",
    );
    found(
        |d| fs::remove_dir_all(d.path().join("sys/kernel/kexec")).unwrap(),
        Level::Fail,
        "built without kexec",
    );
    found(
        |d| fs::remove_dir_all(d.path().join("sys/kernel/btf")).unwrap(),
        Level::Warn,
        "no BTF",
    );
}

#[test]
fn memory_too_small_asked_in_vain_or_out_of_reach() {
    let dir = tree("machine-armed");
    put(
        &dir,
        "proc/iomem",
        "100000-7fffffff : System RAM\n  21600000-241fffff : Kernel code\n  30000000-35ffffff : Crash kernel\n",
    );
    let report = examined(&dir);
    assert_eq!(
        levels(&report, "memory"),
        [Level::Ok],
        "96 MiB are what the rehearsal needs: {}",
        said(&report, "memory")
    );
    put(
        &dir,
        "proc/iomem",
        "100000-7fffffff : System RAM\n  21600000-241fffff : Kernel code\n  30000000-33ffffff : Crash kernel\n",
    );
    assert_eq!(levels(&examined(&dir), "memory"), [Level::Warn]);
    put(
        &dir,
        "proc/iomem",
        "100000000-1ffffffff : System RAM\n  130000000-14fffffff : Crash kernel\n",
    );
    assert!(said(&examined(&dir), "memory").contains("32-bit DMA"));
    put(&dir, "sys/kernel/kexec/crash_size", "0");
    put(&dir, "proc/cmdline", "crashkernel=64Q");
    assert!(said(&examined(&dir), "memory").contains("crashkernel=64Q: something is left over"));
}

#[test]
fn other_places_and_other_proofs() {
    let dir = tree("machine-armed");
    put(&dir, "sys/hypervisor/guest_type", "PV\n");
    put(&dir, "run/systemd/container", "lxc");
    put(
        &dir,
        "sys/module/kernel/parameters/crash_kexec_post_notifiers",
        "Y\n",
    );
    put(&dir, "proc/sys/kernel/osrelease", "6.12.108\n");
    let report = examined(&dir);
    assert_eq!(levels(&report, "platform"), [Level::Fail, Level::Fail]);
    assert!(said(&report, "policy").contains("notifiers run first"));
    assert!(said(&report, "proof").contains("was with Linux 6.12.107"));
}

#[test]
fn without_root_nothing_unseen_is_ok() {
    let dir = tree("machine-armed");
    put(&dir, "proc/self/status", "CapEff:\t0000000000000000\n");
    fs::remove_file(dir.path().join("sys/kernel/kexec/crash_size")).unwrap();
    put(&dir, "proc/iomem", "00000000-00000000 : System RAM\n");
    let report = examined(&dir);
    assert_eq!(levels(&report, "memory"), [Level::NotMade]);
    assert!(!levels(&report, "target").contains(&Level::Ok));
    assert!(!levels(&report, "image").contains(&Level::Fail));
}

/// A disk, found by the fixture's mounts, that a device-mapper target of this kind stands on.
fn mapped(dir: &tempfile::TempDir, uuid: &str) {
    put(
        dir,
        "proc/self/mountinfo",
        "29 1 253:0 / / rw - ext4 /dev/mapper/root rw\n",
    );
    let disk = "sys/devices/virtual/block/dm-0";
    put(dir, &format!("{disk}/dev"), "253:0\n");
    put(dir, &format!("{disk}/size"), "4096\n");
    put(dir, &format!("{disk}/dm/uuid"), uuid);
    put(dir, &format!("{disk}/dm/name"), "root\n");
    put(
        dir,
        &format!("{disk}/uevent"),
        "DEVNAME=dm-0\nDEVTYPE=disk\n",
    );
    // An ext4 superblock, as far as it is looked at: its magic number and a UUID.
    let mut content = vec![0; 1 << 16];
    content[1080..1082].copy_from_slice(&[0x53, 0xef]);
    content[1128..1144].fill(0x0a);
    put(dir, "dev/null", "");
    fs::write(dir.path().join("dev/dm-0"), content).unwrap();
    for link in ["sys/dev/block/253:0", "sys/class/block/dm-0"] {
        let to = "/sys/devices/virtual/block/dm-0";
        let link = dir.path().join(link);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(to, link).unwrap();
    }
    for index in ["dep", "builtin", "alias", "softdep"] {
        put(
            dir,
            &format!("lib/modules/6.12.107+deb13-cloud-amd64/modules.{index}"),
            "",
        );
    }
}

#[test]
fn an_encrypted_target_fails_with_another_one_as_its_fix() {
    let dir = tree("machine-armed");
    mapped(&dir, "CRYPT-LUKS2-0a0b-root");
    let report = examined(&dir);
    assert_eq!(
        levels(&report, "target"),
        [Level::Fail],
        "{}",
        said(&report, "target")
    );
    let text = said(&report, "target");
    assert!(text.contains("encrypted"), "{text}");
    assert!(text.contains("on a plain partition"), "{text}");
    assert!(text.contains("recipients in [dump]"), "{text}");
    assert!(text.contains("this kernel hands no key over"), "{text}");
    put(&dir, "sys/kernel/config/crash_dm_crypt_keys/count", "0\n");
    let text = said(&examined(&dir), "target");
    assert!(text.contains("its header"), "{text}");
}

#[test]
fn what_hangs_without_a_panic_and_what_a_hypervisor_asks_for_is_noted() {
    let dir = tree("machine-armed");
    put(&dir, "proc/sys/kernel/softlockup_panic", "0\n");
    put(&dir, "proc/sys/kernel/hardlockup_panic", "1\n");
    put(
        &dir,
        "sys/module/kernel/parameters/crash_kexec_post_notifiers",
        "Y\n",
    );
    put(
        &dir,
        "sys/class/dmi/id/sys_vendor",
        "Microsoft Corporation\n",
    );
    put(&dir, "sys/class/dmi/id/product_name", "Virtual Machine\n");
    let report = examined(&dir);
    let text = said(&report, "policy");
    assert_eq!(levels(&report, "policy"), [Level::Note, Level::Note]);
    assert!(text.contains("on Hyper-V the kernel sets"), "{text}");
    assert!(text.contains("kernel.softlockup_panic is 0"), "{text}");
}

#[test]
fn a_machine_that_qemu_translates_is_not_called_kvm() {
    let dir = tree("machine-unreserved");
    let clocks = "sys/devices/system/clocksource/clocksource0/available_clocksource";
    for (has, name) in [
        ("tsc kvm-clock acpi_pm\n", "KVM guest"),
        ("hpet acpi_pm\n", "QEMU guest"),
    ] {
        put(&dir, clocks, has);
        assert_eq!(examined(&dir).machine.platform, name);
    }
}

#[test]
fn two_values_of_crashkernel_are_noted() {
    let dir = tree("machine-armed");
    put(
        &dir,
        "proc/cmdline",
        "crashkernel=64M quiet crashkernel=96M\n",
    );
    let report = examined(&dir);
    assert_eq!(levels(&report, "others"), [Level::Note]);
    assert!(said(&report, "others").contains("64M and 96M"));
}

#[test]
fn a_masked_unit_is_not_enabled() {
    let dir = tree("machine-unreserved");
    assert!(said(&examined(&dir), "others").contains("kdump-tools.service is enabled"));
    put(&dir, "etc/systemd/system/kdump-tools.service", "");
    assert_eq!(levels(&examined(&dir), "others"), [Level::Ok]);
    let unit = dir.path().join("etc/systemd/system/kdump-tools.service");
    fs::remove_file(&unit).unwrap();
    std::os::unix::fs::symlink("/dev/null", &unit).unwrap();
    assert_eq!(levels(&examined(&dir), "others"), [Level::Ok]);
}

#[test]
fn notifiers_first_names_the_file_that_sets_it() {
    let dir = tree("machine-unreserved");
    let parameter = "sys/module/kernel/parameters/crash_kexec_post_notifiers";
    put(&dir, parameter, "Y\n");
    put(
        &dir,
        "usr/lib/tmpfiles.d/x.conf",
        "#w /crash_kexec_post_notifiers\nw /sys/module/kernel/parameters/crash_kexec_post_notifiers - - - - Y\n",
    );
    let fix =
        "sed /crash_kexec_post_notifiers/d /usr/lib/tmpfiles.d/x.conf > /etc/tmpfiles.d/x.conf";
    let text = said(&examined(&dir), "policy");
    assert!(text.contains(fix), "{text}");
    put(&dir, "proc/cmdline", "quiet crash-kexec-post-notifiers\n");
    let text = said(&examined(&dir), "policy");
    assert!(text.contains("from the command line"), "{text}");
}

#[test]
fn ranges_that_leave_out_this_machine_are_named() {
    let dir = tree("machine-unreserved");
    put(&dir, "proc/meminfo", "MemTotal:        1000000 kB\n");
    put(
        &dir,
        "proc/cmdline",
        "quiet crashkernel=2G-4G:320M,4G-:512M\n",
    );
    let text = said(&examined(&dir), "memory");
    let expected = "no range of crashkernel=2G-4G:320M,4G-:512M matches this machine's 1 GiB";
    assert!(text.contains(expected), "{text}");
}

mod places;
