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
    assert!(run(root, &stores, true, &Config::default()).is_err());
    let done = run(root, &stores, false, &Config::default()).unwrap();
    let said = |problem: &String| problem.contains("Cannot list") && problem.contains("/bad");
    assert!(done.problems.iter().any(said), "{:?}", done.problems);
    let state = loader::state::State::read(root).unwrap();
    assert_eq!(state.announced.len(), 1, "{:?}", done.problems);
}

#[test]
fn an_old_record_is_not_the_newest_crashs_but_a_crash_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let _journal = journal(root);
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    put(root, "proc/uptime", "1000.00 1.00");
    put(root, "proc/sys/kernel/hostname", "n\n");
    // The crash was at 1605998100.
    put(root, "var/crash/n-20201121T223500Z/dmesg.txt", "log");
    for (name, time) in [("1", 1_605_998_105), ("2", 1_605_990_000)] {
        let path = format!("sys/fs/pstore/dmesg-efi-{name}");
        put(root, &path, "panic");
        let file = fs::File::options().write(true).open(root.join(path));
        file.unwrap().set_modified(at(time)).unwrap();
    }
    let stores = [root.join("var/crash")];
    let done = run(root, &stores, false, &Config::default()).unwrap();
    let copied = root.join("var/crash/n-20201121T223500Z/pstore/dmesg-efi-1");
    let made = root.join("var/crash/n-20201121T202000Z.incomplete");
    assert_eq!(done.paths, [copied, made.clone()]);
    assert_eq!(done.problems, Vec::<String>::new());
    assert!(made.join("pstore/dmesg-efi-2").exists());
    assert!(root.join("sys/fs/pstore/dmesg-efi-2").exists());
    // Once: also when the directory was removed.
    assert!(
        run(root, &stores, false, &Config::default())
            .unwrap()
            .paths
            .is_empty()
    );
    fs::remove_dir_all(&made).unwrap();
    assert!(
        run(root, &stores, false, &Config::default())
            .unwrap()
            .paths
            .is_empty()
    );
}

#[test]
fn a_record_that_cannot_become_a_crash_is_reported_once() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let _journal = journal(root);
    put(root, "proc/uptime", "1000.00 1.00");
    fs::create_dir_all(root.join("var/crash")).unwrap();
    put(root, "sys/fs/pstore/dmesg-ramoops-0.enc.z", "\u{1}\u{2}");
    let stores = [root.join("var/crash")];
    let done = run(root, &stores, false, &Config::default()).unwrap();
    assert_eq!(done.problems.len(), 1, "{:?}", done.problems);
    assert!(done.problems[0].contains("dmesg-ramoops-0.enc.z belongs to no crash"));
    let again = run(root, &stores, false, &Config::default()).unwrap();
    assert!(again.problems.is_empty(), "{:?}", again.problems);
    assert_eq!(fs::read_dir(root.join("var/crash")).unwrap().count(), 0);
}

#[test]
fn two_stores_may_hold_directories_of_one_name() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let journal = journal(root);
    journal.set_nonblocking(true).unwrap();
    let told = || {
        let mut texts = Vec::new();
        let mut buf = [0; 4096];
        while let Ok(n) = journal.recv(&mut buf) {
            texts.push(String::from_utf8_lossy(&buf[..n]).into_owned());
        }
        texts
    };
    let name = "n-20201121T231500Z";
    let stores = ["var/crash", "srv/crash"].map(|store| root.join(store));
    put(root, &format!("var/crash/{name}/dmesg.txt"), "log");
    put(root, "srv/crash/other", "x");
    run(root, &stores, false, &Config::default()).unwrap();
    assert_eq!(told().len(), 1);
    put(root, &format!("srv/crash/{name}/dmesg.txt"), "log");
    run(root, &stores, false, &Config::default()).unwrap();
    let texts = told();
    assert!(
        texts.len() == 1 && texts[0].contains("srv/crash"),
        "{texts:?}"
    );
    run(root, &stores, false, &Config::default()).unwrap();
    assert!(told().is_empty());
}

/// Who may only read can look through a store: nothing is written where nothing is new.
#[test]
fn a_state_that_cannot_be_written_costs_nothing_where_nothing_is_new() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let _journal = journal(root);
    put(root, "var/crash/n-20201121T231500Z/dmesg.txt", "log");
    put(root, "sys/fs/pstore/dmesg-efi-1", "panic");
    let stores = [root.join("var/crash")];
    run(root, &stores, false, &Config::default()).unwrap();
    // In place of the lock that nobody but root can open.
    let lock = root.join("var/lib/afterpanic/state.lock");
    fs::remove_file(&lock).unwrap();
    fs::create_dir(&lock).unwrap();
    let done = run(root, &stores, false, &Config::default()).unwrap();
    assert!(done.problems.is_empty(), "{:?}", done.problems);
}
