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
        let changed = part(line.trim_end_matches('\n')).and_then(|old| {
            // A part of this very line: where it begins tells it from an equal text before it.
            let at = old.as_ptr().addr().checked_sub(line.as_ptr().addr())?;
            let rest = line.get(at.checked_add(old.len())?..)?;
            Some(format!(
                "{}{}{rest}",
                line.get(..at)?,
                with_value(old, value)
            ))
        });
        after.push_str(changed.as_deref().unwrap_or(line));
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

#[cfg(test)]
mod tests {
    use super::super::kind::BootLoader;
    use super::*;

    #[test]
    fn only_the_command_line_of_a_line_changes() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("f"), "append a\nappend append x\nother a\n").unwrap();
        let part: Part = |line| line.strip_prefix("append ");
        let mut change = Change::new(BootLoader::Extlinux);
        let machine = Machine::read(dir.path());
        edit(&machine, "/f", part, Some("1M"), &mut change).unwrap();
        assert_eq!(
            change.edits[0].after.as_deref(),
            Some("append a crashkernel=1M\nappend append x crashkernel=1M\nother a\n")
        );
    }
}
