//! Other suites' configs in afterpanic's keys, with a row for each line that says what became of it.
//!
//! Facts: kdump.conf(5) and gen-kdump-sysconfig.sh of kdump-utils 1.0.61 (Fedora, RHEL 9 and 10),
//! kdump-tools.5 and kdump-config of kdump-tools 1.8.1 to 1.10.9 (Debian, Ubuntu), kdump(5) and
//! kdump-read-config.sh of openSUSE's kdump 2.1.9, kdump.conf and the script kdump of OpenEmbedded's
//! kexec-tools, 00-default.conf and kdumpst-load of kdumpst 2 (Arch Linux, SteamOS).
//!
//! Nothing of a file is executed. What only a shell could compute is not guessed.

mod cmdline;
mod collector;
mod detect;
mod hook;
mod imported;
mod kdump_conf;
mod place;
mod shell;
mod suite;
mod variables;

use std::path::Path;

pub use imported::{Imported, Outcome, Row};
pub use suite::Suite;

use crate::model::Config;
use imported::Draft;

/// One file of another suite.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Its name in the rows.
    pub path: &'a Path,
    /// Which suite reads it.
    pub suite: Suite,
    /// Its text.
    pub text: &'a str,
}

impl<'a> Source<'a> {
    /// A file of the suite that its name and its text show; `None` where neither shows one.
    #[must_use]
    pub fn of(path: &'a Path, text: &'a str) -> Option<Self> {
        let suite = detect::suite_of(path, text)?;
        Some(Self { path, suite, text })
    }
}

/// Translates the files of one suite, which belong together: kdump-utils has two.
///
/// The rows of `skip`, each a file and a line from 1, are left out because the user said so: they change
/// nothing and do not block.
#[must_use]
pub fn import(sources: &[Source<'_>], skip: &[(&Path, usize)]) -> Imported {
    let mut out = Draft::new(Config::default());
    for source in sources {
        let skipped: Vec<usize> = skip
            .iter()
            .filter(|(path, _)| *path == source.path)
            .map(|(_, line)| *line)
            .collect();
        out.begin(source.path, skipped);
        match source.suite {
            Suite::KdumpConf => kdump_conf::read(source.text, &mut out),
            suite => variables::read(suite, source.text, &mut out),
        }
        out.cover(source.text);
    }
    for target in &mut out.config.target {
        // A key that opens nothing is no setting.
        if target.ssh.is_none() {
            target.key = None;
        }
    }
    out.finish()
}

#[cfg(test)]
mod tests;
