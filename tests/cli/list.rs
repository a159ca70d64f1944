//! `list`, and `last` as a CORE.

use crate::harness::Machine;

#[test]
fn an_empty_store_is_no_failure() {
    let run = Machine::empty().run(&["list"]).exits(0);
    assert!(
        run.stdout().starts_with("No crash is saved in "),
        "{}",
        run.stdout()
    );
    let json = Machine::empty().run(&["list", "--json"]).exits(0).json();
    assert_eq!(json["crashes"], serde_json::json!([]));
}

#[test]
fn crashes_are_listed_oldest_first_with_their_state() {
    let machine = Machine::empty();
    machine
        .file(
            "/var/crash/web-03-20261122T000000Z.incomplete/dmesg.txt",
            "x",
        )
        .file("/var/crash/web-03-20261121T231500Z/dmesg.txt", "12345")
        .file("/var/crash/notes/todo", "not a crash");
    let json = machine.run(&["list", "--json"]).exits(0).json();
    let rows = json["crashes"].as_array().unwrap();
    let seen: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row["time"].as_str().unwrap(),
                row["state"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("20261121T231500Z", "done"),
            ("20261122T000000Z", "incomplete")
        ]
    );
    assert_eq!(rows[0]["bytes"], 5);
    assert_eq!(rows[0]["signature"], serde_json::Value::Null);
}

#[test]
fn last_without_a_crash_says_what_to_give() {
    let run = Machine::empty().run(&["report"]).exits(1);
    assert!(
        run.stderr()
            .contains("give a core file or a crash directory"),
        "{}",
        run.stderr()
    );
}

#[test]
fn a_crash_without_a_core_is_told() {
    let machine = Machine::empty();
    machine.file("/var/crash/web-03-20261121T231500Z/dmesg.txt", "x");
    let run = machine.run(&["bt"]).exits(1);
    assert!(run.stderr().contains("holds no core"), "{}", run.stderr());
    // Its log is there, and the report says what it was made from.
    let report = machine.run(&["report"]).exits(0).stdout();
    assert!(
        report.contains("dmesg.txt: a log without times"),
        "{report}"
    );
}

#[test]
fn crash_directories_of_other_suites_are_listed_as_theirs_and_opened() {
    let machine = Machine::empty();
    let core = synth::elf::Elf::new()
        .load(0, 0x10_0000, &synth::elf::pages(9, 4))
        .build();
    for (dir, core_name) in [
        ("127.0.0.1-2026-11-21-23:15:00", "vmcore"),
        ("2026-11-22-01-00", "vmcore"),
        ("202611220200", "dump.202611220200"),
    ] {
        machine
            .file(&format!("/var/crash/{dir}/dmesg.txt"), "")
            .file(&format!("/var/crash/{dir}/{core_name}"), "");
        let path = machine.path(&format!("/var/crash/{dir}/{core_name}"));
        std::fs::write(path, &core).unwrap();
        let path = machine.path(&format!("/var/crash/{dir}"));
        let info = machine.run(&["info", path.to_str().unwrap(), "--json"]);
        assert!(info.exits(0).stdout().contains(core_name));
        // Other suites leave no manifest: what is missing there is no damage.
        let verify = machine
            .run(&["verify", path.to_str().unwrap(), "--json"])
            .exits(4)
            .json();
        assert_eq!(verify["verdict"], "sound", "{verify}");
    }
    machine.file("/var/crash/web-03-20261121T233000Z/dmesg.txt", "x");
    let json = machine.run(&["list", "--json"]).exits(0).json();
    let rows = json["crashes"].as_array().unwrap();
    let seen: Vec<_> = rows
        .iter()
        .map(|row| row["state"].as_str().unwrap())
        .collect();
    assert_eq!(seen, ["kdump-utils", "done", "suse", "debian"]);
    let text = machine.run(&["list"]).exits(0).stdout();
    assert!(text.contains("2026-11-22 02:00:00  debian"), "{text}");
    // The newest crash of ours is still the last one.
    let report = machine.run(&["report"]).stdout();
    assert!(report.contains("web-03-20261121T233000Z"), "{report}");
}
