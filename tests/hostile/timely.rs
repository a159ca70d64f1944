//! Runs that must end, and files that must stay as they are.

use crate::harness::{Machine, Run};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A verb that takes longer hangs: the machines of a test farm are slow, an endless file is endless.
const LIMIT: Duration = Duration::from_secs(60);

fn wait(mut child: Child, what: &[&str]) -> Run {
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > LIMIT {
            child.kill().unwrap();
            panic!("{what:?} hangs");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Run::of(child.wait_with_output().unwrap())
}

/// Runs a verb to its end; it is not killed by a signal and does not panic.
#[track_caller]
pub(crate) fn run(machine: &Machine, args: &[&str]) -> Run {
    let answers = tempfile::tempdir().unwrap();
    let file = |name: &str| fs::File::create(answers.path().join(name)).unwrap();
    // Into files: a pipe that nobody empties would block a long answer.
    let child = Command::new(env!("CARGO_BIN_EXE_afterpanic"))
        .current_dir(machine.root())
        .args(["--root", "."])
        .args(args)
        .stdin(Stdio::null())
        .stdout(file("stdout"))
        .stderr(file("stderr"))
        .spawn()
        .unwrap();
    let run = wait(child, args);
    let read = |name: &str| fs::read(answers.path().join(name)).unwrap();
    let run = run.with(read("stdout"), read("stderr"));
    let (code, errors) = (run.code(), run.stderr());
    assert!((0..=5).contains(&code), "{args:?}: exit {code}\n{errors}");
    run
}

/// Everything below a directory: kinds, sizes, times and links, by path.
pub(crate) fn snapshot(dir: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut todo = vec![dir.to_path_buf()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let what = format!("{:o} {} {}", meta.mode(), meta.size(), meta.mtime_nsec());
            if meta.is_dir() {
                todo.push(path.clone());
            }
            found.insert(path, what);
        }
    }
    found
}
