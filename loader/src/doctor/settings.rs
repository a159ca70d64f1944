//! Where a kernel setting comes from: which file of sysctl.d or tmpfiles.d, or which word of the command line,
//! sets it at boot, so that the fix names it.
//!
//! Facts: sysctl.d(5) and tmpfiles.d(5): files of one name in /etc, /run, /usr/local/lib and /usr/lib replace each
//! other in this order, all are applied in the order of their names, and the last one wins; procps reads
//! /etc/sysctl.conf last, systemd reads it only through a link in sysctl.d. `sysctl.NAME=` on the command line
//! since Linux 5.8.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::root;
use crate::words::words;

const PREFIXES: [&str; 5] = ["/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib"];

/// What sets a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A word of the command line.
    CommandLine(String),
    /// A line of a file.
    File {
        /// The file.
        path: PathBuf,
        /// The value.
        value: String,
    },
}

impl Origin {
    /// How to take it away.
    pub(super) fn removed(&self, what: &str) -> String {
        match self {
            Self::CommandLine(word) => format!("remove {word} from the command line"),
            Self::File { path, .. } if path.starts_with("/etc") => {
                format!("remove the {what} line from {}", path.display())
            }
            // A file in /etc of the same name replaces the vendor's.
            Self::File { path, .. } => {
                let kind = path.parent().and_then(Path::file_name).unwrap_or_default();
                let to = Path::new("/etc")
                    .join(kind)
                    .join(path.file_name().unwrap_or_default());
                format!("sed /{what}/d {} > {}", path.display(), to.display())
            }
        }
    }
}

/// The files of a kind (`sysctl.d`, `tmpfiles.d`) in the order in which they are applied.
fn files(root: &Path, kind: &str) -> Vec<PathBuf> {
    let mut by_name: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    for prefix in PREFIXES {
        let directory = Path::new(prefix).join(kind);
        let entries = fs::read_dir(root::under(root, &directory));
        for entry in entries.into_iter().flatten().flatten() {
            let name = entry.file_name();
            if name.to_string_lossy().ends_with(".conf") {
                let path = directory.join(&name);
                by_name.entry(name).or_insert(path);
            }
        }
    }
    by_name.into_values().collect()
}

/// What sets a sysctl at boot (`kernel.panic_on_oops`): the last one that does.
pub(super) fn sysctl(root: &Path, name: &str) -> Option<Origin> {
    let slashed = name.replace('.', "/");
    let is_it = |key: &str| {
        let key = key.trim().trim_start_matches('-').trim();
        key == name || key.replace('.', "/") == slashed
    };
    let mut found = None;
    let mut paths = files(root, "sysctl.d");
    paths.push(PathBuf::from("/etc/sysctl.conf"));
    for path in paths {
        let text = root::text(root, &path).unwrap_or_default();
        for line in text
            .lines()
            .filter(|line| !line.trim_start().starts_with(['#', ';']))
        {
            if let Some((key, value)) = line.split_once('=')
                && is_it(key)
            {
                let value = value.trim().to_owned();
                found = Some(Origin::File {
                    path: path.clone(),
                    value,
                });
            }
        }
    }
    // systemd-tmpfiles may write the file after that.
    let file = format!("/proc/sys/{slashed}");
    let found = tmpfiles(root, &file).or(found);
    if found.is_some() {
        return found;
    }
    let cmdline = root::text(root, "/proc/cmdline").unwrap_or_default();
    let word = words(&cmdline).into_iter().rfind(|word| {
        let key = word
            .strip_prefix("sysctl.")
            .and_then(|rest| rest.split('=').next());
        key.is_some_and(is_it)
    });
    word.map(Origin::CommandLine)
}

/// What writes a file of /sys or /proc/sys at boot by tmpfiles.d: the last line that does.
pub(super) fn tmpfiles(root: &Path, file: &str) -> Option<Origin> {
    let mut found = None;
    for path in files(root, "tmpfiles.d") {
        let text = root::text(root, &path).unwrap_or_default();
        for line in text.lines() {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [kind, what, rest @ ..] = fields.as_slice() else {
                continue;
            };
            if kind.starts_with(['w', 'f']) && what.trim_matches('"') == file {
                let value = rest.get(4..).unwrap_or_default().join(" ");
                found = Some(Origin::File {
                    path: path.clone(),
                    value,
                });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(dir: &tempfile::TempDir, path: &str, text: &str) {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn the_last_file_by_name_wins_and_etc_replaces_a_vendors() {
        let dir = tempfile::tempdir().unwrap();
        let name = "kernel.panic_on_oops";
        let of = |dir: &tempfile::TempDir| sysctl(dir.path(), name);
        assert_eq!(of(&dir), None);
        put(&dir, "proc/cmdline", "quiet sysctl.kernel.panic_on_oops=0");
        assert_eq!(
            of(&dir),
            Some(Origin::CommandLine(
                "sysctl.kernel.panic_on_oops=0".to_owned()
            ))
        );
        put(
            &dir,
            "usr/lib/sysctl.d/50-x.conf",
            "kernel.panic_on_oops = 0\n",
        );
        put(
            &dir,
            "usr/lib/sysctl.d/10-y.conf",
            "-kernel/panic_on_oops=1\n",
        );
        let fix = of(&dir).unwrap().removed(name);
        assert_eq!(
            fix,
            "sed /kernel.panic_on_oops/d /usr/lib/sysctl.d/50-x.conf > /etc/sysctl.d/50-x.conf"
        );
        put(&dir, "etc/sysctl.d/50-x.conf", "# kernel.panic_on_oops=0\n");
        let path = PathBuf::from("/usr/lib/sysctl.d/10-y.conf");
        assert_eq!(
            of(&dir),
            Some(Origin::File {
                path,
                value: "1".to_owned()
            })
        );
        put(&dir, "etc/sysctl.conf", "kernel.panic_on_oops=0\n");
        let fix = of(&dir).unwrap().removed(name);
        assert_eq!(
            fix,
            "remove the kernel.panic_on_oops line from /etc/sysctl.conf"
        );
    }

    #[test]
    fn tmpfiles_write_after_sysctl() {
        let dir = tempfile::tempdir().unwrap();
        put(&dir, "etc/sysctl.d/a.conf", "kernel.panic_on_oops=1\n");
        put(
            &dir,
            "etc/tmpfiles.d/b.conf",
            "#w /proc/sys/kernel/panic_on_oops\nw- /proc/sys/kernel/panic_on_oops - - - - 0\n",
        );
        let path = PathBuf::from("/etc/tmpfiles.d/b.conf");
        assert_eq!(
            sysctl(dir.path(), "kernel.panic_on_oops"),
            Some(Origin::File {
                path,
                value: "0".to_owned()
            })
        );
    }
}
