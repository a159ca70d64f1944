//! Crash directories of other suites: told by their names, opened, listed, never changed.
//!
//! Sources: kdump-utils (`dracut/99kdumpbase/kdump.sh`: `HOST-%Y-%m-%d-%T` with `vmcore`, `vmcore.flat` or
//! `vmcore-incomplete`), SUSE's kdump (`%Y-%m-%d-%H-%M`, before 2.0 with a colon, with `vmcore` and
//! `README.txt`), Debian's kdump-tools (`%Y%m%d%H%M` with `dump.STAMP`, `vmcore.STAMP` or
//! `dump-incomplete`); on a remote target with the host's name or address before the time. Their times
//! are local.

use std::path::{Path, PathBuf};

/// Who wrote a crash directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Suite {
    /// Fedora's and RHEL's kdump-utils.
    KdumpUtils,
    /// SUSE's kdump.
    Suse,
    /// Debian's and Ubuntu's kdump-tools.
    Debian,
}

impl Suite {
    /// The name in a table or JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::KdumpUtils => "kdump-utils",
            Self::Suse => "suse",
            Self::Debian => "debian",
        }
    }
}

/// A crash directory of another suite.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Foreign {
    /// The directory.
    pub path: PathBuf,
    /// Who wrote it.
    pub suite: Suite,
    /// The host's name or address before the time; empty without one.
    pub host: String,
    /// The time in the name as digits: `20261121231500`, or without seconds.
    pub time: String,
}

impl Foreign {
    /// Reads a directory's name; `None` when no other suite names its directories so.
    #[must_use]
    pub fn parse(path: &Path) -> Option<Self> {
        const SHAPES: [(Suite, &str); 4] = [
            (Suite::KdumpUtils, "0000-00-00-00:00:00"),
            (Suite::Suse, "0000-00-00-00-00"),
            (Suite::Suse, "0000-00-00-00:00"),
            (Suite::Debian, "000000000000"),
        ];
        let name = path.file_name()?.to_str()?;
        SHAPES.iter().find_map(|(suite, shape)| {
            let at = name.len().checked_sub(shape.len())?;
            let (host, stamp) = (name.get(..at)?, name.get(at..)?);
            let fits = stamp
                .bytes()
                .zip(shape.bytes())
                .all(|(have, want)| match want {
                    b'0' => have.is_ascii_digit(),
                    other => have == other,
                });
            let host = match host {
                "" => "",
                host => host.strip_suffix('-').filter(|host| !host.is_empty())?,
            };
            let year = matches!(stamp.get(..2), Some("19" | "20"));
            (fits && year).then(|| Self {
                path: path.to_path_buf(),
                suite: *suite,
                host: host.to_string(),
                time: stamp.chars().filter(char::is_ascii_digit).collect(),
            })
        })
    }
}

/// The core in a crash directory of another suite, by the names that they use. Where there are several,
/// the last by name: a directory holds one crash.
#[must_use]
pub fn core_of(dir: &Path) -> Option<PathBuf> {
    let plain = ["vmcore", "vmcore.flat"].map(|name| dir.join(name));
    let plain = plain.into_iter().find(|path| path.is_file());
    let unfinished = ["vmcore-incomplete", "dump-incomplete"].map(|name| dir.join(name));
    plain
        .or_else(|| stamped(dir))
        .or_else(|| unfinished.into_iter().find(|path| path.is_file()))
}

/// Whether a core was not finished, by its name.
#[must_use]
pub fn is_unfinished(core: &Path) -> bool {
    let name = core.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with("-incomplete")
}

/// `dump.202611212315`, `vmcore.202611212315`.
fn stamped(dir: &Path) -> Option<PathBuf> {
    let named = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let stamp = ["dump.", "vmcore."]
            .iter()
            .find_map(|start| name.strip_prefix(start));
        stamp.is_some_and(|stamp| {
            stamp.len() == 12 && stamp.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    let entries = std::fs::read_dir(dir).ok()?.flatten();
    let paths = entries.map(|entry| entry.path());
    paths.filter(|path| named(path) && path.is_file()).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn names_say_who_wrote_them_and_when() {
        for (name, suite, host, time) in [
            (
                "127.0.0.1-2026-11-21-23:15:00",
                Suite::KdumpUtils,
                "127.0.0.1",
                "20261121231500",
            ),
            ("2026-11-21-23-15", Suite::Suse, "", "202611212315"),
            ("2026-11-21-23:15", Suite::Suse, "", "202611212315"),
            (
                "box-7-2026-11-21-23-15",
                Suite::Suse,
                "box-7",
                "202611212315",
            ),
            ("202611212315", Suite::Debian, "", "202611212315"),
            (
                "10.0.0.7-202611212315",
                Suite::Debian,
                "10.0.0.7",
                "202611212315",
            ),
        ] {
            let found = Foreign::parse(Path::new(name)).unwrap();
            assert_eq!(
                (found.suite, found.host.as_str(), found.time.as_str()),
                (suite, host, time)
            );
        }
        for name in [
            "box-20261121T231500Z",
            "box-20261121T231500Z.partial",
            "999911212315",
            "-202611212315",
            "x202611212315",
            "2026-11-21",
            "kexec_cmd",
            "",
        ] {
            assert_eq!(Foreign::parse(Path::new(name)), None, "{name}");
        }
    }

    #[test]
    fn the_one_core_that_is_there_is_found() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(core_of(dir.path()), None);
        let put = |name: &str| fs::write(dir.path().join(name), "x").unwrap();
        let found = || core_of(dir.path()).map(|path| path.file_name().unwrap().to_owned());
        for name in ["dmesg.202611212315", "dump.txt", "README.txt"] {
            put(name);
            assert_eq!(found(), None);
        }
        for name in [
            "vmcore-incomplete",
            "dump.202611212315",
            "vmcore.flat",
            "vmcore",
        ] {
            put(name);
            assert_eq!(found().as_deref(), Some(name.as_ref()));
        }
        assert!(is_unfinished(Path::new("/a/vmcore-incomplete")));
        assert!(!is_unfinished(Path::new("/a-incomplete/vmcore")));
    }
}
