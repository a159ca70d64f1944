//! `[[target]]`: where crash directories are written.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::checks::{absolute, absolute_if_set, positive};
use crate::error::ValueError;
use crate::scalar::Scalar;
use crate::units::Time;

/// The private key where none is named.
const KEY: &str = "/etc/afterpanic.key";

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
    /// An account on a server that takes the crash directories over SSH (SFTP): `user@host` or
    /// `user@host:port`. Each machine writes to a directory of its own inside `path`. Not together with
    /// `device` or `nfs`. The server's host key must be on record: `afterpanic load --record-host-keys`.
    ///
    /// Example: `ssh = "dumps@backup.example.org"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh: Option<Account>,
    /// A disk, partition or logical volume without a filesystem: `PARTUUID=` or a path under /dev. The capture
    /// kernel writes a stream to it, and `afterpanic collect` makes a crash directory in `path` of it at the next
    /// boot. Its first MiB must be zeros, or an earlier stream: nothing else is ever overwritten. Not together
    /// with `device`, `nfs` or `ssh`.
    ///
    /// Example: `raw = "PARTUUID=0a0b0c0d-1111-2222-3333-444455556666"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw: Option<Device>,
    /// The private key that opens the account of `ssh`: a file of ssh-keygen without a passphrase, by default
    /// `/etc/afterpanic.key`. It goes into the capture image, which only root can read. Use a key for this
    /// machine alone.
    ///
    /// Example: `key = "/root/.ssh/dumps"`
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "absolute_if_set"
    )]
    pub key: Option<PathBuf>,
    /// The directory in which crash directories are made: a path of this machine, or a path inside
    /// `device` or `nfs`, or a path on the server of `ssh`. With `raw`, the directory of this machine in which
    /// `collect` makes them at the next boot.
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
    /// How many crash directories stay on this target, in place of `[keep] dumps`. On a server nothing is
    /// removed where this is not set. 0 removes none.
    ///
    /// Example: `keep = 20`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<u32>,
    /// What goes here. `"report"`: only log and report, after the core is safe on another target; the capture
    /// kernel takes at most five minutes for it, and its failure costs nothing. `"dump"`: everything, if no
    /// target before this one took it.
    ///
    /// Example: `copy = "report"`
    #[serde(skip_serializing_if = "Copy::is_dump")]
    pub copy: Copy,
    /// Ask a DHCP server for an address in the capture kernel, for at most 15 seconds. If none answers, the
    /// address from arming is used, as without this. For switches that let no other address through (DHCP
    /// snooping). IPv4 only. Needs `nfs` or `ssh`.
    ///
    /// Example: `dhcp = true`
    #[serde(skip_serializing_if = "is_false")]
    pub dhcp: bool,
    /// Not a target of the capture kernel: after the reboot, when the network is up, the crash directories of
    /// this machine's other targets are sent here, each once. Needs `nfs` or `ssh`, and a target without it on
    /// a disk of this machine.
    ///
    /// Example: `at_boot = true`
    #[serde(skip_serializing_if = "is_false")]
    pub at_boot: bool,
    /// Remove a crash directory from this machine once it has arrived at every target with `at_boot`. The
    /// loop guard and `list` then no longer see it.
    ///
    /// Example: `remove_local = true`
    #[serde(skip_serializing_if = "is_false")]
    pub remove_local: bool,
}

/// What a target takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Copy {
    /// Everything.
    #[default]
    Dump,
    /// Log and report.
    Report,
}

impl Copy {
    #[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
    fn is_dump(&self) -> bool {
        *self == Self::Dump
    }

    /// As the plan says it.
    #[must_use]
    pub fn takes(self) -> plan::Takes {
        match self {
            Self::Dump => plan::Takes::Dump,
            Self::Report => plan::Takes::Report,
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_false(value: &bool) -> bool {
    !*value
}

impl Default for Target {
    fn default() -> Self {
        Self {
            device: None,
            nfs: None,
            ssh: None,
            raw: None,
            key: None,
            path: PathBuf::from("/var/crash"),
            options: None,
            deadline: Time(30 * 60),
            keep: None,
            copy: Copy::Dump,
            dhcp: false,
            at_boot: false,
            remove_local: false,
        }
    }
}

impl Target {
    /// A target that is reached over the network, as the config names it, and the name of its server.
    #[must_use]
    pub fn server(&self) -> Option<(String, String)> {
        if let Some(account) = &self.ssh {
            return Some((account.to_string(), account.server.clone()));
        }
        let export = self.nfs.as_ref()?;
        Some((export.to_string(), export.server.clone()))
    }

    /// Where crash directories are on a target on a server: `nas:/srv/dumps/var/crash`,
    /// `dumps@backup:/srv/dumps`; `None` of a target on this machine.
    #[must_use]
    pub fn place(&self) -> Option<String> {
        let (name, _) = self.server()?;
        let path = self.path.display();
        Some(match &self.ssh {
            Some(_) => format!("{name}:{path}"),
            None => format!("{}{path}", name.trim_end_matches('/')),
        })
    }

    /// Why the keys of this target do not go together, if so.
    pub(super) fn contradiction(&self) -> Option<&'static str> {
        let places = [
            self.device.is_some(),
            self.nfs.is_some(),
            self.ssh.is_some(),
            self.raw.is_some(),
        ];
        if places.iter().filter(|set| **set).count() > 1 {
            return Some(
                "a target has more than one of device, nfs, ssh and raw; make two targets of it",
            );
        }
        if matches!(self.raw, Some(Device::Uuid(_) | Device::Label(_))) {
            return Some(
                "a target has raw with UUID= or LABEL=, which name a filesystem; use PARTUUID= or a path under /dev",
            );
        }
        if self.raw.is_some() && self.options.is_some() {
            return Some("a target has raw and options, which are mount options");
        }
        if self.raw.is_some() && self.copy == Copy::Report {
            return Some("a target has raw and copy: a raw target takes whole crash directories");
        }
        if self.ssh.is_some() && self.options.is_some() {
            return Some("a target has ssh and options, which are mount options");
        }
        if self.at_boot && self.nfs.is_none() && self.ssh.is_none() {
            return Some("a target has at_boot, which needs nfs or ssh");
        }
        if self.dhcp && (self.at_boot || self.server().is_none()) {
            return Some(
                "a target has dhcp, which needs nfs or ssh and not at_boot: only the capture kernel asks",
            );
        }
        if self.at_boot && self.copy == Copy::Report {
            return Some(
                "a target has at_boot and copy: what is sent after the reboot is all of it",
            );
        }
        if self.keep.is_some() && (self.at_boot || self.copy == Copy::Report) {
            return Some(
                "a target has keep, and nothing is removed where only reports go or what is sent after the reboot",
            );
        }
        (self.remove_local && !self.at_boot).then_some(
            "a target has remove_local without at_boot: only what is sent after the reboot is removed",
        )
    }

    /// Whether the capture kernel keeps crash directories on a disk of this machine here.
    pub(super) fn is_local(&self) -> bool {
        self.server().is_none() && self.copy == Copy::Dump
    }

    /// The file of the private key for `ssh`.
    #[must_use]
    pub fn private_key(&self) -> &Path {
        self.key.as_deref().unwrap_or(Path::new(KEY))
    }
}

/// An account on a server, as ssh(1) names it, with the port behind a colon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Account {
    /// The account's name.
    pub user: String,
    /// A name or an address; IPv6 without brackets.
    pub server: String,
    /// 22 unless set.
    pub port: u16,
}

impl Account {
    /// SSH's own port.
    pub const PORT: u16 = 22;

    /// The server as a file of known hosts names it: `host` or `[host]:port`.
    #[must_use]
    pub fn known_as(&self) -> String {
        match self.port {
            Self::PORT => self.server.clone(),
            port => format!("[{}]:{port}", self.server),
        }
    }
}

impl TryFrom<String> for Account {
    type Error = ValueError;

    fn try_from(value: String) -> Result<Self, ValueError> {
        let parsed = || {
            let (user, place) = value.split_once('@')?;
            let (server, port) = match place.strip_prefix('[') {
                Some(rest) => {
                    let (server, rest) = rest.split_once(']')?;
                    (
                        server,
                        rest.strip_prefix(':').or(rest.is_empty().then_some("22"))?,
                    )
                }
                None => place.split_once(':').unwrap_or((place, "22")),
            };
            let named = |name: &str, more: &str| {
                !name.is_empty()
                    && !name.starts_with('-')
                    && name
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || more.contains(c))
            };
            // The SSH library's limit, which is also that of utmp(5).
            let fits = user.len() <= 31;
            let port: u16 = port.parse().ok().filter(|port| *port > 0)?;
            (named(user, "-._+$") && fits && named(server, "-._:")).then(|| Self {
                user: user.to_owned(),
                server: server.to_owned(),
                port,
            })
        };
        parsed().ok_or(ValueError::Unreadable {
            value: value.clone(),
            what: "names no account on a server",
            example: "user@host, user@host:2222 or user@[fd00::1]:2222",
        })
    }
}

impl From<Account> for String {
    fn from(account: Account) -> Self {
        account.to_string()
    }
}

impl std::fmt::Display for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { user, server, port } = self;
        match (server.contains(':'), *port) {
            (false, Self::PORT) => write!(f, "{user}@{server}"),
            (true, Self::PORT) => write!(f, "{user}@[{server}]"),
            (false, port) => write!(f, "{user}@{server}:{port}"),
            (true, port) => write!(f, "{user}@[{server}]:{port}"),
        }
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
