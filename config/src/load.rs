//! From a file or a text to a [`Config`], and back to a text with every key.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::ConfigError;
use crate::model::Config;

/// Where the config is unless `--config` says otherwise.
pub const DEFAULT_PATH: &str = "/etc/afterpanic.toml";

/// What earlier versions called `[capture_kernel]`.
const OLD_SECTION: &str = "panic_kernel";

impl Config {
    /// Reads the config of the machine whose files are under `root`.
    ///
    /// Without `path` it is [`DEFAULT_PATH`] under `root`, and a missing file means the defaults. A
    /// `path` that was named is taken as it is and must exist.
    pub fn load(root: &Path, path: Option<&Path>) -> Result<Self, ConfigError> {
        Self::load_warned(root, path).map(|(config, _)| config)
    }

    /// As [`Config::load`], with a warning for each old name in the file, a clause with its line.
    pub fn load_warned(
        root: &Path,
        path: Option<&Path>,
    ) -> Result<(Self, Vec<String>), ConfigError> {
        let (path, named) = match path {
            Some(path) => (path.to_owned(), true),
            None => (under(root, DEFAULT_PATH), false),
        };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(source) if source.kind() == ErrorKind::NotFound && !named => {
                return Ok((Self::default(), Vec::new()));
            }
            Err(source) => return Err(ConfigError::Read { path, source }),
        };
        let config = Self::parse_named(&text, &path)?;
        Ok((config, old_names(&text, &path)))
    }

    /// Reads a config from a text.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        Self::parse_named(text, Path::new("config"))
    }

    /// Reads a config from a text; errors name `path`.
    pub fn parse_named(text: &str, path: &Path) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| ConfigError::from_toml(path, text, &error))
    }

    /// Every key in force, as a file that says the same.
    #[must_use]
    pub fn show(&self) -> String {
        // Serialising these types cannot fail: no map with odd keys, no value after a table.
        toml::to_string(self).unwrap_or_default()
    }
}

impl Config {
    /// Only the keys whose value is not the default, as a file that says the same.
    #[must_use]
    pub fn show_changed(&self) -> String {
        let table = |config: &Self| toml::Table::try_from(config).unwrap_or_default();
        let defaults = table(&Self::default());
        let mut changed = toml::Table::new();
        for (section, value) in table(self) {
            let default = defaults.get(&section);
            match (value, default) {
                (toml::Value::Table(keys), Some(toml::Value::Table(default))) => {
                    let keys: toml::Table = keys
                        .into_iter()
                        .filter(|(key, value)| default.get(key) != Some(value))
                        .collect();
                    if !keys.is_empty() {
                        changed.insert(section, toml::Value::Table(keys));
                    }
                }
                (value, default) if default != Some(&value) => {
                    changed.insert(section, value);
                }
                _ => {}
            }
        }
        toml::to_string(&changed).unwrap_or_default()
    }
}

/// Old names that a right file uses.
fn old_names(text: &str, path: &Path) -> Vec<String> {
    let table: toml::Table = toml::from_str(text).unwrap_or_default();
    if !table.contains_key(OLD_SECTION) {
        return Vec::new();
    }
    let line = text.lines().position(|line| line.contains(OLD_SECTION));
    vec![format!(
        "{}:{}: [{OLD_SECTION}] is the old name of [capture_kernel]; rename it",
        path.display(),
        line.map_or(1, |n| n.saturating_add(1))
    )]
}

/// `path`, which is absolute, below `root`.
fn under(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

#[cfg(test)]
mod tests;
