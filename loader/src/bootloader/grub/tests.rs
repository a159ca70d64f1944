//! Tests of the change, and of what comes out of it.

use super::super::{apply, detect, effect, propose};
use super::*;

const DEFAULT: (&str, &str) = (
    "etc/default/grub",
    "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\nGRUB_CMDLINE_LINUX=\"\"\n",
);
const TOOL: (&str, &str) = ("usr/sbin/update-grub", "");
const SCRIPT: (&str, &str) = (
    "usr/sbin/grub-mkconfig",
    "for x in ${sysconfdir}/default/grub.d/*.cfg ; do . \"$x\"; done\n",
);

fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in [DEFAULT, TOOL, SCRIPT].iter().chain(files) {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

#[test]
fn writes_its_own_file_once() {
    let dir = tree(&[]);
    let change = propose(dir.path(), "96M").unwrap();
    assert!(
        change.diff().contains(
            "+ GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT crashkernel=96M\""
        )
    );
    assert_eq!(change.command_line().as_deref(), Some("update-grub"));
    apply(dir.path(), &change).unwrap();
    assert_eq!(effect(dir.path(), "96M"), Effect::Taken);
    assert!(propose(dir.path(), "96M").unwrap().is_empty());
    let again = propose(dir.path(), "128M").unwrap();
    assert!(again.diff().contains("- GRUB") && again.diff().contains("crashkernel=128M"));
}

#[test]
fn kdump_tools_comes_before_ours_and_our_former_file_goes() {
    let dir = tree(&[
        (
            "etc/default/grub.d/kdump-tools.cfg",
            "GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT crashkernel=512M-:192M\"\n",
        ),
        ("etc/default/grub.d/90-afterpanic.cfg", "# old\n"),
    ]);
    let change = propose(dir.path(), "96M").unwrap();
    assert_eq!((change.notes.len(), change.edits.len()), (1, 2));
    apply(dir.path(), &change).unwrap();
    assert!(
        !dir.path()
            .join("etc/default/grub.d/90-afterpanic.cfg")
            .exists()
    );
    assert_eq!(effect(dir.path(), "96M"), Effect::Taken);
}

#[test]
fn a_later_file_that_undoes_ours_is_refused_before_anything_is_written() {
    for line in [
        "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet splash\"",
        "GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT crashkernel=1M\"",
    ] {
        let dir = tree(&[("etc/default/grub.d/zzz.cfg", line)]);
        let said = propose(dir.path(), "96M").unwrap_err().to_string();
        assert!(
            said.contains("zzz.cfg overrides our crashkernel=") && said.contains(line),
            "{said}"
        );
    }
}

#[test]
fn a_high_value_loses_against_a_plain_one() {
    let dir = tree(&[(
        "etc/default/grub.d/50-x.cfg",
        "GRUB_CMDLINE_LINUX=\"crashkernel=64M\"\n",
    )]);
    assert!(propose(dir.path(), "1G,high").is_err());
    assert!(propose(dir.path(), "96M").is_ok());
}

#[test]
fn a_file_that_is_replaced_after_the_proposal_is_noticed() {
    let dir = tree(&[]);
    apply(dir.path(), &propose(dir.path(), "96M").unwrap()).unwrap();
    let later = dir.path().join("etc/default/grub.d/zzz.cfg");
    fs::write(&later, "GRUB_CMDLINE_LINUX_DEFAULT=quiet\n").unwrap();
    assert!(matches!(effect(dir.path(), "96M"), Effect::NotTaken(_)));
    fs::write(&later, "[ -e /x ] && GRUB_CMDLINE_LINUX_DEFAULT=quiet\n").unwrap();
    assert!(matches!(effect(dir.path(), "96M"), Effect::Unknown(_)));
}

#[test]
fn a_shell_sees_what_update_grub_sees() {
    let dir = tree(&[(
        "b.cfg",
        "if true; then GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT x=$(echo 1)\"; fi; echo noise\n",
    )]);
    let files = ["etc/default/grub", "missing", "b.cfg"].map(|f| dir.path().join(f));
    assert_eq!(sourced(&files).unwrap(), " quiet x=1");
}

#[test]
fn this_layout_without_update_grub_names_a_file_that_kdump_tools_does_not_override() {
    let dir = tree(&[(
        "etc/default/grub.d/kdump-tools.cfg",
        "GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT crashkernel=2G-:1G\"\n",
    )]);
    for tool in ["update-grub", "grub-mkconfig"] {
        fs::remove_file(dir.path().join("usr/sbin").join(tool)).unwrap();
    }
    assert_eq!(detect(dir.path()), BootLoader::Grub);
    let said = propose(dir.path(), "96M").unwrap().by_hand.unwrap();
    assert!(
        said.starts_with("write to /etc/default/grub.d/zz-"),
        "{said}"
    );
    assert!(said.ends_with("then run update-grub"), "{said}");
}

#[test]
fn a_grub_cfg_that_was_not_written_since_is_noticed() {
    let dir = tree(&[(
        "boot/grub/grub.cfg",
        "menuentry 'Debian' {\n\tlinux /vmlinuz root=UUID=1 quiet\n}\n",
    )]);
    apply(dir.path(), &propose(dir.path(), "96M").unwrap()).unwrap();
    let again = propose(dir.path(), "96M").unwrap();
    assert!(again.edits.is_empty());
    assert_eq!(again.command_line().as_deref(), Some("update-grub"));
}
