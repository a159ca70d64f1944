//! Wrong usage, wrong files, closed pipes.

use crate::harness::Machine;
use std::process::{Command, Stdio};

#[test]
fn wrong_usage_exits_2() {
    for args in [
        &["no-such-verb"][..],
        &["report", "--no-such-option"],
        &["dmesg", "--level", "9"],
    ] {
        let run = Machine::empty().run(args).exits(2);
        assert!(!run.stderr().is_empty());
        assert_eq!(run.stdout(), "");
    }
}

#[test]
fn a_file_that_is_no_dump_is_named() {
    let machine = Machine::empty();
    machine.file(
        "/text",
        "this is no dump, though it is longer than any magic number",
    );
    let path = machine.path("/text");
    for verb in ["info", "report", "dmesg"] {
        let run = machine.run(&[verb, path.to_str().unwrap()]).exits(1);
        assert!(
            run.stderr().contains(path.to_str().unwrap()),
            "{verb}: {}",
            run.stderr()
        );
        assert_eq!(run.stdout(), "", "{verb}");
    }
    let missing = machine.path("/missing");
    let run = machine.run(&["info", missing.to_str().unwrap()]).exits(1);
    assert!(run.stderr().contains("missing"), "{}", run.stderr());
}

#[test]
fn a_closed_pipe_is_no_error() {
    let machine = Machine::empty();
    let mut child = Command::new(env!("CARGO_BIN_EXE_afterpanic"))
        .arg("--root")
        .arg(machine.root())
        .arg("list")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The read end goes before anything can be written to it.
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.stderr.is_empty());
}
