//! `convert`: what is half made never stands under OUT's name, and does not stay.

use crate::harness::Machine;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use synth::elf::{Elf, pages};
use synth::kernel::{Crash, Kernel};

/// A core of one segment so long that nothing reads it in the time of a test; it is one page on disk.
fn endless(machine: &Machine) -> std::path::PathBuf {
    let len = 1_u64 << 38;
    let mut bytes = Elf::new().load(0, 0x10_0000, &pages(7, 1)).build();
    // p_filesz and p_memsz of the second program header.
    let sizes = 64 + 56 + 32;
    bytes[sizes..sizes + 8].copy_from_slice(&len.to_le_bytes());
    bytes[sizes + 8..sizes + 16].copy_from_slice(&len.to_le_bytes());
    let path = machine.path("/endless.elf");
    let file = File::create(&path).unwrap();
    file.write_all_at(&bytes, 0).unwrap();
    file.set_len(bytes.len() as u64 - 4096 + len).unwrap();
    path
}

/// The toy kernel's core with one text in it replaced by another of the same length.
fn kernel(machine: &Machine, old: &str, new: &str) {
    let mut bytes = Kernel::new(Crash::NullPointer).elf();
    assert_eq!(old.len(), new.len());
    let at = bytes.windows(old.len()).position(|at| at == old.as_bytes());
    bytes[at.unwrap()..][..new.len()].copy_from_slice(new.as_bytes());
    std::fs::write(machine.path("core.elf"), bytes).unwrap();
}

#[test]
fn a_failed_check_of_the_filter_is_told() {
    let machine = Machine::empty();
    let args = ["convert", "core.elf", "out.elf.zst", "--level", "standard"];
    kernel(&machine, "(page._mapcount)=48", "(page._mapcount)=48");
    let sound = machine.run_inside(&args).exits(0);
    assert_eq!(sound.stderr(), "");
    std::fs::remove_file(machine.path("out.elf.zst")).unwrap();
    // Where the type information says otherwise.
    kernel(&machine, "(page._mapcount)=48", "(page._mapcount)=44");
    // What is kept now and stands in no toy core counts as lost; the exit code says the worse.
    let run = machine.run_inside(&args).exits(5);
    let warned = run.stderr();
    assert!(warned.contains("The check offsets found"), "{warned}");
    assert!(warned.contains("what its rule drops is kept"), "{warned}");
}

#[test]
fn a_copy_knows_what_its_source_left_out() {
    let machine = Machine::empty();
    kernel(&machine, "6.12.1-toy", "6.12.1-toy");
    let info = |core: &str| {
        machine
            .run_inside(&["info", core, "--json"])
            .exits(0)
            .json()
    };
    let of = |info: &serde_json::Value| (info["pages"].clone(), info["ram_pages"].clone());
    let source = info("core.elf");
    assert_eq!(source["level"], serde_json::Value::Null);
    machine
        .run_inside(&["convert", "core.elf", "copy.elf.zst"])
        .exits(0);
    let copy = info("copy.elf.zst");
    assert_eq!(of(&copy), of(&source));
    // Nobody knows what the source was filtered by.
    assert_eq!(copy["level"], serde_json::Value::Null);
    let read = machine.run_inside(&["read", "copy.elf.zst", "--phys", "3900000", "16"]);
    assert!(
        read.exits(1)
            .stderr()
            .contains("was excluded by the filter")
    );

    let level = [
        "convert",
        "core.elf",
        "small.elf.zst",
        "--level",
        "essential",
    ];
    machine.run_inside(&level).exits(4);
    assert_eq!(info("small.elf.zst")["level"], "essential");
    machine
        .run_inside(&["convert", "small.elf.zst", "again.elf.lz4"])
        .exits(0);
    assert_eq!(info("again.elf.lz4")["level"], "essential");
    let level = [
        "convert",
        "copy.elf.zst",
        "std.elf.zst",
        "--level",
        "standard",
    ];
    machine.run_inside(&level).exits(0);
    assert_eq!(info("std.elf.zst")["level"], "standard");
}

#[test]
fn an_interrupted_one_leaves_nothing() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let machine = Machine::empty();
        let from = endless(&machine);
        let dir = machine.path("/out");
        std::fs::create_dir(&dir).unwrap();
        // Whoever runs the tests may have these ignored, and that is inherited.
        let mut child = Command::new("env")
            .args([
                "--default-signal=INT,TERM",
                env!("CARGO_BIN_EXE_afterpanic"),
            ])
            .args(["-q", "convert"])
            .args([&from, &dir.join("core.elf.zst")])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let files = || std::fs::read_dir(&dir).unwrap().count();
        let start = Instant::now();
        while files() == 0 {
            assert!(start.elapsed() < Duration::from_secs(60), "nothing begins");
            assert!(child.try_wait().unwrap().is_none(), "it has ended");
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(100));
        kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(signal as i32), "{status}");
        assert_eq!(files(), 0, "{signal}");
    }
}
