//! Log records on stderr, with the priority prefix that journald reads when it is not a terminal.

use crate::output;
use log::{Level, LevelFilter, Log, Metadata, Record};
use std::io::IsTerminal;

struct Stderr {
    /// Prefix records with `<N>` (sd-daemon(3)).
    prefixed: bool,
}

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // fuser warns of every optional call that a read-only filesystem need not answer.
        let theirs = metadata.target().starts_with("fuser");
        metadata.level() <= log::max_level() && !(theirs && metadata.level() > Level::Error)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let (priority, name) = match record.level() {
            Level::Error => (3, "error: "),
            Level::Warn => (4, "warning: "),
            Level::Info => (6, ""),
            Level::Debug | Level::Trace => (7, "debug: "),
        };
        let text = record.args().to_string();
        if self.prefixed {
            eprintln!("<{priority}>{}", vmcore::escape::line(&text));
        } else {
            output::complain(&format!("{name}{text}"));
        }
    }

    fn flush(&self) {}
}

/// Installs the logger: warnings by default, `-v` adds information, `-vv` everything, `-q` leaves
/// errors.
pub(crate) fn init(verbose: u8, quiet: bool) {
    let level = match (quiet, verbose) {
        (true, _) => LevelFilter::Error,
        (false, 0) => LevelFilter::Warn,
        (false, 1) => LevelFilter::Info,
        (false, _) => LevelFilter::Debug,
    };
    let prefixed = std::env::var_os("JOURNAL_STREAM").is_some() && !std::io::stderr().is_terminal();
    if log::set_boxed_logger(Box::new(Stderr { prefixed })).is_ok() {
        log::set_max_level(level);
    }
}
