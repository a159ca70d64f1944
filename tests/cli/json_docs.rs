//! `docs/json.md` and `docs/json/` against what the verbs print, both ways.
//!
//! Every JSON answer that a test parses ([`crate::harness::Run::json`]) and every one in `golden/` must be
//! documented, member by member, with its type. Every member that is not "optional" must be printed
//! wherever the object that holds it is printed in `golden/`, and every documented name must be a name in
//! the sources.

use crate::harness::Machine;
use crate::harness::schemas::{Seen, documented, here, pages, walk};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn files(dir: &Path, end: &str, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, end, out);
        } else if path.to_string_lossy().ends_with(end) {
            out.push(path);
        }
    }
}

fn sources() -> String {
    let mut all = Vec::new();
    for part in [
        "src",
        "analysis/src",
        "config/src",
        "initramfs/src",
        "loader/src",
        "rehearse/src",
    ] {
        files(&here(part), ".rs", &mut all);
    }
    all.iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect()
}

/// The answers in the golden files, by schema.
fn golden() -> BTreeMap<String, Vec<Value>> {
    let mut all = Vec::new();
    files(&here("tests/cli/golden"), ".txt", &mut all);
    let mut answers: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for path in all {
        let text = fs::read_to_string(&path)
            .unwrap()
            .replace("[SIZE]", "1")
            .replace("[VERSION]", "1");
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            if line == "{\n" {
                let mut stream = serde_json::Deserializer::from_str(&text[at..]).into_iter();
                let value: Value = stream.next().unwrap().unwrap();
                let name = value["schema"].as_str().unwrap().to_owned();
                answers.entry(name).or_default().push(value);
            }
            at += line.len();
        }
    }
    answers
}

#[test]
fn every_schema_is_documented_and_every_documented_schema_is_printed() {
    let sources = sources();
    let printed: BTreeSet<String> = sources
        .split("\"afterpanic.")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .filter(|name| name.ends_with(|c: char| c.is_ascii_digit()) && name.contains('/'))
        .map(|name| format!("afterpanic.{name}"))
        .collect();
    let documented: BTreeSet<String> = documented().into_keys().collect();
    assert!(printed.len() > 15, "{printed:?}");
    assert_eq!(printed, documented);
}

#[test]
fn every_class_is_documented() {
    let pages = pages();
    let mut tables = pages
        .iter()
        .filter_map(|(_, page)| page.split("| `reason.class` | what |").nth(1));
    let table = tables.next().unwrap();
    let documented: BTreeSet<&str> = table
        .lines()
        .skip(2)
        .map_while(|row| row.strip_prefix("| `")?.split('`').next())
        .collect();
    let source = fs::read_to_string(here("analysis/src/reason/class.rs")).unwrap();
    let names: BTreeSet<&str> = source
        .split("=> \"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert!(names.contains("sysrq"), "{names:?}");
    assert_eq!(documented, names);
}

#[test]
fn golden_answers_are_documented_and_print_every_documented_member() {
    let schemas = documented();
    let golden = golden();
    assert!(golden.len() > 8, "{:?}", golden.keys());
    let mut wrong = Vec::new();
    for (name, answers) in &golden {
        let Some(rows) = schemas.get(name) else {
            wrong.push(format!("{name} is not documented"));
            continue;
        };
        let mut seen = Seen::default();
        for answer in answers {
            walk(answer, "", rows, &mut seen);
        }
        wrong.extend(seen.wrong.iter().map(|why| format!("{name}: {why}")));
        for (path, kind) in rows {
            let holder = path.rsplit_once('.').map_or("", |(holder, _)| holder);
            let element = path.ends_with("[]");
            let may_be_absent = kind.ends_with("optional") || element || path.ends_with('*');
            if !may_be_absent && seen.objects.contains(holder) && !seen.rows.contains(path) {
                wrong.push(format!("{name}: {path} is documented and never printed"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_documented_member_is_a_name_in_the_sources() {
    let sources = sources();
    let mut wrong = Vec::new();
    for (schema, rows) in documented() {
        for path in rows.keys() {
            let name = path.rsplit('.').next().unwrap().trim_end_matches("[]");
            let there = name.starts_with('*')
                || [
                    format!(" {name}: "),
                    format!("r#{name}: "),
                    format!("\"{name}\""),
                ]
                .iter()
                .any(|text| sources.contains(text));
            if !there {
                wrong.push(format!("{schema}: {path}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn verbs_that_need_no_core_print_what_is_documented() {
    let machine = Machine::empty();
    for verb in [
        "status --json",
        "doctor --json",
        "reserve --json",
        "config show --json",
        "crash-test --json",
        "list --json",
        "pages --kinds --json",
    ] {
        let words: Vec<&str> = verb.split(' ').collect();
        // `json` compares the answer with the page.
        machine.run(&words).json();
    }
}

#[test]
fn an_answer_that_is_not_as_documented_is_noticed() {
    let rows: BTreeMap<String, String> = [
        ("a", "number or null"),
        ("b", "array"),
        ("b[].c", "hex"),
        ("d", "object, optional"),
        ("d.*", "boolean"),
    ]
    .into_iter()
    .map(|(path, kind)| (path.to_owned(), kind.to_owned()))
    .collect();
    let found = |text: &str| {
        let mut seen = Seen::default();
        walk(&serde_json::from_str(text).unwrap(), "", &rows, &mut seen);
        seen.wrong.len()
    };
    assert_eq!(
        found(r#"{"a": null, "b": [{"c": "0x1"}], "d": {"x": true}}"#),
        0
    );
    assert_eq!(found(r#"{"a": "1"}"#), 1);
    assert_eq!(found(r#"{"e": 1}"#), 1);
    assert_eq!(found(r#"{"b": [{"c": "1"}, {"f": 1}, 3]}"#), 3);
    assert_eq!(found(r#"{"d": {"x": 1}}"#), 1);
}
