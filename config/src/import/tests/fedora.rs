//! kdump.conf and sysconfig/kdump of kdump-utils.

use std::path::PathBuf;

use dump::Level;
use plan::When;
use vmcore::write::OutputFormat;

use super::super::*;
use super::{import_as, outcomes, paths, row};
use crate::model::{Action, Auto, Device, KernelChoice, Syscall};

fn conf(text: &str) -> Imported {
    import_as("/etc/kdump.conf", text)
}

fn sysconfig(text: &str) -> Imported {
    import_as("/etc/sysconfig/kdump", text)
}

#[test]
fn the_default_is_ours_but_for_lzo() {
    let imported = conf(
        "# comment\npath /var/crash\ncore_collector makedumpfile -l --message-level 7 -d 31\n",
    );
    assert_eq!(imported.config, Config::default());
    assert_eq!(
        outcomes(&imported),
        [(2, Outcome::Taken), (3, Outcome::Remark)]
    );
    assert!(row(&imported, 3).why.contains("zstd instead of lzo"));
}

#[test]
fn a_device_with_a_path_in_it() {
    let imported = conf(
        "\
ext4 UUID=03138356-5e61-4ab3-b58e-27507ac41937   # the spare disk
path dumps
core_collector makedumpfile -z -d 17,31 --num-threads=4
extra_modules gfs2 dlm
failure_action poweroff
final_action halt
",
    );
    let target = imported.config.target.first().unwrap();
    assert_eq!(
        target.device,
        Some(Device::Uuid("03138356-5e61-4ab3-b58e-27507ac41937".into()))
    );
    assert_eq!(paths(&imported), [PathBuf::from("/dumps")]);
    assert_eq!(imported.config.dump.level, Level::Bits(17));
    assert_eq!(imported.config.dump.format, Some(OutputFormat::KdumpZstd));
    assert_eq!(imported.config.dump.threads, Auto::Set(4));
    assert_eq!(imported.config.image.extra_modules, ["gfs2", "dlm"]);
    assert_eq!(imported.config.after.failure, Action::Poweroff);
    assert_eq!(imported.config.after.success, Action::Halt);
    // Of the list of levels only one is used.
    assert_eq!(row(&imported, 3).outcome, Outcome::Remark);
    assert_eq!(imported.worst(), Outcome::Remark);
}

#[test]
fn quotes_and_joined_options() {
    let imported = conf(
        "\
xfs /dev/mapper/vg_data-crash
path \"/var/crash dir\"
core_collector \"/usr/sbin/makedumpfile -zd17 --num-threads 4\"
",
    );
    assert_eq!(imported.worst(), Outcome::Taken);
    assert_eq!(paths(&imported), [PathBuf::from("/var/crash dir")]);
    let target = imported.config.target.first().unwrap();
    assert_eq!(
        target.device,
        Some(Device::Path("/dev/mapper/vg_data-crash".into()))
    );
    let dump = &imported.config.dump;
    assert_eq!((dump.level, dump.threads), (Level::Bits(17), Auto::Set(4)));
    assert_eq!(dump.format, Some(OutputFormat::KdumpZstd));
}

#[test]
fn the_root_filesystem_is_the_second_target_with_the_same_path() {
    let imported = conf("ext4 UUID=\"0a0b\"\npath /d\nfailure_action dump_to_rootfs\n");
    assert_eq!(paths(&imported), [PathBuf::from("/d"), PathBuf::from("/d")]);
    assert_eq!(
        imported.config.target[0].device,
        Some(Device::Uuid("0a0b".into()))
    );
    assert_eq!(imported.config.target[1].device, None);
    assert_eq!(imported.worst(), Outcome::Taken);
    let alone = conf("path /d\nfailure_action dump_to_rootfs\n");
    assert_eq!(paths(&alone), [PathBuf::from("/d")]);
    assert_eq!(row(&alone, 2).outcome, Outcome::Remark);
}

#[test]
fn what_says_where_the_core_goes_and_cannot_be_done_blocks() {
    for text in [
        "nfs server\n",
        "ssh server\n",
        "raw LABEL=dump\n",
        "raw dump\n",
        "virtiofs tag\n",
        "minix /dev/sdb1\n",
        "net root@server\n",
        "ext4 server:/x\n",
        "ext4\n",
        "path /a/../b\n",
        "path\n",
        "dracut_args --mount=/dev/sdb1\n",
        "ext4 LABEL=a\nxfs LABEL=b\n",
        "nsf server:/export\n",
        "glusterfs server:/volume\n",
        "f2fs /dev/sdb1\n",
        "core_collector makedumpfile -d 31 --eppic scrub.c\n",
    ] {
        assert!(conf(text).blocks(), "{text}");
    }
}

#[test]
fn a_partition_without_a_filesystem_is_a_raw_target() {
    let imported = conf("raw /dev/vg/dump\npath /srv/crash\n");
    assert!(!imported.blocks());
    let target = &imported.config.target[0];
    assert_eq!(target.raw, Some(Device::Path("/dev/vg/dump".into())));
    assert_eq!(
        (target.device.as_ref(), target.path.to_str()),
        (None, Some("/srv/crash"))
    );
    assert!(row(&imported, 1).why.contains("zeros"));
}

#[test]
fn an_export_is_a_target() {
    for text in [
        "nfs server:/export\npath /dumps\nfailure_action dump_to_rootfs\n",
        "dracut_args --mount \"server:/export /mnt nfs defaults\"\npath /dumps\nfailure_action dump_to_rootfs\n",
    ] {
        let imported = conf(text);
        assert_eq!(imported.worst(), Outcome::Remark, "{text}");
        let [remote, local] = imported.config.target.as_slice() else {
            panic!("{:?}", imported.config.target);
        };
        assert_eq!(remote.nfs.as_ref().unwrap().to_string(), "server:/export");
        assert_eq!(
            paths(&imported),
            [PathBuf::from("/dumps"), PathBuf::from("/dumps")]
        );
        assert_eq!(local.nfs, None);
    }
}

#[test]
fn an_account_is_a_target() {
    let imported = conf("ssh kdump@server\npath /dumps\nsshkey /root/.ssh/mine\n");
    assert_eq!(imported.worst(), Outcome::Remark);
    assert!(row(&imported, 1).why.contains("--record-host-keys"));
    let target = imported.config.target.first().unwrap();
    assert_eq!(target.ssh.as_ref().unwrap().to_string(), "kdump@server");
    assert_eq!(target.key, Some(PathBuf::from("/root/.ssh/mine")));
    assert_eq!(paths(&imported), [PathBuf::from("/dumps")]);
    let usual = conf("ssh root@192.0.2.7\nfailure_action dump_to_rootfs\n");
    let [remote, local] = usual.config.target.as_slice() else {
        panic!("{:?}", usual.config.target);
    };
    assert_eq!(remote.key, Some(PathBuf::from("/root/.ssh/kdump_id_rsa")));
    assert!(local.ssh.is_none() && local.key.is_none());
    let shown = usual.config.show();
    assert_eq!(Config::parse(&shown).unwrap(), usual.config);
}

#[test]
fn a_mount_of_dracut_is_a_target() {
    let imported = conf("path /x\ndracut_args --mount \"/dev/sdb1 /mnt xfs defaults,noatime\"\n");
    assert_eq!(imported.worst(), Outcome::Taken);
    let target = imported.config.target.first().unwrap();
    assert_eq!(target.device, Some(Device::Path("/dev/sdb1".into())));
    assert_eq!(target.options.as_deref(), Some("noatime"));
}

#[test]
fn dracuts_drivers_and_files_are_taken() {
    let imported = conf(
        "dracut_args --tmpdir /var/crash -o \"a b\" --omit-drivers \"cfg80211 snd\" --add-drivers=\"ext2\" -I /bin/x\n",
    );
    let image = &imported.config.image;
    assert_eq!(image.omit_modules, ["cfg80211", "snd"]);
    assert_eq!(image.extra_modules, ["ext2"]);
    assert_eq!(image.extra_files, [PathBuf::from("/bin/x")]);
    let row = row(&imported, 1);
    assert_eq!(row.outcome, Outcome::Remark);
    assert!(
        row.why.contains("--tmpdir \"/var/crash\" is left out"),
        "{}",
        row.why
    );
}

#[test]
fn programs_are_hooks_and_a_shell_is_the_rescue_console() {
    let imported = conf(
        "\
kdump_pre /usr/sbin/pre
kdump_post \"/usr/sbin/post x\"
kdump_emergency emergency.sh
extra_bins /usr/bin/lftp
failure_action shell
",
    );
    let hooks = &imported.config.hook;
    let when: Vec<When> = hooks.iter().map(|hook| hook.when).collect();
    assert_eq!(when, [When::Pre, When::Post]);
    assert_eq!(hooks[1].args, ["x"]);
    assert_eq!(
        imported.config.image.extra_files,
        [PathBuf::from("/usr/bin/lftp")]
    );
    assert_eq!(imported.config.after.rescue, Some("/bin/bash".into()));
    assert_eq!(
        outcomes(&imported),
        [
            (1, Outcome::Remark),
            (2, Outcome::Remark),
            (3, Outcome::NoCounterpart),
            (4, Outcome::Taken),
            (5, Outcome::Remark),
        ]
    );
}

#[test]
fn slips_and_strangers_are_named() {
    let imported = conf(
        "extra-modules gfs2\nfrobnicate 1\nfailure_action dance\nsshkey /k\npath /a\npath /b\n",
    );
    assert_eq!(
        outcomes(&imported),
        [
            (1, Outcome::NoCounterpart),
            (2, Outcome::NoCounterpart),
            (3, Outcome::NoCounterpart),
            (4, Outcome::NoCounterpart),
            (5, Outcome::Taken),
            (6, Outcome::Remark),
        ]
    );
    assert!(row(&imported, 1).why.contains("extra_modules is meant"));
    assert!(!row(&imported, 2).why.contains("is meant"));
    assert_eq!(paths(&imported), [PathBuf::from("/b")]);
}

#[test]
fn makedumpfile_without_a_level_keeps_every_page() {
    let level = |text: &str| conf(text).config.dump.level;
    assert_eq!(level("core_collector makedumpfile -c\n"), Level::ALL);
    assert_eq!(level("core_collector cp --sparse=always\n"), Level::ALL);
    assert_eq!(level("core_collector makedumpfile -cd1\n"), Level::Bits(1));
    let limited = conf("core_collector makedumpfile -L 2G -d 31\n");
    assert_eq!(limited.config.dump.max_size.unwrap().0, 2 << 30);
}

#[test]
fn the_file_of_variables() {
    let imported = sysconfig(
        "\
KDUMP_KERNELVER=\"\"
KDUMP_COMMANDLINE=\"\"
KDUMP_COMMANDLINE_REMOVE=\"hugepages quiet x=1\"
KDUMP_COMMANDLINE_APPEND=\"irqpoll nr_cpus=4 udev.children-max=2 novmcoredd\"
KDUMP_COMMANDLINE_APPEND+=\" y=2\"
KEXEC_ARGS=\"-s --dt-no-old-root\"
KDUMP_IMG=\"vmlinuz\"
KDUMP_IMG_EXT=\"\"
",
    );
    let kernel = &imported.config.capture_kernel;
    assert_eq!(kernel.cmdline_drop, ["hugepages", "quiet", "x"]);
    assert_eq!(kernel.cmdline_add, ["novmcoredd", "y=2"]);
    assert_eq!((kernel.syscall, kernel.cpus), (Syscall::File, Auto::Set(4)));
    assert_eq!(
        outcomes(&imported),
        [
            (1, Outcome::Taken),
            (2, Outcome::Taken),
            (3, Outcome::Remark),
            (4, Outcome::Taken),
            (5, Outcome::Remark),
            (6, Outcome::Remark),
            (7, Outcome::Taken),
            (8, Outcome::Taken),
        ]
    );
}

#[test]
fn a_kernel_is_put_together_from_its_parts() {
    let imported = sysconfig(
        "KDUMP_KERNELVER=\"6.12.0-kdump\"\nKDUMP_BOOTDIR=\"/boot/kd\"\nKDUMP_IMG=\"bzImage\"\nKDUMP_IMG_EXT=\".x\"\n",
    );
    assert_eq!(
        imported.config.capture_kernel.kernel,
        KernelChoice::Path("/boot/kd/bzImage-6.12.0-kdump.x".into())
    );
}
