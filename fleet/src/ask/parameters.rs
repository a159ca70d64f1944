//! Values in the questions: `:name` becomes a literal. Only letters that mean nothing in any engine's strings
//! are taken (a backslash does in ClickHouse's), so a literal is the same everywhere.

use crate::cli;
use anyhow::{Result, bail};

/// `new` without --since and --release looks back so many days.
const NEW: i64 = 7;

/// The question with its values.
pub(super) fn fill(text: &str, name: &str, options: &cli::Ask) -> Result<String> {
    let week = || {
        let today = jiff::Timestamp::now()
            .to_zoned(jiff::tz::TimeZone::UTC)
            .date();
        let day = today.saturating_sub(jiff::Span::new().days(NEW));
        day.to_string()
    };
    let since = match (&options.since, &options.release) {
        (Some(day), _) => day.clone(),
        (None, None) if name == "new" => week(),
        (None, _) => "1970-01-01".into(),
    };
    let word = |value: &Option<String>| value.clone().unwrap_or_default();
    let values = [
        ("since", literal(&since)?),
        (
            "until",
            literal(options.until.as_deref().unwrap_or("9999-12-31"))?,
        ),
        ("release", literal(&word(&options.release))?),
        ("machine", literal(&word(&options.machine))?),
        ("signature", literal(&word(&options.signature))?),
        ("limit", options.limit.to_string()),
    ];
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(':') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let after = from.get(1..).unwrap_or_default();
        let found = values.iter().find(|(name, _)| {
            let tail = after.strip_prefix(name);
            tail.is_some_and(|tail| !tail.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
        });
        match found {
            Some((name, value)) => {
                out.push_str(value);
                rest = after.get(name.len()..).unwrap_or_default();
            }
            None => {
                out.push(':');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn literal(value: &str) -> Result<String> {
    let good = |c: char| c.is_ascii_alphanumeric() || " ._:+,/~-<>()[]@$%#=*".contains(c);
    if !value.chars().all(good) {
        bail!("{value:?} has letters that no such value has");
    }
    Ok(format!("'{value}'"))
}

#[cfg(test)]
mod tests {
    use super::super::QUESTIONS;
    use super::*;
    use crate::cli::{Cli, Verb};
    use clap::Parser;

    fn options(words: &[&str]) -> cli::Ask {
        let line = ["afterpanic-fleet", "top"].iter().chain(words);
        match Cli::parse_from(line).verb {
            Verb::Top(ask) => ask,
            _ => panic!(),
        }
    }

    #[test]
    fn every_question_is_filled() {
        let ask = options(&["--release", "6.12.9+deb13-amd64", "--limit", "7"]);
        for (name, text) in QUESTIONS {
            assert!(text.starts_with(&format!("-- {name}: ")), "{name}");
            let code: Vec<&str> = text
                .lines()
                .filter(|line| !line.starts_with("--"))
                .collect();
            let sql = fill(&code.join("\n"), name, &ask).unwrap();
            assert!(!sql.contains(':'), "{name}: {sql}");
            assert!(sql.contains("LIMIT 7"), "{name}");
        }
    }

    #[test]
    fn a_value_is_never_code() {
        for value in ["x' OR 1=1 --", "a\\", "\u{1b}", "é", "a\nb"] {
            assert!(
                fill("", "machine", &options(&["--machine", value])).is_err(),
                "{value:?}"
            );
        }
        let ask = options(&["--signature", ":since"]);
        assert_eq!(
            fill("a = :signature", "signature", &ask).unwrap(),
            "a = ':since'"
        );
    }

    #[test]
    fn what_is_new_is_of_the_last_week() {
        let sql = fill(":since", "new", &options(&[])).unwrap();
        assert!(sql.as_str() > "'2026-01-01'" && sql.len() == 12, "{sql}");
        assert_eq!(
            fill(":since", "top", &options(&[])).unwrap(),
            "'1970-01-01'"
        );
    }
}
