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

/// The commands in fenced blocks and code spans: what follows the program's name.
fn commands<'a>(program: &str, text: &'a str) -> Vec<&'a str> {
    let mut found = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            let line = line.trim_start_matches("$ ").trim_start_matches("sudo ");
            found.extend(line.strip_prefix(program));
        } else {
            for span in line.split('`').skip(1).step_by(2) {
                let span = span.trim_start_matches("sudo ");
                found.extend(span.strip_prefix(program));
            }
        }
    }
    found
}

#[test]
fn commands_are_found_in_text() {
    let text =
        "`afterpanic list` or `sudo afterpanic load`\n```\n$ afterpanic a --b\nafterpanic c\n```\n";
    assert_eq!(
        commands("afterpanic ", text),
        ["list", "load", "a --b", "c"]
    );
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
        for command in commands("afterpanic ", &text) {
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

/// The scenarios that a name on a page may be.
fn scenarios() -> Vec<String> {
    let dir = fs::read_dir(root().join("tests/lab/scenarios")).unwrap();
    let names = dir.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .map(|name| name.trim_end_matches(".toml").to_owned())
        .collect()
}

/// What is wrong with a `cargo xtask` command: `help` is that of xtask, `scenarios` are those of the laboratory.
fn wrong_xtask(command: &str, help: &str, scenarios: &[String]) -> Option<String> {
    let command = command.split(['#', ';', '|']).next().unwrap_or_default();
    let mut words = command.split_whitespace();
    let verb = words.next()?;
    let Some((_, section)) = help.split_once(&format!("cargo xtask {verb}")) else {
        return Some(format!("no verb {verb}"));
    };
    let section = section.split("\ncargo xtask ").next().unwrap_or_default();
    let mut value_follows = false;
    for word in words {
        if let Some(option) = word.strip_prefix("--") {
            let option = option.split('=').next().unwrap_or_default();
            // Hidden in the help: for whoever works on the laboratory itself.
            if !["profile", "record"].contains(&option) && !section.contains(&format!("--{option}"))
            {
                return Some(format!("no option --{option}"));
            }
            value_follows =
                !["all", "list", "keep", "console", "faults", "update"].contains(&option);
        } else if value_follows || word.contains(char::is_uppercase) {
            value_follows = false;
        } else if verb == "crash" && !scenarios.iter().any(|name| name == word) {
            return Some(format!("no scenario {word}"));
        }
    }
    None
}

#[test]
fn xtask_commands_in_the_pages_exist() {
    let source = fs::read_to_string(root().join("xtask/src/main.rs")).unwrap();
    let help = source.split("const HELP").nth(1).unwrap();
    let help = help.split("\";").next().unwrap();
    let scenarios = scenarios();
    let mut wrong = Vec::new();
    let mut all = 0;
    for (page, text) in pages() {
        for command in commands("cargo xtask ", &text) {
            all += 1;
            if let Some(why) = wrong_xtask(command, help, &scenarios) {
                wrong.push(format!("{}: {command}: {why}", page.display()));
            }
        }
    }
    assert!(all > 30, "{all}");
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (command, why) in [
        ("no-such", "no verb"),
        ("crash no-such", "no scenario"),
        ("deb --no-such", "no option"),
    ] {
        let said = wrong_xtask(command, help, &scenarios).unwrap();
        assert!(said.starts_with(why), "{said}");
    }
}

/// What is missing above the tables of a page about measurements: each section that has a table says when, on which
/// machine and by which command.
fn unexplained(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for section in text.split("\n## ").skip(1) {
        let title = section.lines().next().unwrap_or_default();
        if !section.lines().any(|line| line.starts_with("|---")) {
            continue;
        }
        let is_date = |word: &str| {
            let word = word.trim_matches(|c: char| !c.is_ascii_digit());
            word.len() == 10 && word.starts_with("20") && word.split('-').count() == 3
        };
        let dated = section.split_whitespace().any(is_date);
        let dated = dated || section.contains("not dated") || section.contains("(../support.md)");
        let machine = section.to_lowercase().contains("machine a")
            || section.contains("Machine: ")
            || section.contains("machine: ");
        let command = [
            "`cargo ",
            "`afterpanic",
            "`python",
            "tool removed",
            "Command",
        ]
        .iter()
        .any(|part| section.contains(part));
        for (what, is_there) in [("date", dated), ("machine", machine), ("command", command)] {
            if !is_there {
                wrong.push(format!("{title}: no {what}"));
            }
        }
    }
    wrong
}

#[test]
fn measurements_say_when_where_and_how() {
    let mut tables = 0;
    for (page, text) in pages() {
        if page.starts_with(root().join("docs/measurements")) {
            tables += text.matches("\n|---").count();
            assert_eq!(unexplained(&text), [""; 0], "{}", page.display());
        }
    }
    assert!(tables > 30, "{tables}");
    let good =
        "# A\n\n## How fast?\n2031-01-02, machine A. Command: `cargo x`.\n\n| a |\n|---|\n| 1 |\n";
    assert_eq!(unexplained(good), [""; 0]);
    for part in ["2031-01-02", "machine A", "Command: `cargo x`"] {
        assert_eq!(unexplained(&good.replace(part, "x")).len(), 1, "{part}");
    }
}
