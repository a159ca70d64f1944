//! A second target that takes log and report only.

use super::Bench;
use plan::{Directory, Takes, Target, TargetKind};
use std::fs;
use std::path::{Path, PathBuf};
use synth::kernel::{Crash, Kernel};

#[test]
fn the_report_goes_to_a_second_target() {
    let mut bench = Bench::new();
    let core = Kernel::new(Crash::NullPointer).elf();
    fs::write(&bench.plan.source, core).unwrap();
    let second = bench.dir.path().join("second");
    fs::create_dir(&second).unwrap();
    bench.plan.targets.push(Target {
        kind: TargetKind::Directory(Directory {
            path: second.to_string_lossy().into_owned(),
        }),
        takes: Takes::Report,
        ..bench.plan.targets[0].clone()
    });
    let (_, said) = bench.run();
    let first = bench.crashes();
    let copies: Vec<PathBuf> = fs::read_dir(&second)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let ([first], [copy]) = (first.as_slice(), copies.as_slice()) else {
        panic!("{first:?} {copies:?}: {said}");
    };
    let same =
        |name: &str| fs::read(first.join(name)).unwrap() == fs::read(copy.join(name)).unwrap();
    for name in ["dmesg.txt", "report.json"] {
        assert!(same(name), "{name}");
    }
    // What went wrong with the core stands at the end of the first one.
    let text = |dir: &Path| fs::read_to_string(dir.join("report.txt")).unwrap();
    assert!(
        text(copy).len() > 500 && text(first).contains("null-deref"),
        "{}",
        text(copy)
    );
    let manifest = |dir: &Path| -> store::Manifest {
        serde_json::from_slice(&fs::read(dir.join("manifest.json")).unwrap()).unwrap()
    };
    let (of_first, of_copy) = (manifest(first), manifest(copy));
    assert_eq!(of_copy.verdict, of_first.verdict);
    assert!(of_first.core.is_some() && of_copy.core.is_none());
    assert_eq!(of_copy.signature, of_first.signature);
    assert_eq!(of_first.dump_in, None);
    let name = first.file_name().unwrap().to_str();
    assert_eq!(of_copy.dump_in.as_deref(), name);
    assert!(!copy.join("essential.elf.zst").exists() && !copy.join("vmcore.elf.zst").exists());

    // Where the first target is gone, the second one says so.
    fs::remove_dir_all(copy).unwrap();
    fs::remove_dir_all(bench.dir.path().join("crash")).unwrap();
    if let TargetKind::Directory(gone) = &mut bench.plan.targets[0].kind {
        gone.path = "/proc/nothing".into();
    }
    let (_, said) = bench.run();
    let left: Vec<String> = fs::read_dir(&second)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(
        left.len() == 1 && left[0].ends_with(".incomplete"),
        "{left:?} {said}"
    );
}
