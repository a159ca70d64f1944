//! Histories of panics, and whether the next one writes a core.

use super::*;

fn crash(n: u64, whole: bool, signature: &str) -> Earlier {
    Earlier {
        name: format!("{n}"),
        bytes: 100,
        whole,
        signature: Some(signature.into()),
        crash_time: Some(1000 + n),
        uptime_s: Some(10_000),
    }
}

fn this(signature: &str) -> CrashFacts {
    CrashFacts {
        signature: Some(signature.into()),
        crash_time: Some(2000),
        uptime_s: Some(10_000),
        ..CrashFacts::default()
    }
}

#[test]
fn three_whole_cores_of_one_signature_within_a_day_are_a_loop() {
    let all: Vec<_> = (0..3).map(|n| crash(n, true, "x")).collect();
    let why = in_a_loop(&all, &this("x")).unwrap();
    assert!(why.contains("signature x"), "{why}");
    assert_eq!(in_a_loop(&all, &this("y")), None);
    assert_eq!(in_a_loop(&all[..2], &this("x")), None);
    let mut later = this("x");
    later.crash_time = Some(2000 + DAY);
    assert_eq!(in_a_loop(&all, &later), None);
}

#[test]
fn crashes_without_a_whole_core_do_not_count() {
    let all: Vec<_> = (0..3).map(|n| crash(n, n > 0, "x")).collect();
    assert_eq!(in_a_loop(&all, &this("x")), None);
    let mut boots: Vec<_> = (0..3).map(|n| crash(n, false, "x")).collect();
    for boot in &mut boots {
        boot.uptime_s = Some(20);
    }
    let mut now = this("y");
    now.uptime_s = Some(20);
    assert_eq!(in_a_loop(&boots, &now), None);
}

#[test]
fn three_panics_right_after_boot_are_a_loop() {
    let mut boots: Vec<_> = (0..3).map(|n| crash(n, true, &format!("s{n}"))).collect();
    for boot in &mut boots {
        boot.uptime_s = Some(20);
    }
    let mut now = this("t");
    assert_eq!(in_a_loop(&boots, &now), None);
    now.uptime_s = Some(299);
    assert!(in_a_loop(&boots, &now).unwrap().contains("of boot"));
}

#[test]
fn what_is_in_the_store_says_whether_the_next_crash_is_guarded() {
    let base = tempfile::tempdir().unwrap();
    let manifest = |n: u64| {
        format!(
            r#"{{"schema": 1, "afterpanic": "x", "verdict": "complete", "release": "6",
                    "crash_time": {}, "signature": "null-deref", "uptime_s": 9000,
                    "files": [], "soft_errors": [], "steps": [],
                    "core": {{"file": "vmcore.elf", "format": "elf", "level": "all", "asked": "all",
                        "verdict": "complete", "size": 1, "threads": 1, "classify_s": 0,
                        "write_s": 0, "kinds": {{}},
                        "pages": {{"ram": 1, "kept": 1, "zero": 0, "missing": 0}}}}}}"#,
            1_000_000 + n
        )
    };
    for n in 0..3 {
        crate::tests::crash_dir(base.path(), &format!("h-2026010{n}T000000Z"), &manifest(n));
    }
    let store = Store::open(base.path()).unwrap();
    let why = next(&store, 1_000_100, Some(9000)).unwrap();
    assert!(why.contains("3 dumps with signature null-deref"), "{why}");
    assert_eq!(next(&store, 1_000_100 + 2 * DAY, Some(9000)), None);
    store.place().remove("h-20260100T000000Z").unwrap();
    assert_eq!(next(&store, 1_000_100, Some(9000)), None);
}
