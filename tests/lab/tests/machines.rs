//! The runner itself: deadlines kill, nothing is left behind, runs do not disturb each other.
//!
//! The "kernel" is a boot sector of a few instructions in the Linux boot protocol, so that a run
//! takes a second and what it does is known to the instruction.

// Clippy frees tests from these, but not the functions beside them.
#![allow(clippy::indexing_slicing, clippy::unwrap_used)]

use rehearse::vm::machine::HOST;
use rehearse::vm::{Accel, End, Event, Flow, Vm};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// mov dx,0x604; mov ax,0x2000; out dx,ax: ACPI power-off of QEMU's default machine.
const POWER_OFF: &[u8] = &[0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef];
/// mov al,0xfe; out 0x64,al: the keyboard controller's reset line.
const RESET: &[u8] = &[0xb0, 0xfe, 0xe6, 0x64];
/// cli; hlt; jmp back: nothing, for ever.
const HANG: &[u8] = &[0xfa, 0xf4, 0xeb, 0xfd];

/// A kernel image that writes `text` to the first serial port and then executes `then`.
fn tiny_kernel(dir: &Path, text: &str, then: &[u8]) -> PathBuf {
    let mut image = vec![0u8; 1024];
    // boot.rst: setup_sects, boot flag, "HdrS", version 2.04, loaded high; entry is at 0x200.
    image[0x1f1] = 1;
    image[0x1fe..0x202].copy_from_slice(&[0x55, 0xaa, 0xeb, 0x7e]);
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&[4, 2]);
    image[0x211] = 1;
    // mov dx,0x3f8; mov si,text; again: cs lodsb; test al,al; jz done; out dx,al; jmp again; done:
    let mut code = vec![
        0xba, 0xf8, 0x03, 0xbe, 0, 0, 0x2e, 0xac, 0x84, 0xc0, 0x74, 0x03, 0xee, 0xeb, 0xf7,
    ];
    code.extend_from_slice(then);
    code.extend_from_slice(HANG);
    let text_at = 0x80 + code.len();
    code[4..6].copy_from_slice(&u16::try_from(text_at).unwrap().to_le_bytes());
    code.extend_from_slice(text.as_bytes());
    code.push(0);
    image[0x280..0x280 + code.len()].copy_from_slice(&code);
    image.extend_from_slice(&[0u8; 512]);
    let path = dir.join("kernel");
    fs::write(&path, image).unwrap();
    path
}

fn machine(dir: &Path, text: &str, then: &[u8]) -> Vm {
    let mut vm = Vm::new(tiny_kernel(dir, text, then), dir.join("console"));
    vm.memory_mib = 64;
    vm.deadline = Duration::from_secs(60);
    vm
}

fn alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn power_off_and_reset_are_told_apart() {
    for (code, expected, resets) in [(POWER_OFF, End::PowerOff, 0), (RESET, End::Reset, 1)] {
        let dir = tempfile::tempdir().unwrap();
        let mut lines = Vec::new();
        let running = machine(dir.path(), "hello\r\nthere\n", code)
            .start(Accel::translator(HOST))
            .unwrap();
        let outcome = running.wait(&mut |_, event, _| {
            if let Event::Line(line) = event {
                lines.push(line.clone());
            }
            Flow::Continue
        });
        assert_eq!((outcome.end, outcome.resets), (expected, resets));
        assert!(
            lines.ends_with(&["hello".to_owned(), "there".to_owned()]),
            "{lines:?}"
        );
        let log = fs::read(dir.path().join("console")).unwrap();
        assert!(log.ends_with(b"hello\r\nthere\n"));
    }
}

#[test]
fn a_machine_that_may_reboot_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let mut vm = machine(dir.path(), "again\n", RESET);
    vm.reboots = true;
    let mut seen = 0;
    let outcome = vm
        .start(Accel::translator(HOST))
        .unwrap()
        .wait(&mut |_, event, _| {
            seen += u32::from(*event == Event::Line("again".into()));
            if seen == 3 {
                Flow::Stop
            } else {
                Flow::Continue
            }
        });
    assert_eq!(outcome.end, End::Stopped);
    assert!(outcome.resets >= 2, "{outcome:?}");
}

#[test]
fn the_deadline_kills() {
    let dir = tempfile::tempdir().unwrap();
    let mut vm = machine(dir.path(), "", HANG);
    vm.deadline = Duration::from_secs(2);
    let running = vm.start(Accel::translator(HOST)).unwrap();
    let pid = running.pid();
    let start = Instant::now();
    let outcome = running.wait(&mut |_, _, _| Flow::Continue);
    assert_eq!(outcome.end, End::Deadline);
    assert!(
        start.elapsed() < Duration::from_secs(30),
        "{:?}",
        start.elapsed()
    );
    assert!(!alive(pid));
}

#[test]
fn a_dropped_machine_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let running = machine(dir.path(), "", HANG)
        .start(Accel::translator(HOST))
        .unwrap();
    let pid = running.pid();
    assert!(alive(pid));
    drop(running);
    assert!(!alive(pid));
}

#[test]
fn a_machine_does_not_outlive_the_thread_that_started_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_owned();
    // Forgotten without drop, as when the process is killed: only the kernel's signal is left.
    let starter = std::thread::spawn(move || {
        let running = machine(&path, "", HANG)
            .start(Accel::translator(HOST))
            .unwrap();
        let pid = running.pid();
        std::mem::forget(running);
        pid
    });
    let pid = starter.join().unwrap();
    let status = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let start = Instant::now();
    // Nobody waits for it: a zombie is as dead as it gets.
    while alive(pid) && !status().contains(") Z ") {
        assert!(start.elapsed() < Duration::from_secs(20), "{}", status());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn parallel_runs_do_not_mix() {
    let runs: Vec<_> = (0..4)
        .map(|n| {
            std::thread::spawn(move || {
                let dir = tempfile::tempdir().unwrap();
                let text = format!("number {n}");
                let running = machine(dir.path(), &text, POWER_OFF)
                    .start(Accel::translator(HOST))
                    .unwrap();
                let mut lines = Vec::new();
                let outcome = running.wait(&mut |_, event, _| {
                    if let Event::Line(line) = event {
                        lines.push(line.clone());
                    }
                    Flow::Continue
                });
                assert_eq!(outcome.end, End::PowerOff);
                assert_eq!(lines.last(), Some(&text));
            })
        })
        .collect();
    for run in runs {
        run.join().unwrap();
    }
}

#[test]
fn a_kernel_that_is_not_there_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let vm = Vm::new(dir.path().join("missing"), dir.path().join("console"));
    let error = vm.start(Accel::translator(HOST)).unwrap_err().to_string();
    assert!(error.contains("missing"), "{error}");
}
