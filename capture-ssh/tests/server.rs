//! A directory on OpenSSH's server, mounted by the capture kernel's program, and a capture into it.
//!
//! Mounting needs root and /dev/fuse; where they are missing the tests say so.

// Helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../../ssh/tests/sshd/mod.rs"]
mod sshd;

use plan::{Directory, FinalAction, FirstKernel, Plan, Target, TargetKind};
use sshd::{Sshd, make_key, user};
use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use store::{State, Store};
use synth::elf::Elf;
use synth::memmap::{Series, Toy};
use vmcore::addr::PhysAddr;
use vmcore::dump as formats;

/// A server, and its directory mounted here.
struct Mounted {
    dir: tempfile::TempDir,
    sshd: Sshd,
    process: Child,
}

/// The answer of the process that holds the connection, with the process.
fn serve(dir: &Path, sshd: &Sshd, host_key: &str) -> (Child, String) {
    fs::create_dir_all(dir.join("mnt")).unwrap();
    let order = serde_json::json!({
        "ssh": {
            "server": "127.0.0.1", "port": sshd.at.port(), "user": user(),
            "path": dir.join("srv/0123"), "key": sshd.key(), "host_keys": [host_key], "ways": [],
        },
        "addresses": ["127.0.0.1"], "point": dir.join("mnt"), "init": false, "persist_s": 6,
    });
    let mut process = Command::new(env!("CARGO_BIN_EXE_afterpanic-capture-ssh"))
        .env("AFTERPANIC_REMOTE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = process.stdin.take().unwrap();
    input.write_all(order.to_string().as_bytes()).unwrap();
    drop(input);
    let (mut answer, mut byte) = (Vec::new(), [0]);
    let output = process.stdout.as_mut().unwrap();
    while output.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
        answer.extend(byte);
    }
    (process, String::from_utf8(answer).unwrap())
}

impl Mounted {
    fn new() -> Option<Self> {
        if !nix::unistd::geteuid().is_root() || !Path::new("/dev/fuse").exists() {
            eprintln!("not tested: mounting needs root and /dev/fuse");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let sshd = Sshd::start(dir.path(), "ed25519", "ed25519", "")?;
        let (process, answer) = serve(dir.path(), &sshd, &sshd.host_key());
        assert_eq!(answer, "ready", "{}", sshd.log());
        Some(Self { dir, sshd, process })
    }

    fn here(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    fn there(&self) -> PathBuf {
        self.dir.path().join("srv/0123")
    }

    /// Unmounts; the process must end by itself.
    fn end(&mut self) {
        let until = Instant::now() + Duration::from_secs(20);
        // A process that another test starts holds copies of our files for a moment.
        while let Err(why) = nix::mount::umount(&self.here()) {
            assert!(Instant::now() < until, "cannot unmount: {why}");
            std::thread::sleep(Duration::from_millis(50));
        }
        while self.process.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "the process does not end");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(&self.here(), nix::mount::MntFlags::MNT_DETACH);
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A core with a page of a known content, as a file.
fn core(path: &Path) {
    let mut toy = Toy::new(Series::V6_12, 1);
    toy.put(4096 * 4096, &[0x11; 4096]);
    let (start, end) = toy.ram[0];
    let mut data = vec![0_u8; usize::try_from((end - start) * 4096).unwrap()];
    for (pfn, page) in toy.memory.range(start..end) {
        let at = usize::try_from((pfn - start) * 4096).unwrap();
        data[at..at + 4096].copy_from_slice(&page[..]);
    }
    let elf = Elf::new()
        .note("VMCOREINFO", 0, toy.vmcoreinfo().as_bytes())
        .load(toy.direct_map(), start * 4096, &data)
        .build();
    fs::write(path, elf).unwrap();
}

#[test]
fn a_core_is_captured_onto_the_server_and_reads_as_on_a_disk() {
    let Some(mut mounted) = Mounted::new() else {
        return;
    };
    let dir = mounted.dir.path();
    core(&dir.join("vmcore"));
    let mut plan = Plan::new(FirstKernel {
        nodename: "toy".into(),
        ..FirstKernel::default()
    });
    plan.source = dir.join("vmcore").to_string_lossy().into_owned();
    plan.targets.push(Target {
        kind: TargetKind::Directory(Directory {
            path: mounted.here().to_string_lossy().into_owned(),
        }),
        deadline_s: 600,
        device_wait_s: 1,
        takes: plan::Takes::Dump,
        keep: None,
    });
    plan.keep.free = 0;
    plan.after.success = FinalAction::Exit;
    plan.after.failure = FinalAction::Exit;
    fs::write(dir.join("plan.json"), plan.to_json().unwrap()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_afterpanic-capture-ssh"))
        .arg(dir.join("plan.json"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    // Degraded: this kernel has neither symbols nor a log.
    assert!([0, 4, 5].contains(&output.status.code().unwrap()), "{said}");
    mounted.end();

    let store = Store::open(&mounted.there()).unwrap();
    let listing = store.list().unwrap();
    assert_eq!(listing.crashes.len(), 1, "{said}");
    let crash = &listing.crashes[0];
    assert_ne!(crash.state, State::Partial);
    let name = crash.path.file_name().unwrap().to_str().unwrap();
    let manifest = store.manifest(name).unwrap();
    assert!(manifest.core.is_some(), "{said}");
    for file in &manifest.files {
        let meta = fs::metadata(crash.path.join(&file.name)).unwrap();
        assert_eq!((meta.len(), meta.mode() & 0o777), (file.size, 0o600));
    }
    let dump = formats::open(&crash.path.join("vmcore.elf.zst")).unwrap();
    let mut page = [0; 4096];
    dump.read_phys(PhysAddr(4096 * 4096), &mut page).unwrap();
    assert_eq!(page, [0x11; 4096]);
}

#[test]
fn files_behave_as_on_a_disk() {
    let Some(mut mounted) = Mounted::new() else {
        return;
    };
    let here = mounted.here().join("a.partial");
    fs::create_dir(&here).unwrap();
    assert!(fs::create_dir(&here).is_err());
    let mut spool = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(here.join("spool"))
        .unwrap();
    assert!(File::create_new(here.join("spool")).is_err());
    // A file without a name, as the seek table's spool.
    fs::remove_file(here.join("spool")).unwrap();
    assert_eq!(fs::read_dir(&here).unwrap().count(), 0);
    let bytes: Vec<u8> = (0..1_000_003_u32).flat_map(u32::to_le_bytes).collect();
    spool.write_all(&bytes).unwrap();
    let mut file = File::create_new(here.join("core")).unwrap();
    // The connection breaks in the middle; both files go on.
    mounted.sshd.kill();
    mounted.sshd.run();
    file.write_all(&bytes).unwrap();
    file.rewind().unwrap();
    file.write_all(b"head").unwrap();
    file.sync_all().unwrap();
    fs::rename(&here, mounted.here().join("a")).unwrap();
    drop(file);
    let there = mounted.there().join("a");
    let written = fs::read(there.join("core")).unwrap();
    assert!(written.len() == bytes.len() && written[..4] == *b"head");
    assert!(written[4..] == bytes[4..]);
    spool.rewind().unwrap();
    let mut read = Vec::new();
    spool.read_to_end(&mut read).unwrap();
    assert!(read == bytes);
    drop(spool);
    let names = || {
        let entries = fs::read_dir(&there).unwrap();
        entries.map(|e| e.unwrap().file_name()).collect::<Vec<_>>()
    };
    let until = Instant::now() + Duration::from_secs(10);
    while names().len() > 1 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(names(), ["core"]);
    let mut more = File::options()
        .append(true)
        .open(mounted.here().join("a/core"))
        .unwrap();
    more.write_all(b"tail").unwrap();
    more.set_len(bytes.len() as u64 + 2).unwrap();
    drop(more);
    let written = fs::read(there.join("core")).unwrap();
    assert!(written.ends_with(b"ta"), "{:?}", written.len());
    let free = nix::sys::statvfs::statvfs(&mounted.here()).unwrap();
    assert!(free.blocks_available() > 0);
    mounted.end();
}

#[test]
fn a_server_that_is_gone_ends_every_call_in_time() {
    let Some(mut mounted) = Mounted::new() else {
        return;
    };
    let mut file = File::create_new(mounted.here().join("core")).unwrap();
    mounted.sshd.kill();
    let begun = Instant::now();
    let failed = (0..64).any(|_| file.write_all(&[7; 1 << 20]).is_err());
    assert!(failed && begun.elapsed() < Duration::from_secs(30));
    // From now on at once.
    let begun = Instant::now();
    assert!(File::create_new(mounted.here().join("other")).is_err());
    assert!(fs::read_dir(mounted.here()).is_err());
    assert!(begun.elapsed() < Duration::from_secs(2));
    drop(file);
    mounted.end();
}

#[test]
fn another_host_key_is_refused_before_anything_is_mounted() {
    let dir = tempfile::tempdir().unwrap();
    let Some(sshd) = Sshd::start(dir.path(), "ed25519", "ed25519", "") else {
        return;
    };
    make_key(&dir.path().join("other"), "ed25519", "");
    let other = fs::read_to_string(dir.path().join("other.pub")).unwrap();
    let (mut process, answer) = serve(dir.path(), &sshd, &other);
    assert!(answer.contains("not the one on record"), "{answer}");
    assert!(!process.wait().unwrap().success());
    assert!(!dir.path().join("srv").exists());
}
