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
