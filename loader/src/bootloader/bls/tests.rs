//! Entries: whose they are, and what becomes of their options.

use super::super::{apply, detect, propose};
use super::*;

const ENTRY: &str = "title Debian\nversion 6.12\n# options crashkernel=9M\nlinux /m/6.12/linux\ninitrd /m/6.12/initrd\noptions root=UUID=1 crashkernel=1M,high\noptions quiet\n";

#[test]
fn the_last_options_line_gets_it() {
    let got = edited(ENTRY, Some("96M")).unwrap();
    assert!(
        got.ends_with("options root=UUID=1\noptions quiet crashkernel=96M\n"),
        "{got}"
    );
    assert!(got.contains("# options crashkernel=9M\n"));
    assert_eq!(edited(&got, Some("96M")).unwrap(), got);
}

#[test]
fn an_entry_without_options_gets_a_line_and_other_files_none() {
    assert_eq!(
        edited("linux /v\n", Some("96M")).unwrap(),
        "linux /v\noptions crashkernel=96M\n"
    );
    assert_eq!(edited("uki /x.efi\n", Some("96M")), None);
    assert_eq!(
        edited("linux /v\noptions a -- b\noptions c\n", Some("96M")).unwrap(),
        "linux /v\noptions a crashkernel=96M -- b\noptions c\n"
    );
}

#[test]
fn lines_keep_their_ends() {
    for (before, after) in [
        (
            "title x\r\r\nlinux /v\r\noptions a\r\n",
            "title x\r\r\nlinux /v\r\noptions a crashkernel=96M\r\n",
        ),
        ("linux /v\noptions a", "linux /v\noptions a crashkernel=96M"),
        ("linux /v", "linux /v\noptions crashkernel=96M\n"),
    ] {
        let got = edited(before, Some("96M")).unwrap();
        assert_eq!(got, after);
        assert_eq!(edited(&got, Some("96M")).unwrap(), got);
    }
}

#[test]
fn all_entries_and_the_future_ones() {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in [
        ("boot/loader/entries/a.conf", ENTRY),
        ("boot/loader/entries/b.txt", ENTRY),
        ("etc/kernel/cmdline", "quiet\n"),
    ] {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    assert_eq!(detect(dir.path()), BootLoader::Bls);
    let change = propose(dir.path(), "96M").unwrap();
    assert_eq!(change.edits.len(), 2);
    apply(dir.path(), &change).unwrap();
    assert!(propose(dir.path(), "96M").unwrap().is_empty());
    assert_eq!(
        fs::read_to_string(dir.path().join("etc/kernel/cmdline")).unwrap(),
        "quiet crashkernel=96M\n"
    );
}

#[test]
fn entries_of_other_systems_are_left() {
    let (ours, other) = ("a".repeat(32), "b".repeat(32));
    let dir = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let keyed = |id: &str| format!("machine-id {id}\n{ENTRY}");
    put("etc/machine-id", &format!("{ours}\n"));
    put("etc/kernel/entry-token", "debian\n");
    put(&format!("efi/loader/entries/{ours}-6.12.conf"), ENTRY);
    put(&format!("efi/loader/entries/{other}-6.12.conf"), ENTRY);
    put("efi/loader/entries/x.conf", &keyed(&ours));
    put("efi/loader/entries/y.conf", &keyed(&other));
    put("efi/loader/entries/debian-6.12.conf", ENTRY);
    put("efi/loader/entries/unknown.conf", ENTRY);
    put("boot/loader/entries/unknown.conf", ENTRY);
    put("boot/loader/entries/z.conf", &keyed(&other));
    let change = propose(dir.path(), "96M").unwrap();
    let edited: Vec<PathBuf> = change.edits.iter().map(|e| e.path.clone()).collect();
    assert_eq!(
        edited,
        [
            PathBuf::from("/boot/loader/entries/unknown.conf"),
            PathBuf::from(format!("/efi/loader/entries/{ours}-6.12.conf")),
            PathBuf::from("/efi/loader/entries/debian-6.12.conf"),
            PathBuf::from("/efi/loader/entries/x.conf"),
        ]
    );
    for left in [
        "z.conf",
        &other,
        "y.conf",
        "efi/loader/entries/unknown.conf",
    ] {
        let said = |note: &String| note.contains(left) && note.contains("not changed");
        assert!(change.notes.iter().any(said), "{left}: {:?}", change.notes);
    }
}

#[test]
fn an_entry_without_an_id_is_known_by_its_root_filesystem() {
    let dir = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    put("proc/cmdline", "root=UUID=aaaa rw");
    for (path, root) in [
        ("efi/loader/entries/arch.conf", "UUID=AAAA"),
        ("efi/loader/entries/other.conf", "UUID=bbbb"),
        ("efi/loader/entries/vague.conf", "/dev/sda2"),
        ("boot/loader/entries/vague.conf", "/dev/sda2"),
        ("boot/loader/entries/other.conf", "UUID=bbbb"),
    ] {
        put(path, &format!("linux /v\noptions root={root} rw\n"));
    }
    let change = propose(dir.path(), "96M").unwrap();
    let edited: Vec<&Path> = change.edits.iter().map(|e| e.path.as_path()).collect();
    assert_eq!(
        edited,
        [
            Path::new("/boot/loader/entries/vague.conf"),
            Path::new("/efi/loader/entries/arch.conf"),
        ]
    );
}
