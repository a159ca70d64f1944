//! `/etc/afterpanic-fleet.toml`: where crashes go, and what leaves the machine. Command line options go
//! before it. Credentials are never in it.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Where the file is.
pub(crate) const FILE: &str = "/etc/afterpanic-fleet.toml";

/// The file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// All of it.
    pub fleet: Fleet,
}

/// `[fleet]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Fleet {
    /// The bucket's URL.
    pub to: Option<String>,
    /// Stores that `ship` takes crash directories from.
    pub stores: Vec<PathBuf>,
    /// Ships dmesg.txt and capture.log, too.
    pub logs: bool,
    /// Ships cores, too.
    pub cores: bool,
    /// Lets cores leave that are not sealed.
    pub allow_unsealed: bool,
    /// Bytes a second, `"10M"`; `"0"`: no limit.
    pub rate: String,
    /// The file with the key for hashed texts.
    pub key_file: Option<PathBuf>,
    /// What becomes of texts that may tell about people or places.
    pub redact: Redact,
}

impl Default for Fleet {
    fn default() -> Self {
        Self {
            to: None,
            stores: vec!["/var/crash".into()],
            logs: false,
            cores: false,
            allow_unsealed: false,
            rate: "0".into(),
            key_file: None,
            redact: Redact::default(),
        }
    }
}

/// `[fleet.redact]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Redact {
    /// The machine's name, wherever it appears.
    pub hostname: Rule,
    /// The kernel's command line.
    pub command_line: Rule,
    /// Command lines of tasks.
    pub argv: Rule,
    /// Lines of the kernel's log.
    pub log: Rule,
}

/// What becomes of a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Rule {
    /// It leaves as it is.
    #[default]
    Keep,
    /// A keyed hash leaves in its place: the same text has the same hash.
    Hash,
    /// Nothing leaves.
    Drop,
}

impl Config {
    /// Reads a file. `given`: the user named it, so it must be there.
    pub(crate) fn read(path: &Path, given: bool) -> Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !given => {
                return Ok(Self::default());
            }
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        toml::from_str(&text).with_context(|| format!("cannot read {}", path.display()))
    }
}

/// Bytes a second out of `10M`: 0 is no limit. K, M and G are powers of 1024.
pub(crate) fn rate(text: &str) -> Result<Option<u64>> {
    let (number, unit) = match text.find(|c: char| !c.is_ascii_digit()) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let shift = match unit {
        "" => 0,
        "K" | "KiB" => 10,
        "M" | "MiB" => 20,
        "G" | "GiB" => 30,
        _ => bail!("{text:?} is no rate. Write bytes a second, such as 500K or 10M"),
    };
    let number: u64 = number
        .parse()
        .ok()
        .with_context(|| format!("{text:?} is no rate"))?;
    let bytes = number
        .checked_mul(1_u64 << shift)
        .context("the rate is too large")?;
    Ok((bytes > 0).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read() {
        assert_eq!(rate("0").unwrap(), None);
        assert_eq!(rate("512").unwrap(), Some(512));
        assert_eq!(rate("10M").unwrap(), Some(10 << 20));
        for wrong in [
            "",
            "M",
            "10X",
            "-1",
            "99999999999999999999",
            "18446744073709551615G",
        ] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_unknown_key_is_an_error() {
        let config: Config =
            toml::from_str("[fleet]\nto = \"s3://b\"\n[fleet.redact]\nlog = \"drop\"\n").unwrap();
        assert_eq!(config.fleet.redact.log, Rule::Drop);
        assert!(toml::from_str::<Config>("[fleet]\nkey = 1\n").is_err());
        assert!(toml::from_str::<Config>("[fleet.redact]\nlog = \"yes\"\n").is_err());
    }

    #[test]
    fn the_shipped_file_is_the_default() {
        let text = include_str!("../dist/afterpanic-fleet.toml");
        let config: Config = toml::from_str(text).unwrap();
        assert_eq!(
            format!("{:?}", config.fleet),
            format!("{:?}", Fleet::default())
        );
    }
}
