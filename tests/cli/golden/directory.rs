//! Crash directories: a complete one, and one whose core was cut off beside its essential pages.

use super::transcript::{compare, transcript};
use crate::harness::Machine;
use std::fs;
use synth::kernel::{CRASH_TIME, Crash, Kernel, RELEASE};

/// What is asked of both.
const ASKED: &[&str] = &[
    "report CORE",
    "report CORE --stored",
    "report CORE --stored --log-lines 2",
    "bt CORE",
    "info CORE",
    "verify CORE",
    "dmesg CORE --level 0",
];

/// Writes a core and what is beside it in a crash directory; answers the directory's path.
pub(super) fn crash(machine: &Machine, name: &str, crash: Crash, verdict: &str) -> String {
    let dir = format!("var/crash/{name}");
    let inside = |file: &str| format!("{dir}/{file}");
    fs::create_dir_all(machine.path(&dir)).unwrap();
    fs::write(machine.path("core.elf"), Kernel::new(crash).elf()).unwrap();
    let run = |args: &[&str]| machine.run_inside(args).exits(0).stdout();
    run(&["-q", "convert", "core.elf", &inside("vmcore.elf.zst")]);
    let texts = [
        ("dmesg.txt", run(&["dmesg", "core.elf"])),
        ("report.json", run(&["report", "core.elf", "--json"])),
        ("report.txt", run(&["report", "core.elf"])),
    ];
    let mut files = Vec::new();
    for (file, text) in texts {
        files.push(serde_json::json!({ "name": file, "size": text.len() }));
        fs::write(machine.path(&inside(file)), text).unwrap();
    }
    let core = fs::metadata(machine.path(&inside("vmcore.elf.zst"))).unwrap();
    files.push(serde_json::json!({ "name": "vmcore.elf.zst", "size": core.len() }));
    let manifest = serde_json::json!({
        "schema": 1,
        "afterpanic": "0.1.0",
        "verdict": verdict,
        "release": RELEASE,
        "crash_time": CRASH_TIME,
        "files": files,
        "soft_errors": [],
        "steps": [],
    });
    fs::write(machine.path(&inside("manifest.json")), manifest.to_string()).unwrap();
    dir
}

#[test]
fn a_complete_crash_directory() {
    let machine = Machine::empty();
    let dir = crash(
        &machine,
        "web-03-20261121T231500Z",
        Crash::NullPointer,
        "complete",
    );
    fs::remove_file(machine.path("core.elf")).unwrap();
    compare("directory/complete", transcript(&machine, &dir, ASKED));
    let last = &[
        "report",
        "info last",
        "sym panic",
        "struct task_struct init_task --path comm",
        "dis vfs_write",
        "read linux_banner 16",
        "what runqueues --cpu 1",
        "sym last",
        "read last linux_banner",
        "dis nothing.elf vfs_write",
    ];
    let last = transcript(&machine, "\0", last);
    compare("directory/last", last);
}

#[test]
fn a_core_that_was_cut_off() {
    let machine = Machine::empty();
    let name = "web-03-20261121T231500Z.incomplete";
    let dir = crash(&machine, name, Crash::NullPointer, "incomplete");
    let core = machine.path(&dir).join("vmcore.elf.zst");
    let essential = format!("{dir}/essential.elf.zst");
    let level = &[
        "-q",
        "convert",
        "core.elf",
        &essential,
        "--level",
        "essential",
    ];
    machine.run_inside(level).exits(4);
    // In the fourth frame, wherever the codec lets that begin.
    let whole = fs::read(&core).unwrap();
    let frames = |at: &usize| whole[*at..].starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
    let fourth = (0..whole.len()).filter(frames).nth(3).unwrap();
    fs::write(&core, &whole[..fourth + 20]).unwrap();
    let mut text = transcript(&machine, &dir, ASKED);
    for (size, name) in [
        (format!("at {fourth:#x}:"), "at [FOURTH]:"),
        (format!("{} bytes", fourth + 20), "[CUT] bytes"),
        (format!("says {}", whole.len()), "says [WHOLE]"),
    ] {
        assert!(text.contains(&size), "{size} is not told in\n{text}");
        text = text.replace(&size, name);
    }
    compare("directory/cut-off", text);
}

#[test]
fn a_list_of_crashes() {
    let machine = Machine::empty();
    for (name, how, verdict) in [
        ("web-03-20261119T040000Z", Crash::Sysrq, "complete"),
        ("web-03-20261120T040000Z", Crash::NullPointer, "degraded"),
        ("web-03-20261121T231500Z", Crash::NullPointer, "complete"),
    ] {
        crash(&machine, name, how, verdict);
    }
    machine.file(
        "/var/crash/web-03-20261122T050000Z.partial/dmesg.txt",
        "cut",
    );
    let text = transcript(&machine, "\0", &["list", "list --json"]);
    // `2026-11-19 04:00:00  complete   12.2 KiB  …`: the size of what was compressed.
    let cut = |line: &str| match line.split_at_checked(31) {
        Some((head, rest)) if head.starts_with("2026") => {
            let (_, rest) = rest.trim_start().split_once("  ").unwrap();
            format!("{head} [SIZE]  {rest}\n")
        }
        _ if line.starts_with("      \"bytes\"") => "      \"bytes\": [SIZE],\n".to_owned(),
        _ => format!("{line}\n"),
    };
    compare("directory/list", text.lines().map(cut).collect());
}
