//! Configuration files with a command line on some of their lines: what the lines would become.

use std::path::Path;

use super::change::{BootLoaderError, Change, with_value};
use super::effect::Entry;
use super::machine::Machine;

/// Finds the command line in a line.
pub(super) type Part = fn(&str) -> Option<&str>;

/// The command lines in a file; `part` finds the one in a line.
pub(super) fn read(machine: &Machine<'_>, path: &str, part: Part) -> Vec<Entry> {
    let text = machine.text(path);
    let entries = text.lines().filter_map(part).map(|cmdline| Entry {
        name: path.to_owned(),
        cmdline: cmdline.to_owned(),
    });
    entries.collect()
}

/// Adds the file with each command line changed.
pub(super) fn edit(
    machine: &Machine<'_>,
    path: &str,
    part: Part,
    value: Option<&str>,
    change: &mut Change,
) -> Result<(), BootLoaderError> {
    let Some(before) = machine.file(path)? else {
        return Ok(());
    };
    let mut after = String::new();
    for line in before.split_inclusive('\n') {
        match part(line.trim_end_matches('\n')) {
            Some(old) => after.push_str(&line.replacen(old, &with_value(old, value), 1)),
            None => after.push_str(line),
        }
    }
    change.edit(Path::new(path), Some(before), Some(after));
    Ok(())
}

/// The change for the operator: the lines are shown with it.
pub(super) fn steps(change: Change, path: &str) -> Change {
    if change.edits.is_empty() {
        return change.by_hand(format!(
            "add the parameter to the kernel's command line in {path}"
        ));
    }
    change.by_hand(format!("change these lines of {path}"))
}
