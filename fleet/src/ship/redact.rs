//! What leaves the machine in place of texts that may tell about people or places.
//!
//! A hashed text becomes `h-` and 16 hex digits: HMAC-SHA-256 (RFC 2104) under the fleet's key, over the
//! kind of text, a zero byte and the text. The same text has the same hash on every machine, so questions
//! still count it; without the key nobody can try names. Words that make the signature are never changed.

use crate::config::{Redact, Rule};
use anyhow::{Context, Result, bail};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value};
use sha2::Sha256;
use std::borrow::Cow;
use std::path::Path;
use store::Crash;

/// The least bytes of a key.
const SHORTEST_KEY: usize = 16;
/// The most.
const LONGEST_KEY: u64 = 4096;
/// How deep a report may be nested.
const DEEPEST: u32 = 64;
/// Members that come from the kernel's image or from us, and so tell nothing of the machine.
const PUBLIC: [&str; 10] = [
    "schema",
    "class",
    "signature",
    "function",
    "module",
    "release",
    "version",
    "machine",
    "build_id",
    "verdict",
];
/// The shortest host name that is looked for in other texts.
const SHORTEST_NAME: usize = 2;

/// The rules and the key.
#[derive(Clone, Debug)]
pub(crate) struct Redactor {
    rules: Redact,
    key: Vec<u8>,
}

/// The texts of one crash that are looked for everywhere.
struct Known {
    hostname: String,
    command_line: String,
}

impl Redactor {
    /// The rules of a config; `None` where everything is kept.
    pub(crate) fn new(rules: Redact, key_file: Option<&Path>) -> Result<Option<Self>> {
        let all = [rules.hostname, rules.command_line, rules.argv, rules.log];
        if all.iter().all(|rule| *rule == Rule::Keep) {
            return Ok(None);
        }
        let mut key = Vec::new();
        if all.contains(&Rule::Hash) {
            let path =
                key_file.context("[fleet.redact] has \"hash\", which needs key_file in [fleet]")?;
            let size = std::fs::metadata(path).map_or(0, |meta| meta.len());
            if size > LONGEST_KEY {
                bail!(
                    "the key in {} is larger than {LONGEST_KEY} bytes",
                    path.display()
                );
            }
            key = std::fs::read(path)
                .with_context(|| format!("cannot read the key in {}", path.display()))?;
            if key.len() < SHORTEST_KEY {
                bail!(
                    "the key in {} has less than {SHORTEST_KEY} bytes",
                    path.display()
                );
            }
        }
        Ok(Some(Self { rules, key }))
    }

    /// The rules as one word, and which key: a change of either ships again.
    pub(crate) fn fingerprint(&self) -> String {
        let letter = |rule| match rule {
            Rule::Keep => 'k',
            Rule::Hash => 'h',
            Rule::Drop => 'd',
        };
        let rules = self.rules;
        let letters: String = [rules.hostname, rules.command_line, rules.argv, rules.log]
            .map(letter)
            .iter()
            .collect();
        format!(
            "{letters}-{}",
            self.hash("key", "").trim_start_matches("h-")
        )
    }

    fn hash(&self, kind: &str, text: &str) -> String {
        // A key of any length is one for HMAC.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else {
            return String::new();
        };
        mac.update(kind.as_bytes());
        mac.update(&[0]);
        mac.update(text.as_bytes());
        let bytes = mac.finalize().into_bytes();
        let hex: String = bytes
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("h-{hex}")
    }

    /// A text of a kind by its rule; `None`: it does not leave.
    fn apply(&self, rule: Rule, kind: &str, text: &str) -> Option<String> {
        match rule {
            Rule::Keep => Some(text.to_owned()),
            Rule::Hash => Some(self.hash(kind, text)),
            Rule::Drop => None,
        }
    }

    /// The name of a crash directory in the bucket.
    pub(crate) fn crash(&self, crash: &Crash) -> Crash {
        let node = self.apply(self.rules.hostname, "hostname", &crash.node);
        let node = node.unwrap_or_else(|| "dropped".into());
        let serial = match crash.serial {
            1 => String::new(),
            n => format!("-{n}"),
        };
        let suffix = crash.state.suffix();
        let name = format!("{node}-{}{serial}{suffix}", crash.stamp);
        Crash {
            path: name.into(),
            node,
            ..crash.clone()
        }
    }

    /// `report.json` or `manifest.json` as it leaves. `node` is the machine's name as the crash directory
    /// has it.
    pub(crate) fn json(&self, value: &mut Value, node: &str) {
        let text = |path: &str| {
            value
                .pointer(path)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let full = text("/system/uts/nodename").to_owned();
        let known = Known {
            hostname: if full.is_empty() {
                node.to_owned()
            } else {
                full
            },
            command_line: text("/system/command_line").to_owned(),
        };
        self.value(value, "", &known, DEEPEST);
    }

    fn value(&self, value: &mut Value, name: &str, known: &Known, depth: u32) {
        let Some(depth) = depth.checked_sub(1) else {
            *value = Value::Null;
            return;
        };
        match value {
            Value::Array(items) if matches!(name, "log_tail" | "log") => {
                self.log(items, known, depth);
            }
            Value::Array(items) => {
                items
                    .iter_mut()
                    .for_each(|item| self.value(item, name, known, depth));
            }
            Value::Object(members) if name == "task_list" => self.task(members, known, depth),
            Value::Object(members) => {
                for (name, value) in members.iter_mut() {
                    self.member(name, value, known, depth);
                }
            }
            Value::String(text) if !PUBLIC.contains(&name) => {
                if let Cow::Owned(changed) = self.text(text, known) {
                    *text = changed;
                }
            }
            _ => {}
        }
    }

    fn member(&self, name: &str, value: &mut Value, known: &Known, depth: u32) {
        let rule = match name {
            "nodename" | "node" => Some((self.rules.hostname, "hostname")),
            "command_line" => Some((self.rules.command_line, "command-line")),
            _ => None,
        };
        match (rule, value.as_str()) {
            (Some((rule, kind)), Some(text)) if rule != Rule::Keep => {
                *value = self
                    .apply(rule, kind, text)
                    .map_or(Value::Null, Value::String);
            }
            _ => self.value(value, name, known, depth),
        }
    }

    fn task(&self, members: &mut Map<String, Value>, known: &Known, depth: u32) {
        for (name, value) in members.iter_mut() {
            match (name.as_str(), value.as_str()) {
                ("command_line", Some(text)) => {
                    let text = self.apply(self.rules.argv, "argv", text);
                    *value = text.map_or(Value::Null, Value::String);
                }
                _ => self.value(value, name, known, depth),
            }
        }
    }

    fn log(&self, items: &mut Vec<Value>, known: &Known, depth: u32) {
        match self.rules.log {
            Rule::Keep => items
                .iter_mut()
                .for_each(|item| self.value(item, "text", known, depth)),
            Rule::Drop => items.clear(),
            Rule::Hash => {
                for item in items {
                    let text = match item {
                        Value::Object(members) => members.get_mut("text"),
                        other => Some(other),
                    };
                    if let Some(Value::String(text)) = text {
                        *text = self.hash("log", text);
                    }
                }
            }
        }
    }

    /// A text in which the host name and the command line are looked for.
    fn text<'a>(&self, text: &'a str, known: &Known) -> Cow<'a, str> {
        let mut out = Cow::Borrowed(text);
        let rules = self.rules;
        for (rule, kind, word) in [
            (
                rules.command_line,
                "command-line",
                known.command_line.as_str(),
            ),
            (rules.hostname, "hostname", known.hostname.as_str()),
        ] {
            if rule == Rule::Keep || word.len() < SHORTEST_NAME || !out.contains(word) {
                continue;
            }
            let with = self
                .apply(rule, kind, word)
                .unwrap_or_else(|| "dropped".into());
            out = Cow::Owned(replace_word(&out, word, &with));
        }
        out
    }
}

/// Replaces a word where no letter or digit touches it.
fn replace_word(text: &str, word: &str, with: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(word) {
        let (before, from) = rest.split_at(at);
        let after = from.get(word.len()..).unwrap_or_default();
        let touches = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let last = before
            .chars()
            .next_back()
            .or_else(|| out.chars().next_back());
        let whole = !touches(last) && !touches(after.chars().next());
        out.push_str(before);
        out.push_str(if whole { with } else { word });
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn redactor(rule: Rule) -> Redactor {
        let rules = Redact {
            hostname: rule,
            command_line: rule,
            argv: rule,
            log: rule,
        };
        let key = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(key.path(), [7; 32]).unwrap();
        Redactor::new(rules, Some(key.path())).unwrap().unwrap()
    }

    fn report() -> Value {
        json!({
            "system": {"uts": {"nodename": "web-03.example.org"}, "command_line": "root=/dev/secret"},
            "reason": {"signature": "bug:web:1", "headline": "web-03.example.org: BUG with root=/dev/secret"},
            "log_tail": ["[ 1.0] user alice"],
            "log": [{"ns": 1, "text": "user alice"}],
            "task_list": [{"comm": "sh", "command_line": "login alice"}],
            "warnings": ["xweb-03.example.org stays"],
        })
    }

    #[test]
    fn nothing_that_is_hashed_or_dropped_leaves() {
        for rule in [Rule::Hash, Rule::Drop] {
            let mut report = report();
            redactor(rule).json(&mut report, "web-03.example.org");
            let text = report.to_string();
            for secret in ["alice", "secret", "\"web-03", " web-03"] {
                assert!(!text.contains(secret), "{rule:?} {secret}: {text}");
            }
            assert_eq!(report["reason"]["signature"], "bug:web:1");
            assert_eq!(report["warnings"][0], "xweb-03.example.org stays");
        }
    }

    #[test]
    fn equal_texts_have_equal_hashes_and_keys_differ() {
        let one = redactor(Rule::Hash);
        let mut other = one.clone();
        other.key = vec![8; 32];
        assert_eq!(one.hash("log", "a"), one.hash("log", "a"));
        assert_ne!(one.hash("log", "a"), one.hash("argv", "a"));
        assert_ne!(one.hash("log", "a"), other.hash("log", "a"));
        assert_ne!(one.fingerprint(), other.fingerprint());
        // HMAC-SHA-256 of "log\0a" under 32 bytes of 7, by Python's hmac.
        assert_eq!(one.hash("log", "a"), "h-2c94f41bddd9124b");
    }

    #[test]
    fn the_directory_has_no_host_name() {
        let path = Path::new("web-03-20261129T010203Z-2.incomplete");
        let crash = redactor(Rule::Hash).crash(&Crash::parse(path).unwrap());
        let name = crash.name();
        assert!(
            name.starts_with("h-") && name.ends_with("-20261129T010203Z-2.incomplete"),
            "{name}"
        );
        assert_eq!(
            Crash::parse(Path::new(&name)).unwrap().stamp,
            "20261129T010203Z"
        );
    }

    #[test]
    fn hashes_need_a_key() {
        let rules = Redact {
            log: Rule::Hash,
            ..Redact::default()
        };
        let short = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(short.path(), "short").unwrap();
        assert!(Redactor::new(rules, None).is_err());
        assert!(Redactor::new(rules, Some(short.path())).is_err());
        assert!(Redactor::new(Redact::default(), None).unwrap().is_none());
    }
}
