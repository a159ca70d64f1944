//! What is reached in a store that others can write to, and what is not.

use super::*;
use crate::Store;
use crate::tests::crash_dir;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::mpsc;
use std::time::Duration;

const CRASH: &str = "n-20261121T231500Z";

fn store() -> (tempfile::TempDir, Local) {
    let dir = tempfile::tempdir().unwrap();
    let local = Local::open(dir.path()).unwrap();
    (dir, local)
}

fn read(local: &Local, file: &str) -> io::Result<String> {
    let (mut file, _) = local.open(CRASH, file)?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// The answer of something that must not hang.
fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (say, hear) = mpsc::channel();
    std::thread::spawn(move || say.send(work()));
    hear.recv_timeout(Duration::from_secs(10))
        .expect("it hangs")
}

#[test]
fn a_directory_is_private_and_settles_once() {
    let (dir, _) = store();
    let store = Store::open(dir.path()).unwrap();
    let first = store.begin("n", "20261121T231500Z").unwrap();
    assert_eq!(first, format!("{CRASH}.partial"));
    let mode = fs::metadata(dir.path().join(&first))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
    store.place().write(&first, "f", &mut &b"text"[..]).unwrap();
    let file = fs::metadata(dir.path().join(&first).join("f")).unwrap();
    assert_eq!((file.permissions().mode() & 0o777, file.len()), (0o600, 4));
    assert!(store.place().write(&first, "f", &mut &b""[..]).is_err());
    assert_eq!(store.settle(&first, crate::State::Done).unwrap(), CRASH);
    let second = store.begin("n", "20261121T231500Z").unwrap();
    assert_eq!(second, format!("{CRASH}-2.partial"));
    store.settle(&second, crate::State::Incomplete).unwrap();
    assert_eq!(
        store.begin("n", "20261121T231500Z").unwrap(),
        format!("{CRASH}-3.partial")
    );
}

#[test]
fn what_others_may_write_is_not_ours() {
    let (dir, local) = store();
    let path = crash_dir(dir.path(), CRASH, "{}");
    assert_eq!(read(&local, "manifest.json").unwrap(), "{}");
    for mode in [0o770, 0o702] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let denied = read(&local, "manifest.json").unwrap_err();
        assert_eq!(denied.kind(), io::ErrorKind::PermissionDenied);
        assert!(local.remove(CRASH).is_err() && path.is_dir());
        let listing = Store::open(dir.path()).unwrap().list().unwrap();
        assert!(listing.crashes.is_empty());
        assert!(listing.warning().unwrap().contains(CRASH));
    }
}

/// A server with root_squash gives what root makes to another user.
#[test]
fn on_nfs_the_owner_of_the_store_is_a_writer() {
    let (dir, _) = store();
    let mut stat = nix::sys::stat::stat(dir.path()).unwrap();
    let nobody = 65534;
    stat.st_mode = 0o040_700;
    let own = |writers: Writers, stat: &FileStat| writers.own(stat);
    stat.st_uid = nobody;
    assert!(own(Writers::UsAs(nobody), &stat) && !own(Writers::Us, &stat));
    assert!(!own(Writers::UsAs(1000), &stat));
    stat.st_uid = 0;
    assert!(own(Writers::UsAs(nobody), &stat));
    stat.st_mode = 0o040_770;
    assert!(!own(Writers::UsAs(nobody), &stat));
}

#[test]
fn fifos_links_and_large_files_are_errors() {
    let (dir, local) = store();
    let path = crash_dir(dir.path(), CRASH, "{}");
    nix::unistd::mkfifo(&path.join("fifo"), Mode::S_IRWXU).unwrap();
    symlink("/etc/hostname", path.join("link")).unwrap();
    fs::write(path.join("large"), vec![b' '; 5000]).unwrap();
    in_time(move || {
        for name in ["fifo", "link", "../x", "/dev/zero", ".", ""] {
            assert!(local.open(CRASH, name).is_err(), "{name}");
        }
        let dir = crate::CrashDir::open(&path).unwrap();
        assert_eq!(dir.read("large", 5000).unwrap().len(), 5000);
        let kind = dir.read("large", 4999).unwrap_err().kind();
        assert_eq!(kind, io::ErrorKind::FileTooLarge);
        assert!(dir.file("fifo").is_err() && dir.file("link").is_err());
        let files: Vec<_> = local.files(CRASH).unwrap();
        assert_eq!(files, [("large".into(), 5000), ("manifest.json".into(), 2)]);
    });
}

#[test]
fn a_link_is_no_directory() {
    let (dir, local) = store();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("keep"), "me").unwrap();
    symlink(elsewhere.path(), dir.path().join(CRASH)).unwrap();
    local.list(&mut |entry| panic!("{entry:?}")).unwrap();
    assert!(local.remove(CRASH).is_err());
    assert!(local.write(CRASH, "f", &mut &b""[..]).is_err());
    // Removing a crash directory does not follow a link inside it either.
    let name = "n-20261122T000000Z";
    let path = crash_dir(dir.path(), name, "{}");
    symlink(elsewhere.path(), path.join("pstore")).unwrap();
    fs::create_dir(path.join("inner")).unwrap();
    fs::write(path.join("inner/file"), "x").unwrap();
    local.remove(name).unwrap();
    assert!(!path.exists() && elsewhere.path().join("keep").exists());
}

#[test]
fn sizes_are_blocks() {
    let (dir, local) = store();
    let path = crash_dir(dir.path(), CRASH, "{}");
    let sparse = fs::File::create(path.join("vmcore.elf")).unwrap();
    sparse.set_len(1 << 30).unwrap();
    assert!(local.size(CRASH) < 1 << 20);
}

/// On FAT everything is root's and has the mode of the mount options, 0755 by default.
#[test]
fn a_store_on_fat_works() {
    let (dir, local) = store();
    let path = crash_dir(dir.path(), CRASH, "{}");
    let mode = Permissions::from_mode(0o755);
    for path in [dir.path(), &path, &path.join("manifest.json")] {
        fs::set_permissions(path, mode.clone()).unwrap();
    }
    assert_eq!(read(&local, "manifest.json").unwrap(), "{}");
    local.write(CRASH, "pstore/record", &mut &b"r"[..]).unwrap();
    let listing = Store::open(dir.path()).unwrap().list().unwrap();
    assert_eq!((listing.crashes.len(), listing.warning()), (1, None));
    local.rename(CRASH, "n-20261122T000000Z").unwrap();
    local.remove("n-20261122T000000Z").unwrap();
    assert!(!dir.path().join("n-20261122T000000Z").exists());
}

#[test]
fn names_that_are_no_text_are_skipped_and_removed() {
    let (dir, local) = store();
    let path = crash_dir(dir.path(), CRASH, "{}");
    let strange = OsStr::from_bytes(b"\xff-20261121T231500Z");
    fs::create_dir(dir.path().join(strange)).unwrap();
    fs::create_dir(path.join(strange)).unwrap();
    fs::write(path.join(strange).join(OsStr::from_bytes(b"\xfe")), "x").unwrap();
    let listing = Store::open(dir.path()).unwrap().list().unwrap();
    assert_eq!(listing.crashes.len(), 1);
    assert_eq!(
        local.files(CRASH).unwrap(),
        [("manifest.json".to_owned(), 2)]
    );
    let long = "x".repeat(256);
    assert!(local.open(CRASH, &long).is_err() && local.create(&long).is_err());
    local.remove(CRASH).unwrap();
    assert!(!path.exists() && dir.path().join(strange).exists());
}

/// Anybody can make any number of directories in a store that everybody may write to.
#[test]
fn twenty_thousand_strangers_hide_no_crash_and_cost_little() {
    // On a disk it takes a minute to remove them again.
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let dir = dir.unwrap();
    let local = Local::open(dir.path()).unwrap();
    crash_dir(dir.path(), CRASH, "{}");
    for n in 2..20_000 {
        let name = format!("n-20261121T231400Z-{n}");
        mkdirat(&local.dir, name.as_str(), Mode::S_IRWXU).unwrap();
        let mode = Mode::S_IRWXU | Mode::S_IWOTH;
        let flags = nix::sys::stat::FchmodatFlags::FollowSymlink;
        nix::sys::stat::fchmodat(&local.dir, name.as_str(), mode, flags).unwrap();
    }
    crash_dir(dir.path(), "n-20261123T000000Z", "{}");
    let store = Store::open(dir.path()).unwrap();
    let begun = std::time::Instant::now();
    let listing = store.list().unwrap();
    let earlier = crate::rotation::earlier(&store).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(listing.crashes.len(), 2);
    let warning = listing.warning().unwrap();
    assert!(warning.contains("and 19995 more") && warning.len() < 300);
    assert!(earlier.crashes.is_empty() && earlier.warning == Some(warning));
}

#[test]
fn files_in_subdirectories_are_listed_and_read_by_their_path() {
    let (dir, local) = store();
    let path = crash_dir(dir.path(), CRASH, "{}");
    local
        .write(CRASH, "pstore/dmesg-1", &mut &b"record"[..])
        .unwrap();
    symlink("/etc", path.join("link")).unwrap();
    let below = local.files_below(CRASH).unwrap();
    assert_eq!(below, [("pstore/dmesg-1".to_owned(), 6)]);
    assert_eq!(read(&local, "pstore/dmesg-1").unwrap(), "record");
    for elsewhere in ["link/passwd", "../x/dmesg", "pstore/../manifest.json"] {
        assert!(local.open(CRASH, elsewhere).is_err(), "{elsewhere}");
    }
    fs::set_permissions(path.join("pstore"), Permissions::from_mode(0o777)).unwrap();
    assert!(local.open(CRASH, "pstore/dmesg-1").is_err());
}

#[test]
fn strangers_cannot_take_every_name_of_a_second() {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let dir = dir.unwrap();
    fs::create_dir(dir.path().join(CRASH)).unwrap();
    for n in 2..=1000 {
        fs::create_dir(dir.path().join(format!("{CRASH}-{n}.incomplete"))).unwrap();
    }
    let store = Store::open(dir.path()).unwrap();
    let name = store.begin("n", "20261121T231500Z").unwrap();
    let crash = crate::Crash::parse(&dir.path().join(&name)).unwrap();
    assert!(crash.serial > 1000 && crash.node == "n", "{name}");
}
