//! `[[target]]`: where crash directories are written.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::checks::{absolute, positive};
use crate::error::ValueError;
use crate::scalar::Scalar;
use crate::units::Time;

/// One `[[target]]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Target {
    /// The device whose filesystem holds the crash directories: `UUID=`, `LABEL=`, `PARTUUID=` or a path
    /// under /dev. Set it for a filesystem that is not mounted while the machine runs. Without it, the
    /// device is found through `path`.
    ///
    /// Example: `device = "UUID=0a0b0c0d-1111-2222-3333-444455556666"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<Device>,
    /// An export of an NFS server that holds the crash directories: `server:/export`. Each machine writes to a
    /// directory of its own inside `path`. Not together with `device`.
    ///
    /// Example: `nfs = "nas.example.org:/srv/dumps"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nfs: Option<Export>,
    /// The directory in which crash directories are made: a path of this machine, or a path inside
    /// `device` or `nfs`.
    ///
    /// Example: `path = "/srv/crash"`
    #[serde(deserialize_with = "absolute")]
    pub path: PathBuf,
    /// Mount options for `device` or `nfs`.
    ///
    /// Example: `options = "noatime"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub options: Option<String>,
    /// How long this target may take before the next one is tried.
    ///
    /// Example: `deadline = "10min"`
    #[serde(deserialize_with = "positive")]
    pub deadline: Time,
}

impl Default for Target {
    fn default() -> Self {
        Self {
            device: None,
            nfs: None,
            path: PathBuf::from("/var/crash"),
            options: None,
            deadline: Time(30 * 60),
        }
    }
}

impl Target {
    /// A target that is reached over the network, as the config names it, and the name of its server.
    #[must_use]
    pub fn server(&self) -> Option<(String, String)> {
        let export = self.nfs.as_ref()?;
        Some((export.to_string(), export.server.clone()))
    }
}

/// An exported directory of an NFS server, as mount(8) names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Export {
    /// A name or an address; IPv6 without brackets.
    pub server: String,
    /// The exported directory, absolute.
    pub directory: PathBuf,
}

impl TryFrom<String> for Export {
    type Error = ValueError;

    fn try_from(value: String) -> Result<Self, ValueError> {
        let parts = match value.strip_prefix('[') {
            Some(rest) => rest.split_once("]:"),
            None => value.split_once(':'),
        };
        let plain = |server: &str| {
            !server.is_empty()
                && !server.starts_with('-')
                && server
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-._:".contains(c))
        };
        match parts {
            Some((server, directory)) if plain(server) && directory.starts_with('/') => Ok(Self {
                server: server.to_owned(),
                directory: PathBuf::from(directory),
            }),
            _ => Err(ValueError::Unreadable {
                value,
                what: "names no NFS export",
                example: "server:/export or [fd00::1]:/export",
            }),
        }
    }
}

impl From<Export> for String {
    fn from(export: Export) -> Self {
        export.to_string()
    }
}

impl std::fmt::Display for Export {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let directory = self.directory.display();
        match self.server.contains(':') {
            true => write!(f, "[{}]:{directory}", self.server),
            false => write!(f, "{}:{directory}", self.server),
        }
    }
}

/// How the device of a target is named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Scalar", into = "Scalar")]
pub enum Device {
    /// `UUID=`: of the filesystem.
    Uuid(String),
    /// `LABEL=`: of the filesystem.
    Label(String),
    /// `PARTUUID=`: of the partition.
    PartUuid(String),
    /// `/dev/…`: resolved while arming.
    Path(PathBuf),
}

impl TryFrom<Scalar> for Device {
    type Error = ValueError;

    fn try_from(value: Scalar) -> Result<Self, ValueError> {
        if let Scalar::Word(word) = &value {
            if word.starts_with("/dev/") && word.len() > 5 {
                return Ok(Self::Path(PathBuf::from(word)));
            }
            if let Some((tag, name)) = word.split_once('=') {
                let name = name.trim_matches('"').to_owned();
                match tag {
                    _ if name.is_empty() => {}
                    "UUID" => return Ok(Self::Uuid(name)),
                    "LABEL" => return Ok(Self::Label(name)),
                    "PARTUUID" => return Ok(Self::PartUuid(name)),
                    _ => {}
                }
            }
        }
        Err(ValueError::Unreadable {
            value: value.to_string(),
            what: "names no device",
            example: "UUID=, LABEL=, PARTUUID= or a path under /dev",
        })
    }
}

impl From<Device> for Scalar {
    fn from(device: Device) -> Self {
        Self::Word(match device {
            Device::Uuid(name) => format!("UUID={name}"),
            Device::Label(name) => format!("LABEL={name}"),
            Device::PartUuid(name) => format!("PARTUUID={name}"),
            Device::Path(path) => path.display().to_string(),
        })
    }
}
