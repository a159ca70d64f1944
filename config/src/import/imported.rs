//! The result of an import: a config, remarks, and the targets that were lost.

use crate::model::{Action, Config};

/// Another suite's config in afterpanic's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The same settings in our keys, where keys exist.
    pub config: Config,
    /// What was not taken over, or was changed.
    pub notes: Vec<Note>,
    /// The lines that name a target which `config` does not have. Not empty: `config` would write
    /// the core somewhere else, so it must not be used as it is.
    pub lost_targets: Vec<Note>,
}

/// One remark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The line of the file, from 1.
    pub line: usize,
    /// The remark, a clause without a period.
    pub text: String,
}

impl Imported {
    pub(super) fn note(&mut self, line: usize, text: impl Into<String>) {
        let text = text.into();
        self.notes.push(Note { line, text });
    }

    /// Notes a target that has no counterpart.
    pub(super) fn lose_target(&mut self, line: usize, text: impl Into<String>) {
        let text = text.into();
        self.notes.push(Note {
            line,
            text: text.clone(),
        });
        self.lost_targets.push(Note { line, text });
    }
}

/// The final action named by the first word of a command or directive.
pub(super) fn action(word: &str) -> Option<Action> {
    match word {
        "reboot" => Some(Action::Reboot),
        "poweroff" => Some(Action::Poweroff),
        "halt" => Some(Action::Halt),
        _ => None,
    }
}
