//! Takes back what `reserve --apply` wrote: a file that is still as it was written gets its former text, what was
//! changed or added since loses our value, and tools are run again.

use std::path::Path;

use super::change::{BootLoaderError, Change, Edit, read};
use super::choice::in_charge;
use super::effect::took;
use super::machine::Machine;
use super::record::Reserved;
use crate::state::{State, StateError};

/// What would be taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undo {
    /// The change; an empty one: the configuration has nothing of ours any more.
    pub change: Change,
    /// What the next boot has then: the former values of `crashkernel=`, or none.
    pub former: Vec<String>,
    /// The value that goes.
    pub value: String,
}

/// Keeps what a change did, before it is applied: a crash between the two leaves a record too many, not too few.
///
/// # Errors
/// When the state cannot be written.
pub fn keep(root: &Path, change: &Change, value: &str) -> Result<(), StateError> {
    let machine = Machine::read(root);
    let entries = in_charge(&machine).read(&machine).unwrap_or_default();
    let former = entries
        .first()
        .map(|entry| crate::crashkernel::parameters(&entry.cmdline));
    let new = Reserved {
        value: value.to_owned(),
        former: former.unwrap_or_default(),
        boot_loader: change.boot_loader,
        edits: change.edits.clone(),
        at: jiff::Timestamp::now().as_second(),
    };
    State::change(root, |state| {
        state.reserved = Some(match state.reserved.take() {
            Some(old) if old.boot_loader == new.boot_loader => merged(root, old, new),
            _ => new,
        });
    })
}

/// Forgets the record, after it was undone.
///
/// # Errors
/// When the state cannot be written.
pub fn forget(root: &Path) -> Result<(), StateError> {
    State::change(root, |state| state.reserved = None)
}

/// Two changes as one: of what the first one wrote and nobody changed since, its former text counts.
fn merged(root: &Path, old: Reserved, mut new: Reserved) -> Reserved {
    let untouched = |edit: &Edit| read(root, &edit.path).ok() == Some(edit.after.clone());
    let mut rest = Vec::new();
    for edit in old.edits.iter().filter(|edit| untouched(edit)) {
        match new.edits.iter_mut().find(|later| later.path == edit.path) {
            Some(later) => later.before.clone_from(&edit.before),
            None => rest.push(edit.clone()),
        }
    }
    new.edits.extend(rest);
    new.former = old.former;
    new
}

/// What `reserve --undo` would do; `None`: no change of ours is on record.
///
/// # Errors
/// When the state or the configuration cannot be read.
pub fn propose(root: &Path) -> Result<Option<Undo>, UndoError> {
    let machine = Machine::read(root);
    let loader = in_charge(&machine);
    let Some(record) = State::read(root)?.reserved else {
        return Ok(None);
    };
    // A single plain value can be put back by any boot loader; more of them are in the kept files.
    let former = match record.former.as_slice() {
        [only] if *only != record.value => Some(only.as_str()),
        _ => None,
    };
    let proposed = loader.propose(&machine, former);
    let mut change = match proposed {
        Ok(change) => change,
        Err(_) if former.is_some() => loader.propose(&machine, None)?,
        Err(error) => return Err(error.into()),
    };
    for edit in &record.edits {
        let now = read(root, &edit.path)?;
        let at = change
            .edits
            .iter()
            .position(|other| other.path == edit.path);
        if now == edit.before {
            // It is back already.
            if let Some(at) = at {
                change.edits.remove(at);
            }
        } else if now == edit.after {
            let back = Edit {
                path: edit.path.clone(),
                before: now,
                after: edit.before.clone(),
            };
            match at.and_then(|at| change.edits.get_mut(at)) {
                Some(edit) => *edit = back,
                None => change.edits.push(back),
            }
        } else if now.is_some() {
            change.notes.push(format!(
                "{} was changed since: only crashkernel= is put back there",
                edit.path.display()
            ));
        }
    }
    Ok(Some(Undo {
        change,
        former: record.former,
        value: record.value,
    }))
}

/// Whether an entry of the next boot still has the value; its name.
///
/// # Errors
/// When that cannot be told.
pub fn still_there(root: &Path, undo: &Undo) -> Result<Option<String>, String> {
    if undo.former.contains(&undo.value) {
        return Ok(None);
    }
    let machine = Machine::read(root);
    let entries = in_charge(&machine).read(&machine)?;
    let found = entries
        .into_iter()
        .find(|entry| took(&entry.cmdline, &undo.value));
    Ok(found.map(|entry| entry.name))
}

/// Why nothing can be taken back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UndoError {
    /// The record.
    #[error(transparent)]
    State(#[from] StateError),
    /// The configuration.
    #[error(transparent)]
    BootLoader(#[from] BootLoaderError),
}

#[cfg(test)]
mod tests;
