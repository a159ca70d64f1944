//! What is done before and after a panic, on a tree of files; the panic itself is the laboratory's.

use super::*;

const LOG: &str =
    "[   41.000001] afterpanic: crash-test 0123456789ab: a panic by sysrq is asked for\n";

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn marked(boot_id: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "proc/sys/kernel/random/boot_id", "two\n");
    let test = CrashTest {
        id: "0123456789ab".into(),
        how: "sysrq".into(),
        at: 1_795_300_000,
        boot_id: boot_id.into(),
        release: "6.12".into(),
        stores: vec!["/var/crash".into()],
        with: Vec::new(),
        found: None,
    };
    let state = State {
        crash_test: Some(test),
        ..State::default()
    };
    state.write(dir.path()).unwrap();
    dir
}

fn test_of(root: &Path) -> CrashTest {
    State::read(root).unwrap().crash_test.unwrap()
}

const MANIFEST: &str = r#"{"schema":1,"afterpanic":"0","verdict":"complete","release":"6.12",
    "files":[],"soft_errors":[],"steps":[]}"#;

#[test]
fn in_the_boot_that_was_to_end_nothing_is_said_yet() {
    let dir = marked("two");
    assert_eq!(outcome(dir.path(), &test_of(dir.path())), None);
    assert!(settle(dir.path(), &[]).unwrap().is_none());
}

#[test]
fn another_crash_is_not_this_tests() {
    let dir = marked("one");
    put(
        dir.path(),
        "var/crash/n-20261121T231500Z/manifest.json",
        MANIFEST,
    );
    put(
        dir.path(),
        "var/crash/n-20261121T231500Z/dmesg.txt",
        &LOG.replace("0123", "4567"),
    );
    let found = outcome(dir.path(), &test_of(dir.path())).unwrap();
    assert!(!found.passed);
    assert_eq!(found.summary, "no core of it has arrived in /var/crash");
    // What is settled without a core is looked for again.
    let settled = settle(dir.path(), &[]).unwrap().unwrap();
    assert_eq!(settled.found.unwrap().dir, None);
    put(dir.path(), "mnt/n-20261121T231500Z/dmesg.txt", LOG);
    put(dir.path(), "mnt/n-20261121T231500Z/manifest.json", MANIFEST);
    let again = settle(dir.path(), &["/mnt".into()]).unwrap().unwrap();
    let found = again.found.unwrap();
    assert_eq!(found.dir.unwrap(), Path::new("/mnt/n-20261121T231500Z"));
    // There is no core, and that is no pass.
    assert!(!found.passed);
    assert!(found.summary.starts_with("its log arrived without a core"));
    let state = State::read(dir.path()).unwrap();
    let proof = state.proof.unwrap();
    assert_eq!((proof.by.as_str(), proof.passed), ("crash-test", false));
    assert!(settle(dir.path(), &[]).unwrap().is_none());
}

#[test]
fn a_glance_believes_the_capture_kernel() {
    let dir = marked("one");
    let at = "var/crash/n-20261121T231500Z";
    put(dir.path(), &format!("{at}/dmesg.txt"), LOG);
    let core = r#""core":{"file":"vmcore.elf.zst","format":"elf-zst","level":"standard",
        "asked":"standard","verdict":"complete","size":39000000,"kinds":{},"threads":1,
        "pages":{"ram":2000,"kept":300,"zero":0,"missing":0},"classify_s":0.1,"write_s":1},
        "files""#;
    let manifest = MANIFEST.replace("\"files\"", core);
    put(dir.path(), &format!("{at}/manifest.json"), &manifest);
    let report = "n panicked\n  SysRq crash, asked for by somebody\n";
    put(dir.path(), &format!("{at}/report.txt"), report);
    let found = outcome(dir.path(), &test_of(dir.path())).unwrap();
    assert!(found.passed, "{found:?}");
    assert!(
        found
            .summary
            .ends_with("; report: SysRq crash, asked for by somebody"),
        "{}",
        found.summary
    );
    assert!(
        found.summary.contains(", complete, 38 MiB"),
        "{}",
        found.summary
    );
    for bad in [MANIFEST, &manifest.replacen("complete", "incomplete", 1)] {
        put(dir.path(), &format!("{at}/manifest.json"), bad);
        assert!(!outcome(dir.path(), &test_of(dir.path())).unwrap().passed);
    }
}

fn rehearsed(at: i64) -> Proof {
    Proof {
        by: "rehearse".into(),
        at,
        release: "6.12".into(),
        passed: true,
        summary: "s".into(),
        peak: None,
        with: Vec::new(),
    }
}

#[test]
fn a_test_without_a_core_is_told_once_and_a_newer_proof_stays() {
    let dir = marked("one");
    let root = dir.path();
    let put_proof = |at| {
        let mut state = State::read(root).unwrap();
        state.proof = Some(rehearsed(at));
        state.write(root).unwrap();
    };
    let by = || State::read(root).unwrap().proof.unwrap().by;
    put_proof(1_795_299_999);
    assert!(settle(root, &[]).unwrap().is_some());
    assert_eq!(by(), "crash-test");
    // The next boot sees the same: nothing is said again.
    assert!(settle(root, &[]).unwrap().is_none());
    put_proof(1_795_300_001);
    assert!(settle(root, &[]).unwrap().is_none());
    assert_eq!(by(), "rehearse");
    // Its core is found late: the test has its answer, the newer proof stays.
    put(root, "var/crash/n-20261121T231500Z/dmesg.txt", LOG);
    put(root, "var/crash/n-20261121T231500Z/manifest.json", MANIFEST);
    assert!(
        settle(root, &[])
            .unwrap()
            .unwrap()
            .found
            .unwrap()
            .dir
            .is_some()
    );
    assert_eq!(by(), "rehearse");
}

#[test]
fn the_store_of_a_mounted_device_is_looked_into() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    put(root, "dev/vdb1", "");
    put(
        root,
        "proc/self/mountinfo",
        "36 35 254:17 / /mnt/dumps rw - ext4 /dev/vdb1 rw\n",
    );
    fs::create_dir_all(root.join("mnt/dumps")).unwrap();
    let text = "[[target]]\ndevice = \"/dev/vdb1\"\npath = \"/crash\"\n";
    let config = Config::parse(text).unwrap();
    let ready = examine(
        root,
        &config,
        Path::new("/etc/afterpanic.toml"),
        "/none".into(),
        How::Sysrq,
    );
    assert_eq!(ready.stores, [Path::new("/mnt/dumps/crash")]);
    // A store below the root prefix is the same as the one without it.
    let marked = marked("one");
    let root = marked.path();
    put(root, "mnt/n-20261121T231500Z/dmesg.txt", LOG);
    put(root, "mnt/n-20261121T231500Z/manifest.json", MANIFEST);
    let test = settle(root, &[root.join("mnt")]).unwrap().unwrap();
    let found = test.found.unwrap().dir.unwrap();
    assert_eq!(found, Path::new("/mnt/n-20261121T231500Z"));
}

#[test]
fn a_sealed_core_arrived_and_was_not_read() {
    let dir = marked("one");
    let at = "var/crash/n-20261121T231500Z";
    let sealed = "age-encryption.org/v1\nwhat only the key opens";
    let with = |crash_time: i64, size: usize| {
        let core = format!(
            r#""crash_time":{crash_time},"core":{{"file":"vmcore.elf.zst.age","format":"elf-zst",
            "level":"standard","asked":"standard","verdict":"complete","size":{size},"kinds":{{}},
            "threads":1,"pages":{{"ram":2000,"kept":300,"zero":0,"missing":0}},"classify_s":0.1,
            "write_s":1}},"files":[{{"name":"vmcore.elf.zst.age","size":{size}}}]"#
        );
        MANIFEST.replace("\"files\":[]", &core)
    };
    let outcome_with = |text: &str| {
        put(dir.path(), &format!("{at}/manifest.json"), text);
        outcome(dir.path(), &test_of(dir.path())).unwrap()
    };
    put(dir.path(), &format!("{at}/vmcore.elf.zst.age"), sealed);
    let found = outcome_with(&with(1_795_300_004, sealed.len()));
    assert!(found.passed, "{found:?}");
    assert!(found.summary.contains("were not read"), "{}", found.summary);
    // Shorter than it was written.
    let cut = outcome_with(&with(1_795_300_004, sealed.len() + 1));
    assert!(!cut.passed && cut.dir.is_some(), "{cut:?}");
    // Another crash's time.
    for time in [1_795_299_000, 1_795_301_000] {
        assert_eq!(outcome_with(&with(time, sealed.len())).dir, None);
    }
}
