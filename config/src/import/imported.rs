//! The result of an import: a config, and what became of each line.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::model::{Action, Config};

/// What differs on a server.
pub(super) const OWN_DIRECTORY: &str = "each machine writes to a directory of its own inside path";

/// What is left to do for a server that is reached by SSH.
pub(super) const RECORD: &str =
    "record the server's host key with: afterpanic load --record-host-keys";

/// What became of a line, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It is in the config, or it asks for what afterpanic does anyway.
    Taken,
    /// It is in the config, with a difference.
    Remark,
    /// It is not in the config.
    NoCounterpart,
    /// The config would do something else than the line asks for where that matters: where the core
    /// goes, or what must never be written. The config must not be used.
    Blocks,
}

impl Outcome {
    /// The name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Remark => "remark",
            Self::NoCounterpart => "no-counterpart",
            Self::Blocks => "blocks",
        }
    }

    /// The words in a table.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Taken => "taken over",
            Self::Remark => "taken over, but",
            Self::NoCounterpart => "no counterpart",
            Self::Blocks => "BLOCKS",
        }
    }
}

/// A line of a file, or the lines of one statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The file.
    pub path: PathBuf,
    /// Its first line in the file, from 1.
    pub line: usize,
    /// Its last line.
    pub last: usize,
    /// Its text, without surrounding blanks.
    pub text: String,
    /// What became of it.
    pub outcome: Outcome,
    /// What it became, or why nothing: clauses without a period. May be empty where all is taken.
    pub why: String,
}

/// Another suite's config in afterpanic's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The same settings in our keys, where keys exist. Not to be used where [`Imported::blocks`].
    pub config: Config,
    /// One row for every line that says something, in the order of the files.
    pub rows: Vec<Row>,
}

impl Imported {
    /// Whether the config must not be used as it is.
    #[must_use]
    pub fn blocks(&self) -> bool {
        self.worst() == Outcome::Blocks
    }

    /// The worst outcome of a row.
    #[must_use]
    pub fn worst(&self) -> Outcome {
        let outcomes = self.rows.iter().map(|row| row.outcome);
        outcomes.max().unwrap_or(Outcome::Taken)
    }
}

/// What becomes of one row.
#[derive(Clone, Debug, Default)]
pub(super) struct Fate {
    took: bool,
    remark: bool,
    nothing: bool,
    blocks: bool,
    why: Vec<String>,
}

impl Fate {
    fn add(&mut self, why: impl Into<String>) {
        let why = why.into();
        if !why.is_empty() && !self.why.contains(&why) {
            self.why.push(why);
        }
    }

    /// It is taken over; `what` says as what, or is empty.
    pub(super) fn take(&mut self, what: impl Into<String>) {
        self.took = true;
        self.add(what);
    }

    /// It is taken over with this difference.
    pub(super) fn remark(&mut self, why: impl Into<String>) {
        self.remark = true;
        self.add(why);
    }

    /// It has no counterpart for this reason.
    pub(super) fn nothing(&mut self, why: impl Into<String>) {
        self.nothing = true;
        self.add(why);
    }

    /// No config may be printed for this reason.
    pub(super) fn block(&mut self, why: impl Into<String>) {
        self.blocks = true;
        self.add(why);
    }

    fn outcome(&self) -> Outcome {
        match self {
            Self { blocks: true, .. } => Outcome::Blocks,
            Self { remark: true, .. } => Outcome::Remark,
            Self {
                nothing: true,
                took: true,
                ..
            } => Outcome::Remark,
            Self { nothing: true, .. } => Outcome::NoCounterpart,
            _ => Outcome::Taken,
        }
    }
}

/// An import under way.
#[derive(Debug)]
pub(super) struct Draft {
    /// The config so far.
    pub(super) config: Config,
    path: PathBuf,
    skipped: Vec<usize>,
    rows: Vec<Row>,
    /// The first row of this file.
    first: usize,
}

impl Draft {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            path: PathBuf::new(),
            skipped: Vec::new(),
            rows: Vec::new(),
            first: 0,
        }
    }

    /// Begins a file.
    pub(super) fn begin(&mut self, path: &Path, skipped: Vec<usize>) {
        self.path = path.to_owned();
        self.skipped = skipped;
        self.first = self.rows.len();
    }

    /// Whether the user said to leave out what is on these lines; if so, a row says it.
    pub(super) fn skip(&mut self, line: usize, last: usize, text: &str) -> bool {
        let skipped = self.skipped.iter().any(|at| (line..=last).contains(at));
        if skipped {
            let mut fate = Fate::default();
            fate.nothing("left out, as --skip says");
            self.row(line, last, text, &fate);
        }
        skipped
    }

    /// Adds a row.
    pub(super) fn row(&mut self, line: usize, last: usize, text: &str, fate: &Fate) {
        self.rows.push(Row {
            path: self.path.clone(),
            line,
            last: last.max(line),
            text: text.trim().to_owned(),
            outcome: fate.outcome(),
            why: fate.why.join("; "),
        });
    }

    /// Gives every line of this file that says something and has no row one: none is dropped silently.
    pub(super) fn cover(&mut self, text: &str) {
        let mut covered: BTreeSet<usize> = BTreeSet::new();
        for row in self.rows.iter().skip(self.first) {
            covered.extend(row.line..=row.last);
        }
        let mut fate = Fate::default();
        fate.nothing("not understood");
        for (line, text) in (1..).zip(text.lines()) {
            let trimmed = text.trim();
            let meant = !trimmed.is_empty() && !trimmed.starts_with('#');
            if meant && !covered.contains(&line) {
                self.row(line, line, trimmed, &fate);
            }
        }
        if let Some(rows) = self.rows.get_mut(self.first..) {
            rows.sort_by_key(|row| row.line);
        }
    }

    pub(super) fn finish(self) -> Imported {
        Imported {
            config: self.config,
            rows: self.rows,
        }
    }
}

/// The final action named by a word of a command or directive.
pub(super) fn action(word: &str) -> Option<Action> {
    match word {
        "reboot" => Some(Action::Reboot),
        "poweroff" => Some(Action::Poweroff),
        "halt" => Some(Action::Halt),
        _ => None,
    }
}

/// The path as an absolute one, or why it cannot be one.
pub(super) fn absolute(path: &str) -> Result<PathBuf, String> {
    let path = Path::new("/").join(path);
    if path.components().any(|part| part.as_os_str() == "..") {
        return Err(format!("the path {} climbs with ..", path.display()));
    }
    Ok(path)
}
