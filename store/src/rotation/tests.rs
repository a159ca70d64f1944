//! What is removed, and what never is.

use super::*;
use crate::tests::crash_dir;

fn crash(n: u64, whole: bool, signature: &str) -> Earlier {
    Earlier {
        name: n.to_string(),
        bytes: 100,
        whole,
        signature: Some(signature.into()),
        ..Earlier::default()
    }
}

fn this(signature: &str) -> CrashFacts {
    CrashFacts {
        signature: Some(signature.into()),
        ..CrashFacts::default()
    }
}

fn keep(dumps: u32, free: u64) -> Keep {
    Keep {
        dumps,
        free,
        ..Keep::default()
    }
}

/// The names removed, and whether the core fits.
fn gone(all: &[Earlier], signature: &str, keep: &Keep, free: u64, need: Need) -> (String, bool) {
    let found = removals(all, &this(signature), keep, free, need);
    (found.names.join(" "), found.fits)
}

#[test]
fn the_oldest_go_first_and_no_more_than_needed() {
    let all: Vec<_> = (0..5).map(|n| crash(n, true, "x")).collect();
    let case = |keep: Keep, free, need| gone(&all, "y", &keep, free, Need::Core(need));
    assert_eq!(case(keep(5, 10), 1000, 50), ("0".into(), true));
    assert_eq!(case(keep(50, 10), 20, 130), ("0 1".into(), true));
    assert_eq!(case(keep(50, 10), 60, 50), (String::new(), true));
}

#[test]
fn what_cannot_fit_removes_nothing_for_space() {
    let all: Vec<_> = (0..5).map(|n| crash(n, true, "x")).collect();
    let case = |dumps| gone(&all, "y", &keep(dumps, 10), 20, Need::Core(100_000));
    assert_eq!(case(50), (String::new(), false));
    assert_eq!(case(4), ("0 1".into(), false));
}

#[test]
fn the_only_whole_core_and_the_first_of_its_kind_stay() {
    let all = [
        crash(0, true, "x"),
        crash(1, false, "x"),
        crash(2, false, "y"),
    ];
    let need = Need::Core(1000);
    assert_eq!(gone(&all, "z", &keep(1, 0), 0, need).0, "1");
    let all = [
        crash(0, true, "x"),
        crash(1, true, "x"),
        crash(2, true, "y"),
    ];
    assert_eq!(gone(&all, "x", &keep(1, 0), 1000, Need::Core(0)).0, "1 2");
    assert_eq!(gone(&all, "z", &keep(1, 0), 1000, Need::Core(0)).0, "0 1");
}

#[test]
fn crashes_without_a_core_go_before_those_with_one() {
    let all = [
        crash(0, true, "a"),
        crash(1, false, "b"),
        crash(2, true, "c"),
    ];
    assert_eq!(
        gone(&all, "z", &keep(9, 0), 50, Need::Core(100)),
        ("1".into(), true)
    );
    assert_eq!(
        gone(&all, "z", &keep(9, 0), 50, Need::Core(200)),
        ("1 0".into(), true)
    );
}

#[test]
fn a_crash_that_brings_no_core_never_costs_one() {
    let cores: Vec<_> = (0..5).map(|n| crash(n, true, "x")).collect();
    assert_eq!(gone(&cores, "y", &keep(1, 500), 0, Need::SmallFiles).0, "");
    let logs: Vec<_> = (0..7).map(|n| crash(n, false, "x")).collect();
    assert_eq!(
        gone(&logs, "y", &keep(5, 0), 0, Need::SmallFiles).0,
        "0 1 2"
    );
    // And those do not push a core out by their number.
    let mixed: Vec<_> = (0..8).map(|n| crash(n, n == 0, "x")).collect();
    assert!(
        !gone(&mixed, "y", &keep(5, 0), 9999, Need::Core(1))
            .0
            .starts_with('0')
    );
}

#[test]
fn room_for_the_essential_pages_is_made_before_the_core() {
    let all = [
        crash(0, true, "x"),
        crash(1, false, "b"),
        crash(2, true, "y"),
        crash(3, true, "z"),
    ];
    let case = |free, bytes, core_follows| {
        let need = Need::Essential {
            bytes,
            core_follows,
        };
        // Neither what must stay free nor the number of crashes counts yet.
        gone(&all, "x", &keep(1, 1 << 40), free, need)
    };
    assert_eq!(case(100, 100, true), (String::new(), true));
    assert_eq!(case(0, 100, true), ("1".into(), true));
    assert_eq!(case(0, 200, true), ("1 2".into(), true));
    // A crash that brings no core costs none, and a part of the room is worth having.
    assert_eq!(case(0, 200, false), ("1".into(), false));
    assert_eq!(case(0, 100_000, true), ("1".into(), false));
}

#[test]
fn zero_keeps_everything() {
    let all: Vec<_> = (0..9).map(|n| crash(n, true, "x")).collect();
    let full = gone(&all, "y", &keep(0, 10), 20, Need::Core(130));
    assert_eq!(full, (String::new(), false));
    let need = Need::Essential {
        bytes: 130,
        core_follows: true,
    };
    assert_eq!(gone(&all, "y", &keep(0, 10), 20, need).0, "");
}

#[test]
fn only_directories_with_a_manifest_are_seen() {
    let base = tempfile::tempdir().unwrap();
    let text = r#"{"schema":1,"afterpanic":"x","verdict":"incomplete","release":"r",
        "files":[{"name":"dmesg.txt","size":5}],"soft_errors":[],"steps":[]}"#;
    for name in [
        "a-20261121T231500Z",
        "c-20261121T231502Z.partial",
        "d-20261121T231503Z.incomplete",
    ] {
        crash_dir(base.path(), name, text);
    }
    std::fs::create_dir(base.path().join("b-20261121T231501Z")).unwrap();
    let store = Store::open(base.path()).unwrap();
    let seen = earlier(&store).unwrap().crashes;
    let names: Vec<_> = seen.iter().map(|crash| crash.name.as_str()).collect();
    assert_eq!(
        names,
        ["a-20261121T231500Z", "d-20261121T231503Z.incomplete"]
    );
    assert!(seen.iter().all(|crash| !crash.whole && crash.bytes >= 512));
}
