//! What a dump, a crash directory or a report says never reaches a terminal raw.

use crate::harness::{Machine, Run};
use std::fs;
use synth::kernel::{CRASH_TIME, Crash, Kernel};

/// What each hostile text is made of: a window title, the clipboard, C1's CSI, a carriage return, a
/// right-to-left override, DEL, and lines that look like ours.
const HOSTILE: &str = "\n  panic message: FORGED\r\u{1b}]0;t\u{7}\u{1b}]52;c;eA==\u{7}\u{9b}31m\u{202e}\u{2066}\u{2028}\u{7f}\n";

/// As much of a text as fits into so many bytes, filled up.
fn fit(text: &str, len: usize) -> Vec<u8> {
    let end = (0..=len.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    let mut bytes = text.as_bytes()[..end.unwrap()].to_vec();
    bytes.resize(len, b'~');
    bytes
}

/// Short controls first.
fn hostile(len: usize) -> Vec<u8> {
    fit("\n\u{1b}[1m\r\u{9b}m\u{202e}\u{7}\u{7f}\n", len)
}

/// Whether a character of an answer is more than text. On purpose not the program's own table.
fn acts(c: char) -> bool {
    let odd = [0x61c, 0x200e, 0x200f, 0x2028, 0x2029];
    let code = u32::from(c);
    code < 0x20 && c != '\n' && c != '\t'
        || (0x7f..0xa0).contains(&code)
        || (0x202a..0x202f).contains(&code)
        || (0x2066..0x206a).contains(&code)
        || odd.contains(&code)
}

/// Runs, and finds nothing in the answer that acts on a terminal, and no line that a dump wrote.
#[track_caller]
fn harmless(machine: &Machine, args: &[&str]) -> Run {
    let run = machine.run_inside(args);
    for (name, text) in [("stdout", run.stdout()), ("stderr", run.stderr())] {
        if let Some(c) = text.chars().find(|c| acts(*c)) {
            panic!("{args:?} writes {c:?} to {name}:\n{text:?}");
        }
        let forged = text.lines().find(|line| {
            let line = line.trim_start();
            line.starts_with("FORGED") || line.starts_with("panic message: FORGED")
        });
        assert_eq!(forged, None, "{args:?} on {name}:\n{text}");
    }
    run
}

/// A core of which every text that a verb shows was written by an attacker.
fn core(crash: Crash) -> Vec<u8> {
    let mut bytes = Kernel::new(crash).elf();
    let mut replace = |old: &str, new: Vec<u8>| {
        let old = old.as_bytes();
        let places: Vec<usize> = (0..bytes.len() - old.len())
            .filter(|at| bytes[*at..].starts_with(old))
            .collect();
        assert!(!places.is_empty(), "{:?}", String::from_utf8_lossy(old));
        for at in places {
            bytes[at..at + new.len()].copy_from_slice(&new);
        }
    };
    // Names of tasks, arguments, the module, one of its functions, its version, a value of an enum.
    for name in [
        "writer\0",
        "systemd\0",
        "kworker/1:0\0",
        "khungtaskd\0",
        "--loop\0",
        "crasher\0",
        "crasher_open\0",
        "1.4\0",
        "MODULE_STATE_LIVE\0",
    ] {
        replace(name, hostile(name.len() - 1));
    }
    // utsname and VMCOREINFO.
    replace("web-03\0", fit(HOSTILE, 64));
    replace("6.12.1-toy", fit("6.12.1\u{1b}[1m", 10));
    // The log, and what the reason is made of.
    replace("Detected virtualization kvm.", hostile(28));
    replace(
        "lines of one record",
        fit("\u{1b}]52;c;eA==\u{7}\rFORGED", 19),
    );
    if crash == Crash::Sysrq {
        replace("sysrq triggered crash", hostile(21));
    }
    bytes
}

#[test]
fn no_verb_prints_a_control_of_a_core() {
    let elsewhere = "last.elf";
    for crash in [Crash::NullPointer, Crash::Sysrq, Crash::HungTask] {
        let machine = Machine::empty();
        fs::write(machine.path("core.elf"), core(crash)).unwrap();
        let mut escaped = 0;
        for args in [
            &["report", "core.elf", "--log-lines", "200"][..],
            &[
                "report",
                "core.elf",
                "--section",
                "reason,stacks,tasks,blocked,locks,memory,slabs,modules,mounts,notifiers,log,checks",
            ],
            &["report", "core.elf", "--json"],
            &["ps", "core.elf"],
            &["ps", "core.elf", "--tree", "--threads"],
            &["ps", "core.elf", "--json"],
            &["bt", "core.elf", "--all", "--registers"],
            &["bt", "core.elf", "--json"],
            &["mods", "core.elf"],
            &["mods", "core.elf", "--json"],
            &["dmesg", "core.elf"],
            &["dmesg", "core.elf", "--json"],
            &[
                "sym",
                "core.elf",
                "ffffffffc0200000",
                "ffffffffc0200010",
                "panic",
            ],
            &["sym", "core.elf", "ffffffffc0200000", "--json"],
            &["dis", "core.elf", "ffffffffc0200000"],
            &["struct", "core.elf", "module_state"],
            &["struct", "core.elf", "task_struct", "init_task"],
            &["read", "core.elf", "linux_banner", "60"],
            &["info", "core.elf"],
            &["info", "core.elf", "--json"],
            &["pages", "core.elf"],
            &["verify", "core.elf"],
            &["convert", "core.elf", "out.elf.zst"],
            &["report", "out.elf.zst"],
            &["info", "out.elf.zst"],
            &["-vv", "report", elsewhere],
        ] {
            let run = harmless(&machine, args);
            let both = run.stdout() + &run.stderr();
            escaped += usize::from(both.contains("\\x1b") || both.contains("\\u001b"));
        }
        assert!(escaped >= 14, "only {escaped} answers showed an attack");
    }
}

/// A crash directory whose name and files an attacker wrote, as root would find it.
fn directory(machine: &Machine, state: &str) -> String {
    let node = HOSTILE.replace('/', "-");
    let dir = format!("var/crash/{node}-20261121T231500Z{state}");
    let inside = |file: &str| machine.path(&format!("{dir}/{file}"));
    fs::create_dir_all(machine.path(&dir)).unwrap();
    fs::write(machine.path("core.elf"), core(Crash::Sysrq)).unwrap();
    fs::write(inside("vmcore.elf"), core(Crash::Sysrq)).unwrap();
    let report = machine
        .run_inside(&["report", "core.elf", "--json"])
        .stdout();
    let mut report: serde_json::Value = serde_json::from_str(&report).unwrap();
    poison(&mut report, &["schema"]);
    fs::write(inside("report.json"), report.to_string()).unwrap();
    let size = fs::metadata(inside("vmcore.elf")).unwrap().len();
    let manifest = serde_json::json!({
        "schema": 1,
        "afterpanic": HOSTILE,
        "verdict": "degraded",
        "release": HOSTILE,
        "signature": HOSTILE,
        "crash_time": CRASH_TIME,
        "files": [{ "name": "vmcore.elf", "size": size }, { "name": HOSTILE, "size": 7 }],
        "soft_errors": [HOSTILE],
        "steps": [],
    });
    fs::write(inside("manifest.json"), manifest.to_string()).unwrap();
    fs::write(inside("dmesg.txt"), HOSTILE).unwrap();
    dir
}

/// Puts the hostile text behind every string but those of these members.
fn poison(value: &mut serde_json::Value, but: &[&str]) {
    match value {
        serde_json::Value::String(text) => text.push_str(HOSTILE),
        serde_json::Value::Array(all) => all.iter_mut().for_each(|value| poison(value, but)),
        serde_json::Value::Object(all) => {
            for (key, value) in all {
                if !but.contains(&key.as_str()) {
                    poison(value, but);
                }
            }
        }
        _ => {}
    }
}

#[test]
fn no_verb_prints_a_control_of_a_crash_directory() {
    for state in ["", ".incomplete", ".partial"] {
        let machine = Machine::empty();
        let dir = directory(&machine, state);
        for args in [
            &["list"][..],
            &["list", "--json"],
            &["report"],
            &["report", &dir],
            &["report", &dir, "--json"],
            &["report", &dir, "--stored"],
            &["report", "--stored", "--json"],
            &["info", &dir],
            &["bt", &dir],
            &["verify", &dir],
            &["verify", &dir, "--json"],
            &["status"],
            &["status", "--json"],
            &[],
            &["-vv", "collect"],
        ] {
            harmless(&machine, args);
        }
        let list = harmless(&machine, &["list"]).exits(0).stdout();
        let shown = "/\\n  panic message: FORGED\\r\\x1b]0;t\\x07";
        assert!(list.contains(shown), "{list}");
    }
}

#[test]
fn a_stored_report_forges_no_line() {
    let machine = Machine::empty();
    let dir = directory(&machine, "");
    let path = machine.path(&dir).join("report.json");
    let mut report: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let plain = machine
        .run_inside(&["report", "core.elf", "--json"])
        .stdout();
    let plain: serde_json::Value = serde_json::from_str(&plain).unwrap();
    // Enumerations keep their words, or nothing of the file could be read.
    for member in ["class", "trust", "first"] {
        report["reason"][member] = plain["reason"][member].clone();
    }
    for member in ["cpus", "blocked", "stack", "notifiers"] {
        report[member] = serde_json::Value::Null;
    }
    report["reason"]["oops"]["comm"] = HOSTILE.into();
    report["reason"]["oops"]["tainted"] = HOSTILE.into();
    fs::write(&path, report.to_string()).unwrap();
    let run = harmless(&machine, &["report", &dir, "--stored"]);
    let text = run.stdout();
    assert!(
        text.contains("  task \\n  panic message: FORGED\\r\\x1b]0;t"),
        "{text}{}",
        run.stderr()
    );
    assert!(
        text.contains("\\u009b31m\\u202e\\u2066\\u2028\\x7f\\n"),
        "{text}"
    );
}

#[test]
fn colour_is_the_only_control_and_only_where_it_is_wanted() {
    let machine = Machine::empty();
    fs::write(machine.path("core.elf"), core(Crash::Sysrq)).unwrap();
    for verb in ["report", "ps", "bt", "mods"] {
        for when in ["auto", "never"] {
            harmless(&machine, &["--color", when, verb, "core.elf"]);
        }
        let plain = harmless(&machine, &[verb, "core.elf"]).stdout();
        let run = machine.run_inside(&["--color", "always", verb, "core.elf"]);
        let coloured = run.stdout();
        assert!(coloured.starts_with("\u{1b}[1m"), "{coloured:?}");
        let mut bare = coloured;
        for ours in ["\u{1b}[1m", "\u{1b}[1;31m", "\u{1b}[33m", "\u{1b}[0m"] {
            bare = bare.replace(ours, "");
        }
        assert_eq!(bare, plain);
    }
}
