//! The trees in docs/json/: the first levels of each schema, out of the table on its page.

use super::transcript::compare_with;
use crate::harness::schemas::{here, pages};
use std::fmt::Write;

/// Levels that are shown.
const DEPTH: usize = 2;
const BEGIN: &str = "Its first levels:\n\n```text\n";
const END: &str = "```\n";

/// The members of a page's table: path and type.
fn members(page: &str) -> Vec<(String, String)> {
    let rows = page.lines().filter_map(|line| {
        let (path, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        // A row of two columns explains a value.
        let (kind, _) = rest.split_once(" | ")?;
        Some((path.to_owned(), kind.to_owned()))
    });
    rows.collect()
}

fn tree(members: &[(String, String)]) -> String {
    let mut text = String::new();
    let mut hidden = 0;
    for (path, kind) in members {
        let depth = path.matches('.').count();
        if depth >= DEPTH {
            hidden += 1;
            continue;
        }
        let name = path.rsplit('.').next().unwrap();
        let name = format!("{}{name}", "  ".repeat(depth));
        writeln!(text, "{name:<28}{kind}").unwrap();
    }
    if hidden > 0 {
        writeln!(text, "({hidden} members below these)").unwrap();
    }
    text
}

#[test]
fn the_trees_of_the_schemas() {
    let mut seen = 0;
    for (path, page) in pages() {
        if path == here("docs/json.md") {
            continue;
        }
        let (head, rest) = page.split_once(BEGIN).unwrap();
        let (_, tail) = rest.split_once(END).unwrap();
        let tree = tree(&members(tail));
        assert!(!tree.is_empty(), "{}", path.display());
        compare_with(&path, format!("{head}{BEGIN}{tree}{END}{tail}"));
        seen += 1;
    }
    // None while the sections are in docs/json.md.
    assert!(seen == 0 || seen > 20, "{seen}");
}

#[test]
fn a_tree_has_two_levels() {
    let page =
        "| `a` | object | x |\n| `a.b` | string | y |\n| `a.b.c` | hex | z |\n| `v` | what |\n";
    let expected = "a                           object\n  b                         string\n(1 members below these)\n";
    assert_eq!(tree(&members(page)), expected);
}
