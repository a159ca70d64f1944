//! Other suites' configs in afterpanic's keys. Each line without a counterpart gets a remark.
//!
//! Facts: kdump.conf(5) of kdump-utils 1.0.61, /etc/default/kdump-tools of kdump-tools 1.10.9,
//! kdump(5) of openSUSE's kdump 2.0, /etc/sysconfig/kdump of kdump-utils 1.0.61.

mod collector;
mod imported;
mod kdump_conf;
mod kdump_tools;
mod shell;

use std::path::Path;

pub use imported::{Imported, Note};

use crate::model::Config;

/// Which suite a file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `/etc/kdump.conf`: Fedora, RHEL and their kin.
    KdumpConf,
    /// `/etc/default/kdump-tools` (Debian, Ubuntu), `/etc/sysconfig/kdump` (SUSE, Fedora), and the
    /// kdump.conf of OpenEmbedded's kexec-tools: shell assignments.
    KdumpTools,
}

impl Kind {
    /// By the file's name, else by what its first meaningful line looks like.
    #[must_use]
    pub fn of(path: &Path, text: &str) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let line = text
            .lines()
            .map(str::trim)
            .find(|line| !line.is_empty() && !line.starts_with('#'));
        let word = line.and_then(|line| line.split([' ', '=', '+', '\t']).next());
        let is_assignment = word.is_some_and(shell::is_name);
        match name {
            "kdump.conf" if is_assignment => Some(Self::KdumpTools),
            "kdump.conf" => Some(Self::KdumpConf),
            "kdump-tools" => Some(Self::KdumpTools),
            _ if is_assignment => Some(Self::KdumpTools),
            _ if word.is_some_and(kdump_conf::knows) => Some(Self::KdumpConf),
            _ => None,
        }
    }
}

/// Translates a config.
#[must_use]
pub fn import(kind: Kind, text: &str) -> Imported {
    let mut out = Imported {
        config: Config::default(),
        notes: Vec::new(),
        lost_targets: Vec::new(),
    };
    match kind {
        Kind::KdumpConf => kdump_conf::read(text, &mut out),
        Kind::KdumpTools => kdump_tools::read(text, &mut out),
    }
    out
}

#[cfg(test)]
mod tests;
