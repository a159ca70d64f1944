//! Machines of other kinds: signatures, hypervisors, encrypted memory, read-only roots, labels and settings.

use super::*;

/// A kernel with a directory of certificates, or without one.
fn vmlinuz(signed: bool) -> Vec<u8> {
    let mut b = vec![0; 5 * 512 + 64];
    b[..2].copy_from_slice(b"MZ");
    b[0x3c] = 0x40;
    b[0x40..0x44].copy_from_slice(b"PE\0\0");
    b[0x58..0x5a].copy_from_slice(&[0x0b, 2]);
    b[0x58 + 108] = 16;
    b[0x58 + 144] = u8::from(signed);
    b[0x58 + 148] = u8::from(signed);
    b
}

#[test]
fn a_signature_that_is_wanted_and_missing_fails_with_the_keys() {
    let dir = tree("machine-unreserved");
    assert!(levels(&examined(&dir), "signature").is_empty());
    crate::efi::tests::put_secure_boot(dir.path(), true);
    assert_eq!(levels(&examined(&dir), "signature"), [Level::Note]);
    put(
        &dir,
        "sys/kernel/security/lockdown",
        "none [integrity] confidentiality\n",
    );
    put(
        &dir,
        "proc/keys",
        "09cd I------ 1 perm 1f0b0000 0 0 keyring   .platform: 4\n0a12 I------ 1 perm 1f0f0000 0 0 keyring   .machine: empty\n",
    );
    let report = examined(&dir);
    assert_eq!(levels(&report, "signature"), [Level::Warn]);
    let text = said(&report, "signature");
    assert!(
        text.contains("Secure Boot is on, and kernel lockdown (integrity) wants a signed kernel"),
        "{text}"
    );
    assert!(
        text.contains("none in .machine (MOK), 4 in .platform"),
        "{text}"
    );
    let path = dir.path().join("boot/vmlinuz-6.12.107+deb13-cloud-amd64");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, vmlinuz(false)).unwrap();
    let text = said(&examined(&dir), "signature");
    assert!(
        text.contains("it is not signed") && text.contains("sbsign"),
        "{text}"
    );
    fs::write(&path, vmlinuz(true)).unwrap();
    assert_eq!(levels(&examined(&dir), "signature"), [Level::Ok]);
    put(&dir, "etc/afterpanic.toml", "");
    let mut config = Config::default();
    config.capture_kernel.syscall = config::Syscall::Load;
    let report = examine(dir.path(), &config, dir.path().join("x"));
    assert!(said(&report, "signature").contains("set syscall = \"auto\""));
}

#[test]
fn each_hypervisor_is_named_with_what_to_do_there() {
    let platform = |change: &dyn Fn(&tempfile::TempDir)| {
        let dir = tree("machine-unreserved");
        change(&dir);
        let report = examined(&dir);
        (levels(&report, "platform"), said(&report, "platform"))
    };
    let (levels, _) = platform(&|_| ());
    assert!(levels.is_empty());
    let (levels, text) = platform(&|d| put(d, "sys/module/pvpanic_pci/x", ""));
    assert_eq!(levels, [Level::Ok], "{text}");
    let (levels, text) = platform(&|d| {
        put(d, "sys/module/pvpanic_pci/x", "");
        put(
            d,
            "sys/module/kernel/parameters/crash_kexec_post_notifiers",
            "Y\n",
        );
    });
    assert_eq!(levels, [Level::Warn]);
    assert!(text.contains("<on_crash>preserve</on_crash>"), "{text}");
    let (_, text) = platform(&|d| put(d, "sys/class/dmi/id/sys_vendor", "VMware, Inc.\n"));
    assert!(text.contains("VM Monitoring"), "{text}");
    let (_, text) = platform(&|d| {
        put(d, "sys/class/dmi/id/sys_vendor", "Microsoft Corporation\n");
        put(d, "sys/class/dmi/id/product_name", "Virtual Machine\n");
    });
    assert!(text.contains("CheckHeartbeat 0"), "{text}");
    let xen = |kind: &'static str| {
        move |d: &tempfile::TempDir| {
            put(d, "sys/hypervisor/type", "xen\n");
            put(d, "sys/hypervisor/guest_type", kind);
        }
    };
    let (levels, text) = platform(&xen("PV\n"));
    assert_eq!(levels, [Level::Fail]);
    assert!(text.contains("xl dump-core"), "{text}");
    let (levels, text) = platform(&xen("HVM\n"));
    assert_eq!(levels, [Level::Note]);
    assert!(
        text.contains("a Xen HVM guest") && text.contains("on_soft_reset"),
        "{text}"
    );
    let (levels, text) = platform(&|d| {
        xen("PV\n")(d);
        put(d, "proc/xen/capabilities", "control_d\n");
    });
    assert_eq!(levels, [Level::Fail]);
    assert!(text.contains("GRUB_CMDLINE_XEN_DEFAULT"), "{text}");
}

#[test]
fn encrypted_memory_is_named_by_its_kind() {
    let platform = |change: &dyn Fn(&tempfile::TempDir), drop: &str| {
        let dir = tree("machine-unreserved");
        put(&dir, "sys/class/dmi/id/sys_vendor", "Dell Inc.\n");
        put(&dir, "sys/class/dmi/id/product_name", "R760\n");
        put(&dir, "proc/cpuinfo", "flags\t: fpu sme sev sev_es\n");
        change(&dir);
        let mut config = Config::default();
        config
            .capture_kernel
            .cmdline_drop
            .extend((!drop.is_empty()).then(|| drop.to_owned()));
        let report = examine(dir.path(), &config, dir.path().join("x"));
        (levels(&report, "platform"), said(&report, "platform"))
    };
    // What the CPU could do is nothing that it does.
    assert!(platform(&|_| (), "").0.is_empty());
    let sme = |d: &tempfile::TempDir| put(d, "proc/cmdline", "quiet mem_encrypt=on");
    assert_eq!(platform(&sme, "").0, [Level::Ok]);
    let (levels, text) = platform(&sme, "mem_encrypt");
    assert_eq!(levels, [Level::Fail]);
    assert!(text.contains("cmdline_drop"), "{text}");
    let (levels, text) = platform(&|d| put(d, "dev/sev-guest", ""), "");
    assert_eq!(levels, [Level::Warn]);
    assert!(
        text.contains("SEV-SNP guest") && text.contains("crash-test --yes"),
        "{text}"
    );
    let (_, text) = platform(
        &|d| put(d, "proc/cpuinfo", "flags\t: fpu sev hypervisor\n"),
        "",
    );
    assert!(text.contains("an SEV guest"), "{text}");
    let (_, text) = platform(&|d| put(d, "dev/tdx_guest", ""), "");
    assert!(text.contains("a TDX guest"), "{text}");
    let (levels, text) = platform(
        &|d| {
            put(d, "sys/module/kvm_intel/parameters/tdx", "Y\n");
            put(
                d,
                "proc/cpuinfo",
                "flags\t: fpu\nbugs\t: spectre_v1 tdx_pw_mce\n",
            );
        },
        "",
    );
    assert_eq!(levels, [Level::Fail]);
    assert!(text.contains("a TDX host"), "{text}");
}

#[test]
fn records_that_fill_the_firmwares_store_are_warned_about() {
    let dir = tree("machine-unreserved");
    assert!(levels(&examined(&dir), "pstore").is_empty());
    put(&dir, "sys/fs/pstore/dmesg-ramoops-0", &"x".repeat(40_000));
    assert!(levels(&examined(&dir), "pstore").is_empty());
    put(&dir, "sys/fs/pstore/dmesg-efi_pstore-1", "x");
    assert_eq!(levels(&examined(&dir), "pstore"), [Level::Note]);
    put(&dir, "sys/fs/pstore/dmesg-erst-1", &"x".repeat(40_000));
    let report = examined(&dir);
    assert_eq!(levels(&report, "pstore"), [Level::Warn]);
    assert!(
        said(&report, "pstore").contains("2 records"),
        "{}",
        said(&report, "pstore")
    );
}

#[test]
fn read_only_filesystems_are_named_with_this_systems_way() {
    let dir = tree("machine-unreserved");
    let mounts = |text: &str| put(&dir, "proc/self/mountinfo", text);
    mounts("22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n");
    assert!(levels(&examined(&dir), "readonly").is_empty());
    mounts("22 1 8:1 / / ro,relatime - ext4 /dev/sda1 ro,errors=remount-ro\n");
    let report = examined(&dir);
    assert_eq!(levels(&report, "readonly"), [Level::Fail, Level::Warn]);
    assert!(said(&report, "readonly").contains("mount -o remount,rw /"));
    // A root that is read-only on purpose, with a writable /var: nothing of ours is lost.
    mounts(
        "22 1 0:21 / / ro - btrfs /dev/vda2 rw\n30 22 0:21 /@/var /var rw - btrfs /dev/vda2 rw\n31 22 8:2 / /etc rw - ext4 /dev/vda3 rw\n32 22 8:3 / /boot rw - ext4 /dev/vda4 rw\n",
    );
    assert!(levels(&examined(&dir), "readonly").is_empty());
}

#[test]
fn selinux_says_when_to_restore_labels() {
    let dir = tree("machine-unreserved");
    assert!(levels(&examined(&dir), "selinux").is_empty());
    put(&dir, "sys/fs/selinux/enforce", "1");
    let report = examined(&dir);
    assert_eq!(levels(&report, "selinux"), [Level::Note]);
    assert!(
        said(&report, "selinux").contains("[restorecon -R /var/crash after a crash]"),
        "{}",
        said(&report, "selinux")
    );
    put(&dir, "sys/fs/selinux/enforce", "0");
    assert!(levels(&examined(&dir), "selinux").is_empty());
}

#[test]
fn our_own_unit_masked_fails_with_unmask() {
    let dir = tree("machine-unreserved");
    put(&dir, "etc/systemd/system/kdump-tools.service", "/dev/null");
    std::os::unix::fs::symlink(
        "/dev/null",
        dir.path().join("etc/systemd/system/afterpanic.service"),
    )
    .unwrap();
    let report = examined(&dir);
    assert_eq!(levels(&report, "others"), [Level::Fail]);
    assert!(said(&report, "others").contains("systemctl unmask afterpanic.service"));
}

#[test]
fn a_setting_that_an_earlier_file_would_not_override_names_that_file() {
    let dir = tree("machine-unreserved");
    put(
        &dir,
        "etc/sysctl.d/99-local.conf",
        "kernel.panic_on_oops = 0\n",
    );
    let text = said(&examined(&dir), "policy");
    assert!(
        text.contains("set kernel.panic_on_oops=1 in /etc/sysctl.d/99-local.conf, then"),
        "{text}"
    );
    let vendors = |name: &str| {
        let dir = tree("machine-unreserved");
        put(
            &dir,
            &format!("usr/lib/sysctl.d/{name}"),
            "kernel.panic_on_oops=0\n",
        );
        said(&examined(&dir), "policy")
    };
    assert!(vendors("50-x.conf").contains("> /etc/sysctl.d/90-panic.conf"));
    assert!(vendors("99-x.conf").contains("> /etc/sysctl.d/99-x.conf"));
    put(&dir, "proc/sys/kernel/kexec_load_disabled", "1\n");
    put(
        &dir,
        "etc/sysctl.d/50-hardening.conf",
        "kernel.kexec_load_disabled=1\n",
    );
    let text = said(&examined(&dir), "kernel");
    assert!(
        text.contains("remove the kexec_load_disabled line from /etc/sysctl.d/50-hardening.conf"),
        "{text}"
    );
}

#[test]
fn what_the_boot_configuration_has_already_needs_a_reboot_only() {
    let dir = tree("machine-unreserved");
    put(
        &dir,
        "boot/loader/entries/a.conf",
        "linux /vmlinuz\noptions ro crashkernel=256M\n",
    );
    crate::efi::tests::put_loader(dir.path(), "LoaderInfo", "systemd-boot 257");
    let text = said(&examined(&dir), "memory");
    assert!(
        text.contains("[reboot: the boot configuration asks for crashkernel=256M already]"),
        "{text}"
    );
}
