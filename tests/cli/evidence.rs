//! Diagnosis without a core: a text log, stdin, or a crash directory where only the log is left.

use crate::harness::Machine;
use std::io::Write;
use std::process::{Command, Stdio};

const LOG: &str = "\
<6>[   99.000000] acme: ready
<1>[  100.000000] BUG: kernel NULL pointer dereference, address: 0000000000000018
<1>[  100.000001] #PF: supervisor read access in kernel mode
<4>[  100.000002] Oops: Oops: 0000 [#1] PREEMPT SMP NOPTI
<4>[  100.000003] CPU: 2 UID: 0 PID: 212 Comm: acmed Not tainted 6.12.1-x #7
<4>[  100.000004] RIP: 0010:acme_poll+0x41/0x50 [acme]
<4>[  100.000005] Call Trace:
<4>[  100.000006]  <TASK>
<4>[  100.000007]  acme_work+0x174/0x330 [acme]
<4>[  100.000008]  </TASK>
<0>[  100.000009] Kernel panic - not syncing: Fatal exception
";

#[test]
fn a_text_is_reported_like_a_core() {
    let machine = Machine::empty();
    machine.file("/log.txt", LOG);
    let report = machine.run_inside(&["report", "log.txt"]).exits(0).stdout();
    for expected in [
        "panicked after 100 seconds up  (Linux 6.12.1-x)",
        "made from log.txt: a kernel log with levels, 11 lines; it cannot tell",
        "NULL pointer dereference, reading 0x18, in acme_poll+0x41 [acme]",
        "sure, because the instruction pointer was in it",
        "task acmed (212), CPU 2",
    ] {
        assert!(
            report.contains(expected),
            "{expected:?} is missing in\n{report}"
        );
    }
    let json = machine
        .run_inside(&["report", "log.txt", "--json"])
        .exits(0)
        .json();
    assert_eq!(json["reason"]["class"], "null-deref");
    assert_eq!(json["reason"]["culprit"]["function"], "acme_poll");
    assert_eq!(json["reason"]["trust"]["verdict"], "sure");
}

#[test]
fn a_signature_says_what_made_it() {
    let machine = Machine::empty();
    machine.file("/log.txt", LOG);
    let text = machine
        .run_inside(&["signature", "log.txt"])
        .exits(0)
        .stdout();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("null-deref:acme_poll:"), "{text}");
    assert_eq!(
        lines[1..3],
        ["  acme_poll+0x41 [acme]", "  acme_work+0x174 [acme]"]
    );
    let json = machine
        .run_inside(&["signature", "log.txt", "--json"])
        .exits(0)
        .json();
    assert_eq!(json["signature"], lines[0]);
    assert_eq!(json["signature_version"], 2);
    let row = machine
        .run_inside(&["list", "log.txt", "--json"])
        .exits(0)
        .json();
    assert_eq!(row["crashes"][0]["signature"], lines[0]);
}

#[test]
fn a_text_is_printed_by_level_and_time() {
    let machine = Machine::empty();
    machine.file("/log.txt", LOG);
    let urgent = machine
        .run_inside(&["dmesg", "log.txt", "--level", "1"])
        .exits(0)
        .stdout();
    assert_eq!(urgent.lines().count(), 3, "{urgent}");
    let panic = machine
        .run_inside(&["dmesg", "log.txt", "--follow-panic"])
        .exits(0)
        .stdout();
    assert!(panic.contains("Kernel panic"), "{panic}");
}

#[test]
fn stdin_is_a_text() {
    let machine = Machine::empty();
    let mut child = Command::new(machine.program())
        .args(["report", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(LOG.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["reason"]["culprit"]["function"], "acme_poll");
}

#[test]
fn a_directory_where_only_the_log_is_left() {
    let machine = Machine::empty();
    let dir = "/var/crash/web-03-20261121T231500Z.incomplete";
    machine.file(&format!("{dir}/dmesg.txt"), LOG);
    let path = machine.path(dir);
    let path = path.to_str().unwrap();
    let json = machine.run(&["report", path, "--json"]).exits(5).json();
    assert_eq!(json["reason"]["culprit"]["function"], "acme_poll");
    let listed = machine.run(&["list", "--json"]).exits(0).json();
    assert_eq!(
        listed["crashes"][0]["signature"],
        json["reason"]["signature"]
    );
}
