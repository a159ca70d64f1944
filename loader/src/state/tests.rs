//! The state file: read, changed by several at once, damaged.

use super::*;
use std::os::unix::fs::MetadataExt;

#[test]
fn none_is_empty_and_what_is_written_is_read_with_unknown_keys_kept() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(State::read(dir.path()).unwrap(), State::default());
    let text = r#"{"proof":{"by":"rehearse","at":5,"release":"6.12","passed":true,"summary":"s","peak":null},"later":7}"#;
    let mut state: State = serde_json::from_str(text).unwrap();
    state.write(dir.path()).unwrap();
    state = State::read(dir.path()).unwrap();
    assert_eq!(state.other["later"], 7);
    assert!(state.proof.unwrap().passed);
    let meta = fs::metadata(root::under(dir.path(), FILE)).unwrap();
    assert_eq!(meta.mode() & 0o777, 0o600);
}

#[test]
fn a_damaged_file_is_said_with_its_path() {
    let dir = tempfile::tempdir().unwrap();
    replace(&root::under(dir.path(), FILE), b"{").unwrap();
    let said = State::read(dir.path()).unwrap_err().to_string();
    assert!(said.contains("state.json is damaged"), "{said}");
}

#[test]
fn changes_at_the_same_time_are_all_kept() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let root = dir.path();
            scope.spawn(move || {
                for n in 0..10 {
                    let name = format!("{writer}-{n}");
                    State::change(root, |state| state.announced.insert(name)).unwrap();
                }
            });
        }
    });
    assert_eq!(State::read(dir.path()).unwrap().announced.len(), 40);
    let left: Vec<_> = fs::read_dir(dir.path().join("var/lib/afterpanic"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".new"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_damaged_state_is_moved_aside_and_said() {
    let dir = tempfile::tempdir().unwrap();
    let path = root::under(dir.path(), FILE);
    replace(&path, b"{\"proof\": 1").unwrap();
    let change = || State::change(dir.path(), |state| state.announced.insert("n".into()));
    let said = change().unwrap_err().to_string();
    assert!(said.contains("state.json was damaged"), "{said}");
    let aside = path.with_file_name("state.json.damaged");
    assert_eq!(fs::read(aside).unwrap(), b"{\"proof\": 1");
    assert!(!path.exists());
    change().unwrap();
    assert!(State::read(dir.path()).unwrap().announced.contains("n"));
}
