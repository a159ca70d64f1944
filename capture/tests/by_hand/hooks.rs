//! Hooks that succeed, fail, hang, leave something running, and say too much.

use super::{Bench, toy};
use plan::{Hook, When};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

impl Bench {
    /// Adds a hook that is this script.
    fn hook(&mut self, when: When, name: &str, script: &str) {
        let path = self.dir.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self.plan.hooks.push(Hook {
            when,
            program: path.to_string_lossy().into_owned(),
            args: vec!["one".into()],
            deadline_s: 2,
        });
    }

    fn marks(&self) -> PathBuf {
        self.dir.path().join("marks")
    }

    /// The manifest of the only crash directory, which has a core.
    fn manifest(&self) -> String {
        let dirs = self.crashes();
        assert_eq!(dirs.len(), 1);
        assert!(dirs[0].join("vmcore.elf.zst").is_file());
        fs::read_to_string(dirs[0].join("manifest.json")).unwrap()
    }
}

#[test]
fn hooks_run_in_their_order_and_know_the_crash_directory() {
    let mut bench = Bench::new();
    toy(&PathBuf::from(&bench.plan.source));
    let marks = bench.marks().display().to_string();
    let note = format!(
        "echo $AFTERPANIC_WHEN $AFTERPANIC_CORE $1 $(cat $AFTERPANIC_DIR/dmesg.txt 2>/dev/null | wc -c) >>{marks}"
    );
    bench.hook(
        When::Post,
        "post",
        &format!("echo hello; echo '\"done\"'; {note}; echo x >$AFTERPANIC_DIR/note"),
    );
    bench.hook(When::Pre, "pre", &note);
    bench.hook(When::Failure, "failure", &note);
    let (code, said) = bench.run();
    // The toy has no log, so it cannot be complete.
    assert_eq!(code, 5, "{said}");
    let marks = fs::read_to_string(bench.marks()).unwrap();
    let lines: Vec<Vec<&str>> = marks.lines().map(|l| l.split(' ').collect()).collect();
    assert_eq!(lines.len(), 3, "{marks}");
    assert_eq!(lines[0], ["pre", "none", "one", "0"]);
    assert_eq!((lines[1][0], lines[1][2]), ("post", "one"));
    assert_eq!((lines[2][0], lines[2][2]), ("failure", "one"));
    assert!(["complete", "degraded"].contains(&lines[1][1]), "{marks}");
    assert!(
        said.contains("hook: hello") && said.contains("hook: \"done\""),
        "{said}"
    );
    let note = bench.manifest();
    assert!(note.contains("\"note\""), "{note}");
}

#[test]
fn hooks_that_fail_hang_or_crash_cost_nothing_but_their_deadline() {
    let mut bench = Bench::new();
    toy(&PathBuf::from(&bench.plan.source));
    let marks = bench.marks().display().to_string();
    bench.hook(When::Pre, "fails", "exit 3");
    // What it started in the background goes with it, and so does what holds its output open.
    bench.hook(
        When::Pre,
        "hangs",
        &format!("(sleep 6; echo late >>{marks}) & sleep 600"),
    );
    bench.hook(
        When::Pre,
        "leaves",
        &format!("(sleep 6; echo late >>{marks}) & exit 0"),
    );
    bench.hook(When::Post, "crashes", "kill -SEGV $$");
    bench.hook(
        When::Post,
        "talks",
        "i=0; while [ $i -lt 500 ]; do echo $i; i=$((i+1)); done",
    );
    bench.hook(When::Post, "absent", "exit 0");
    fs::remove_file(bench.dir.path().join("absent")).unwrap();
    let begun = Instant::now();
    let (code, said) = bench.run();
    assert!(begun.elapsed() < Duration::from_secs(90), "{said}");
    assert_eq!(code, 5, "{said}");
    let manifest = bench.manifest();
    for words in [
        "fails: failed: exit code 3",
        "hangs: not done within 2 s",
        "crashes: failed: ended by signal 11",
        "absent: failed: cannot run",
    ] {
        assert!(manifest.contains(words), "{words} is missing in {manifest}");
    }
    for words in ["leaves:", "talks:"] {
        assert!(!manifest.contains(words), "{words} is in {manifest}");
    }
    assert!(
        said.contains("hook: 150") && !said.contains("hook: 300"),
        "{said}"
    );
    std::thread::sleep(Duration::from_secs(7).saturating_sub(begun.elapsed()));
    assert!(!bench.marks().exists(), "something was left running");
}

#[test]
fn a_failure_runs_its_hook() {
    let mut bench = Bench::new();
    let marks = bench.marks().display().to_string();
    bench.hook(
        When::Failure,
        "failure",
        &format!("echo $AFTERPANIC_WHEN $AFTERPANIC_CORE >>{marks}"),
    );
    let (code, said) = bench.run();
    assert!(code == 1 || code == 5, "{said}");
    assert_eq!(fs::read_to_string(bench.marks()).unwrap(), "failure none\n");
}
