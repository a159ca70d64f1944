//! Files as distributions ship them and as people change them.

use std::path::PathBuf;

use super::*;
use crate::model::{Auto, Device, Format, KernelChoice, Level, Syscall};

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
        [(3, "lzo is not written; cores are zstd instead")]
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
    assert_eq!(imported.config.dump.format, Format::KdumpZstd);
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
    assert!(notes[0].1.contains("network targets"));
    assert!(notes[2].1.contains("shell has no counterpart"));
    assert!(notes[3].1.contains("no directive"));
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
    assert_eq!(config.dump.format, Format::KdumpZlib);
    assert_eq!(config.capture_kernel.kernel, KernelChoice::Running);
    assert_eq!(config.capture_kernel.syscall, Syscall::File);
    assert_eq!(config.capture_kernel.cmdline_add, ["mce=off"]);
    let notes = lines(&imported);
    assert_eq!(
        notes.iter().map(|(line, _)| *line).collect::<Vec<_>>(),
        [7, 9, 10]
    );
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
}
