//! A script of assignments: every statement, and what the variables hold in the end.

use std::collections::BTreeMap;

use super::lex::{Command, Lexer};
use super::value::Value;

/// Words that begin and end what a condition decides.
const OPENING: [&str; 8] = ["if", "while", "until", "for", "case", "select", "{", "("];
const CLOSING: [&str; 5] = ["fi", "done", "esac", "}", ")"];
/// Words before a command inside it.
const INSIDE: [&str; 5] = ["then", "else", "elif", "do", "!"];
/// Words before an assignment that change nothing about it.
const DECLARING: [&str; 5] = ["export", "readonly", "declare", "typeset", "local"];

/// More statements than any config has.
const MOST: usize = 10_000;

/// A statement of the script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    /// The first line, from 1.
    pub line: usize,
    /// The last line.
    pub last: usize,
    /// As in the file.
    pub text: String,
    /// What it does.
    pub what: What,
}

/// What a statement does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// It sets a variable.
    Assign {
        /// Its name.
        name: String,
        /// Its value from here on; computed where a condition decides.
        value: Value,
        /// `+=`
        plus: bool,
        /// Whether a condition decides about it.
        conditional: bool,
    },
    /// Something else, which may set these variables.
    Other {
        /// Variables that it may set.
        touches: Vec<String>,
        /// Whether it runs another file or a text (`.`, `source`, `eval`).
        reads_more: bool,
    },
    /// A quote that is never closed: a shell refuses the file.
    Open,
}

/// What is known of a script.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    /// Every statement, in order.
    pub statements: Vec<Statement>,
    /// Variables that others were made from, by name.
    pub used: BTreeMap<String, usize>,
}

/// What the reader of the file is.
pub(crate) struct Shell<'a> {
    /// Whether it has `+=`.
    pub plus: bool,
    /// Whether this is a variable of the suite: unset, it is empty.
    pub known: &'a dyn Fn(&str) -> bool,
}

impl Script {
    /// Reads a script.
    pub(crate) fn read(text: &str, shell: &Shell<'_>) -> Self {
        let mut out = Self::default();
        let mut values: BTreeMap<String, Value> = BTreeMap::new();
        let mut lexer = Lexer::new(text);
        let mut depth = 0_usize;
        while out.statements.len() < MOST {
            let used = std::cell::RefCell::new(Vec::new());
            let lookup = |name: &str| {
                used.borrow_mut().push(name.to_owned());
                match values.get(name) {
                    Some(value) => Some(value.clone()),
                    None => (shell.known)(name).then(Value::default),
                }
            };
            let Some(mut command) = lexer.next(&lookup) else {
                break;
            };
            for name in used.take() {
                out.used.entry(name).or_insert(command.lines.0);
            }
            if command.open {
                out.push(&command, What::Open);
                continue;
            }
            let conditional = step(&mut command, &mut depth);
            for what in meaning(&command, conditional, shell) {
                let what = apply(what, &mut values, shell);
                out.push(&command, what);
            }
        }
        out
    }

    fn push(&mut self, command: &Command, what: What) {
        self.statements.push(Statement {
            line: command.lines.0,
            last: command.lines.1,
            text: command.raw.clone(),
            what,
        });
    }
}

/// Follows a command into or out of what a condition decides. Answers whether one decides about it.
fn step(command: &mut Command, depth: &mut usize) -> bool {
    let before = *depth;
    let mut first = true;
    for word in &command.words {
        let raw = word.raw.as_str();
        // `if`, `for` are words of the shell only where a command begins.
        let opens = OPENING.contains(&raw) && (first || raw == "{" || raw == "(");
        let closes = CLOSING.contains(&raw) && (first || raw == "}" || raw == ")");
        *depth = depth.saturating_add(usize::from(opens));
        *depth = depth.saturating_sub(usize::from(closes));
        first = INSIDE.contains(&raw);
    }
    if command.here_document {
        // The lines that follow are a text, and where it ends is not known.
        *depth = depth.saturating_add(1);
    }
    let inside = command
        .words
        .iter()
        .take_while(|word| INSIDE.contains(&word.raw.as_str()))
        .count();
    command.words.drain(..inside);
    before > 0 || *depth > 0 || inside > 0 || command.depends
}

/// What a command does, one statement for each variable.
fn meaning(command: &Command, conditional: bool, shell: &Shell<'_>) -> Vec<What> {
    let other = |reads_more: bool| {
        let raw = command.raw.as_str();
        What::Other {
            touches: touched(raw, shell),
            reads_more,
        }
    };
    let mut words = command.words.as_slice();
    let first = words.first().map_or("", |word| word.raw.as_str());
    if DECLARING.contains(&first) {
        words = words.get(1..).unwrap_or_default();
        while words.first().is_some_and(|word| word.raw.starts_with('-')) {
            words = words.get(1..).unwrap_or_default();
        }
    }
    let assigned: Option<Vec<What>> = words
        .iter()
        .map(|word| {
            let (name, plus) = word.assigns.clone()?;
            Some(What::Assign {
                name,
                value: word.value.clone(),
                plus,
                conditional,
            })
        })
        .collect();
    match assigned {
        Some(assigned) if !assigned.is_empty() => assigned,
        _ => vec![other(matches!(first, "." | "source" | "eval"))],
    }
}

/// The variables of the suite that a command may set: `NAME=`, `NAME :=`, `unset NAME`.
fn touched(raw: &str, shell: &Shell<'_>) -> Vec<String> {
    let name_character = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let unsets = raw.trim_start().starts_with("unset ");
    let mut out: Vec<String> = Vec::new();
    let mut rest = raw;
    while let Some(start) = rest.find(name_character) {
        let tail = rest.get(start..).unwrap_or_default();
        let length = tail.find(|c| !name_character(c)).unwrap_or(tail.len());
        let (name, behind) = tail.split_at_checked(length).unwrap_or((tail, ""));
        let operator = behind.trim_start_matches([' ', '\t', ':', '+', '"', '\'']);
        if (operator.starts_with('=') || unsets)
            && (shell.known)(name)
            && !out.iter().any(|known| known == name)
        {
            out.push(name.to_owned());
        }
        rest = behind;
    }
    out
}

/// Remembers what a statement sets.
fn apply(what: What, values: &mut BTreeMap<String, Value>, shell: &Shell<'_>) -> What {
    match what {
        What::Assign {
            name,
            value,
            plus,
            conditional,
        } => {
            let value = match (conditional, plus) {
                (true, _) => Value::computed("a condition"),
                (false, false) => value,
                // Not an assignment there: the variable keeps what it has.
                (false, true) if !shell.plus => values.get(&name).cloned().unwrap_or_default(),
                (false, true) => {
                    let mut before = values.get(&name).cloned().unwrap_or_default();
                    before.extend(&value);
                    before
                }
            };
            values.insert(name.clone(), value.clone());
            What::Assign {
                name,
                value,
                plus,
                conditional,
            }
        }
        What::Other {
            touches,
            reads_more,
        } => {
            for name in &touches {
                values.insert(name.clone(), Value::computed("a command"));
            }
            What::Other {
                touches,
                reads_more,
            }
        }
        What::Open => What::Open,
    }
}
