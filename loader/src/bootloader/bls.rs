//! Boot Loader Specification entries, type 1: text files with an `options` line, as systemd-boot
//! reads them, and /etc/kernel/cmdline, from which entries of later kernels are made.
//!
//! Facts: the Boot Loader Specification (UAPI.1): `options` may occur more than once and the values
//! are joined; comments begin with `#`. Unified kernel images keep their command line inside and are
//! not touched. Several systems share one EFI system partition: an entry is this system's by its
//! `machine-id` line, or by the machine id or entry token that its file's name begins with
//! (kernel-install(8)). Where neither tells, only the entries of this root's own /boot are its.

use std::fs;
use std::path::{Path, PathBuf};

use super::change::{BootLoader, BootLoaderError, Change, Edit, read, with_value};
use crate::root;

const PLACES: [&str; 3] = [
    "/efi/loader/entries",
    "/boot/loader/entries",
    "/boot/efi/loader/entries",
];
/// The one that is no EFI system partition's by its path.
const OWN: &str = "/boot/loader/entries";
const FUTURE: &str = "/etc/kernel/cmdline";

/// Every entry file, in order.
pub(super) fn entries(root: &Path) -> Vec<PathBuf> {
    let mut out: Vec<PathBuf> = (PLACES.iter())
        .flat_map(|place| {
            let entries = fs::read_dir(root::under(root, place))
                .into_iter()
                .flatten()
                .flatten();
            entries.map(move |e| Path::new(place).join(e.file_name()))
        })
        .filter(|path| path.extension().is_some_and(|e| e == "conf"))
        .collect();
    out.sort();
    out
}

fn option_of(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("options")?;
    rest.starts_with([' ', '\t']).then_some(rest.trim())
}

/// The entry with the value on its last `options` line and on no other.
fn edited(text: &str, value: &str) -> Option<String> {
    let last = text
        .lines()
        .enumerate()
        .filter(|(_, l)| option_of(l).is_some())
        .map(|(n, _)| n)
        .last();
    if last.is_none()
        && !text
            .lines()
            .any(|l| l.starts_with("linux ") || l.starts_with("linux\t"))
    {
        return None;
    }
    let mut out = String::new();
    for (n, line) in text.lines().enumerate() {
        match option_of(line) {
            Some(options) if Some(n) == last => {
                let new = with_value(options, value);
                if new == options {
                    out.push_str(line);
                } else {
                    out.push_str(&format!("options {new}"));
                }
            }
            Some(options) if options.contains("crashkernel=") => {
                let words = crate::words::words(options);
                let kept: Vec<&str> = words
                    .iter()
                    .map(String::as_str)
                    .filter(|w| !w.starts_with("crashkernel="))
                    .collect();
                out.push_str(&format!("options {}", kept.join(" ")));
            }
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    if last.is_none() {
        out.push_str(&format!("options crashkernel={value}\n"));
    }
    Some(out)
}

/// Whose an entry is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    This,
    Other,
    Unknown,
}

/// What the entries of this system are known by.
struct System {
    machine: Option<String>,
    token: Option<String>,
}

impl System {
    fn of(root: &Path) -> Self {
        let word = |path| {
            let text = root::text(root, path).ok()?;
            let word = text.split_whitespace().next()?;
            Some(word.to_owned())
        };
        Self {
            machine: word("/etc/machine-id").filter(|id| is_id(id)),
            token: word("/etc/kernel/entry-token"),
        }
    }

    fn owner(&self, path: &Path, text: &str) -> Owner {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let key = text.lines().find_map(|line| {
            let rest = line.strip_prefix("machine-id")?;
            rest.starts_with([' ', '\t']).then_some(rest.trim())
        });
        let id = key.or(stem.split('-').next()).filter(|id| is_id(id));
        let by_token = self.token.as_ref().is_some_and(|token| {
            let rest = stem.strip_prefix(token.as_str());
            rest.is_some_and(|rest| rest.starts_with('-'))
        });
        match (id, &self.machine) {
            (Some(id), Some(machine)) if id.eq_ignore_ascii_case(machine) => Owner::This,
            (_, _) if key.is_none() && by_token => Owner::This,
            (Some(_), Some(_)) => Owner::Other,
            _ if path.parent() == Some(Path::new(OWN)) => Owner::This,
            _ => Owner::Unknown,
        }
    }
}

/// Whether this is a machine id, as in machine-id(5).
fn is_id(word: &str) -> bool {
    word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

pub(super) fn propose(root: &Path, value: &str) -> Result<Change, BootLoaderError> {
    let mut change = Change::new(BootLoader::Bls);
    let mut edit = |path: PathBuf, before: String, after: String| {
        if before.trim_end() != after.trim_end() {
            change.edits.push(Edit {
                path,
                before: Some(before),
                after: Some(after),
            });
        }
    };
    let system = System::of(root);
    let (mut ours, mut notes) = (false, Vec::new());
    for path in entries(root) {
        let Some(before) = read(root, &path)? else {
            continue;
        };
        let why = match system.owner(&path, &before) {
            Owner::This => None,
            Owner::Other => Some("it is another system's entry"),
            Owner::Unknown => Some("nothing in it tells which system it belongs to"),
        };
        if let Some(why) = why {
            notes.push(format!("{} is not changed: {why}", path.display()));
            continue;
        }
        ours = true;
        if let Some(after) = edited(&before, value) {
            edit(path, before, after);
        }
    }
    if let Some(before) = read(root, Path::new(FUTURE))? {
        let after = format!("{}\n", with_value(before.trim_end(), value));
        edit(PathBuf::from(FUTURE), before, after);
    } else if !change.edits.is_empty() {
        change.notes.push(format!(
            "{FUTURE} does not exist: entries of kernels installed later take the running command line"
        ));
    }
    change.notes.extend(notes);
    if !ours {
        change.edits.clear();
        change.by_hand = Some(format!(
            "write crashkernel={value} into the options line of this system's boot entry"
        ));
    }
    Ok(change)
}

#[cfg(test)]
mod tests;
