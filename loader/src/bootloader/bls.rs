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
mod tests {
    use super::super::change::apply;
    use super::super::detect;
    use super::*;

    const ENTRY: &str = "title Debian\nversion 6.12\n# options crashkernel=9M\nlinux /m/6.12/linux\ninitrd /m/6.12/initrd\noptions root=UUID=1 crashkernel=1M,high\noptions quiet\n";

    #[test]
    fn the_last_options_line_gets_it() {
        let got = edited(ENTRY, "96M").unwrap();
        assert!(
            got.ends_with("options root=UUID=1\noptions quiet crashkernel=96M\n"),
            "{got}"
        );
        assert!(got.contains("# options crashkernel=9M\n"));
        assert_eq!(edited(&got, "96M").unwrap(), got);
    }

    #[test]
    fn an_entry_without_options_gets_a_line_and_other_files_none() {
        assert_eq!(
            edited("linux /v\n", "96M").unwrap(),
            "linux /v\noptions crashkernel=96M\n"
        );
        assert_eq!(edited("uki /x.efi\n", "96M"), None);
    }

    #[test]
    fn all_entries_and_the_future_ones() {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("boot/loader/entries/a.conf", ENTRY),
            ("boot/loader/entries/b.txt", ENTRY),
            ("etc/kernel/cmdline", "quiet\n"),
        ] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        assert_eq!(detect(dir.path()), BootLoader::Bls);
        let change = propose(dir.path(), "96M").unwrap();
        assert_eq!(change.edits.len(), 2);
        apply(dir.path(), &change).unwrap();
        assert!(propose(dir.path(), "96M").unwrap().is_empty());
        assert_eq!(
            fs::read_to_string(dir.path().join("etc/kernel/cmdline")).unwrap(),
            "quiet crashkernel=96M\n"
        );
    }

    #[test]
    fn entries_of_other_systems_are_left() {
        let (ours, other) = ("a".repeat(32), "b".repeat(32));
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let keyed = |id: &str| format!("machine-id {id}\n{ENTRY}");
        put("etc/machine-id", &format!("{ours}\n"));
        put("etc/kernel/entry-token", "debian\n");
        put(&format!("efi/loader/entries/{ours}-6.12.conf"), ENTRY);
        put(&format!("efi/loader/entries/{other}-6.12.conf"), ENTRY);
        put("efi/loader/entries/x.conf", &keyed(&ours));
        put("efi/loader/entries/y.conf", &keyed(&other));
        put("efi/loader/entries/debian-6.12.conf", ENTRY);
        put("efi/loader/entries/unknown.conf", ENTRY);
        put("boot/loader/entries/unknown.conf", ENTRY);
        put("boot/loader/entries/z.conf", &keyed(&other));
        let change = propose(dir.path(), "96M").unwrap();
        let edited: Vec<PathBuf> = change.edits.iter().map(|e| e.path.clone()).collect();
        assert_eq!(
            edited,
            [
                PathBuf::from("/boot/loader/entries/unknown.conf"),
                PathBuf::from(format!("/efi/loader/entries/{ours}-6.12.conf")),
                PathBuf::from("/efi/loader/entries/debian-6.12.conf"),
                PathBuf::from("/efi/loader/entries/x.conf"),
            ]
        );
        for left in [
            "z.conf",
            &other,
            "y.conf",
            "efi/loader/entries/unknown.conf",
        ] {
            let said = |note: &String| note.contains(left) && note.contains("not changed");
            assert!(change.notes.iter().any(said), "{left}: {:?}", change.notes);
        }
    }
}
