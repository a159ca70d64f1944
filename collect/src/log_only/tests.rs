//! Records without a crash directory become one; records of a crash that is there go to it.

use super::*;
use std::fs;
use std::path::Path;

/// The end of a log with a NULL dereference, as printk has it.
const OOPS: [&str; 8] = [
    "[  100.000000] BUG: kernel NULL pointer dereference, address: 0000000000000018",
    "[  100.000001] Oops: Oops: 0000 [#1] PREEMPT SMP NOPTI",
    "[  100.000002] CPU: 2 UID: 0 PID: 212 Comm: x Not tainted 6.12.1-x #7",
    "[  100.000003] RIP: 0010:acme_poll+0x41/0x50 [acme]",
    "[  100.000004] Call Trace:",
    "[  100.000005]  <TASK>",
    "[  100.000006]  acme_work+0x174/0x330 [acme]",
    "[  100.000007]  </TASK>",
];
const PANIC: &str = "[  101.000000] Kernel panic - not syncing: Fatal exception";

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A machine that has an empty store, and started a thousand seconds ago.
fn machine() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "proc/uptime", "1000.00 1.00");
    put(dir.path(), "proc/sys/kernel/hostname", "box\n");
    fs::create_dir_all(dir.path().join("var/crash")).unwrap();
    dir
}

/// Lines as pstore keeps them.
fn levelled(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("<4>{line}\n")).collect()
}

fn collect(root: &Path) -> crate::Collected {
    crate::run(
        root,
        &[root.join("var/crash")],
        false,
        &config::Config::default(),
    )
    .unwrap()
}

#[test]
fn efi_records_without_a_core_become_a_crash_directory_with_a_report() {
    let dir = machine();
    let root = dir.path();
    // Written backwards: part 1 is the end; the panic that follows is a dump of its own.
    let dump = "var/lib/systemd/pstore/1795309800/001";
    put(
        root,
        &format!("{dump}/dmesg-efi-179530980001001"),
        &format!("Oops#1 Part1\n{}", levelled(&OOPS[4..])),
    );
    put(
        root,
        &format!("{dump}/dmesg-efi-179530980002001"),
        &format!("Oops#1 Part2\n{}", levelled(&OOPS[..4])),
    );
    put(
        root,
        &format!("{dump}/dmesg.txt"),
        "joined by somebody else\n",
    );
    let dump = "var/lib/systemd/pstore/1795309801/002";
    put(
        root,
        &format!("{dump}/dmesg-efi-179530980101002"),
        &format!("Panic#2 Part1\n{}", levelled(&[PANIC])),
    );
    let done = collect(root);
    let made = root.join("var/crash/box-20261122T011001Z.incomplete");
    assert_eq!(
        done.paths,
        std::slice::from_ref(&made),
        "{:?}",
        done.problems
    );
    let log = fs::read_to_string(made.join(DMESG)).unwrap();
    let mut all = OOPS.to_vec();
    all.push(PANIC);
    assert_eq!(log, levelled(&all));
    let text = fs::read_to_string(made.join(REPORT_TXT)).unwrap();
    assert!(text.contains("in acme_poll+0x41 [acme]"), "{text}");
    let manifest: Manifest =
        serde_json::from_slice(&fs::read(made.join("manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest.verdict, Verdict::LogOnly);
    assert_eq!(manifest.class.as_deref(), Some("null-deref"));
    assert_eq!(manifest.release, "6.12.1-x");
    assert_eq!(fs::read_dir(made.join("pstore")).unwrap().count(), 3);
    assert!(collect(root).paths.is_empty());
}

#[test]
fn erst_records_are_put_in_order_by_their_parts() {
    let dir = machine();
    let root = dir.path();
    let dump = "var/lib/systemd/pstore/7290000000000000003";
    for (id, part) in [(1, 3), (2, 2), (3, 1)] {
        let text = format!("Panic#1 Part{part}\n<4>[  10{id}.000000] line {id}\n");
        put(
            root,
            &format!("{dump}/dmesg-erst-729000000000000000{id}"),
            &text,
        );
    }
    let done = collect(root);
    assert_eq!(done.paths.len(), 1, "{:?}", done.problems);
    let log = fs::read_to_string(done.paths[0].join(DMESG)).unwrap();
    let numbers: Vec<&str> = log
        .lines()
        .filter_map(|line| line.rsplit(' ').next())
        .collect();
    assert_eq!(numbers, ["1", "2", "3"]);
}

#[test]
fn content_says_whose_a_record_without_a_time_is() {
    let dir = machine();
    let root = dir.path();
    // Not the newest one, and days before this boot.
    put(
        root,
        "var/crash/box-20201121T223500Z/dmesg.txt",
        &(OOPS.join("\n") + "\n" + PANIC + "\n"),
    );
    put(
        root,
        "var/crash/box-20201122T223500Z/dmesg.txt",
        "[    1.000000] something else\n",
    );
    put(
        root,
        "var/lib/systemd/pstore/dmesg-ramoops-0",
        &format!("Oops#1 Part1\n{}", levelled(&OOPS)),
    );
    let done = collect(root);
    let copied = root.join("var/crash/box-20201121T223500Z/pstore/dmesg-ramoops-0");
    assert_eq!(done.paths, [copied], "{:?}", done.problems);
    assert!(collect(root).paths.is_empty());
}

#[test]
fn a_record_of_another_crash_is_not_the_newest_crashs() {
    let dir = machine();
    let root = dir.path();
    let soon = SystemTime::now() - Duration::from_secs(1100);
    let seconds = soon
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let name = format!("var/crash/box-{}", names::stamp(seconds));
    put(
        root,
        &format!("{name}/dmesg.txt"),
        "[    1.000000] something else\n",
    );
    put(
        root,
        "sys/fs/pstore/dmesg-ramoops-0",
        &format!("Panic#1 Part1\n{}", levelled(&OOPS)),
    );
    let done = collect(root);
    assert!(!root.join(name).join("pstore").exists(), "{:?}", done.paths);
    assert_eq!(done.paths.len(), 1);
    assert!(done.paths[0].join("pstore/dmesg-ramoops-0").exists());
    // The directory's time is this boot's, the record's content is the same: it is not taken again.
    assert!(collect(root).paths.is_empty());
}

#[test]
fn a_log_that_a_shutdown_left_is_no_crash() {
    let dir = machine();
    let root = dir.path();
    put(
        root,
        "sys/fs/pstore/dmesg-efi-1",
        "Shutdown#1 Part1\n<6>[  900.000000] reboot: Power down\n",
    );
    put(
        root,
        "sys/fs/pstore/console-ramoops-0",
        "[  900.000000] reboot: Power down\n",
    );
    let done = collect(root);
    assert!(done.paths.is_empty(), "{:?}", done.paths);
    assert_eq!(fs::read_dir(root.join("var/crash")).unwrap().count(), 0);
}
