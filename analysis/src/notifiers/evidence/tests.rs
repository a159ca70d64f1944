//! Stages of panic() by made-up evidence.

use super::*;

const JUMP: [(&str, u64); 4] = [
    ("__crash_kexec", 1),
    ("vpanic", 2),
    ("panic", 3),
    ("sysrq_handle_crash", 4),
];

#[test]
fn a_jump_is_before_or_after_by_the_flag() {
    assert_eq!(calls(&JUMP), [Call::Jump]);
    let facts = |flag| Facts {
        post_notifiers: flag,
        jumped: true,
        panicked: true,
        ended: false,
        calls: calls(&JUMP),
    };
    let outcome = |flag| {
        let (stages, _) = facts(flag).stages();
        stages[0].of_notifier(0, None).0
    };
    assert_eq!(outcome(Some(false)), Outcome::NotReached);
    assert_eq!(outcome(Some(true)), Outcome::Ran);
    assert_eq!(outcome(None), Outcome::Unknown);
}

#[test]
fn a_panic_inside_a_notifier_divides_the_list() {
    let frames = [
        ("__crash_kexec", 1),
        ("panic", 2),
        ("oops_end", 3),
        ("bad_notifier", 77),
        ("notifier_call_chain", 5),
        ("atomic_notifier_call_chain", 6),
        ("panic", 2),
        ("do_exit", 8),
    ];
    let calls = calls(&frames);
    assert_eq!(calls, [Call::Notifiers(Some(77)), Call::Jump]);
    let stage = Stage::InNotifiers(Some(77));
    let outcomes: Vec<_> = (0..3).map(|i| stage.of_notifier(i, Some(1)).0).collect();
    assert_eq!(outcomes, [Outcome::Ran, Outcome::Ran, Outcome::NotReached]);
    assert_eq!(stage.of_dumper(0, None).0, Outcome::NotReached);
    assert_eq!(stage.of_notifier(0, None).0, Outcome::Unknown);
}

#[test]
fn dumpers_come_after_notifiers() {
    let frames = [
        ("efi_pstore_write", 9),
        ("pstore_dump", 4),
        ("kmsg_dump_desc", 5),
        ("vpanic", 6),
    ];
    assert_eq!(calls(&frames), [Call::Dumpers(Some(4))]);
    let stage = Stage::InDumpers(Some(4));
    assert_eq!(stage.of_notifier(7, None).0, Outcome::Ran);
    assert_eq!(stage.of_dumper(1, Some(0)).0, Outcome::NotReached);
}

#[test]
fn without_a_stack_only_what_is_certain_is_said() {
    let mut facts = Facts {
        panicked: true,
        ..Facts::default()
    };
    assert_eq!(facts.stages().0, [Stage::Unknown]);
    facts.ended = true;
    assert_eq!(facts.stages().0, [Stage::After(ENDED)]);
    facts.jumped = true;
    facts.ended = false;
    facts.post_notifiers = Some(false);
    assert_eq!(facts.stages().0, [Stage::Before(BEFORE_JUMP)]);
    facts.post_notifiers = Some(true);
    assert_eq!(facts.stages().0, [Stage::Unknown]);
    assert_eq!(Facts::default().stages().0, [Stage::Before(NO_PANIC)]);
}
