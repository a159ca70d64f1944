//! What a command writes: answers to stdout, progress and warnings to stderr.
//!
//! Every byte for people goes through [`vmcore::escape`], so that nothing a dump, a store or a file says
//! reaches a terminal raw. Commands take their stdout from here and from nowhere else.

pub(crate) use analysis::report::text::{count, size};
use anyhow::Context as _;
use dump::seal::Identities;
use loader::stores::Stores;
use serde::Serialize;
use std::collections::BTreeSet;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use vmcore::escape::{self, Printer};

/// Where a short answer goes: written line by line.
pub(crate) type Out = Printer<StdoutLock<'static>>;

/// Where a long answer goes. Flush it: an error while it is dropped is lost.
pub(crate) type Buffered = Printer<BufWriter<StdoutLock<'static>>>;

/// Stdout for text. `writeln!` writes one line, whatever its arguments hold; `write_all` is for text
/// that has lines of its own.
pub(crate) fn stdout() -> Out {
    Printer::new(io::stdout().lock())
}

/// The same for an answer of many lines.
pub(crate) fn buffered() -> Buffered {
    Printer::new(BufWriter::new(io::stdout().lock()))
}

/// Stdout for bytes that the user asked for as they are.
pub(crate) fn raw() -> impl Write {
    BufWriter::new(io::stdout().lock())
}

/// What a line is, for `--color`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Style {
    /// The first line of an answer, or the names of columns.
    Heading,
    /// What died.
    Culprit,
    /// What is missing or in doubt.
    Warning,
}

impl Style {
    /// The SGR sequence of ECMA-48 that begins it.
    fn sequence(self) -> &'static str {
        match self {
            Self::Heading => "\u{1b}[1m",
            Self::Culprit => "\u{1b}[1;31m",
            Self::Warning => "\u{1b}[33m",
        }
    }
}

/// Ends a style.
const PLAIN: &str = "\u{1b}[0m";

/// Whether stdout and stderr are coloured; not at all until [`color`] says so.
static COLOR: [AtomicBool; 2] = [AtomicBool::new(false), AtomicBool::new(false)];

/// When to colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum When {
    /// When stdout is a terminal and NO_COLOR is not set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Says when to colour: `auto` on a terminal where NO_COLOR is not set or empty (no-color.org).
pub(crate) fn color(when: When) {
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|text| text.is_empty());
    let terminals = [io::stdout().is_terminal(), io::stderr().is_terminal()];
    for (color, terminal) in COLOR.iter().zip(terminals) {
        let on = match when {
            When::Auto => terminal && wanted,
            When::Always => true,
            When::Never => false,
        };
        color.store(on, Ordering::Relaxed);
    }
}

fn colors(stream: usize) -> bool {
    COLOR
        .get(stream)
        .is_some_and(|color| color.load(Ordering::Relaxed))
}

/// Writes one line of a style to stdout. No text can hold a style of its own: it is escaped.
pub(crate) fn styled<W: Write>(out: &mut Printer<W>, style: Style, text: &str) -> io::Result<()> {
    if !colors(0) {
        return writeln!(out, "{text}");
    }
    out.sequence(style.sequence())?;
    write!(out, "{}", escape::line(text))?;
    out.sequence(PLAIN)?;
    writeln!(out)
}

/// One line on stderr, under the program's name.
pub(crate) fn complain(text: &str) {
    let text = escape::line(text);
    match colors(1) {
        true => eprintln!("{}afterpanic: {text}{PLAIN}", Style::Warning.sequence()),
        false => eprintln!("afterpanic: {text}"),
    }
}

/// One line on stderr as it is, of a program that ran for this one.
pub(crate) fn message(text: &str) {
    eprintln!("{}", escape::line(text));
}

/// A message that has lines of its own, such as a place in a config file: the further ones are indented,
/// so that none of them looks like a message.
pub(crate) fn complain_in_lines(text: &str) {
    let lines: Vec<_> = text.lines().map(escape::line).collect();
    eprintln!("afterpanic: {}", lines.join("\n    "));
}

/// What every command is given besides its own arguments.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// Prefix for /proc, /sys, /etc, /boot and /var.
    pub root: PathBuf,
    /// The config file given, instead of `/etc/afterpanic.toml` below `root`.
    pub config: Option<PathBuf>,
    /// The file of age identities given, instead of the config's.
    pub identity: Option<PathBuf>,
    /// No progress, no hints.
    pub quiet: bool,
}

impl Context {
    /// A path of the running system, below the root prefix.
    pub(crate) fn path(&self, absolute: &str) -> PathBuf {
        self.root.join(absolute.trim_start_matches('/'))
    }

    /// The config; an error names the place in the file. Old names in it are warned about on stderr.
    pub(crate) fn load_config(&self) -> Result<config::Config, config::ConfigError> {
        let (config, warnings) = config::Config::load_warned(&self.root, self.config.as_deref())?;
        warnings.iter().for_each(|warning| self.warn(warning));
        Ok(config)
    }

    /// The config for finding what was saved: the default one where the file cannot be read, with a
    /// warning.
    pub(crate) fn config_or_default(&self) -> config::Config {
        self.load_config().unwrap_or_else(|why| {
            complain_in_lines(&format!("warning: {why}. Reading the default store only"));
            config::Config::default()
        })
    }

    /// The keys that open sealed files: those of `--identity`, else of the config. None where there are
    /// none, or the config's file cannot be read, with a warning.
    ///
    /// # Errors
    /// The file of `--identity` cannot be read.
    pub(crate) fn identities(&self) -> anyhow::Result<Identities> {
        let read = |path: &Path| {
            let text = std::fs::read_to_string(path).map_err(anyhow::Error::from);
            text.and_then(|text| Ok(Identities::parse(&text)?))
                .with_context(|| format!("Cannot read the identity in {}", path.display()))
        };
        if let Some(path) = &self.identity {
            return read(path);
        }
        let Some(path) = self.config_or_default().report.identity else {
            return Ok(Identities::default());
        };
        Ok(
            read(&self.path(&path.to_string_lossy())).unwrap_or_else(|why| {
                self.warn(&format!("{why:#}"));
                Identities::default()
            }),
        )
    }

    /// The stores of the config's targets, or of the default config where this one cannot be read.
    pub(crate) fn stores(&self) -> Stores {
        loader::stores::stores(&self.config_or_default(), &self.root)
    }

    /// A warning, on stderr; one that was given before is not given again.
    pub(crate) fn warn(&self, text: &str) {
        static GIVEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
        let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
        if given.insert(text.to_owned()) {
            complain(&format!("warning: {text}"));
        }
    }

    /// A hint about what to do next, on stderr, unless quiet.
    pub(crate) fn hint(&self, text: &str) {
        if !self.quiet {
            eprintln!("{}", escape::line(text));
        }
    }
}

/// One object on stdout, with the members that every schema has.
///
/// # Errors
/// When stdout does not take it.
pub(crate) fn json<T: Serialize>(
    schema: &str,
    warnings: &[String],
    data: &T,
) -> anyhow::Result<()> {
    let mut object = serde_json::Map::new();
    object.insert("schema".into(), schema.into());
    object.insert("warnings".into(), warnings.into());
    match serde_json::to_value(data)? {
        serde_json::Value::Object(members) => {
            for (key, value) in members {
                object.entry(key).or_insert(value);
            }
        }
        other => {
            object.insert("data".into(), other);
        }
    }
    let mut out = Printer::json(BufWriter::new(io::stdout().lock()));
    serde_json::to_writer_pretty(&mut out, &object)?;
    writeln!(out)?;
    out.flush()?;
    Ok(())
}

/// A number and its noun: `1 page`, `2 pages`.
#[must_use]
pub(crate) fn counted(n: u64, noun: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {noun}{plural}")
}
