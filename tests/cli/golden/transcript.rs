//! Runs commands, writes down what a user sees, and compares it with a file.

use crate::harness::Machine;
use snapbox::{Assert, Data};
use std::fmt::Write;
use std::path::Path;

/// Runs the commands, with `CORE` in them replaced by `core`; answers their transcript, with `CORE` put
/// back. What differs from run to run has a name in brackets.
pub(super) fn transcript(machine: &Machine, core: &str, commands: &[&str]) -> String {
    let mut text = String::new();
    for command in commands {
        let words = command.replace("CORE", core);
        let words: Vec<&str> = words.split(' ').filter(|word| !word.is_empty()).collect();
        let run = machine.run_inside(&words);
        writeln!(text, "$ afterpanic {command}").unwrap();
        text.push_str(&clean(machine, core, &run.stdout()));
        if !text.ends_with('\n') {
            text.push_str("(no newline)\n");
        }
        for line in clean(machine, core, &run.stderr()).lines() {
            writeln!(text, "! {line}").unwrap();
        }
        if run.code() != 0 {
            writeln!(text, "? {}", run.code()).unwrap();
        }
        text.push('\n');
    }
    text
}

fn clean(machine: &Machine, core: &str, text: &str) -> String {
    let root = machine.root().to_str().unwrap();
    let version = format!("afterpanic {}", env!("CARGO_PKG_VERSION"));
    let text = text
        .replace(root, "[ROOT]")
        .replace(&version, "afterpanic [VERSION]")
        .replace(core, "CORE");
    text.split_inclusive('\n').map(without_size).collect()
}

/// A line without the size of a compressed file, which is the codec's business.
fn without_size(line: &str) -> String {
    for (start, end) in [("  size        ", "\n"), ("  \"file_bytes\": ", ",\n")] {
        if line.starts_with(start) {
            return format!("{start}[SIZE]{end}");
        }
    }
    line.to_owned()
}

/// Compares, or overwrites when `SNAPSHOTS` says so.
pub(super) fn compare(name: &str, text: String) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/golden");
    compare_with(&golden.join(format!("{name}.txt")), text);
}

/// The same with any file.
pub(super) fn compare_with(path: &Path, text: String) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let expected = Data::read_from(path, None).raw();
    let assert = Assert::new().action_env("SNAPSHOTS");
    assert.eq(Data::text(text), expected);
}
