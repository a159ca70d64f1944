//! The time for everything is over, or somebody asks PID 1 to end: what was begun is finished all the
//! same.

use super::Bench;
use super::bounded::endless;
use dump::facts::Verdict;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::os::fd::AsRawFd;
use std::process::Child;
use std::time::{Duration, Instant};
use store::CrashDir;

/// A capture that takes minutes is stopped: it must end soon, and what is left is checked.
fn cut_short(deadline_s: u64, stop: impl FnOnce(&Bench, &Child), why: &str, codes: &[i32]) {
    let source = endless(4096, 1);
    let mut bench = Bench::new();
    bench.plan.source = format!("/proc/{}/fd/{}", std::process::id(), source.as_raw_fd());
    bench.plan.dump.threads = Some(1);
    bench.plan.after.deadline_s = deadline_s;
    let begun = Instant::now();
    let child = bench.start();
    stop(&bench, &child);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(begun.elapsed() < Duration::from_secs(60), "{said}");
    assert!(codes.contains(&output.status.code().unwrap()), "{said}");
    let dir = bench.crashes().pop().unwrap();
    assert!(dir.to_str().unwrap().ends_with(".incomplete"), "{dir:?}");
    let manifest = CrashDir::open(&dir).unwrap().manifest().unwrap();
    assert_eq!(manifest.verdict, Verdict::Incomplete);
    let errors = manifest.soft_errors.join("\n");
    assert!(errors.contains(why), "{errors}");
    assert!(manifest.steps.iter().any(|step| step.name == "core"));
}

#[test]
fn a_capture_without_time_left_is_finished() {
    // There is a report.
    cut_short(3, |_, _| {}, "the time for everything is up", &[5]);
}

#[test]
fn a_capture_that_is_asked_to_end_is_finished() {
    let stop = |bench: &Bench, child: &Child| {
        let begun = Instant::now();
        while bench.crashes().is_empty() && begun.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let pid = i32::try_from(child.id()).unwrap();
        kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    };
    // This machine has no log; whether there is a report depends on the moment.
    cut_short(600, stop, "asked to end", &[1, 5]);
}
