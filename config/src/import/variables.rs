//! Files of shell assignments: what the script leaves in each variable, then what that is in our keys.

mod fail;
mod kernel;
mod path;
mod read;
mod table;

use std::collections::BTreeMap;

use super::imported::{Draft, Fate};
use super::shell::{Script, Shell, Statement, Value, What};
use super::suite::Suite;
use crate::error::slip_of;
use crate::model::Config;

pub(super) use table::knows;

/// Takes over what has a counterpart.
pub(super) fn read(suite: Suite, text: &str, out: &mut Draft) {
    let shell = Shell {
        plus: suite.is_bash(),
        known: &table::is_known,
    };
    let script = Script::read(text, &shell);
    let mut rows: Vec<(&Statement, Fate)> = Vec::new();
    for statement in &script.statements {
        if !out.skip(statement.line, statement.last, &statement.text) {
            rows.push((statement, Fate::default()));
        }
    }
    // Where each variable is set last.
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, (statement, fate)) in rows.iter_mut().enumerate() {
        match &statement.what {
            What::Assign { name, plus, .. } if *plus && !suite.is_bash() => {
                no_plus(suite, name, fate);
            }
            What::Assign { name, .. } => {
                last.insert(name, at);
            }
            What::Open => {
                fate.block("a quote that opens here is never closed, so a shell refuses the file");
            }
            What::Other {
                touches,
                reads_more,
            } => other(suite, touches, *reads_more, fate),
        }
    }
    let mut values: BTreeMap<&str, &Value> = BTreeMap::new();
    let mut lines: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, at) in &last {
        if let Some((statement, _)) = rows.get(*at)
            && let What::Assign { value, .. } = &statement.what
        {
            values.insert(name, value);
            lines.insert(name, statement.line);
        }
    }
    let left = Left { suite, values };
    for (at, (statement, fate)) in rows.iter_mut().enumerate() {
        let What::Assign {
            name,
            plus,
            conditional,
            ..
        } = &statement.what
        else {
            continue;
        };
        if *plus && !suite.is_bash() {
            continue;
        }
        if last.get(name.as_str()) != Some(&at) {
            let line = lines.get(name.as_str()).copied().unwrap_or_default();
            fate.take(format!("line {line} has the value in the end"));
            continue;
        }
        let used = script.used.get(name).copied();
        left.take(name, used, *conditional, &mut out.config, fate);
    }
    table::settle(suite, &left.values, &mut out.config);
    for (statement, fate) in rows {
        out.row(statement.line, statement.last, &statement.text, &fate);
    }
}

/// `+=` where the shell has none.
fn no_plus(suite: Suite, name: &str, fate: &mut Fate) {
    let why = format!(
        "the system's sh has no +=, so {} never had this value; write {name}=\"${name} …\"",
        suite.program()
    );
    match table::is_target(name) {
        true => fate.block(why),
        false => fate.nothing(why),
    }
}

/// A statement that is not an assignment.
fn other(suite: Suite, touches: &[String], reads_more: bool, fate: &mut Fate) {
    let target = touches.iter().find(|name| table::is_target(name));
    match (reads_more, target, touches) {
        (true, ..) => fate.block(format!(
            "this reads more settings, which are not known here; put them into the file that {} reads",
            suite.program()
        )),
        (false, Some(name), _) => fate.block(format!(
            "not an assignment that can be read here, and it may set {name}, which says where the core goes"
        )),
        (false, None, []) => fate.nothing("not an assignment; nothing is run"),
        (false, None, names) => fate.nothing(format!(
            "not an assignment that can be read here; {} may be set by it",
            names.join(", ")
        )),
    }
}

/// What the script leaves.
struct Left<'a> {
    suite: Suite,
    /// The value of each variable.
    values: BTreeMap<&'a str, &'a Value>,
}

impl Left<'_> {
    /// Takes over the value that a variable has in the end.
    fn take(
        &self,
        name: &str,
        used: Option<usize>,
        conditional: bool,
        config: &mut Config,
        fate: &mut Fate,
    ) {
        let suite = self.suite;
        let Some(value) = self.values.get(name).copied() else {
            return;
        };
        if !table::is_known(name) {
            return stranger(suite, name, used, fate);
        }
        if !table::knows(suite, name) {
            fate.remark(format!("{} does not read {name}", suite.program()));
        }
        if path::is_one(name) {
            return path::take(suite, name, &self.values, config, fate);
        }
        if kernel::is_one(name) {
            return kernel::take(name, value, &self.values, config, fate);
        }
        match value.text() {
            Some(text) => table::take(name, &text, config, fate),
            None => computed(suite, name, value, conditional, config, fate),
        }
    }
}

/// A variable of no suite.
fn stranger(suite: Suite, name: &str, used: Option<usize>, fate: &mut Fate) {
    let names: Vec<&str> = table::names(suite).collect();
    match (used, slip_of(name, &names)) {
        (Some(line), _) => fate.take(format!("used on line {line}")),
        (None, Some(meant)) => {
            let why = format!("{} does not read {name}; {meant} is meant", suite.program());
            match table::is_target(meant) {
                true => fate.block(format!("{why}. It may say where the core goes")),
                false => fate.nothing(why),
            }
        }
        (None, None) => fate.nothing(format!("{} does not read {name}", suite.program())),
    }
}

/// A value that a shell computes.
fn computed(
    suite: Suite,
    name: &str,
    value: &Value,
    conditional: bool,
    config: &mut Config,
    fate: &mut Fate,
) {
    if !conditional && table::is_cmdline(name) {
        return read::cmdline(name, value, config, fate);
    }
    if !conditional && name == "MAKEDUMPFILE_ARGS" {
        return read::collector(value, config, fate);
    }
    let why = match conditional {
        true => format!("a condition decides about {name}, and nothing is run here"),
        false => format!("only a shell can compute {name}"),
    };
    match table::is_target(name) {
        true => fate.block(format!("{why}; it says where the core goes")),
        false if table::is_informative(name) => fate.take(table::informative(suite)),
        false => fate.nothing(why),
    }
}
