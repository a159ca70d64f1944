//! /etc/default/kdump-tools.

use std::path::PathBuf;

use dump::Level;
use vmcore::write::OutputFormat;

use super::super::*;
use super::{import_as, outcomes, paths, row};
use crate::model::{Action, KernelChoice, Syscall};

fn tools(text: &str) -> Imported {
    import_as("/etc/default/kdump-tools", text)
}

#[test]
fn a_file_with_most_of_it() {
    let imported = tools(
        "\
USE_KDUMP=1
KDUMP_KERNEL=/var/lib/kdump/vmlinuz
KDUMP_INITRD=/var/lib/kdump/initrd.img
KDUMP_COREDIR=\"/srv/crash\"
KDUMP_FAIL_CMD=\"halt -f\"
KDUMP_NUM_DUMPS=3 # three
MAKEDUMP_ARGS=\"-c -d 1\"
KDUMP_KEXEC_ARGS=\"-s --noefi\"
KDUMP_CMDLINE_APPEND=\"reset_devices irqpoll nr_cpus=1 mce=off\"
HOSTTAG=hostname
",
    );
    let config = &imported.config;
    assert_eq!(paths(&imported), [PathBuf::from("/srv/crash")]);
    assert_eq!(config.after.failure, Action::Halt);
    assert_eq!(config.keep.dumps, 3);
    assert_eq!(config.dump.level, Level::Bits(1));
    assert_eq!(config.dump.format, Some(OutputFormat::KdumpZlib));
    assert_eq!(config.capture_kernel.kernel, KernelChoice::Running);
    assert_eq!(config.capture_kernel.syscall, Syscall::File);
    assert_eq!(config.capture_kernel.cmdline_add, ["mce=off"]);
    let not_taken: Vec<usize> = imported
        .rows
        .iter()
        .filter(|row| row.outcome != Outcome::Taken)
        .map(|row| row.line)
        .collect();
    assert_eq!(not_taken, [8]);
}

#[test]
fn an_append_to_the_own_value_and_the_plus_that_dash_lacks() {
    let imported = tools(
        "\
KDUMP_CMDLINE_APPEND=\"irqpoll nousb\"
KDUMP_CMDLINE_APPEND=\"${KDUMP_CMDLINE_APPEND} mce=off\"
KDUMP_CMDLINE_APPEND+=\" x=1\"
",
    );
    let kernel = &imported.config.capture_kernel;
    assert_eq!(kernel.cmdline_add, ["nousb", "mce=off"]);
    assert_eq!(
        outcomes(&imported),
        [
            (1, Outcome::Taken),
            (2, Outcome::Taken),
            (3, Outcome::NoCounterpart)
        ]
    );
    let why = &row(&imported, 3).why;
    assert!(why.contains("kdump-tools never had this value"), "{why}");
}

#[test]
fn the_last_value_counts() {
    let imported =
        tools("KDUMP_COREDIR=/a\nKDUMP_COREDIR=/b\nKDUMP_NUM_DUMPS=7\nKDUMP_NUM_DUMPS=\n");
    assert_eq!(paths(&imported), [PathBuf::from("/b")]);
    assert_eq!(imported.config.keep.dumps, Config::default().keep.dumps);
    assert!(row(&imported, 1).why.contains("line 2"));
}

#[test]
fn variables_of_the_file_are_followed() {
    let imported = tools(
        "\
base=/srv
export KDUMP_COREDIR=\"$base/crash\" KDUMP_NUM_DUMPS=${COUNT:-4}
MAKEDUMP_ARGS=\"-z \\
  -d 31\"
",
    );
    assert_eq!(paths(&imported), [PathBuf::from("/srv/crash")]);
    assert_eq!(imported.config.dump.format, Some(OutputFormat::KdumpZstd));
    // COUNT comes from nowhere.
    assert_eq!(
        outcomes(&imported),
        [
            (1, Outcome::Taken),
            (2, Outcome::Taken),
            (2, Outcome::NoCounterpart),
            (3, Outcome::Taken)
        ]
    );
    assert_eq!((row(&imported, 3).line, row(&imported, 3).last), (3, 4));
}

#[test]
fn an_export_is_a_target() {
    let imported = tools("USE_KDUMP=1\nNFS=\"server:/x\"\nNFS_TIMEO=600\n");
    assert_eq!(row(&imported, 2).outcome, Outcome::Remark);
    assert_eq!(row(&imported, 3).outcome, Outcome::NoCounterpart);
    let target = imported.config.target.first().unwrap();
    assert_eq!(target.nfs.as_ref().unwrap().to_string(), "server:/x");
    assert_eq!(paths(&imported), [PathBuf::from("/")]);
}

#[test]
fn a_quote_that_is_never_closed_ends_with_the_file() {
    let imported = tools("USE_KDUMP=1\nKDUMP_COREDIR=\"/x\n");
    let open = row(&imported, 2);
    assert_eq!((open.line, open.last), (2, 2));
    assert!(imported.blocks());
}

#[test]
fn what_only_a_shell_can_tell_blocks_where_it_is_the_target() {
    for text in [
        "KDUMP_COREDIR=/srv/$(hostname)\n",
        "if [ -d /x ]; then KDUMP_COREDIR=/x; fi\n",
        "[ -d /x ] && KDUMP_COREDIR=/x\n",
        ": \"${KDUMP_COREDIR:=/x}\"\n",
        "NFS=server\n",
        "SSH=\"<user at server>\"\n",
        "FTP=server:/\n",
        "NFS = server:/x\n",
        "KDUMP_CORDIR=/x\n",
        "KDUMP_COREDIR+=/x\n",
        ". /etc/default/local\n",
        "KDUMP_COREDIR=\"/x\n",
        "KDUMP_COREDIR=/a/../b\n",
        "cat <<X\nKDUMP_COREDIR=/x\nX\n",
        "unset NFS\n",
    ] {
        assert!(tools(&format!("USE_KDUMP=1\n{text}")).blocks(), "{text}");
    }
    for text in [
        "NFS=\"\"\n",
        "if true; then KDUMP_NUM_DUMPS=3; fi\n",
        "KDUMP_NUM_DUMP=3\n",
        "echo hello\n",
        "KDUMP_SYSCTL=\"kernel.panic_on_oops=1\"\n",
        "USE_KDUMP=0\n",
    ] {
        let imported = tools(text);
        assert!(!imported.blocks(), "{text}");
        assert_eq!(imported.config, Config::default(), "{text}");
    }
    assert!(
        row(&tools("KDUMP_NUM_DUMP=3\n"), 1)
            .why
            .contains("KDUMP_NUM_DUMPS is meant")
    );
}

#[test]
fn a_dated_directory_is_the_directory() {
    let imported = tools("KDUMP_COREDIR=\"/srv/crash/$(date +%F)\"\n");
    assert_eq!(paths(&imported), [PathBuf::from("/srv/crash")]);
    assert_eq!(imported.worst(), Outcome::Remark);
    assert!(tools("KDUMP_COREDIR=\"/$(date)\"\n").blocks());
}

#[test]
fn a_failure_command_gives_its_action() {
    let failure = |text: &str| tools(&format!("KDUMP_FAIL_CMD=\"{text}\"\n"));
    assert_eq!(failure("reboot -f").worst(), Outcome::Taken);
    assert_eq!(
        failure("systemctl poweroff").config.after.failure,
        Action::Poweroff
    );
    let shell = failure("echo 'makedumpfile FAILED.'; /bin/bash; reboot -f");
    assert_eq!(shell.worst(), Outcome::Remark);
    assert_eq!(shell.config.after.rescue, Some("/bin/bash".into()));
    assert!(row(&shell, 1).why.contains("echo is not run"));
}

#[test]
fn erasing_blocks_and_unknown_options_are_named_with_their_value() {
    let imported =
        tools("MAKEDUMP_ARGS=\"-c -d 31 --message-level 22 --private-page-filter 0x2F5A\"\n");
    assert_eq!(imported.worst(), Outcome::Remark);
    let why = &row(&imported, 1).why;
    assert!(
        why.contains("--private-page-filter has no counterpart"),
        "{why}"
    );
    assert!(!why.contains("option 0x2F5A"), "{why}");
    assert!(tools("MAKEDUMP_ARGS=\"-d 31 --config /etc/scrub.conf\"\n").blocks());
}

#[test]
fn the_order_of_server_and_directory_does_not_matter() {
    for text in [
        "NFS=server:/x\nKDUMP_COREDIR=/crash\n",
        "KDUMP_COREDIR=/crash\nNFS=server:/x\n",
    ] {
        assert_eq!(paths(&tools(text)), [PathBuf::from("/")], "{text}");
    }
    for text in [
        "SSH=u@h\nKDUMP_COREDIR=/crash\nSSH_KEY=/k\n",
        "SSH_KEY=/k\nKDUMP_COREDIR=/crash\nSSH=u@h\n",
    ] {
        let imported = tools(text);
        assert_eq!(paths(&imported), [PathBuf::from("/crash")], "{text}");
        let key = imported.config.target[0].key.as_deref();
        assert_eq!(key, Some(Path::new("/k")), "{text}");
    }
}

#[test]
fn two_servers_are_two_targets() {
    for text in [
        "NFS=server:/x\nSSH=u@h\nKDUMP_COREDIR=/crash\nSSH_KEY=/k\n",
        "SSH_KEY=/k\nKDUMP_COREDIR=/crash\nNFS=server:/x\nSSH=u@h\n",
    ] {
        let imported = tools(text);
        assert!(!imported.blocks());
        assert_eq!(imported.worst(), Outcome::Remark);
        assert!(
            imported
                .rows
                .iter()
                .any(|row| row.why.contains("both servers"))
        );
        let [nfs, ssh] = imported.config.target.as_slice() else {
            panic!("{text}: {:?}", imported.config.target);
        };
        assert_eq!(nfs.nfs.as_ref().unwrap().to_string(), "server:/x");
        assert_eq!((nfs.ssh.as_ref(), nfs.key.as_ref()), (None, None));
        assert_eq!(nfs.path, Path::new("/"));
        assert_eq!(ssh.ssh.as_ref().unwrap().to_string(), "u@h");
        assert_eq!(ssh.key.as_deref(), Some(Path::new("/k")));
        assert_eq!(ssh.path, Path::new("/crash"));
    }
}
