//! The files of OpenEmbedded's kexec-tools and of kdumpst.

use std::path::PathBuf;

use dump::Level;
use vmcore::write::OutputFormat;

use super::super::*;
use super::{import_as, outcomes, paths, row};
use crate::model::{Auto, Device, KernelChoice};

#[test]
fn openembedded_gives_directory_kernel_and_words() {
    let imported = import_as(
        "/etc/sysconfig/kdump.conf",
        "\
#the kdump kernel version string.
KDUMP_KVER=\"`uname -r`\"
KDUMP_CMDLINE=\"`cat /proc/cmdline` 3 nousb module_blacklist=acme\"
KDUMP_CMDLINE_APPEND=\"mem=256M systemd.unit=x.service\"
KDUMP_KIMAGE=\"/boot/bzImage-kdump\"
KDUMP_VMCORE_PATH=\"/data/crash/`date +\"%Y-%m-%d\"`\"
",
    );
    assert_eq!(paths(&imported), [PathBuf::from("/data/crash")]);
    let kernel = &imported.config.capture_kernel;
    assert_eq!(
        kernel.kernel,
        KernelChoice::Path("/boot/bzImage-kdump".into())
    );
    assert_eq!(
        kernel.cmdline_add,
        ["nousb", "module_blacklist=acme", "mem=256M"]
    );
    assert_eq!(
        outcomes(&imported),
        [
            (2, Outcome::Taken),
            (3, Outcome::Remark),
            (4, Outcome::Taken),
            (5, Outcome::Taken),
            (6, Outcome::Remark),
        ]
    );
}

#[test]
fn openembeddeds_kernel_by_the_running_release() {
    let import = |image: &str| {
        import_as(
            "/etc/sysconfig/kdump.conf",
            &format!(
                "KDUMP_KVER=\"`uname -r`\"\nKDUMP_KIMAGE=\"{image}\"\nMAKEDUMPFILE_ARGS=\"--dump-dmesg -x /boot/vmlinux-`uname -r`\"\n"
            ),
        )
    };
    let running = import("/boot/bzImage-${KDUMP_KVER}");
    assert_eq!(running.config.capture_kernel.kernel, KernelChoice::Running);
    assert_eq!(running.worst(), Outcome::Taken);
    assert_eq!(running.config.dump.format, None);
    let other = import("/boot/Image-${KDUMP_KVER}-kdump");
    assert_eq!(row(&other, 2).outcome, Outcome::NoCounterpart);
    let lost = import_as("/etc/kdump.conf", "KDUMP_VMCORE_PATH=\"$DIR/crash\"\n");
    assert!(lost.blocks());
}

#[test]
fn kdumpst_gives_its_folder_and_the_reservation() {
    let imported = import_as(
        "/usr/share/kdumpst.d/00-default",
        "\
USE_PSTORE_RAM=0
MOUNT_DEVNODE=\"/dev/disk/by-partsets/shared/home\"
MOUNT_FOLDER=\"/var/crash/kdump\"
FULL_COREDUMP=1
MAKEDUMPFILE_COREDUMP_CMD=\"-z -d 17\"
MAKEDUMPFILE_DMESG_CMD=\"--dump-dmesg\"
KDUMP_APPEND_CMDLINE=\"panic=-1 fsck.mode=force nr_cpus=1 reset_devices\"
GRUB_AUTOSET=1
GRUB_CMDLINE=\"crashkernel=256M \"
",
    );
    let config = &imported.config;
    assert_eq!(paths(&imported), [PathBuf::from("/var/crash/kdump")]);
    assert_eq!(
        config.target[0].device,
        Some(Device::Path("/dev/disk/by-partsets/shared/home".into()))
    );
    assert_eq!(config.dump.level, Level::Bits(17));
    assert_eq!(config.dump.format, Some(OutputFormat::KdumpZstd));
    assert_eq!(config.capture_kernel.cmdline_add, ["panic=-1"]);
    assert_eq!(config.capture_kernel.crashkernel, Auto::Set("256M".into()));
    let none = import_as(
        "/usr/share/kdumpst.d/00-default",
        "FULL_COREDUMP=0\nMAKEDUMPFILE_COREDUMP_CMD=\"-z -d 31\"\n",
    );
    assert_eq!(none.config.dump.format, None);
}
