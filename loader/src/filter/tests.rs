//! The filter's outcome: what is kept, for how long, and what is said where nothing can be checked.

use super::*;
use vmcore::mm::Rule;

/// Two notes as the linker writes them: one of another owner, then the build id.
fn notes(id: [u8; 4]) -> Vec<u8> {
    let mut notes = Vec::new();
    for (name, n_type, desc) in [(&b"Xen\0"[..], 6_u32, &[1_u8, 2][..]), (b"GNU\0", 3, &id)] {
        for word in [name.len() as u32, desc.len() as u32, n_type] {
            notes.extend(word.to_le_bytes());
        }
        notes.extend(name);
        notes.extend(desc);
        notes.resize(notes.len().next_multiple_of(4), 0);
    }
    notes
}

fn machine(id: [u8; 4]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("sys/kernel")).unwrap();
    std::fs::create_dir_all(dir.path().join("proc")).unwrap();
    std::fs::write(dir.path().join("sys/kernel/notes"), notes(id)).unwrap();
    dir
}

fn blank(id: &str) -> Filter {
    Filter {
        build_id: id.to_owned(),
        outcome: Outcome::Fits,
        why: Vec::new(),
        free_counted: 0,
        free_expected: 0,
        covered_pages: 0,
        ram_pages: 0,
        deep: false,
        at: 0,
    }
}

#[test]
fn the_build_id_is_found_behind_other_notes() {
    assert_eq!(
        gnu_build_id(&notes([0xab, 1, 2, 0xff])).unwrap(),
        "ab0102ff"
    );
    let cut = notes([0xab, 1, 2, 0xff]);
    assert_eq!(gnu_build_id(&cut[..cut.len() - 1]), None);
    assert_eq!(gnu_build_id(&[0xff; 64]), None);
}

#[test]
fn without_kcore_nothing_is_checked_and_that_is_no_failure() {
    let machine = machine([1, 2, 3, 4]);
    let filter = check_once(machine.path(), false).unwrap();
    assert_eq!(filter.outcome, Outcome::NotChecked);
    assert!(filter.why[0].contains("/proc/kcore"), "{:?}", filter.why);
    let state = State::read(machine.path()).unwrap();
    assert_eq!(of_running(machine.path(), &state), Some(filter));
}

#[test]
fn an_answer_holds_for_one_build() {
    let machine = machine([1, 2, 3, 4]);
    let known = blank("01020304");
    let state = State {
        filter: Some(known.clone()),
        ..State::default()
    };
    state.write(machine.path()).unwrap();
    // Kept, although nothing could be checked now.
    assert_eq!(check_once(machine.path(), false).unwrap(), known);
    // All of RAM is more than what is known.
    assert_ne!(check_once(machine.path(), true).unwrap(), known);
    state.write(machine.path()).unwrap();
    std::fs::write(machine.path().join("sys/kernel/notes"), notes([9; 4])).unwrap();
    assert_eq!(of_running(machine.path(), &state), None);
    let other = check_once(machine.path(), false).unwrap();
    assert_eq!(
        (other.build_id.as_str(), other.outcome),
        ("09090909", Outcome::NotChecked)
    );
}

#[test]
fn one_wrong_number_or_missing_key_is_enough() {
    let zone = |name: &str, found, expected| {
        Check::compare(name, &[Rule::Free], found, expected, Vec::new())
    };
    let mut live = Live {
        checks: vec![zone("free/0/DMA", 5, 5), zone("free/0/DMA32", 70, 70)],
        covered: 100,
        total: 400,
    };
    live.checks
        .push(Check::not_made("free/0/Normal", &[Rule::Free], "the time"));
    let good = judged(blank("x"), &live, Vec::new());
    assert_eq!((good.outcome, good.why.len()), (Outcome::Fits, 0));
    assert_eq!((good.free_counted, good.free_expected), (75, 75));
    assert_eq!((good.covered_pages, good.ram_pages), (100, 400));

    let off = judged(
        blank("x"),
        &live,
        vec!["rule tail is off: no key".to_owned()],
    );
    assert_eq!(off.outcome, Outcome::DoesNotFit);

    live.checks[1] = zone("free/0/DMA32", 60, 70);
    let bad = judged(blank("x"), &live, Vec::new());
    assert_eq!(bad.outcome, Outcome::DoesNotFit);
    assert_eq!(bad.why, ["free/0/DMA32: 60 counted, 70 expected"]);

    live.covered = 0;
    live.checks.drain(..2);
    let none = judged(blank("x"), &live, Vec::new());
    assert_eq!(
        (none.outcome, none.why),
        (Outcome::NotChecked, vec!["the time".to_owned()])
    );
}
