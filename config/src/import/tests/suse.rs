//! /etc/sysconfig/kdump of SUSE's kdump.

use std::path::PathBuf;

use dump::Level;
use plan::When;
use vmcore::write::OutputFormat;

use super::super::*;
use super::{import_as, outcomes, paths, row};
use crate::model::{Action, Auto, KernelChoice};

fn suse(text: &str) -> Imported {
    let path = Path::new("/etc/sysconfig/kdump");
    assert_eq!(Source::of(path, text).unwrap().suite, Suite::Suse, "{text}");
    import_as("/etc/sysconfig/kdump", text)
}

#[test]
fn a_local_target_with_its_rules() {
    let imported = suse(
        "\
KDUMP_CPUS=\"2\"
KDUMP_COMMANDLINE=\"\"
KDUMP_COMMANDLINE_APPEND=\"mce=off\"
KDUMP_COMMANDLINE_APPEND+=\" x=1\"
KDUMP_SAVEDIR=\"file:///data/crash\"
KDUMP_KEEP_OLD_DUMPS=\"7\"
KDUMP_FREE_DISK_SIZE=\"64\"
KDUMP_DUMPLEVEL=\"17\"
KDUMP_DUMPFORMAT=\"compressed\"
KDUMP_CRASHKERNEL=\"crashkernel=72M,low crashkernel=300M,high\"
",
    );
    let config = &imported.config;
    assert_eq!(config.capture_kernel.cpus, Auto::Set(2));
    // bash reads this file, and bash has +=.
    assert_eq!(config.capture_kernel.cmdline_add, ["mce=off", "x=1"]);
    assert_eq!(
        config.capture_kernel.crashkernel,
        Auto::Set("300M,high".into())
    );
    assert_eq!(paths(&imported), [PathBuf::from("/data/crash")]);
    assert_eq!((config.keep.dumps, config.keep.free.0), (7, 64 << 20));
    assert_eq!(config.dump.level, Level::Bits(17));
    assert_eq!(config.dump.format, Some(OutputFormat::KdumpZlib));
    let remarks = imported
        .rows
        .iter()
        .filter(|row| row.outcome != Outcome::Taken);
    assert_eq!(remarks.map(|row| row.line).collect::<Vec<_>>(), [10]);
}

#[test]
fn servers_and_own_programs_block() {
    for savedir in [
        "nfs://server",
        "sftp://user:secret@host/x",
        "ftp://host/x",
        "cifs://user@host/share/x",
        "http://host/x",
        "relative/path",
    ] {
        let text = format!("KDUMP_SAVEDIR=\"{savedir}\"\nKDUMP_CPUS=1\n");
        assert!(suse(&text).blocks(), "{savedir}");
    }
    assert!(suse("KDUMP_TRANSFER=\"/usr/bin/send\"\n").blocks());
}

#[test]
fn an_nfs_url_is_a_target() {
    let imported = suse("KDUMP_SAVEDIR=\"nfs://server/export/dumps\"\n");
    assert_eq!(imported.worst(), Outcome::Remark);
    let target = imported.config.target.first().unwrap();
    assert_eq!(
        target.nfs.as_ref().unwrap().to_string(),
        "server:/export/dumps"
    );
    assert_eq!(paths(&imported), [PathBuf::from("/")]);
}

#[test]
fn an_sftp_url_is_a_target() {
    for (url, account, path) in [
        ("sftp://user@host/var/crash", "user@host", "/var/crash"),
        ("SSH://host:2222/dumps", "root@host:2222", "/dumps"),
        ("sftp://user@host", "user@host", "/"),
    ] {
        let imported = suse(&format!(
            "KDUMP_SAVEDIR=\"{url}\"\nKDUMP_SSH_IDENTITY=\"/root/.ssh/kdump /root/.ssh/other\"\n"
        ));
        assert_eq!(imported.worst(), Outcome::Remark, "{url}");
        let target = imported.config.target.first().unwrap();
        assert_eq!(target.ssh.as_ref().unwrap().to_string(), account);
        assert_eq!(target.key, Some(PathBuf::from("/root/.ssh/kdump")));
        assert_eq!(paths(&imported), [PathBuf::from(path)]);
    }
    let local = suse("KDUMP_SAVEDIR=\"/x\"\nKDUMP_SSH_IDENTITY=\"/root/.ssh/kdump\"\n");
    assert_eq!(local.config.target.first().unwrap().key, None);
}

#[test]
fn numbers_and_switches() {
    let keep = |text: &str| {
        suse(&format!("KDUMP_KEEP_OLD_DUMPS={text}\n"))
            .config
            .keep
            .dumps
    };
    assert_eq!((keep("0"), keep("-1"), keep("3")), (0, 1, 3));
    let imported = suse(
        "\
KDUMP_IMMEDIATE_REBOOT=\"no\"
KDUMP_CONTINUE_ON_ERROR=\"false\"
KDUMP_DUMPFORMAT=raw
KDUMP_VERBOSE=3
KDUMP_NETCONFIG=auto
KDUMP_FADUMP=false
KDUMP_KERNELVER=/boot/vmlinuz-kdump
KDUMP_SMTP_SERVER=mail
KDUMP_CPUS=0
KDUMP_UNKNOWN=1
",
    );
    assert_eq!(imported.config.after.success, Action::Halt);
    assert_eq!(imported.config.dump.level, Level::ALL);
    assert_eq!(
        imported.config.capture_kernel.kernel,
        KernelChoice::Path("/boot/vmlinuz-kdump".into())
    );
    let worse: Vec<usize> = outcomes(&imported)
        .into_iter()
        .filter(|(_, outcome)| *outcome != Outcome::Taken)
        .map(|(line, _)| line)
        .collect();
    assert_eq!(worse, [2, 4, 8, 9, 10]);
    assert_eq!(imported.config.after.rescue, Some("/bin/bash".into()));
    assert!(
        row(&imported, 10)
            .why
            .contains("does not read KDUMP_UNKNOWN")
    );
}

#[test]
fn mails_go_to_the_first_address() {
    let mail = |text: &str| {
        let imported = suse(&format!("KDUMP_NOTIFICATION_TO=\"{text}\"\n"));
        (imported.worst(), imported.config.notify.mail)
    };
    assert_eq!(mail("root"), (Outcome::Taken, Some("root".into())));
    let both = mail("ops@example.org root");
    assert_eq!(both, (Outcome::Remark, Some("ops@example.org".into())));
    assert_eq!(mail("<a@b>"), (Outcome::NoCounterpart, None));
    assert_eq!(mail("none"), (Outcome::NoCounterpart, None));
}

#[test]
fn scripts_are_hooks() {
    let imported = suse(
        "\
KDUMP_PRESCRIPT=\"/root/pre one 'two three'\"
KDUMP_POSTSCRIPT=/root/post
KDUMP_REQUIRED_PROGRAMS=\"/bin/sh /usr/bin/curl tar\"
",
    );
    let hooks = &imported.config.hook;
    assert_eq!(hooks.len(), 2);
    assert_eq!((hooks[0].when, hooks[1].when), (When::Pre, When::Post));
    assert_eq!(hooks[0].args, ["one", "two three"]);
    let files = &imported.config.image.extra_files;
    assert_eq!(*files, [PathBuf::from("/bin/sh"), "/usr/bin/curl".into()]);
    assert_eq!(imported.worst(), Outcome::Remark);
    assert!(row(&imported, 3).why.contains("tar is left out"));
}

#[test]
fn further_options_of_makedumpfile_do_not_change_the_level() {
    let imported = suse("KDUMP_DUMPLEVEL=17\nMAKEDUMPFILE_OPTIONS=\"-X\"\n");
    assert_eq!(imported.config.dump.level, Level::Bits(17));
    assert_eq!(row(&imported, 2).outcome, Outcome::Remark);
}
