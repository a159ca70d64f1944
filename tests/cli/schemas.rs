//! `docs/json.md` and `docs/json/` as tables of members, and whether an answer is what they say.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The types of members by their paths, by schema.
pub(crate) type Schemas = BTreeMap<String, BTreeMap<String, String>>;

pub(crate) fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The pages: the common one, and one a schema.
pub(crate) fn pages() -> Vec<(PathBuf, String)> {
    let mut paths = vec![here("docs/json.md")];
    let entries = fs::read_dir(here("docs/json")).into_iter().flatten();
    paths.extend(entries.map(|entry| entry.unwrap().path()));
    paths.sort();
    let texts = paths.iter().map(|path| fs::read_to_string(path).unwrap());
    let texts: Vec<String> = texts.collect();
    paths.into_iter().zip(texts).collect()
}

/// What the pages say.
pub(crate) fn documented() -> Schemas {
    let pages = pages();
    let mut schemas = Schemas::new();
    let mut current = None;
    for line in pages.iter().flat_map(|(_, page)| page.lines()) {
        if line.starts_with("# ") {
            current = None;
        } else if let Some(name) = line.strip_prefix("## `") {
            let name = name.strip_suffix('`').unwrap().to_owned();
            assert!(!schemas.contains_key(&name), "{name} has two headings");
            current = Some(schemas.entry(name).or_default());
        } else if let (Some(members), Some(row)) = (&mut current, line.strip_prefix("| `")) {
            let (path, rest) = row.split_once("` | ").unwrap();
            // A row of two columns explains a value.
            if let Some((kind, _)) = rest.split_once(" | ") {
                let before = members.insert(path.to_owned(), kind.to_owned());
                assert!(before.is_none(), "{path} has two rows");
            }
        }
    }
    schemas
}

/// What was found in answers of one schema.
#[derive(Default)]
pub(crate) struct Seen {
    /// Rows of the page that a member matched.
    pub rows: BTreeSet<String>,
    /// Objects that were printed, as the page names them: `crashes[]`.
    pub objects: BTreeSet<String>,
    /// What is not as documented.
    pub wrong: Vec<String>,
}

/// The row that a path matches: itself, or one with a `*` for its last name, or one that ends in `**`.
pub(crate) fn row<'a>(
    rows: &'a BTreeMap<String, String>,
    path: &str,
) -> Option<(&'a str, &'a str)> {
    let last = path.rsplit_once('.').map(|(head, _)| format!("{head}.*"));
    let exact = [Some(path.to_owned()), last].into_iter().flatten();
    let found = exact.into_iter().find_map(|key| rows.get_key_value(&key));
    let found = found.or_else(|| {
        rows.iter().find(|(key, _)| {
            key.strip_suffix("**")
                .is_some_and(|head| path.starts_with(head))
        })
    });
    found.map(|(key, kind)| (key.as_str(), kind.as_str()))
}

pub(crate) fn has_type(value: &Value, kind: &str) -> bool {
    let kind = kind.strip_suffix(", optional").unwrap_or(kind);
    let (kind, or_null) = match kind.strip_suffix(" or null") {
        Some(kind) => (kind, true),
        None => (kind, false),
    };
    if value.is_null() {
        return or_null || kind == "any";
    }
    match kind {
        "string" => value.is_string(),
        "hex" => value.as_str().is_some_and(|text| text.starts_with("0x")),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "array of strings" => value
            .as_array()
            .is_some_and(|all| all.iter().all(Value::is_string)),
        "any" => true,
        other => panic!("docs/json.md uses a type that it does not explain: {other}"),
    }
}

pub(crate) fn walk(value: &Value, path: &str, rows: &BTreeMap<String, String>, seen: &mut Seen) {
    match value {
        Value::Object(members) => {
            seen.objects.insert(path.to_owned());
            for (name, member) in members {
                if path.is_empty() && (name == "schema" || name == "warnings") {
                    continue;
                }
                let dot = if path.is_empty() { "" } else { "." };
                check(member, &format!("{path}{dot}{name}"), rows, seen);
            }
        }
        Value::Array(elements) => {
            let element = format!("{path}[]");
            for value in elements {
                match value {
                    Value::Object(_) | Value::Array(_) => walk(value, &element, rows, seen),
                    _ => check(value, &element, rows, seen),
                }
            }
        }
        _ => {}
    }
}

pub(crate) fn check(value: &Value, path: &str, rows: &BTreeMap<String, String>, seen: &mut Seen) {
    match row(rows, path) {
        None => seen.wrong.push(format!("{path} is not documented")),
        Some((key, kind)) => {
            seen.rows.insert(key.to_owned());
            if !has_type(value, kind) {
                seen.wrong
                    .push(format!("{path} is documented as {kind}: {value}"));
            }
            if kind != "any" && !kind.starts_with("array of strings") {
                walk(value, path, rows, seen);
            }
        }
    }
}

/// Requires that an answer is as documented.
#[track_caller]
pub(crate) fn assert_documented(answer: &Value) {
    let schemas = documented();
    let name = answer["schema"].as_str().unwrap();
    let rows = schemas.get(name);
    let rows = rows.unwrap_or_else(|| panic!("docs/json.md does not have {name}"));
    let mut seen = Seen::default();
    walk(answer, "", rows, &mut seen);
    assert!(seen.wrong.is_empty(), "{name}: {:#?}", seen.wrong);
}
