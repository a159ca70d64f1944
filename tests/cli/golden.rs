//! Golden outputs: every verb that reads a core on every kind of core, compared with `golden/`.
//!
//! A file there holds what a user sees: the command, its output, what went to stderr (with `! ` in
//! front) and the exit code if it is not 0. `SNAPSHOTS=overwrite cargo test --test cli golden` writes
//! them anew; read the difference before it is committed.

use crate::harness::Machine;
use snapbox::{Assert, Data};
use std::fmt::Write;
use std::path::Path;
use synth::kernel::{Crash, Kernel};

/// What is asked of each core; CORE is its name.
const ASKED: &[(&str, &[&str])] = &[
    (
        "report",
        &[
            "report CORE",
            "report CORE --section checks,modules,locks --log-lines 3",
        ],
    ),
    ("report-json", &["report CORE --json"]),
    (
        "bt",
        &[
            "bt CORE",
            "bt CORE --all",
            "bt CORE --cpu 1 --registers",
            "bt CORE --pid 99",
        ],
    ),
    ("bt-json", &["bt CORE --json", "bt CORE --state D --json"]),
    (
        "ps",
        &[
            "ps CORE",
            "ps CORE --threads",
            "ps CORE --tree",
            "ps CORE --state D",
        ],
    ),
    ("ps-json", &["ps CORE --json"]),
    (
        "dmesg",
        &[
            "dmesg CORE",
            "dmesg CORE --level 4",
            "dmesg CORE --since 60",
            "dmesg CORE --follow-panic",
        ],
    ),
    ("dmesg-json", &["dmesg CORE --level 4 --json"]),
    ("mods", &["mods CORE", "mods CORE --tainting"]),
    ("mods-json", &["mods CORE --json"]),
    (
        "sym",
        &[
            "sym CORE panic ffffffff81000005 crasher_write crasher:crasher_open",
            "sym CORE nothing",
        ],
    ),
    (
        "sym-json",
        &["sym CORE panic ffffffffc0200006 nothing --json"],
    ),
    (
        "struct",
        &[
            "struct CORE list_head",
            "struct CORE task_struct init_task",
            "struct CORE task_struct init_task --path tasks.next",
            "struct CORE module_state",
            "struct CORE nothing",
        ],
    ),
    (
        "struct-json",
        &["struct CORE task_struct init_task --path real_parent->comm --json"],
    ),
    (
        "dis",
        &[
            "dis CORE vfs_write",
            "dis CORE crasher_write+0x6",
            "dis CORE nothing",
        ],
    ),
    ("dis-json", &["dis CORE vfs_write --json"]),
    (
        "read",
        &[
            "read CORE linux_banner 60",
            "read CORE ffff888000100000 0x20",
            "read CORE --phys 100000 16",
            "read CORE --phys 3900000 16",
            "read CORE linux_banner 24 --raw",
        ],
    ),
    ("info", &["info CORE"]),
    ("info-json", &["info CORE --json"]),
    ("pages", &["pages CORE"]),
    ("pages-json", &["pages CORE --json"]),
    ("verify", &["verify CORE"]),
    ("verify-json", &["verify CORE --json"]),
];

/// Runs the commands; answers their transcript.
fn transcript(machine: &Machine, core: &str, commands: &[&str]) -> String {
    let mut text = String::new();
    let root = machine.root().to_str().unwrap();
    for command in commands {
        let shown = command.replace("CORE", core);
        let words: Vec<&str> = shown.split(' ').filter(|word| !word.is_empty()).collect();
        let run = machine.run_inside(&words);
        let clean = |text: String| text.replace(root, "[ROOT]");
        writeln!(text, "$ afterpanic {shown}").unwrap();
        text.push_str(&clean(run.stdout()));
        if !text.ends_with('\n') {
            text.push_str("(no newline)\n");
        }
        for line in clean(run.stderr()).lines() {
            writeln!(text, "! {line}").unwrap();
        }
        if run.code() != 0 {
            writeln!(text, "? {}", run.code()).unwrap();
        }
        text.push('\n');
    }
    text
}

/// Compares, or overwrites when `SNAPSHOTS` says so.
fn compare(name: &str, text: String) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/golden");
    let path = golden.join(format!("{name}.txt"));
    let expected = Data::read_from(&path, None).raw();
    let assert = Assert::new().action_env("SNAPSHOTS");
    assert.eq(Data::text(text), expected);
}

/// Asks everything of a core that is the one file of a machine.
fn all(dir: &str, core: &str, bytes: &[u8]) {
    let machine = Machine::empty();
    std::fs::write(machine.path(core), bytes).unwrap();
    ask(dir, core, &machine);
}

fn ask(dir: &str, core: &str, machine: &Machine) {
    for (name, commands) in ASKED {
        compare(
            &format!("{dir}/{name}"),
            transcript(machine, core, commands),
        );
    }
}

#[test]
fn an_elf_core() {
    all("elf", "core.elf", &Kernel::new(Crash::NullPointer).elf());
}

#[test]
fn a_kdump_compressed_core() {
    let kernel = Kernel::new(Crash::NullPointer);
    all("kdump", "vmcore.kdump", &kernel.kdump());
}

#[test]
fn a_core_without_symbols_and_types() {
    let kernel = Kernel::without_tables(Crash::NullPointer);
    all("stripped", "core.elf", &kernel.elf());
}
