//! `report --html`, and the page that `collect` writes.

use crate::harness::Machine;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use synth::kernel::{CRASH_TIME, Crash, Kernel, RELEASE};

/// The synthetic kernel has no type of a mount, which the report says.
const DEGRADED: i32 = 4;

const NAME: &str = "web-03-20261121T231500Z";

fn mode(machine: &Machine, path: &str) -> u32 {
    let meta = fs::metadata(machine.path(path)).unwrap();
    meta.permissions().mode() & 0o7777
}

/// A machine with a core of its own.
fn with_core(crash: Crash) -> Machine {
    let machine = Machine::empty();
    fs::write(machine.path("core.elf"), Kernel::new(crash).elf()).unwrap();
    machine
}

/// A crash directory with a manifest; what it holds besides, the caller says.
fn crash_directory(machine: &Machine, files: &[(&str, &[u8])]) {
    let core = r#"{"file":"vmcore.elf","format":"elf","level":"all","asked":"standard","verdict":"degraded",
        "size":4096,"pages":{"ram":100,"kept":40,"zero":0,"missing":0},"kinds":{"free":{"pages":60,"kept":false}},
        "checks":[{"name":"slab","found":3,"expected":4,"verdict":"failed"}],"soft_errors":["the slab check failed"],
        "threads":1,"classify_s":0.5,"write_s":1.5}"#;
    let manifest = format!(
        r#"{{"schema":1,"afterpanic":"0","verdict":"degraded","release":"{RELEASE}","crash_time":{CRASH_TIME},
        "files":[],"soft_errors":[],"core":{core},"steps":[{{"name":"log","end":"done","seconds":0.5}}]}}"#
    );
    machine.file(&format!("/var/crash/{NAME}/manifest.json"), &manifest);
    for (file, content) in files {
        fs::write(machine.path(&format!("/var/crash/{NAME}/{file}")), content).unwrap();
    }
}

#[test]
fn a_page_is_a_new_file_of_its_owner() {
    let machine = with_core(Crash::NullPointer);
    let answer = machine
        .run_inside(&["report", "--html", "page.html", "core.elf"])
        .exits(DEGRADED)
        .stdout();
    assert!(
        answer.starts_with("page.html: ") && answer.ends_with(" KiB\n"),
        "{answer}"
    );
    assert_eq!(mode(&machine, "page.html"), 0o600);
    let page = fs::read_to_string(machine.path("page.html")).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.contains("NULL pointer dereference"));
    let said = machine
        .run_inside(&["report", "--html", "page.html", "core.elf"])
        .exits(1)
        .stderr();
    assert!(said.contains("page.html"), "{said}");
    assert_eq!(fs::read_to_string(machine.path("page.html")).unwrap(), page);
    let printed = machine
        .run_inside(&["report", "--html", "-", "core.elf"])
        .exits(DEGRADED)
        .stdout();
    assert_eq!(printed, page);
}

#[test]
fn a_stored_report_gives_the_same_page() {
    for crash in [Crash::NullPointer, Crash::Sysrq, Crash::HungTask] {
        let machine = with_core(crash);
        let page = machine
            .run_inside(&["report", "--html", "-", "core.elf"])
            .exits(DEGRADED)
            .stdout();
        let run = machine
            .run_inside(&["report", "--json", "--full", "core.elf"])
            .exits(DEGRADED);
        assert!(run.json()["log"].is_array());
        fs::write(machine.path("full.json"), run.stdout()).unwrap();
        let again = machine
            .run_inside(&["report", "--html", "-", "full.json"])
            .exits(DEGRADED)
            .stdout();
        assert_eq!(again, page);
        // What an earlier version stored holds less, and has a page all the same.
        let run = machine
            .run_inside(&["report", "--json", "core.elf"])
            .exits(0);
        fs::write(machine.path("report.json"), run.stdout()).unwrap();
        let less = machine
            .run_inside(&["report", "--html", "-", "report.json"])
            .exits(0)
            .stdout();
        assert!(less.contains("id=\"stack\"") && !less.contains("id=\"memory\""));
    }
    let machine = Machine::empty();
    machine.file("/other.json", r#"{"name": "no report"}"#);
    let said = machine
        .run_inside(&["report", "--html", "-", "other.json"])
        .exits(1)
        .stderr();
    assert!(
        said.contains("other.json is not a report of ours"),
        "{said}"
    );
    machine.run_inside(&["report", "--full"]).exits(2);
}

#[test]
fn a_crash_directory_says_how_it_was_saved() {
    let machine = Machine::empty();
    crash_directory(
        &machine,
        &[("vmcore.elf", &Kernel::new(Crash::Sysrq).elf())],
    );
    let dir = format!("var/crash/{NAME}");
    // A check of the filter failed: degraded.
    let page = machine
        .run_inside(&["report", "--html", "-", &dir])
        .exits(DEGRADED)
        .stdout();
    for part in [
        "id=\"dump\"",
        "asked for: standard",
        "the slab check failed",
        "first time on this machine",
    ] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn collect_writes_the_page_once() {
    let machine = Machine::empty();
    crash_directory(
        &machine,
        &[("vmcore.elf", &Kernel::new(Crash::NullPointer).elf())],
    );
    let html = format!("/var/crash/{NAME}/report.html");
    let said = machine.run(&["collect"]).stdout();
    assert!(said.contains("report.html"), "{said}");
    assert_eq!(mode(&machine, &html), 0o600);
    let page = fs::read_to_string(machine.path(&html)).unwrap();
    assert!(page.contains("id=\"memory\"") && page.contains("id=\"dump\""));
    fs::write(machine.path(&html), "mine").unwrap();
    let said = machine.run(&["collect"]).stdout();
    assert!(!said.contains("report.html"), "{said}");
    assert_eq!(fs::read_to_string(machine.path(&html)).unwrap(), "mine");
}

#[test]
fn without_a_core_collect_takes_the_stored_report_and_the_log() {
    let machine = with_core(Crash::NullPointer);
    let run = |args: &[&str]| machine.run_inside(args).exits(0).stdout();
    let report = run(&["report", "--json", "core.elf"]);
    let log = run(&["dmesg", "core.elf"]);
    let files: [(&str, &[u8]); 3] = [
        ("report.json", report.as_bytes()),
        ("dmesg.txt", log.as_bytes()),
        // Damaged beyond use.
        ("vmcore.elf.zst", b"\x28\xb5\x2f\xfd"),
    ];
    crash_directory(&machine, &files);
    machine.run(&["collect"]);
    let html = machine.path(&format!("/var/crash/{NAME}/report.html"));
    let page = fs::read_to_string(html).unwrap();
    assert!(page.contains("NULL pointer dereference") && page.contains("The whole log"));
    assert!(!page.contains("id=\"memory\""));
}

#[test]
fn there_is_no_page_of_what_cannot_be_read() {
    // Sealed, empty, and switched off.
    let sealed: [(&str, &[u8]); 2] = [
        ("vmcore.elf.zst.age", b"age-encryption.org/v1\n"),
        ("report.json.age", b"age"),
    ];
    let html = format!("/var/crash/{NAME}/report.html");
    for files in [
        &sealed[..],
        &[],
        &[("report.json", b"{"), ("dmesg.txt", b"nothing\n")],
    ] {
        let machine = Machine::empty();
        crash_directory(&machine, files);
        machine.run(&["collect"]);
        assert!(!machine.path(&html).exists());
    }
    let machine = Machine::empty();
    machine.file("/etc/afterpanic.toml", "[report]\nhtml = false\n");
    crash_directory(
        &machine,
        &[("vmcore.elf", &Kernel::new(Crash::Sysrq).elf())],
    );
    machine.run(&["collect"]);
    assert!(!machine.path(&html).exists());
    fs::write(machine.path("/etc/afterpanic.toml"), "[report]\n").unwrap();
    machine.run(&["collect"]);
    assert!(machine.path(&html).exists());
}

#[test]
fn a_link_in_the_place_of_the_page_leads_nowhere() {
    let machine = Machine::empty();
    crash_directory(
        &machine,
        &[("vmcore.elf", &Kernel::new(Crash::Sysrq).elf())],
    );
    machine.link(&format!("/var/crash/{NAME}/report.html"), "../../victim");
    machine.run(&["collect"]);
    assert!(!machine.path("/var/victim").exists());
    assert!(
        machine
            .path(&format!("/var/crash/{NAME}/report.html"))
            .is_symlink()
    );
}
