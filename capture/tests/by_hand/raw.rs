//! A target without a filesystem: the crash directory is a stream on a file.

use super::{Bench, toy};
use dump::facts::Verdict;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use store::CrashDir;
use store::raw::Stream;

struct Raw {
    bench: Bench,
    device: PathBuf,
}

impl Raw {
    fn new(mib: u64) -> Self {
        let bench = Bench::new();
        toy(Path::new(&bench.plan.source));
        let device = bench.dir.path().join("device");
        File::create(&device).unwrap().set_len(mib << 20).unwrap();
        let base = bench.dir.path().join("crash");
        fs::create_dir_all(&base).unwrap();
        Stream::begin(&device, &base).unwrap();
        Self { bench, device }
    }

    /// What `collect` makes of the stream, without its rules for names.
    fn crash_dir(&self) -> PathBuf {
        let stream = Stream::open(&self.device, false).unwrap().unwrap();
        let dir = self.bench.dir.path().join(stream.directory().unwrap());
        fs::create_dir(&dir).unwrap();
        for (name, len) in stream.files() {
            let mut file = File::create(dir.join(&name)).unwrap();
            let copied = io::copy(&mut stream.content(&name).unwrap(), &mut file).unwrap();
            assert_eq!(copied, len, "{name}");
        }
        dir
    }
}

#[test]
fn a_crash_directory_comes_back_whole() {
    let raw = Raw::new(64);
    let (code, said) = raw.bench.run();
    // The toy has no log, so it cannot be complete.
    assert_eq!(code, 5, "{said}");
    let in_memory = &raw.bench.crashes()[1];
    assert!(in_memory.to_str().unwrap().ends_with(".incomplete"));
    assert!(!in_memory.join("vmcore.elf.zst").exists());
    let dir = raw.crash_dir();
    assert!(dir.to_str().unwrap().ends_with(".incomplete"), "{dir:?}");
    let found = CrashDir::open(&dir).unwrap();
    let manifest = found.manifest().unwrap();
    let core = manifest.core.as_ref().unwrap();
    assert_ne!(core.verdict, Verdict::Incomplete);
    let size = fs::metadata(dir.join("vmcore.elf.zst")).unwrap().len();
    assert_eq!(core.size, size);
    let listed = |name: &str| manifest.files.iter().any(|file| file.name == name);
    assert!(listed("vmcore.elf.zst") && listed("report.json") && listed("capture.log"));
    for file in &manifest.files {
        assert_eq!(fs::metadata(dir.join(&file.name)).unwrap().len(), file.size);
    }
    let opened = vmcore::dump::open(&dir.join("vmcore.elf.zst")).unwrap();
    let page = super::page(&*opened, super::KEPT[0].0).unwrap();
    assert!(page.iter().all(|byte| *byte == super::KEPT[0].1));
    assert!(opened.info().completeness == super::Completeness::Complete);
}

#[test]
fn a_core_that_does_not_fit_costs_no_report() {
    let raw = Raw::new(10);
    let (code, said) = raw.bench.run();
    assert_eq!(code, 5, "{said}");
    let dir = raw.crash_dir();
    assert!(
        dir.join("report.json").is_file() && dir.join("manifest.json").is_file(),
        "{said}"
    );
}
