//! The examples in the long help of the verbs: src/help/VERB.txt, out of real runs.

use super::directory::crash;
use super::transcript::compare_with;
use crate::arm::fixture;
use crate::harness::schemas::here;
use crate::harness::{Machine, Run};
use synth::kernel::Crash;

/// The crash directory that the examples read.
const CRASH: &str = "web-03-20261121T231500Z";
/// Lines of an example.
const LINES: usize = 12;
/// A line that is longer is cut.
const COLUMNS: usize = 76;

/// Runs a verb and compares what it prints with its example. `shown` is the command as a reader types it.
/// Of a long output the lines that hold one of `keep` are shown, or the first ones.
fn example(machine: &Machine, shown: &str, keep: &[&str]) {
    let run = machine.run_inside(&words(shown));
    compare(machine, shown, keep, &run);
}

/// The words of a command behind the program's name.
fn words(shown: &str) -> Vec<&str> {
    let words = shown.trim_start_matches("sudo ");
    words.split(' ').skip(1).collect()
}

/// The same for a run that ended.
fn compare(machine: &Machine, shown: &str, keep: &[&str], run: &Run) {
    let root = machine.root().to_str().unwrap();
    let output = run
        .stdout()
        .replace("./var/crash", "/var/crash")
        .replace("./etc/", "/etc/");
    let output = output.replace(&format!("{root}/"), "/");
    let mut text = format!("$ {shown}\n");
    let (mut left_out, mut shown_lines) = (false, 0);
    for line in output.lines() {
        if line.is_empty() && !keep.is_empty() {
            continue;
        }
        let wanted = keep.is_empty() || keep.iter().any(|part| line.contains(part));
        if !wanted || shown_lines == LINES {
            left_out = true;
            continue;
        }
        if left_out {
            text.push_str("  …\n");
            left_out = false;
        }
        shown_lines += 1;
        let end = line.floor_char_boundary(COLUMNS);
        text.push_str(line[..end].trim_end());
        text.push_str(if end < line.len() { " …\n" } else { "\n" });
    }
    if left_out {
        text.push_str("  …\n");
    }
    let words = words(shown);
    let verb = words.first().unwrap();
    compare_with(&here(&format!("src/help/{verb}.txt")), text);
}

#[test]
fn examples_that_read_a_core() {
    let machine = Machine::empty();
    crash(&machine, CRASH, Crash::NullPointer, "complete");
    std::fs::remove_file(machine.path("core.elf")).unwrap();
    let core = format!("/var/crash/{CRASH}/vmcore.elf.zst");
    let inside = core.trim_start_matches('/');
    std::fs::copy(machine.path(&core), machine.path("vmcore.elf.zst")).unwrap();
    assert!(machine.path(inside).exists());
    for (shown, keep) in [
        ("afterpanic report", &[][..]),
        ("afterpanic signature", &[]),
        ("afterpanic dmesg --level 4", &[]),
        ("afterpanic bt", &[]),
        ("afterpanic ps --state D", &[]),
        ("afterpanic mods", &[]),
        ("afterpanic struct task_struct init_task --path comm", &[]),
        ("afterpanic sym panic ffffffff81000005", &[]),
        ("afterpanic dis vfs_write", &[]),
        ("afterpanic read linux_banner 48", &[]),
        ("afterpanic what init_task", &[]),
        ("afterpanic pages vmcore.elf.zst", &[]),
        (
            "afterpanic info vmcore.elf.zst",
            &[
                "vmcore.elf.zst",
                "format",
                "kernel",
                "died",
                "pages",
                "complete",
                "checksums",
            ],
        ),
        ("afterpanic verify vmcore.elf.zst", &[]),
        ("afterpanic convert vmcore.elf.zst vmcore.elf", &[]),
        ("afterpanic vmlinux last vmlinux", &[]),
    ] {
        example(&machine, shown, keep);
    }
}

#[test]
fn examples_that_look_at_a_machine() {
    let machine = fixture("machine-unreserved");
    example(&machine, "afterpanic status", &[]);
    let keep = &[
        "web-03:",
        "memory ",
        "afterpanic reserve",
        "others",
        "disable",
        "policy",
        "sysctl",
        "would save nothing",
    ];
    example(&machine, "sudo afterpanic doctor", keep);
    let keep = &[
        "booted",
        "worker",
        "image, unpacked",
        "crashkernel=144M",
        "Nothing was",
    ];
    example(&machine, "sudo afterpanic reserve", keep);
    machine.file("/etc/afterpanic.toml", "[keep]\ndumps = 9\n");
    example(&machine, "afterpanic config check", &[]);
}

#[test]
fn examples_of_a_store() {
    let machine = Machine::empty();
    for (name, how) in [
        ("web-03-20261119T040000Z", Crash::Sysrq),
        ("web-03-20261120T040000Z", Crash::NullPointer),
        (CRASH, Crash::NullPointer),
    ] {
        crash(&machine, name, how, "complete");
    }
    // The size of a core is the codec's business.
    for name in ["web-03-20261119T040000Z", "web-03-20261120T040000Z", CRASH] {
        let core = machine.path(&format!("/var/crash/{name}/vmcore.elf.zst"));
        std::fs::File::create(core)
            .unwrap()
            .set_len(312 << 20)
            .unwrap();
    }
    example(&machine, "sudo afterpanic list", &[]);
    machine.file("/var/crash/web-03-20261122T050000Z.partial/dmesg.txt", "x");
    let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    let dir = machine.path("/var/crash/web-03-20261122T050000Z.partial");
    for path in [dir.join("dmesg.txt"), dir] {
        std::fs::File::open(path)
            .unwrap()
            .set_modified(old)
            .unwrap();
    }
    example(&machine, "sudo afterpanic collect", &[]);
}

/// With the capture binary beside the program, which goes into images.
#[test]
fn examples_that_build_an_image() {
    let machine = crate::crash_test::armed();
    let program = machine.program();
    let run = |shown: &str| machine.run_program(&program, &words(shown));
    let shown = "sudo afterpanic crash-test";
    compare(&machine, shown, &[], &run(shown));
    let shown = "sudo afterpanic image build";
    let keep = &["/init", "/plan.json", "ext4", "for Linux"];
    compare(&machine, shown, keep, &run(shown));
}
