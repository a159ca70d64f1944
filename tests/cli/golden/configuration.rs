//! docs/configuration.md: every key with its effect, default and example, out of the config types' own
//! comments.
//!
//! The comment of a field of `Config` is the section's, that of a field of the section's type the key's.
//! Its paragraph `Example: …` is one line of the section that the program reads.

use super::transcript::compare_with;
use crate::harness::Machine;
use crate::harness::schemas::here;
use std::fmt::Write;
use std::fs;

const HEAD: &str = "\
# Configuration

The config is /etc/afterpanic.toml. Every key has a default: an empty file, or none, is complete. The file is read while
the capture kernel is loaded and at the next boot, never after a panic. After a change:

```
afterpanic config check
systemctl reload afterpanic
```

`afterpanic config show` prints every key in force. `afterpanic config import` makes a config from another suite's
([coming-from-kdump.md](coming-from-kdump.md)). An unknown key is an error, with its line and the nearest known key.

Sizes have a unit: `\"64MiB\"`, `\"2GiB\"`. So have times: `\"30s\"`, `\"10min\"`, `\"1h30min\"`.
";

/// A field of a struct: its name, its type, and its comment without the example.
struct Field {
    name: String,
    kind: String,
    text: String,
    example: Option<String>,
}

/// A line whose pages are links.
fn linked(line: &str) -> String {
    let link = |word: &str| {
        let page = word.trim_end_matches(['.', ',']);
        match page.strip_suffix(".md") {
            Some(_) => word.replace(page, &format!("[{page}]({page})")),
            None => word.to_owned(),
        }
    };
    line.split(' ').map(link).collect::<Vec<_>>().join(" ")
}

/// The sources that hold the types.
fn sources() -> String {
    let mut paths = vec![here("config/src/model.rs")];
    let parts = fs::read_dir(here("config/src/model")).unwrap();
    paths.extend(parts.map(|entry| entry.unwrap().path()));
    paths.retain(|path| path.extension().is_some_and(|end| end == "rs"));
    let texts = paths.iter().map(|path| fs::read_to_string(path).unwrap());
    texts.collect::<Vec<_>>().join("\n")
}

/// The public fields of a struct, in order.
fn fields(sources: &str, name: &str) -> Vec<Field> {
    let (_, body) = sources
        .split_once(&format!("pub struct {name} {{\n"))
        .unwrap_or_else(|| panic!("no struct {name}"));
    let mut fields = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    for line in body.lines().take_while(|line| *line != "}") {
        let line = line.trim();
        if let Some(text) = line.strip_prefix("///") {
            comment.push(text.trim());
        } else if let Some((name, kind)) = line
            .strip_prefix("pub ")
            .and_then(|rest| rest.split_once(": "))
        {
            let is_example = |line: &&&str| line.starts_with("Example: ");
            let example = comment.iter().find(is_example);
            let example = example.map(|line| line.trim_start_matches("Example: "));
            let text = comment.iter().filter(|line| !is_example(line));
            let text: Vec<String> = text.map(|line| linked(line)).collect();
            fields.push(Field {
                name: name.to_owned(),
                kind: kind.trim_end_matches(',').to_owned(),
                text: text.join(" ").trim().to_owned(),
                example: example.map(|text| text.trim_matches('`').to_owned()),
            });
            comment.clear();
        }
    }
    assert!(!fields.is_empty(), "{name}");
    fields
}

/// The sections: `[name]` or `[[name]]`, with their keys.
fn sections() -> Vec<(Field, String, Vec<Field>)> {
    let sources = sources();
    let sections = fields(&sources, "Config").into_iter().map(|section| {
        let list = section.kind.strip_prefix("Vec<");
        let kind = list.map_or(section.kind.as_str(), |kind| kind.trim_end_matches('>'));
        let head = match list {
            Some(_) => format!("[[{}]]", section.name),
            None => format!("[{}]", section.name),
        };
        let keys = fields(&sources, kind);
        (section, head, keys)
    });
    sections.collect()
}

/// What a key needs beside it, or its section has to have, with some value.
fn needs(head: &str, key: &str) -> &'static str {
    match (head, key) {
        ("[[target]]", "dhcp") => "nfs = \"nas:/srv\"\n",
        ("[[target]]", "at_boot" | "remove_local") => {
            "path = \"/x\"\n[[target]]\nssh = \"a@b\"\nat_boot = true\n"
        }
        ("[[target]]", "copy") => "path = \"/x\"\n[[target]]\npath = \"/y\"\n",
        ("[[hook]]", _) => "when = \"pre\"\nprogram = \"/x\"\n",
        _ => "",
    }
}

/// What `config show` prints of a file.
fn shown(config: &str) -> String {
    let machine = Machine::empty();
    machine.file("/etc/afterpanic.toml", config);
    machine.run(&["config", "show"]).exits(0).stdout()
}

/// The default of a key as `config show` prints it.
fn default(shown: &str, head: &str, key: &str) -> Option<String> {
    let section = shown.split_once(&format!("{head}\n"))?.1;
    let lines = section.lines().take_while(|line| !line.starts_with('['));
    let value = |line: &str| {
        line.split_once(" = ")
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
    };
    let (_, value) = lines.filter_map(value).find(|(name, _)| name == key)?;
    Some(value)
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    for (section, head, keys) in sections() {
        writeln!(page, "\n## `{head}`\n{}", section.text).unwrap();
        let needs = needs(&head, "");
        let shown = match needs {
            "" => shown(""),
            needs => shown(&format!("{head}\n{needs}")),
        };
        for key in keys {
            let default = match default(&shown, &head, &key.name) {
                Some(_) if needs.contains(&format!("{} = ", key.name)) => "none, set it".to_owned(),
                Some(value) => format!("`{value}`"),
                None => "not set".to_owned(),
            };
            writeln!(page, "\n### `{}`\n{}\n", key.name, key.text).unwrap();
            writeln!(page, "Default: {default}.").unwrap();
            if let Some(example) = key.example {
                writeln!(page, "Example: `{example}`").unwrap();
            }
        }
    }
    page
}

#[test]
fn the_page_of_the_config() {
    compare_with(&here("docs/configuration.md"), page());
}

#[test]
fn every_key_has_an_effect_and_an_example_that_is_read_and_is_not_the_default() {
    let defaults = shown("");
    let mut wrong = Vec::new();
    let mut all = 0;
    for (_, head, keys) in sections() {
        for key in keys {
            all += 1;
            let name = format!("{head} {}", key.name);
            let Some(example) = key.example else {
                wrong.push(format!("{name}: no example"));
                continue;
            };
            if key.text.len() < 20 || !key.text.ends_with('.') {
                wrong.push(format!("{name}: no effect"));
            }
            let machine = Machine::empty();
            let needs: String = needs(&head, &key.name)
                .lines()
                .filter(|line| !line.starts_with(&format!("{} =", key.name)))
                .map(|line| format!("{line}\n"))
                .collect();
            machine.file(
                "/etc/afterpanic.toml",
                &format!("{head}\n{needs}{example}\n"),
            );
            let run = machine.run(&["config", "check"]);
            if run.code() != 0 || !example.starts_with(&format!("{} = ", key.name)) {
                wrong.push(format!("{name}: {example}: {}", run.stderr()));
            }
            let in_force = machine.run(&["config", "show"]).exits(0).stdout();
            if in_force == defaults {
                wrong.push(format!("{name}: the example is the default"));
            }
        }
    }
    assert!(all > 30, "{all}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn fields_and_their_comments_are_found() {
    let text = "pub struct A {\n    /// One.\n    /// Two.\n    ///\n    /// Example: `a = 1`\n    \
                #[serde(x)]\n    pub a: u32,\n    b: u8,\n}\n";
    let found = fields(text, "A");
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].text.as_str(), found[0].kind.as_str()),
        ("One. Two.", "u32")
    );
    assert_eq!(found[0].example.as_deref(), Some("a = 1"));
}
