//! Boot Loader Specification entries, type 1: text files with an `options` line, as systemd-boot
//! reads them, and /etc/kernel/cmdline, from which entries of later kernels are made.
//!
//! Facts: the Boot Loader Specification (UAPI.1): `options` may occur more than once and the values
//! are joined; comments begin with `#`. Unified kernel images keep their command line inside and are
//! not touched.

use std::fs;
use std::path::{Path, PathBuf};

use super::change::{BootLoader, BootLoaderError, Change, Edit, read, with_value};
use crate::root;

const PLACES: [&str; 3] = [
    "/efi/loader/entries",
    "/boot/loader/entries",
    "/boot/efi/loader/entries",
];
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
    for path in entries(root) {
        let Some(before) = read(root, &path)? else {
            continue;
        };
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
            ("efi/loader/entries/a.conf", ENTRY),
            ("efi/loader/entries/b.txt", ENTRY),
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
}
