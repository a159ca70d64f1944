//! Two machines whose directories are in one store.

use super::Bench;
use plan::{Directory, TargetKind};
use std::fs;
use std::path::Path;
use synth::kernel::{Crash, Kernel};

/// The crash directories of one machine.
fn crashes(store: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(store)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_machine_removes_its_own_crashes_and_no_other_machines() {
    let bench = Bench::new();
    fs::write(&bench.plan.source, Kernel::new(Crash::NullPointer).elf()).unwrap();
    let shared = bench.dir.path().join("shared");
    // As `PATH/<machine-id hash>`.
    let machines = ["1f".repeat(16), "2e".repeat(16)].map(|name| shared.join(name));
    let old = |store: &Path, day: u32| {
        let dir = store.join(format!("old-2020010{day}T000000Z.incomplete"));
        fs::create_dir_all(&dir).unwrap();
        let manifest = serde_json::json!({
            "schema": 1, "afterpanic": "0", "verdict": "incomplete", "release": "6",
            "crash_time": 1_577_836_800, "signature": format!("old:{day}"), "uptime_s": 9000,
            "files": [], "soft_errors": [], "steps": [],
        });
        fs::write(dir.join("manifest.json"), manifest.to_string()).unwrap();
    };
    for machine in &machines {
        (1..=3).for_each(|day| old(machine, day));
    }
    let mut plan = bench.plan.clone();
    plan.targets[0].kind = TargetKind::Directory(Directory {
        path: machines[0].to_string_lossy().into_owned(),
    });
    // The plan's own number would keep all of them.
    plan.keep.dumps = 10;
    plan.targets[0].keep = Some(1);
    let bench = Bench { plan, ..bench };
    let (_, said) = bench.run();
    let left = crashes(&machines[0]);
    let kept = left.iter().filter(|name| name.starts_with("old")).count();
    assert!(kept <= 1 && left.len() == kept + 1, "{left:?} {said}");
    assert_eq!(crashes(&machines[1]).len(), 3, "{said}");
}
