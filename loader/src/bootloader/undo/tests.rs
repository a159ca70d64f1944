//! What was written is taken back, exactly where nobody touched it since.

use std::fs;

use super::super::tests::{put, tree};
use super::super::{apply, propose};
use super::*;

fn applied(root: &Path, value: &str) {
    let change = super::super::propose(root, value).unwrap();
    keep(root, &change, value).unwrap();
    apply(root, &change).unwrap();
}

fn undone(root: &Path) -> Undo {
    let undo = super::propose(root).unwrap().unwrap();
    apply(root, &undo.change).unwrap();
    assert_eq!(still_there(root, &undo), Ok(None));
    forget(root).unwrap();
    assert_eq!(super::propose(root).unwrap(), None);
    undo
}

const ENTRY: &str = "linux /v\noptions  root=UUID=1   ro\n";

#[test]
fn without_a_record_there_is_nothing_to_undo() {
    let dir = tree(&[(
        "boot/loader/entries/a.conf",
        "linux /v\noptions crashkernel=1M\n",
    )]);
    assert_eq!(super::propose(dir.path()).unwrap(), None);
    assert!(!propose(dir.path(), "96M").unwrap().is_empty());
}

#[test]
fn files_get_their_text_back_after_two_changes() {
    let dir = tree(&[
        ("boot/loader/entries/a.conf", ENTRY),
        ("etc/kernel/cmdline", "root=UUID=1\n"),
    ]);
    applied(dir.path(), "96M");
    applied(dir.path(), "128M");
    let undo = undone(dir.path());
    assert_eq!(undo.value, "128M");
    let text = |path: &str| fs::read_to_string(dir.path().join(path)).unwrap();
    assert_eq!(text("boot/loader/entries/a.conf"), ENTRY);
    assert_eq!(text("etc/kernel/cmdline"), "root=UUID=1\n");
}

#[test]
fn what_changed_since_loses_the_value_only_and_new_kernels_lose_it_too() {
    let dir = tree(&[
        ("boot/loader/entries/a.conf", ENTRY),
        ("boot/loader/entries/b.conf", ENTRY),
    ]);
    applied(dir.path(), "96M");
    let new = "linux /v2\noptions root=UUID=1 crashkernel=96M debug\n";
    put(dir.path(), "boot/loader/entries/a.conf", new);
    put(dir.path(), "boot/loader/entries/c.conf", new);
    fs::remove_file(dir.path().join("boot/loader/entries/b.conf")).unwrap();
    undone(dir.path());
    for name in ["a", "c"] {
        let text = fs::read_to_string(dir.path().join(format!("boot/loader/entries/{name}.conf")))
            .unwrap();
        assert_eq!(text, "linux /v2\noptions root=UUID=1 debug\n");
    }
    assert!(!dir.path().join("boot/loader/entries/b.conf").exists());
}

#[test]
fn a_former_value_comes_back() {
    let dir = tree(&[(
        "boot/loader/entries/a.conf",
        "linux /v\noptions ro crashkernel=512M\n",
    )]);
    applied(dir.path(), "96M");
    put(
        dir.path(),
        "boot/loader/entries/a.conf",
        "linux /v\noptions ro crashkernel=96M new\n",
    );
    let undo = undone(dir.path());
    assert_eq!(undo.former, ["512M"]);
    let text = fs::read_to_string(dir.path().join("boot/loader/entries/a.conf")).unwrap();
    assert_eq!(text, "linux /v\noptions ro crashkernel=512M new\n");
}

#[test]
fn our_file_of_grub_goes_and_kdump_tools_counts_again() {
    let kdump = "GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT crashkernel=2G-:512M\"\n";
    let dir = tree(&[
        ("etc/default/grub", "GRUB_CMDLINE_LINUX_DEFAULT=quiet\n"),
        ("etc/default/grub.d/kdump-tools.cfg", kdump),
        ("usr/sbin/update-grub", ""),
    ]);
    applied(dir.path(), "96M");
    assert!(
        dir.path()
            .join("etc/default/grub.d/zz-afterpanic.cfg")
            .exists()
    );
    let undo = super::propose(dir.path()).unwrap().unwrap();
    assert_eq!(undo.change.command_line().as_deref(), Some("update-grub"));
    apply(dir.path(), &undo.change).unwrap();
    assert!(
        !dir.path()
            .join("etc/default/grub.d/zz-afterpanic.cfg")
            .exists()
    );
    assert_eq!(
        fs::read_to_string(dir.path().join("etc/default/grub.d/kdump-tools.cfg")).unwrap(),
        kdump
    );
}
