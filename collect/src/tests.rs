//! What is done at the next boot, on a tree of files.

use super::*;
use std::fs;

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A journal that takes every message.
fn journal(root: &Path) -> std::os::unix::net::UnixDatagram {
    let path = root.join("run/systemd/journal/socket");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::os::unix::net::UnixDatagram::bind(path).unwrap()
}

#[test]
fn one_bad_store_does_not_end_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let _journal = journal(root);
    put(root, "bad", "no directory");
    let partial = "var/crash/n-20201121T231500Z.partial";
    put(root, &format!("{partial}/dmesg.txt"), "log");
    let stores = [root.join("bad"), root.join("var/crash")];
    assert!(run(root, &stores, true).is_err());
    let done = run(root, &stores, false).unwrap();
    let said = |problem: &String| problem.contains("Cannot list") && problem.contains("/bad");
    assert!(done.problems.iter().any(said), "{:?}", done.problems);
    let state = loader::state::State::read(root).unwrap();
    assert_eq!(state.announced.len(), 1, "{:?}", done.problems);
}
