//! The shards of `cargo xtask test --full`, from tests/lab/shards.toml, and the scenarios of each.

use crate::run::root;
use anyhow::{Context, Result, bail};
use std::fs;
use toml::{Table, Value};

/// A part of the full test.
#[derive(Debug)]
pub(crate) struct Shard {
    /// Its name.
    pub name: String,
    /// Whether it checks the code itself: format, lints, documentation, tests.
    pub code: bool,
    /// Verbs of the laboratory that it runs after its scenarios.
    pub lab: Vec<String>,
    /// What it needs installed besides.
    pub needs: Vec<String>,
    /// The files of its scenarios, sorted. One that ends in `-` holds several scenarios.
    pub scenarios: Vec<String>,
}

/// Every shard, in order.
///
/// # Errors
/// A file is not right, or a scenario names no shard that exists.
pub(crate) fn all() -> Result<Vec<Shard>> {
    let table = read("shards.toml")?;
    let entries = table.get("shard").and_then(Value::as_array);
    let entries = entries.context("shards.toml has no [[shard]]")?;
    let mut shards = entries
        .iter()
        .map(|entry| {
            let name = entry.get("name").and_then(Value::as_str);
            Ok(Shard {
                name: name
                    .context("a shard of shards.toml has no name")?
                    .to_owned(),
                code: entry.get("code").and_then(Value::as_bool) == Some(true),
                lab: strings(entry.get("lab")),
                needs: strings(entry.get("needs")),
                scenarios: Vec::new(),
            })
        })
        .collect::<Result<Vec<_>>>()?;
    for (file, shard) in scenarios()? {
        match shards.iter_mut().find(|known| known.name == shard) {
            Some(found) => found.scenarios.push(file),
            None => bail!("scenario {file}: shards.toml has no shard {shard:?}"),
        }
    }
    for shard in &mut shards {
        shard.scenarios.sort();
    }
    Ok(shards)
}

/// The scenarios that `cargo xtask test` runs without `--full`.
///
/// # Errors
/// The file is not right.
pub(crate) fn listed() -> Result<Vec<String>> {
    Ok(strings(read("ci.toml")?.get("scenarios")))
}

/// Every scenario file with the shard that it names.
fn scenarios() -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join("tests/lab/scenarios"))? {
        let file = entry?.file_name().to_string_lossy().into_owned();
        let Some(name) = file.strip_suffix(".toml") else {
            continue;
        };
        let table = read(&format!("scenarios/{file}"))?;
        let several = if table.contains_key("matrix") {
            "-"
        } else {
            ""
        };
        let shard = table.get("shard").and_then(Value::as_str);
        let shard = shard.with_context(|| format!("scenario {name} names no shard"))?;
        found.push((format!("{name}{several}"), shard.to_owned()));
    }
    Ok(found)
}

fn read(file: &str) -> Result<Table> {
    let path = root().join("tests/lab").join(file);
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("cannot parse {}", path.display()))
}

fn strings(value: Option<&Value>) -> Vec<String> {
    let array = value.and_then(Value::as_array).into_iter().flatten();
    array
        .filter_map(|one| Some(one.as_str()?.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More do not fit an hour: 130 scenarios took 108 minutes on two cores, one kernel or two to
    /// fetch not counted.
    const MOST: usize = 40;

    #[test]
    fn every_scenario_is_in_one_shard_and_no_shard_is_too_long() {
        let shards = all().unwrap();
        let files = fs::read_dir(root().join("tests/lab/scenarios")).unwrap();
        let in_shards: usize = shards.iter().map(|shard| shard.scenarios.len()).sum();
        assert_eq!(in_shards, files.count());
        for shard in &shards {
            assert!(shard.scenarios.len() <= MOST, "{}", shard.name);
            let does = shard.code || !shard.scenarios.is_empty() || !shard.lab.is_empty();
            assert!(does, "shard {} runs nothing", shard.name);
        }
        assert_eq!(shards.iter().filter(|shard| shard.code).count(), 1);
        for name in listed().unwrap() {
            assert!(
                shards.iter().any(|shard| shard.scenarios.contains(&name)),
                "ci.toml lists {name}, which is no scenario"
            );
        }
    }
}
