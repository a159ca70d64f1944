//! Deployments: with rpm-ostree, without it, staged.

use std::fs;

use super::super::tests::{put, tree};
use super::super::{BootLoader, Effect, detect, effect, propose};

const FILES: [(&str, &str); 3] = [
    ("run/ostree-booted", ""),
    ("proc/cmdline", "rw crashkernel=1G ostree=/x"),
    (
        "boot/loader/entries/ostree-1.conf",
        "version 1\nlinux /v\noptions rw crashkernel=1G ostree=/x\n",
    ),
];

#[test]
fn an_old_value_is_replaced_and_no_entry_is_edited() {
    let dir = tree(&FILES);
    put(dir.path(), "usr/bin/rpm-ostree", "");
    assert_eq!(detect(dir.path()), BootLoader::Ostree);
    let change = propose(dir.path(), "96M").unwrap();
    assert!(change.edits.is_empty());
    assert_eq!(
        change.command_line().unwrap(),
        "rpm-ostree kargs --delete-if-present=crashkernel=1G --append-if-missing=crashkernel=96M"
    );
    // A deployment that waits for the next boot has it already.
    put(
        dir.path(),
        "run/ostree/staged-deployment",
        "\0\0kargs\0rw\0crashkernel=96M\0\u{1}\u{2}",
    );
    assert_eq!(effect(dir.path(), "96M"), Effect::Taken);
    assert!(propose(dir.path(), "96M").unwrap().is_empty());
    fs::remove_file(dir.path().join("run/ostree/staged-deployment")).unwrap();
    put(
        dir.path(),
        "boot/loader/entries/ostree-2.conf",
        "version 2\nlinux /v\noptions rw crashkernel=96M ostree=/y\n",
    );
    assert!(propose(dir.path(), "96M").unwrap().is_empty());
}

#[test]
fn without_rpm_ostree_the_steps_are_shown() {
    let dir = tree(&FILES);
    put(dir.path(), "usr/bin/ostree", "");
    put(dir.path(), "usr/bin/bootc", "");
    let said = propose(dir.path(), "96M").unwrap().by_hand.unwrap();
    assert!(
        said.starts_with("ostree admin kargs edit-in-place --append-if-missing=crashkernel=96M"),
        "{said}"
    );
    assert!(said.contains("/usr/lib/bootc/kargs.d/"), "{said}");
    let dir = tree(&[("proc/cmdline", "rw composefs=0123"), ("usr/bin/bootc", "")]);
    assert_eq!(detect(dir.path()), BootLoader::Ostree);
    let said = propose(dir.path(), "96M").unwrap().by_hand.unwrap();
    assert!(
        said.starts_with("put kargs = [\"crashkernel=96M\"]"),
        "{said}"
    );
}
