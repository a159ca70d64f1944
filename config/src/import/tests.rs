//! Files as distributions ship them and as people change them.

use std::path::PathBuf;

use dump::Level;
use vmcore::write::OutputFormat;

use super::*;
use crate::model::{Action, Auto, Device, KernelChoice, Syscall};

fn lines(imported: &Imported) -> Vec<(usize, &str)> {
    imported
        .notes
        .iter()
        .map(|note| (note.line, note.text.as_str()))
        .collect()
}

#[test]
fn fedoras_default_is_ours_but_for_lzo() {
    let text =
        "# comment\npath /var/crash\ncore_collector makedumpfile -l --message-level 7 -d 31\n";
    let imported = import(Kind::KdumpConf, text);
    assert_eq!(imported.config, Config::default());
    assert_eq!(
        lines(&imported),
        [(3, "cores are compressed with zstd instead of lzo")]
    );
}

#[test]
fn a_device_with_a_path_in_it() {
    let text = "\
ext4 UUID=03138356-5e61-4ab3-b58e-27507ac41937   # the spare disk
path dumps
core_collector makedumpfile -z -d 17,31 --num-threads=4
extra_modules gfs2 dlm
failure_action poweroff
final_action halt
";
    let imported = import(Kind::KdumpConf, text);
    let target = imported.config.target.first().unwrap();
    assert_eq!(imported.config.target.len(), 1);
    assert_eq!(
        target.device,
        Some(Device::Uuid("03138356-5e61-4ab3-b58e-27507ac41937".into()))
    );
    assert_eq!(target.path, PathBuf::from("/dumps"));
    assert_eq!(imported.config.dump.level, Level::Bits(17));
    assert_eq!(imported.config.dump.format, Some(OutputFormat::KdumpZstd));
    assert_eq!(imported.config.dump.threads, Auto::Set(4));
    assert_eq!(imported.config.image.extra_modules, ["gfs2", "dlm"]);
    assert_eq!(imported.config.after.failure, Action::Poweroff);
    assert_eq!(imported.config.after.success, Action::Halt);
    assert_eq!(lines(&imported).len(), 1);
    assert_eq!(
        Config::parse(&imported.config.show()).unwrap(),
        imported.config
    );
}

#[test]
fn what_has_no_counterpart_is_said() {
    let text = "nfs server:/export\nkdump_post /bin/x\nfailure_action shell\nfrobnicate 1\ncore_collector scp\n";
    let imported = import(Kind::KdumpConf, text);
    assert_eq!(imported.config, Config::default());
    let notes = lines(&imported);
    assert_eq!(
        notes.iter().map(|(line, _)| *line).collect::<Vec<_>>(),
        [1, 2, 3, 4, 5]
    );
    assert!(notes[0].1.contains("does not write to NFS"));
    assert!(notes[2].1.contains("shell has no counterpart"));
    assert!(notes[3].1.contains("not a directive"));
}

#[test]
fn debians_file() {
    let text = "\
USE_KDUMP=1
KDUMP_KERNEL=/var/lib/kdump/vmlinuz
KDUMP_COREDIR=\"/srv/crash\"
KDUMP_FAIL_CMD=\"halt -f\"
KDUMP_NUM_DUMPS=3 # three
MAKEDUMP_ARGS=\"-c -d 1\"
KDUMP_KEXEC_ARGS=\"-s --noefi\"
KDUMP_CMDLINE_APPEND=\"reset_devices irqpoll nr_cpus=1 mce=off\"
SSH=\"<user at server>\"
HOSTTAG=$(hostname)
";
    let imported = import(Kind::KdumpTools, text);
    let config = &imported.config;
    assert_eq!(config.target[0].path, PathBuf::from("/srv/crash"));
    assert_eq!(config.after.failure, Action::Halt);
    assert_eq!(config.keep.dumps, 3);
    assert_eq!(config.dump.level, Level::Bits(1));
    assert_eq!(config.dump.format, Some(OutputFormat::KdumpZlib));
    assert_eq!(config.capture_kernel.kernel, KernelChoice::Running);
    assert_eq!(config.capture_kernel.syscall, Syscall::File);
    assert_eq!(config.capture_kernel.cmdline_add, ["mce=off"]);
    let notes = lines(&imported);
    assert_eq!(
        notes.iter().map(|(line, _)| *line).collect::<Vec<_>>(),
        [7, 9, 10]
    );
    assert_eq!(imported.lost_targets.len(), 1);
}

#[test]
fn files_are_told_apart_by_name_or_by_content() {
    let kind = |path: &str, text: &str| Kind::of(Path::new(path), text);
    assert_eq!(kind("/etc/kdump.conf", ""), Some(Kind::KdumpConf));
    assert_eq!(kind("/etc/default/kdump-tools", ""), Some(Kind::KdumpTools));
    assert_eq!(
        kind("/tmp/x", "# c\n\nUSE_KDUMP=1\n"),
        Some(Kind::KdumpTools)
    );
    assert_eq!(kind("/tmp/x", "nfs a:/b\n"), Some(Kind::KdumpConf));
    assert_eq!(kind("/tmp/x", "hello\n"), None);
    assert_eq!(
        kind("/etc/kdump.conf", "KDUMP_CMDLINE_APPEND=\"x\"\n"),
        Some(Kind::KdumpTools)
    );
    assert_eq!(
        kind("/etc/sysconfig/kdump", "KDUMP_CPUS=1\n"),
        Some(Kind::KdumpTools)
    );
}

#[test]
fn a_target_without_a_counterpart_is_a_lost_target() {
    let conf = [
        "nfs server:/export\n",
        "ssh root@server\n",
        "raw /dev/vg/dump\n",
        "path /x\ndracut_args --mount \"/dev/sdb1 /mnt xfs defaults\"\n",
        "dracut_args --mount=/dev/sdb1\n",
        "ext4 server:/x\n",
    ];
    for text in conf {
        let imported = import(Kind::KdumpConf, text);
        assert_eq!(imported.lost_targets.len(), 1, "{text}");
    }
    let shell = [
        "NFS=\"server:/export\"\n",
        "SSH=root@server\n",
        "KDUMP_SAVEDIR=\"nfs://server/export\"\n",
        "KDUMP_COREDIR=/srv/$(hostname)\n",
    ];
    for text in shell {
        let imported = import(Kind::KdumpTools, text);
        assert_eq!(imported.lost_targets.len(), 1, "{text}");
    }
    for text in ["NFS=\"\"\n", "KDUMP_SAVEDIR=file:///srv/crash\n"] {
        let imported = import(Kind::KdumpTools, text);
        assert_eq!(imported.lost_targets, [], "{text}");
    }
}

#[test]
fn suses_file() {
    let text = "\
KDUMP_CPUS=\"2\"
KDUMP_COMMANDLINE=\"\"
KDUMP_COMMANDLINE_APPEND=\"mce=off\"
KDUMP_SAVEDIR=\"/data/crash\"
KDUMP_KEEP_OLD_DUMPS=\"7\"
KDUMP_FREE_DISK_SIZE=\"64\"
KDUMP_DUMPLEVEL=\"17\"
KDUMP_DUMPFORMAT=\"compressed\"
";
    let imported = import(Kind::KdumpTools, text);
    let config = &imported.config;
    assert_eq!(imported.notes, []);
    assert_eq!(config.capture_kernel.cpus, Auto::Set(2));
    assert_eq!(config.capture_kernel.cmdline_add, ["mce=off"]);
    assert_eq!(config.target[0].path, PathBuf::from("/data/crash"));
    assert_eq!((config.keep.dumps, config.keep.free.0), (7, 64 << 20));
    assert_eq!(config.dump.level, Level::Bits(17));
    assert_eq!(config.dump.format, Some(OutputFormat::KdumpZlib));
}

#[test]
fn fedoras_sysconfig() {
    let text = "KDUMP_COMMANDLINE_REMOVE=\"hugepages quiet\"\nKEXEC_ARGS=\"-s\"\nKDUMP_COMMANDLINE_APPEND=\"irqpoll novmcoredd\"\n";
    let imported = import(Kind::KdumpTools, text);
    let kernel = &imported.config.capture_kernel;
    assert_eq!(kernel.cmdline_drop, ["hugepages", "quiet"]);
    assert_eq!(kernel.cmdline_add, ["novmcoredd"]);
    assert_eq!(kernel.syscall, Syscall::File);
}

#[test]
fn an_append_to_the_own_value_and_the_plus_that_dash_lacks() {
    let text =
        "KDUMP_CMDLINE_APPEND=\"$KDUMP_CMDLINE_APPEND mce=off\"\nKDUMP_CMDLINE_APPEND+=\" x=1\"\n";
    let imported = import(Kind::KdumpTools, text);
    assert_eq!(imported.config.capture_kernel.cmdline_add, ["mce=off"]);
    assert_eq!(lines(&imported).len(), 1);
    assert!(imported.notes[0].text.contains("dash has no +="));
}

#[test]
fn dracuts_drivers_joined_options_quotes_and_slips() {
    let text = "\
dracut_args --omit-drivers \"cfg80211 snd\" --add-drivers=\"ext2\"
core_collector \"makedumpfile -zd17 --message-level=7\"
extra-modules gfs2
";
    let imported = import(Kind::KdumpConf, text);
    let image = &imported.config.image;
    assert_eq!(image.omit_modules, ["cfg80211", "snd"]);
    assert_eq!(image.extra_modules, ["ext2"]);
    assert_eq!(imported.config.dump.level, Level::Bits(17));
    assert_eq!(imported.config.dump.format, Some(OutputFormat::KdumpZstd));
    let notes = lines(&imported);
    assert_eq!(notes.len(), 1);
    assert!(notes[0].1.ends_with("extra_modules"), "{}", notes[0].1);
}

#[test]
fn the_root_filesystem_is_the_second_target() {
    let text = "ext4 LABEL=dumps\npath /d\nfailure_action dump_to_rootfs\n";
    let imported = import(Kind::KdumpConf, text);
    let paths: Vec<_> = imported.config.target.iter().map(|t| &t.path).collect();
    assert_eq!(paths, [&PathBuf::from("/d"), &PathBuf::from("/var/crash")]);
    assert_eq!(imported.notes, []);
}

#[test]
fn the_file_of_openembedded_gives_directory_kernel_and_words() {
    let text = "KDUMP_KIMAGE=\"/boot/bzImage-kdump\"\nKDUMP_CMDLINE_APPEND=\"mem=256M systemd.unit=x.service\"\n\
                KDUMP_VMCORE_PATH=\"/data/crash/`date +\"%Y-%m-%d\"`\"\n";
    let imported = import(Kind::KdumpTools, text);
    let config = &imported.config;
    assert_eq!(config.target[0].path, PathBuf::from("/data/crash"));
    assert_eq!(
        config.capture_kernel.kernel,
        KernelChoice::Path("/boot/bzImage-kdump".into())
    );
    assert_eq!(config.capture_kernel.cmdline_add, ["mem=256M"]);
    assert_eq!(imported.lost_targets, []);
    let notes = lines(&imported);
    assert_eq!((notes.len(), notes[0].0), (1, 3));
    // Nothing is fixed about this one.
    let lost = import(Kind::KdumpTools, "KDUMP_VMCORE_PATH=\"$DIR/crash\"\n");
    assert_eq!(lost.lost_targets.len(), 1);
}
