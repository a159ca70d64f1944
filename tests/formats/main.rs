//! The file formats, read by a program that was written from their pages alone: `reader.py`.
//!
//! The capture binary writes crash directories from the synthetic kernel. The reader compares what is in
//! them, and this program compares what the reader finds with the kernel's own pages.

// Helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use plan::{Directory, FinalAction, FirstKernel, Plan, Target, TargetKind};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use synth::kernel::{Crash, Kernel, RAM_END, RAM_START, TEXT};
use vmcore::dump::map::MapReader;
use vmcore::write::OutputFormat;

/// Set where a program that is missing is a failure.
const NO_SKIP: &str = "AFTERPANIC_NO_SKIP";
/// What the reader exits with when the machine lacks something.
const LACKS: i32 = 77;

/// Exit code, stdout and stderr of the reader; `None` where it cannot run, and it says why.
fn reader(arguments: &[&str]) -> Option<(i32, String, String)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/formats/reader.py");
    let run = Command::new("python3")
        .arg("-B")
        .arg(script)
        .args(arguments)
        .output();
    let (code, out, why) = match run {
        Ok(output) => (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ),
        Err(error) => (LACKS, String::new(), format!("python3: {error}")),
    };
    if code != LACKS {
        return Some((code, out, why));
    }
    assert!(std::env::var_os(NO_SKIP).is_none(), "{why}");
    // Not by a macro: the test's output is not shown when it passes.
    let _ = writeln!(std::io::stderr(), "skipped, not tested: {}", why.trim());
    None
}

/// What the reader answers to a question that has an answer.
#[track_caller]
fn answer(arguments: &[&str]) -> Option<String> {
    let (code, out, why) = reader(arguments)?;
    assert_eq!(code, 0, "{arguments:?}\n{out}{why}");
    Some(out)
}

struct Saved {
    dir: tempfile::TempDir,
    crash: PathBuf,
}

impl Saved {
    /// A crash directory of a kernel.
    fn new(kernel: &Kernel, change: impl FnOnce(&mut dump::Dump)) -> Self {
        Self::prepared(kernel, change, |_| {})
    }

    /// The same, in a store that was prepared.
    fn prepared(
        kernel: &Kernel,
        change: impl FnOnce(&mut dump::Dump),
        prepare: impl FnOnce(&Path),
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        fs::write(at("source"), kernel.elf()).unwrap();
        fs::create_dir(at("store")).unwrap();
        prepare(dir.path());
        let mut plan = Plan::new(FirstKernel::default());
        plan.source = at("source");
        plan.targets.push(Target {
            kind: TargetKind::Directory(Directory { path: at("store") }),
            deadline_s: 600,
            device_wait_s: 1,
            takes: plan::Takes::Dump,
            keep: None,
        });
        plan.keep.free = 0;
        plan.after.success = FinalAction::Exit;
        plan.after.failure = FinalAction::Exit;
        change(&mut plan.dump);
        fs::write(at("plan.json"), plan.to_json().unwrap()).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_afterpanic-capture"))
            .arg(at("plan.json"))
            .output()
            .unwrap();
        assert!(output.status.code().is_some(), "{output:?}");
        let crashes = fs::read_dir(at("store")).unwrap();
        let mut crashes = crashes.map(|entry| entry.unwrap().path());
        let crash = crashes.find(|path| path.is_dir()).unwrap();
        Self { dir, crash }
    }

    fn file(&self, name: &str) -> String {
        self.crash.join(name).to_str().unwrap().to_owned()
    }
}

/// What a core of every page has to hold: page numbers with the hash of their bytes, as the reader prints
/// them. The source lacks some pages of RAM: these are in the core as pages that could not be read.
fn expected(kernel: &Kernel) -> BTreeMap<u64, String> {
    let hash = |page: &[u8]| dump::facts::hex(&Sha256::digest(page));
    let unread: Vec<u8> = 0xdead_feed_dead_feed_u64.to_le_bytes().repeat(512);
    let mut all: BTreeMap<u64, String> = (RAM_START / 4096..RAM_END / 4096)
        .map(|number| (number, hash(&unread)))
        .collect();
    all.extend(kernel.pages().map(|(number, page)| (number, hash(page))));
    all
}

fn printed(text: &str) -> BTreeMap<u64, String> {
    text.lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(number, hash)| (number.parse().unwrap(), hash.to_owned()))
        .collect()
}

#[test]
fn the_reader_finds_every_page_of_the_kernel() {
    let kernel = Kernel::new(Crash::NullPointer);
    let expected = expected(&kernel);
    for (format, name) in [
        (OutputFormat::ElfZst, "vmcore.elf.zst"),
        (OutputFormat::ElfLz4, "vmcore.elf.lz4"),
    ] {
        let saved = Saved::new(&kernel, |dump| {
            dump.format = Some(format);
            dump.level = dump::Level::ALL;
        });
        let core = saved.file(name);
        let Some(pages) = answer(&["pages", &core]) else {
            return;
        };
        assert!(printed(&pages) == expected, "the pages differ");
        let present = kernel.pages().count();
        assert!((100..expected.len() - 100).contains(&present), "{present}");
        answer(&["check", saved.crash.to_str().unwrap()]);
        let about = answer(&["core", &core]).unwrap();
        let about: Value = serde_json::from_str(&about).unwrap();
        assert_eq!(about["cut"], false);
        assert_eq!(about["own"]["LEVEL"], "0");
        let missing = expected.len() - present;
        assert_eq!(about["trailer"]["missing"], missing);
        assert_eq!(
            about["trailer"]["missing_first"].as_array().unwrap().len(),
            64
        );
        assert_eq!(about["image"][0][0], TEXT);
        assert_eq!(
            about["attached"],
            serde_json::json!(["APpgmap1", "APtrail1"])
        );
        let notes = about["notes"].as_array().unwrap();
        let cpus = notes.iter().filter(|note| note[0] == "CORE").count();
        assert_eq!(cpus, 2, "{notes:?}");
    }
}

#[test]
fn a_filtered_directory_is_as_its_manifest_says() {
    let kernel = Kernel::new(Crash::NullPointer);
    for format in OutputFormat::ALL {
        let saved = Saved::new(&kernel, |dump| {
            dump.format = Some(format);
            dump.keep_essential = true;
        });
        let Some(said) = answer(&["check", saved.crash.to_str().unwrap()]) else {
            return;
        };
        assert!(said.contains("essential.elf.zst: "), "{said}");
        assert!(said.contains(" pages"), "{said}");
    }
}

#[test]
fn the_runs_of_pages_map_are_those_that_the_project_reads() {
    let saved = Saved::new(&Kernel::new(Crash::Sysrq), |_| {});
    let file = fs::File::open(saved.crash.join("pages.map")).unwrap();
    let mut expected = String::new();
    MapReader::open(Box::new(file))
        .unwrap()
        .for_each(&mut |run| {
            let name = run.kind.name();
            expected += &format!("{} {} {name}\n", run.pages.start.0, run.pages.end.0);
            Ok(())
        })
        .unwrap();
    for name in ["pages.map", "vmcore.elf.zst"] {
        let Some(runs) = answer(&["kinds", &saved.file(name)]) else {
            return;
        };
        assert!(runs.lines().count() > 5, "{runs}");
        assert_eq!(runs, expected);
    }
}

#[test]
fn the_content_is_the_plain_core() {
    let kernel = Kernel::new(Crash::HungTask);
    let save = |format| Saved::new(&kernel, |dump| dump.format = Some(format));
    let plain = fs::read(save(OutputFormat::Elf).crash.join("vmcore.elf")).unwrap();
    for (format, name) in [
        (OutputFormat::ElfZst, "vmcore.elf.zst"),
        (OutputFormat::ElfLz4, "vmcore.elf.lz4"),
    ] {
        let saved = save(format);
        let out = saved.dir.path().join("out");
        let Some(_) = answer(&["unpack", &saved.file(name), out.to_str().unwrap()]) else {
            return;
        };
        assert!(fs::read(&out).unwrap() == plain, "{name}");
    }
}

#[test]
fn a_core_that_was_cut_off_is_read_up_to_there() {
    let kernel = Kernel::new(Crash::NullPointer);
    let all = expected(&kernel);
    for (format, name) in [
        (OutputFormat::ElfZst, "vmcore.elf.zst"),
        (OutputFormat::ElfLz4, "vmcore.elf.lz4"),
    ] {
        let saved = Saved::new(&kernel, |dump| {
            dump.format = Some(format);
            dump.level = dump::Level::ALL;
        });
        let core = saved.file(name);
        let whole = fs::read(&core).unwrap();
        let mut before = all.len() + 1;
        for part in [10, 9, 6] {
            fs::write(&core, &whole[..whole.len() * part / 10 - 1]).unwrap();
            let Some(pages) = answer(&["pages", &core]) else {
                return;
            };
            let pages = printed(&pages);
            assert!(!pages.is_empty() && pages.len() < before, "{}", pages.len());
            let begins = all.iter().take(pages.len());
            assert!(pages.iter().eq(begins), "{name}, {part} of 10 parts");
            before = if part == 10 { before } else { pages.len() };
        }
    }
}

#[test]
fn a_stream_on_a_raw_target_is_a_crash_directory() {
    let prepare = |dir: &Path| {
        let device = fs::File::create(dir.join("device")).unwrap();
        device.set_len(64 << 20).unwrap();
        store::raw::Stream::begin(&dir.join("device"), &dir.join("store")).unwrap();
    };
    let saved = Saved::prepared(&Kernel::new(Crash::NullPointer), |_| {}, prepare);
    let at = |name: &str| saved.dir.path().join(name).to_str().unwrap().to_owned();
    let Some(name) = answer(&["raw", &at("device"), &at("")]) else {
        return;
    };
    let crash = saved.dir.path().join(name.trim_end());
    assert_eq!(crash.file_name(), saved.crash.file_name());
    assert!(!saved.crash.join("vmcore.elf.zst").exists());
    answer(&["check", crash.to_str().unwrap()]);
    let names = |dir: &Path| -> Vec<_> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.retain(|name| name != "vmcore.elf.zst" && name != "essential.elf.zst");
        names.sort();
        names
    };
    assert_eq!(names(&crash), names(&saved.crash));
}

#[test]
fn a_changed_byte_is_noticed() {
    let saved = Saved::new(&Kernel::new(Crash::NullPointer), |_| {});
    let (dir, core) = (saved.crash.to_str().unwrap(), saved.file("vmcore.elf.zst"));
    let whole = fs::read(&core).unwrap();
    let len = whole.len();
    for at in [len / 3, len / 2, len - 14, len - 4] {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        fs::write(&core, changed).unwrap();
        let Some((code, said, _)) = reader(&["check", dir]) else {
            return;
        };
        assert_eq!(code, 1, "byte {at} of {len}\n{said}");
    }
}
