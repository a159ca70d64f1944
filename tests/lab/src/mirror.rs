//! The Debian mirror that this machine's apt uses, for suites that it does not.
//!
//! Source of the facts: sources.list(5), both formats. Nothing is contacted that the machine's own
//! configuration does not name, and what the machine trusts is trusted here.

use anyhow::{Result, bail};
use std::fs;
use std::path::Path;

/// One archive, as apt's sources give it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// Its address.
    pub uri: String,
    /// Options in one-line style, without the brackets; may be empty.
    pub options: String,
}

impl Mirror {
    /// The line of a sources.list for the main component of a suite.
    #[must_use]
    pub fn line(&self, suite: &str) -> String {
        let options = match self.options.trim() {
            "" => String::new(),
            options => format!("[{options}] "),
        };
        format!("deb {options}{} {suite} main\n", self.uri)
    }
}

/// An entry of either format.
#[derive(Debug, Default, Clone)]
struct Entry {
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    options: Vec<String>,
    enabled: bool,
}

/// The first enabled entry that holds Debian's main archive.
///
/// # Errors
/// apt knows no Debian mirror.
pub fn find(etc_apt: &Path) -> Result<Mirror> {
    let mut files = vec![etc_apt.join("sources.list")];
    let parts = fs::read_dir(etc_apt.join("sources.list.d"))
        .into_iter()
        .flatten()
        .flatten();
    let mut parts: Vec<_> = parts.map(|e| e.path()).collect();
    parts.sort();
    files.extend(parts);
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        let entries = match file.extension().and_then(|e| e.to_str()) {
            Some("sources") => deb822(&text),
            Some("list") => one_line(&text),
            _ => continue,
        };
        if let Some(mirror) = entries.iter().find_map(debian_main) {
            return Ok(mirror);
        }
    }
    bail!(
        "Kernels of Debian's suites cannot be fetched: {} names no Debian mirror. \
         Give a kernel of this machine instead: --kernel-image FILE --modules DIR",
        etc_apt.display()
    )
}

fn debian_main(entry: &Entry) -> Option<Mirror> {
    const SUITES: [&str; 11] = [
        "buster",
        "bullseye",
        "bookworm",
        "trixie",
        "forky",
        "duke",
        "sid",
        "oldstable",
        "stable",
        "testing",
        "unstable",
    ];
    let plain = entry.suites.iter().any(|s| SUITES.contains(&s.as_str()));
    let main = entry.components.iter().any(|c| c == "main");
    if !(entry.enabled && plain && main) {
        return None;
    }
    // Other archives borrow Debian's suite names; Debian's own ends in its name.
    let uri = entry
        .uris
        .iter()
        .find(|u| u.trim_end_matches('/').ends_with("debian"))?;
    Some(Mirror {
        uri: uri.clone(),
        options: entry.options.join(" "),
    })
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn one_line(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let Some(mut rest) = line.strip_prefix("deb ").map(str::trim) else {
            continue;
        };
        let mut entry = Entry {
            enabled: true,
            ..Entry::default()
        };
        if let Some((options, after)) = rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
            // An architecture restriction of theirs must not hide ours.
            entry.options = words(options);
            rest = after.trim();
        }
        let mut fields = words(rest).into_iter();
        entry.uris.extend(fields.next());
        entry.suites.extend(fields.next());
        entry.components = fields.collect();
        entries.push(entry);
    }
    entries
}

fn deb822(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let lines: String = text
        .lines()
        .filter(|l| !l.starts_with('#'))
        .map(|l| format!("{l}\n"))
        .collect();
    for stanza in lines.split("\n\n") {
        let mut entry = Entry {
            enabled: true,
            ..Entry::default()
        };
        let mut deb = false;
        // A value goes on over lines that begin with a blank.
        for field in stanza.replace("\n ", " ").replace("\n\t", " ").lines() {
            let Some((key, value)) = field.split_once(':') else {
                continue;
            };
            let value = value.trim();
            match key.trim().to_ascii_lowercase().as_str() {
                "types" => deb = words(value).iter().any(|t| t == "deb"),
                "uris" => entry.uris = words(value),
                "suites" => entry.suites = words(value),
                "components" => entry.components = words(value),
                "enabled" => entry.enabled = !value.eq_ignore_ascii_case("no"),
                // A key in line cannot be said in the one-line format; apt's default keys serve.
                "signed-by" if value.starts_with('/') => {
                    entry
                        .options
                        .push(format!("signed-by={}", words(value).join(",")));
                }
                "trusted" => entry.options.push(format!("trusted={value}")),
                _ => {}
            }
        }
        if deb {
            entries.push(entry);
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, text: &str) -> Result<Mirror> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        find(dir.path())
    }

    #[test]
    fn both_formats_are_read() {
        let new = "Types: deb\n# a comment\nURIs: http://mirror.test/debian\nSuites: bookworm\n bookworm-updates\n\
                   Components: main\nSigned-By: /usr/share/keyrings/k.gpg\n\nTypes: deb\nURIs: http://mirror.test/debian-security\n\
                   Suites: bookworm-security\nComponents: main\n";
        let mirror = found("sources.list.d/debian.sources", new).unwrap();
        assert_eq!(
            mirror.line("sid"),
            "deb [signed-by=/usr/share/keyrings/k.gpg] http://mirror.test/debian sid main\n"
        );
        let old = "# x\ndeb-src http://a.test/debian bookworm main\ndeb [trusted=yes] http://b.test/debian/ trixie main contrib\n";
        let mirror = found("sources.list", old).unwrap();
        assert_eq!(
            mirror.line("sid"),
            "deb [trusted=yes] http://b.test/debian/ sid main\n"
        );
    }

    #[test]
    fn other_archives_are_not_debian() {
        let text = "deb https://packages.test/apt stable main\ndeb https://deb.other.test/node_20.x nodistro main\n";
        let error = found("sources.list.d/x.list", text)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("names no Debian mirror") && error.contains("--kernel-image"),
            "{error}"
        );
        let disabled =
            "Enabled: no\nTypes: deb\nURIs: http://m.test/debian\nSuites: sid\nComponents: main\n";
        assert!(found("sources.list.d/x.sources", disabled).is_err());
    }
}
