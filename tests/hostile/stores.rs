//! A store that everybody may write to, as Ubuntu's /var/crash is.

use crate::harness::Machine;
use crate::timely::{run, snapshot};
use nix::sys::stat::Mode;
use nix::unistd::{geteuid, mkfifo};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use synth::kernel::{CRASH_TIME, Crash, Kernel, RELEASE};

/// Somebody else.
const NOBODY: u32 = 65_534;
/// The crash that really happened.
const OURS: &str = "web-03-20261121T231500Z";
const VERBS: &[&[&str]] = &[
    &["list"],
    &["list", "--json"],
    &["status"],
    &["status", "--json"],
    &["report", "last"],
    &["report", "last", "--stored"],
    &["dmesg", "last"],
    &["bt"],
    &["info", "last"],
    &["verify", "last"],
    &[],
    &["collect"],
];

/// Makes a directory a stranger's: by its owner, or where the test is not root by its mode.
fn estrange(dir: &PathBuf) {
    match geteuid().is_root() {
        true => {
            for entry in fs::read_dir(dir).unwrap() {
                std::os::unix::fs::lchown(entry.unwrap().path(), Some(NOBODY), None).unwrap();
            }
            chown(dir, Some(NOBODY), None).unwrap();
        }
        false => fs::set_permissions(dir, Permissions::from_mode(0o777)).unwrap(),
    }
}

/// A manifest that says that all went well.
fn forged(signature: &str, time: u64, files: &serde_json::Value) -> String {
    serde_json::json!({
        "schema": 1,
        "afterpanic": "0.1.0",
        "verdict": "complete",
        "release": RELEASE,
        "signature": signature,
        "crash_time": time,
        "uptime_s": 1,
        "files": files,
        "soft_errors": [],
        "steps": [],
    })
    .to_string()
}

struct Scene {
    machine: Machine,
    /// Strangers' directories.
    strangers: usize,
}

impl Scene {
    fn crash(&self, name: &str) -> PathBuf {
        let dir = self.machine.path("/var/crash").join(name);
        fs::create_dir_all(&dir).unwrap();
        fs::set_permissions(&dir, Permissions::from_mode(0o700)).unwrap();
        dir
    }

    fn stranger(&mut self, name: &str, fill: impl FnOnce(&PathBuf)) {
        let dir = self.crash(name);
        fill(&dir);
        estrange(&dir);
        self.strangers += 1;
    }
}

/// One crash of ours, and what a local user put beside it.
fn scene() -> Scene {
    let machine = Machine::empty();
    machine
        .file("/outside/canary", "untouched")
        .file("/sys/fs/pstore/dmesg-efi-1", "Panic#1 Part1\nlast words\n");
    let mut scene = Scene {
        machine,
        strangers: 0,
    };
    let ours = scene.crash(OURS);
    let core = Kernel::new(Crash::NullPointer).elf();
    fs::write(ours.join("vmcore.elf"), &core).unwrap();
    let files = serde_json::json!([{ "name": "vmcore.elf", "size": core.len() }]);
    let manifest = forged("null-deref:crasher_write:dfc81d", CRASH_TIME, &files);
    fs::write(ours.join("manifest.json"), manifest).unwrap();
    let report = scene
        .machine
        .run(&["report", ours.to_str().unwrap(), "--json"]);
    fs::write(ours.join("report.json"), report.stdout()).unwrap();
    let store = scene.machine.path("/var/crash");
    fs::set_permissions(&store, Permissions::from_mode(0o3777)).unwrap();

    let outside = scene.machine.path("/outside");
    let now = jiff::Timestamp::now();
    let files = serde_json::json!([]);
    for n in 1..=5_i64 {
        // A loop of panics that never was, with more room for rotation than there is.
        let at = now - jiff::SignedDuration::from_secs(n * 60);
        let name = format!("evil-{}", at.strftime("%Y%m%dT%H%M%SZ"));
        let time = u64::try_from(at.as_second()).unwrap();
        scene.stranger(&name, |dir| {
            fs::write(
                dir.join("manifest.json"),
                forged("forged:loop:1", time, &files),
            )
            .unwrap();
            fs::write(dir.join("vmcore.elf"), "not a core").unwrap();
            fs::write(dir.join("report.json"), "{").unwrap();
        });
    }
    scene.stranger("fifo-20270101T000000Z", |dir| {
        for name in [
            "manifest.json",
            "report.json",
            "dmesg.txt",
            "vmcore.elf.zst",
        ] {
            mkfifo(&dir.join(name), Mode::S_IRWXU).unwrap();
        }
    });
    scene.stranger("huge-20270102T000000Z", |dir| {
        fs::write(dir.join("manifest.json"), vec![b'['; 6 << 20]).unwrap();
        fs::write(dir.join("report.json"), vec![b'['; 20 << 20]).unwrap();
    });
    scene.stranger("pstore-20270103T000000Z.partial", |dir| {
        symlink(&outside, dir.join("pstore")).unwrap();
        symlink(outside.join("new"), dir.join("manifest.json")).unwrap();
        symlink(outside.join("canary"), dir.join("dmesg.txt")).unwrap();
    });
    // A link is no directory; it is passed over.
    symlink(&outside, store.join("link-20270104T000000Z")).unwrap();
    symlink(
        store.join(OURS),
        store.join("link-20270105T000000Z.partial"),
    )
    .unwrap();
    scene
}

#[test]
fn no_verb_hangs_on_a_stranger_or_writes_for_one() {
    let scene = scene();
    let root = scene.machine.root();
    let strangers = |all: &std::collections::BTreeMap<PathBuf, String>| {
        let ours = scene.machine.path("/var/crash").join(OURS);
        let store = scene.machine.path("/var/crash");
        let state = scene.machine.path("/var/lib");
        let mut all = all.clone();
        // The record of pstore is of no crash that is saved: a crash directory is made of it.
        let made = |path: &Path| {
            let inside = path.strip_prefix(&store).ok();
            inside.is_some_and(|inside| inside.to_string_lossy().starts_with("unknown-"))
        };
        // What is ours may change, and the store's own time with it.
        all.retain(|path, _| {
            !path.starts_with(&ours)
                && !made(path)
                && *path != store
                && !path.starts_with(&state)
                && *path != scene.machine.path("/var")
                && !path.starts_with(scene.machine.path("/sys"))
        });
        all
    };
    let before = strangers(&snapshot(root));
    for args in VERBS {
        let ran = run(&scene.machine, args);
        let (out, errors) = (ran.stdout(), ran.stderr());
        let context = format!("{args:?}: exit {}\n{out}{errors}", ran.code());
        assert!(!out.contains("forged:loop"), "{context}");
        assert!(errors.matches("skipped").count() <= 1, "{context}");
        assert_eq!(strangers(&snapshot(root)), before, "{context}");
    }
    let canary = fs::read_to_string(scene.machine.path("/outside/canary")).unwrap();
    assert_eq!(canary, "untouched");
}

#[test]
fn last_is_ours_and_strangers_are_named_once() {
    let scene = scene();
    let report = run(&scene.machine, &["report", "last"]);
    let first = "web-03 panicked 2026-11-21 23:15:00 UTC";
    assert!(report.stdout().starts_with(first), "{}", report.stderr());
    let list = run(&scene.machine, &["list"]);
    assert_eq!(list.stdout().lines().count(), 1, "{}", list.stdout());
    let warned = list.stderr();
    let more = format!("and {} more: another user owns them", scene.strangers - 3);
    assert!(warned.contains(&more), "{warned}");
    assert_eq!(warned.lines().count(), 1, "{warned}");
    // Its five forged panics of the last minutes are no loop.
    let status = run(&scene.machine, &["status"]);
    let all = status.stdout() + &status.stderr();
    assert!(!all.contains("the next crash like it"), "{all}");
    // pstore's record goes to the crash of its time, which is ours, whatever is newer.
    let record = scene.machine.path("/sys/fs/pstore/dmesg-efi-1");
    let record = fs::File::options().write(true).open(record).unwrap();
    let death = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_302_900);
    record.set_modified(death).unwrap();
    run(&scene.machine, &["collect"]).exits(4);
    let ours = scene.machine.path("/var/crash").join(OURS);
    assert!(ours.join("pstore/dmesg-efi-1").is_file());
}

#[test]
fn a_manifest_leads_nowhere_else() {
    let scene = scene();
    let secret = "0123456789abcdef";
    scene.machine.file("/outside/secret", secret);
    let dir = scene.crash("given-20261120T000000Z");
    fs::write(dir.join("vmcore.elf"), Kernel::new(Crash::Sysrq).elf()).unwrap();
    mkfifo(&dir.join("fifo"), Mode::S_IRWXU).unwrap();
    symlink(scene.machine.path("/outside/secret"), dir.join("link")).unwrap();
    let names = [
        "/dev/zero",
        "/dev/stdin",
        "..",
        ".",
        "",
        "../../../outside/secret",
        "fifo",
        "link",
        "pstore/../../x",
    ];
    let files: Vec<_> = names
        .iter()
        .map(|name| serde_json::json!({ "name": name, "size": secret.len(), "sha256": "00" }))
        .collect();
    let manifest = forged("x", CRASH_TIME, &serde_json::json!(files));
    fs::write(dir.join("manifest.json"), manifest).unwrap();
    let verified = run(&scene.machine, &["verify", dir.to_str().unwrap(), "--json"]).exits(5);
    let answer = verified.json();
    let checks = answer["files"].as_array().unwrap();
    assert_eq!(checks.len(), names.len());
    for check in checks {
        assert_eq!(check["ok"], false, "{check}");
        let detail = check["detail"].as_str().unwrap();
        // Neither read nor hashed: what it said would be about the content.
        assert!(
            !detail.contains("SHA-256") && !detail.contains("bytes, the"),
            "{check}"
        );
    }
}

#[test]
fn a_directory_that_the_user_names_may_hold_anything() {
    let scene = scene();
    for name in ["fifo-20270101T000000Z", "huge-20270102T000000Z"] {
        let dir = scene.machine.path("/var/crash").join(name);
        for verb in [
            &["report"][..],
            &["report", "--stored"],
            &["info"],
            &["verify"],
            &["list"],
            &["collect"],
        ] {
            let mut args = verb.to_vec();
            args.push(dir.to_str().unwrap());
            run(&scene.machine, &args);
        }
    }
}
