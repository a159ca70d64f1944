//! The pages: relative links lead somewhere, the table of contents has every page, and the commands that
//! the pages name exist.

use crate::harness::Machine;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page of the repository, build directories left out.
fn pages() -> Vec<(PathBuf, String)> {
    let mut pages = Vec::new();
    let mut dirs = vec![root().to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let entry = entry.unwrap();
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            if entry.file_type().unwrap().is_dir() {
                if name != "target" && name != "book" && !name.starts_with('.') {
                    dirs.push(path);
                }
            } else if name.ends_with(".md") {
                let text = fs::read_to_string(&path).unwrap();
                pages.push((path, text));
            }
        }
    }
    assert!(pages.len() > 10, "{}", pages.len());
    pages
}

/// The targets of a page's links, without their fragments.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let parts = text.split("](").skip(1);
    let targets = parts.filter_map(|part| part.split(')').next());
    targets
        .map(|target| target.split('#').next().unwrap_or_default())
        .filter(|target| !target.is_empty() && !target.contains(':'))
}

#[test]
fn relative_links_lead_to_files() {
    let mut dead = Vec::new();
    let mut all = 0;
    for (page, text) in pages() {
        for link in links(&text) {
            all += 1;
            if !page.parent().unwrap().join(link).exists() {
                dead.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(all > 20, "{all}");
    assert!(dead.is_empty(), "{dead:#?}");
}

#[test]
fn links_are_found_in_text() {
    let text = "[a](b.md) and [c](https://d) or [e](#f), [g](h.md#i)";
    assert_eq!(links(text).collect::<Vec<_>>(), ["b.md", "h.md"]);
}

#[test]
fn the_table_of_contents_has_every_page() {
    let docs = root().join("docs");
    let contents = fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    let listed: Vec<PathBuf> = links(&contents).map(|link| docs.join(link)).collect();
    for (page, _) in pages() {
        let is_page = page.starts_with(&docs) && !page.ends_with("SUMMARY.md");
        assert!(
            !is_page || listed.contains(&page),
            "docs/SUMMARY.md lacks {}",
            page.display()
        );
    }
}

/// The commands in fenced blocks and code spans: what follows `afterpanic `.
fn commands(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            let line = line.trim_start_matches("$ ").trim_start_matches("sudo ");
            found.extend(line.strip_prefix("afterpanic "));
        } else {
            for span in line.split('`').skip(1).step_by(2) {
                let span = span.trim_start_matches("sudo ");
                found.extend(span.strip_prefix("afterpanic "));
            }
        }
    }
    found
}

#[test]
fn commands_are_found_in_text() {
    let text =
        "`afterpanic list` or `sudo afterpanic load`\n```\n$ afterpanic a --b\nafterpanic c\n```\n";
    assert_eq!(commands(text), ["list", "load", "a --b", "c"]);
}

#[test]
fn commands_in_the_pages_exist() {
    let machine = Machine::empty();
    let mut helps: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut help = |verb: &str| {
        let help = helps.entry(verb.to_owned()).or_insert_with(|| {
            let mut words: Vec<&str> = verb.split(' ').collect();
            words.push("--help");
            let run = machine.run(&words);
            (run.code() == 0).then(|| run.stdout())
        });
        help.clone()
    };
    let mut wrong = Vec::new();
    let mut all = 0;
    for (page, text) in pages() {
        for command in commands(&text) {
            // A comment behind the command, or the next command.
            let command = command.split([';', '|', '#']).next().unwrap_or_default();
            let mut words = command.split_whitespace().peekable();
            let mut options = Vec::new();
            let mut verb = String::new();
            while let Some(word) = words.next() {
                if let Some(option) = word.strip_prefix("--") {
                    options.push(option.split(['=', ',', ']']).next().unwrap_or_default());
                    if option == "config" || option == "root" {
                        words.next();
                    }
                } else if verb.is_empty() {
                    verb = word.trim_end_matches([',', '.', ':']).to_owned();
                    if ["config", "image"].contains(&verb.as_str())
                        && let Some(next) = words.peek()
                        && next.starts_with(char::is_lowercase)
                    {
                        verb = format!("{verb} {}", next.trim_end_matches(','));
                    }
                }
            }
            // `VERB` is any verb, and a version number is the front page.
            if verb.is_empty() || !verb.starts_with(char::is_lowercase) {
                continue;
            }
            all += 1;
            let Some(help) = help(&verb) else {
                wrong.push(format!("{}: afterpanic {command}", page.display()));
                continue;
            };
            for option in options {
                if option != "help" && !help.contains(&format!("--{option}")) {
                    wrong.push(format!("{}: afterpanic {command}", page.display()));
                }
            }
        }
    }
    assert!(all > 30, "{all}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
