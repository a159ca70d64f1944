//! Commands that the documents name exist: verbs of the laboratory and of xtask, and scenarios.

// Clippy frees tests from these, but not the functions beside them.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The documents with their texts.
fn documents() -> Vec<(PathBuf, String)> {
    let root = lab::root();
    let top = ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"].map(|name| root.join(name));
    let below = ["docs", "docs/development", "docs/measurements"].map(|dir| root.join(dir));
    let docs = below
        .iter()
        .flat_map(|dir| fs::read_dir(dir).unwrap().flatten());
    let docs = docs.map(|entry| entry.path());
    let docs = docs.filter(|path| path.extension().is_some_and(|end| end == "md"));
    top.into_iter()
        .chain(docs)
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (path, text)
        })
        .collect()
}

/// The words of every command in `text` that begins so: up to the end of its code, or a comment.
fn commands(text: &str, begins: &str) -> Vec<Vec<String>> {
    let after = text.match_indices(begins);
    let rest = after.filter_map(|(at, found)| text.get(at + found.len()..));
    let code = rest.map(|rest| rest.split(['`', '#', '|']).next().unwrap_or_default());
    code.map(|code| code.split_whitespace().map(str::to_owned).collect())
        .collect()
}

/// The verbs in the list that a program prints, each at the beginning of a line behind `prefix`.
fn listed(help: &str, prefix: &str) -> BTreeSet<String> {
    help.lines()
        .filter_map(|line| line.strip_prefix(prefix)?.split([' ', '[']).next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_command_in_the_documents_exists() {
    let output = Command::new(env!("CARGO_BIN_EXE_lab"))
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let (_, verbs) = help.split_once("Commands:\n").unwrap();
    let lab_verbs = listed(verbs, "  ");
    let main = fs::read_to_string(lab::root().join("xtask/src/main.rs")).unwrap();
    let xtask_verbs = listed(&main, "cargo xtask ");
    assert!(lab_verbs.contains("crash") && xtask_verbs.contains("test"));
    let all = lab::scenario::all().unwrap();
    let scenarios: BTreeSet<&str> = all.iter().map(|s| s.name.as_str()).collect();
    let mut seen = 0;
    for (path, text) in documents() {
        let lab = commands(&text, "-p lab -- ")
            .into_iter()
            .map(|words| (words, &lab_verbs));
        let xtask = commands(&text, "cargo xtask ")
            .into_iter()
            .map(|words| (words, &xtask_verbs));
        for (words, verbs) in lab.chain(xtask) {
            let at = format!("{}: {}", path.display(), words.join(" "));
            let (verb, arguments) = words.split_first().unwrap();
            assert!(verbs.contains(verb), "{at}");
            seen += 1;
            if verb != "crash" {
                continue;
            }
            let names = arguments.iter().take_while(|word| !word.starts_with("--"));
            for name in names.filter(|name| !name.starts_with("NAME")) {
                assert!(
                    scenarios.contains(name.as_str()),
                    "{at}: no scenario {name}"
                );
            }
        }
    }
    assert!(seen > 20, "only {seen} commands were found");
}

#[test]
fn a_command_that_does_not_exist_is_found() {
    let text = "run `cargo xtask no-such --x\n  y` and\n| `cargo xtask test` | x |\n    cargo xtask demo # z";
    let words: Vec<String> = commands(text, "cargo xtask ")
        .into_iter()
        .map(|words| words.join(" "))
        .collect();
    assert_eq!(words, ["no-such --x y", "test", "demo"]);
    assert!(!listed("  crash  Run\n  demo\n", "  ").contains("no-such"));
}
