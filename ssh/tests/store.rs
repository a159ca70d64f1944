//! A store on OpenSSH's server, and what happens when that server misbehaves.

// Helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod sshd;

use ssh::sftp::How;
use ssh::{HostKey, Login, PrivateKey, Remote, Server, Sftp, SshError, scan};
use sshd::{Sshd, make_key, user};
use std::fs;
use std::io::{self, Read};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};
use store::place::Place;
use store::{State, Store};

fn server(sshd: &Sshd, host: &str) -> Server {
    Server {
        addresses: vec![sshd.at],
        login: Login {
            user: user(),
            key: PrivateKey::parse(&fs::read(sshd.key()).unwrap()).unwrap(),
            hosts: vec![host.parse().unwrap()],
        },
        patience: Duration::from_secs(10),
        persist: Duration::from_secs(10),
    }
}

fn connect(sshd: &Sshd) -> Sftp {
    match Sftp::connect(server(sshd, &sshd.host_key())) {
        Ok(sftp) => sftp,
        Err(error) => panic!("{error}; {}", sshd.log()),
    }
}

/// `count` bytes that do not repeat.
fn noise(count: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    std::iter::repeat_with(|| random.u8(..))
        .take(count)
        .collect()
}

#[test]
fn a_crash_directory_is_written_settled_listed_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let Some(sshd) = Sshd::start(dir.path(), "ed25519", "ed25519", "") else {
        return;
    };
    let base = dir.path().join("dumps/0123");
    let remote = Remote::open(connect(&sshd), base.to_str().unwrap()).unwrap();
    let store = Store::on(Box::new(remote), &base);
    let place = store.place();

    let name = store.begin("node", "20261130T120000Z").unwrap();
    assert!(name.ends_with(State::Partial.suffix()));
    assert_eq!(
        place.create(&name).unwrap_err().kind(),
        io::ErrorKind::AlreadyExists
    );
    let bytes = noise(3_000_001);
    place
        .write(&name, "vmcore.elf.zst", &mut &bytes[..])
        .unwrap();
    place
        .write(&name, "dmesg.txt", &mut &b"panic\n"[..])
        .unwrap();
    place
        .write(&name, "pstore/dmesg-1", &mut &b"x"[..])
        .unwrap();
    assert_eq!(
        fs::read(base.join(&name).join("vmcore.elf.zst")).unwrap(),
        bytes
    );
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&base.join(&name)), 0o700);
    assert_eq!(mode(&base.join(&name).join("dmesg.txt")), 0o600);
    let again = place.write(&name, "dmesg.txt", &mut &b"other"[..]);
    assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AlreadyExists);

    let settled = store.settle(&name, State::Done).unwrap();
    assert_eq!(settled, "node-20261130T120000Z");
    assert!(place.exists(&settled) && !place.exists(&name));
    let (mut file, len) = place.open(&settled, "vmcore.elf.zst").unwrap();
    let mut read = Vec::new();
    file.read_to_end(&mut read).unwrap();
    assert!(read == bytes && len == 3_000_001);
    let files = place.files(&settled).unwrap();
    assert_eq!(files.len(), 2);
    let below = place.files_below(&settled).unwrap();
    assert_eq!(below, [("pstore/dmesg-1".to_owned(), 1)]);
    assert_eq!(place.open(&settled, "pstore/dmesg-1").unwrap().1, 1);
    assert!(place.size(&settled) > 3_000_000 && place.changed(&settled).is_some());
    place.trim(&settled, "vmcore.elf.zst").unwrap();
    assert!(place.room().unwrap() > 0);

    // Its own rotation sees and removes only what no other user can write to.
    fs::create_dir(base.join("node-20261129T120000Z")).unwrap();
    fs::set_permissions(
        base.join("node-20261129T120000Z"),
        PermissionsExt::from_mode(0o777),
    )
    .unwrap();
    let listing = store.list().unwrap();
    assert_eq!(listing.crashes.len(), 1);
    assert!(listing.warning().unwrap().contains("20261129"));
    let refused = place.remove("node-20261129T120000Z").unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    assert_eq!(
        place.remove("..").unwrap_err().kind(),
        io::ErrorKind::InvalidInput
    );
    place.remove(&settled).unwrap();
    assert!(!base.join(&settled).exists());
}

#[test]
fn a_new_name_is_on_the_server_s_disk_before_anybody_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("sftp.log");
    let program = "/usr/lib/openssh/sftp-server";
    let force = format!("ForceCommand {program} -e -l VERBOSE 2>>{}", log.display());
    let Some(sshd) = Sshd::start(dir.path(), "ed25519", "ed25519", &force) else {
        return;
    };
    let base = dir.path().join("dumps");
    let remote = Remote::open(connect(&sshd), base.to_str().unwrap()).unwrap();
    remote.create("node.partial").unwrap();
    let said = || fs::read_to_string(&log).unwrap();
    let synced = |path: &Path| format!("fsync \"{}\"", path.display());
    remote.sync("node.partial").unwrap();
    assert!(
        said().contains(&synced(&base.join("node.partial"))),
        "{}",
        said()
    );
    assert!(!said().contains(&synced(&base)), "{}", said());
    remote.rename("node.partial", "node").unwrap();
    let said = said();
    let (_, after) = said.split_once("rename old").unwrap();
    assert!(after.contains(&synced(&base)), "{said}");
}

#[test]
fn keys_of_every_kind_open_the_account() {
    for key in ["rsa", "ecdsa"] {
        let dir = tempfile::tempdir().unwrap();
        let Some(sshd) = Sshd::start(dir.path(), "ed25519", key, "") else {
            return;
        };
        let found = scan(sshd.at, Duration::from_secs(10)).unwrap();
        assert_eq!(found, sshd.host_key().parse::<HostKey>().unwrap());
        connect(&sshd).look_up("/").unwrap();
    }
}

#[test]
fn a_server_without_an_ed25519_host_key_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let Some(sshd) = Sshd::start(dir.path(), "rsa", "ed25519", "") else {
        return;
    };
    let refused = scan(sshd.at, Duration::from_secs(10)).unwrap_err();
    assert!(matches!(refused, SshError::HostKind { .. }), "{refused}");
    let refused = Sftp::connect(server(&sshd, &sshd.host_key()))
        .err()
        .unwrap();
    assert!(matches!(refused, SshError::HostKind { .. }), "{refused}");
}

#[test]
fn another_host_key_a_stranger_s_key_and_silence_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let Some(sshd) = Sshd::start(dir.path(), "ed25519", "ed25519", "") else {
        return;
    };
    make_key(&dir.path().join("other"), "ed25519", "");
    let other = fs::read_to_string(dir.path().join("other.pub")).unwrap();
    let refused = Sftp::connect(server(&sshd, &other)).err().unwrap();
    assert!(matches!(refused, SshError::HostKey { .. }), "{refused}");
    assert!(!sshd.log().contains("Accepted"), "nobody logged in");

    let mut stranger = server(&sshd, &sshd.host_key());
    let text = fs::read(dir.path().join("other")).unwrap();
    stranger.login.key = PrivateKey::parse(&text).unwrap();
    let refused = Sftp::connect(stranger).err().unwrap();
    assert!(matches!(refused, SshError::Login { .. }), "{refused}");

    // Nobody listens; somebody listens and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut nobody = server(&sshd, &sshd.host_key());
    nobody.patience = Duration::from_secs(1);
    nobody.addresses = vec![silent.local_addr().unwrap()];
    let begun = Instant::now();
    let refused = Sftp::connect(nobody.clone()).err().unwrap();
    assert!(matches!(refused, SshError::Silent { .. }), "{refused}");
    assert!(begun.elapsed() < Duration::from_secs(5));
    drop(silent);
    let refused = Sftp::connect(nobody).err().unwrap();
    assert!(matches!(refused, SshError::Connect { .. }), "{refused}");
}

#[test]
fn a_connection_that_breaks_is_made_again_and_no_byte_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut sshd) = Sshd::start(dir.path(), "ed25519", "ed25519", "") else {
        return;
    };
    let mut sftp = connect(&sshd);
    let path = dir.path().join("core");
    let file = sftp.open(path.to_str().unwrap(), How::New).unwrap();
    let bytes = noise(12 << 20);
    for (at, piece) in bytes.chunks(100_000).enumerate() {
        if at == 40 || at == 90 {
            sshd.kill();
            sshd.run();
        }
        sftp.write(file, (at * 100_000) as u64, piece).unwrap();
    }
    sftp.sync(file).unwrap();
    assert_eq!(sftp.look_at(file).unwrap().size, 12 << 20);
    sftp.close(file).unwrap();
    assert!(fs::read(&path).unwrap() == bytes);
    assert_eq!(sftp.revived(), 2);
}

#[test]
fn a_server_that_does_not_come_back_is_an_error_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut sshd) = Sshd::start(dir.path(), "ed25519", "ed25519", "") else {
        return;
    };
    let mut server = server(&sshd, &sshd.host_key());
    server.persist = Duration::from_secs(3);
    let mut sftp = Sftp::connect(server).unwrap();
    let path = dir.path().join("core");
    let file = sftp.open(path.to_str().unwrap(), How::New).unwrap();
    sftp.write(file, 0, &noise(1 << 20)).unwrap();
    sshd.kill();
    let begun = Instant::now();
    let mut write = || sftp.write(file, 1 << 20, &[0; 1 << 20]);
    let error = (0..8).find_map(|_| write().err()).unwrap();
    assert!(matches!(error, SshError::Connect { .. }), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(15));
}

#[test]
fn keys_are_changed_in_the_middle_as_the_server_asks() {
    let dir = tempfile::tempdir().unwrap();
    let Some(sshd) = Sshd::start(
        dir.path(),
        "ed25519",
        "ed25519",
        "RekeyLimit 1M\nLogLevel DEBUG1",
    ) else {
        return;
    };
    let mut sftp = connect(&sshd);
    let path = dir.path().join("core");
    let file = sftp.open(path.to_str().unwrap(), How::New).unwrap();
    let bytes = noise(8 << 20);
    sftp.write(file, 0, &bytes).unwrap();
    sftp.close(file).unwrap();
    assert!(fs::read(&path).unwrap() == bytes);
    let keys = sshd.log().matches("rekeying in progress").count();
    assert!(keys >= 3 || sshd.log().matches("SSH2_MSG_NEWKEYS received").count() >= 3);
    assert_eq!(sftp.revived(), 0);
}

#[test]
fn a_full_disk_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let Some(sshd) = Sshd::start(dir.path(), "ed25519", "ed25519", "") else {
        return;
    };
    let small = dir.path().join("small");
    fs::create_dir(&small).unwrap();
    let none: Option<&str> = None;
    let flags = nix::mount::MsFlags::empty();
    let size = Some("size=4m,mode=0700");
    if let Err(why) = nix::mount::mount(none, &small, Some("tmpfs"), flags, size) {
        eprintln!("not tested: a small filesystem cannot be mounted ({why})");
        return;
    }
    let remote = Remote::open(connect(&sshd), small.to_str().unwrap()).unwrap();
    remote.create("node").unwrap();
    let error = remote.write("node", "core", &mut &noise(8 << 20)[..]);
    let removed = remote.remove("node");
    let free = remote.room();
    nix::mount::umount(&small).unwrap();
    assert_eq!(error.unwrap_err().kind(), io::ErrorKind::StorageFull);
    removed.unwrap();
    assert!(free.unwrap() > 3 << 20);
}
