//! Other suites' configs in afterpanic's words; what has no counterpart is said, line by line.
//!
//! Facts: kdump.conf(5) of kdump-utils 1.0.61, /etc/default/kdump-tools of kdump-tools 1.10.9.

mod collector;
mod kdump_conf;
mod kdump_tools;

use std::path::Path;

use crate::model::{Action, Config};

/// What came of another suite's config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The same wishes in our words, as far as there are words.
    pub config: Config,
    /// What was not taken over, or not as it was.
    pub notes: Vec<Note>,
}

/// One remark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The line it is about, from 1.
    pub line: usize,
    /// What is to be said.
    pub text: String,
}

/// Which suite a file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `/etc/kdump.conf`: Fedora, RHEL and their kin.
    KdumpConf,
    /// `/etc/default/kdump-tools`: Debian and Ubuntu.
    KdumpTools,
}

impl Kind {
    /// By the file's name, else by what its first meaningful line looks like.
    #[must_use]
    pub fn of(path: &Path, text: &str) -> Option<Self> {
        match path.file_name()?.to_str()? {
            "kdump.conf" => return Some(Self::KdumpConf),
            "kdump-tools" => return Some(Self::KdumpTools),
            _ => {}
        }
        let line = text
            .lines()
            .map(str::trim)
            .find(|line| !line.is_empty() && !line.starts_with('#'))?;
        let word = line.split([' ', '=', '\t']).next()?;
        if word
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b == b'_' || b.is_ascii_digit())
        {
            Some(Self::KdumpTools)
        } else if kdump_conf::knows(word) {
            Some(Self::KdumpConf)
        } else {
            None
        }
    }
}

/// Translates a config.
#[must_use]
pub fn import(kind: Kind, text: &str) -> Imported {
    let mut out = Imported {
        config: Config::default(),
        notes: Vec::new(),
    };
    match kind {
        Kind::KdumpConf => kdump_conf::read(text, &mut out),
        Kind::KdumpTools => kdump_tools::read(text, &mut out),
    }
    out
}

impl Imported {
    fn note(&mut self, line: usize, text: impl Into<String>) {
        let text = text.into();
        self.notes.push(Note { line, text });
    }
}

/// The last act, from the first word of a command or directive.
fn action(word: &str) -> Option<Action> {
    match word {
        "reboot" => Some(Action::Reboot),
        "poweroff" => Some(Action::Poweroff),
        "halt" => Some(Action::Halt),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
