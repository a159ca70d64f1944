//! Scratch disks: raw sparse files with a filesystem in them, made and read without root.
//!
//! mkfs of each filesystem works on a plain file. Reading back is another matter: `debugfs` reads
//! ext4, nothing common reads xfs or btrfs without mounting, so the guest hands files out as a tar
//! stream on a second raw disk (see [`crate::export`]).

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Why a disk could not be made or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiskError {
    /// A tool is missing.
    #[error("{tool} was not found; install it with: apt-get install {package}")]
    NoTool {
        /// Its name.
        tool: &'static str,
        /// Debian's package.
        package: &'static str,
    },
    /// A tool failed.
    #[error("{tool} on {path} failed: {said}")]
    Tool {
        /// Its name.
        tool: &'static str,
        /// The image.
        path: PathBuf,
        /// What it said last.
        said: String,
    },
    /// A file failed.
    #[error("Cannot {what} {path}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DiskError {
    let path = path.to_owned();
    move |source| DiskError::Io { what, path, source }
}

/// The filesystems a scratch target can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fs {
    /// ext4.
    Ext4,
    /// XFS.
    Xfs,
    /// Btrfs.
    Btrfs,
    /// FAT.
    Vfat,
}

impl Fs {
    /// The kernel's name, as in /proc/filesystems.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Fs::Ext4 => "ext4",
            Fs::Xfs => "xfs",
            Fs::Btrfs => "btrfs",
            Fs::Vfat => "vfat",
        }
    }

    /// From the kernel's name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Fs::Ext4, Fs::Xfs, Fs::Btrfs, Fs::Vfat]
            .into_iter()
            .find(|fs| fs.name() == name)
    }

    /// The program that makes it and Debian's package of that.
    #[must_use]
    pub fn tool(self) -> (&'static str, &'static str) {
        match self {
            Fs::Ext4 => ("mkfs.ext4", "e2fsprogs"),
            Fs::Xfs => ("mkfs.xfs", "xfsprogs"),
            Fs::Btrfs => ("mkfs.btrfs", "btrfs-progs"),
            Fs::Vfat => ("mkfs.vfat", "dosfstools"),
        }
    }

    fn mkfs_arguments(self, uuid: &str) -> Vec<String> {
        let words: &[&str] = match self {
            Fs::Ext4 => &["-q", "-F", "-U", uuid],
            Fs::Xfs => &["-q", "-f", "-m", &format!("uuid={uuid}")],
            Fs::Btrfs => &["-q", "-f", "-U", uuid],
            Fs::Vfat => &["-F", "32", "-i", &uuid.replace('-', "")],
        };
        words.iter().map(|w| (*w).to_owned()).collect()
    }
}

/// /sbin is not in an ordinary user's PATH.
fn tool_command(tool: &str) -> Command {
    let mut command = Command::new(tool);
    let path = std::env::var("PATH").unwrap_or_default();
    command
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .stdin(Stdio::null());
    command
}

/// Whether a program is in PATH or an sbin directory.
#[must_use]
pub fn has_tool(tool: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    path.split(':')
        .any(|dir| Path::new(dir).join(tool).is_file())
}

fn run(
    tool: &'static str,
    package: &'static str,
    arguments: &[String],
    image: &Path,
) -> Result<String, DiskError> {
    let output = tool_command(tool)
        .args(arguments)
        .output()
        .map_err(|source| {
            if source.kind() == io::ErrorKind::NotFound {
                DiskError::NoTool { tool, package }
            } else {
                io_error("run a tool on", image)(source)
            }
        })?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // e2fsck says with 1 that it corrected what the crash left.
    if output.status.success() || (tool == "e2fsck" && output.status.code() == Some(1)) {
        return Ok(text);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said
        .lines()
        .chain(text.lines())
        .rfind(|l| !l.trim().is_empty())
        .unwrap_or("nothing");
    Err(DiskError::Tool {
        tool,
        path: image.to_owned(),
        said: said.to_owned(),
    })
}

/// A sparse file of zeroes.
///
/// # Errors
/// It cannot be created.
pub fn blank(path: &Path, bytes: u64) -> Result<(), DiskError> {
    let file = File::create(path).map_err(io_error("create", path))?;
    file.set_len(bytes).map_err(io_error("extend", path))
}

/// A new image with a filesystem of the given UUID (FAT: eight hex digits, a dash in the middle).
///
/// # Errors
/// The tool is missing or fails.
pub fn make(path: &Path, bytes: u64, fs: Fs, uuid: &str) -> Result<(), DiskError> {
    blank(path, bytes)?;
    let (tool, package) = fs.tool();
    let mut arguments = fs.mkfs_arguments(uuid);
    arguments.push(path.display().to_string());
    run(tool, package, &arguments, path).map(drop)
}

/// A new image with ext4, `bytes` long from `offset` on, that holds what the directory holds.
///
/// # Errors
/// The tool is missing or fails.
pub fn of_directory(dir: &Path, image: &Path, offset: u64, bytes: u64) -> Result<(), DiskError> {
    let fixed = ["-q", "-F", "-E"].map(str::to_owned);
    let arguments: Vec<String> = fixed
        .into_iter()
        .chain([
            format!("offset={offset}"),
            "-d".into(),
            dir.display().to_string(),
            image.display().to_string(),
            format!("{}k", bytes >> 10),
        ])
        .collect();
    let (tool, package) = Fs::Ext4.tool();
    run(tool, package, &arguments, image).map(drop)
}

/// A sparse copy of an image.
///
/// # Errors
/// cp fails.
pub fn copy(from: &Path, to: &Path) -> Result<(), DiskError> {
    let arguments = [
        "--sparse=always".into(),
        from.display().to_string(),
        to.display().to_string(),
    ];
    run("cp", "coreutils", &arguments, to).map(drop)
}

/// Copies a directory out of an ext4 image without root, replaying its journal first.
///
/// # Errors
/// The filesystem is damaged beyond its journal, or a tool is missing.
pub fn read_ext4(image: &Path, dir: &str, to: &Path) -> Result<(), DiskError> {
    let name = image.display().to_string();
    run(
        "e2fsck",
        "e2fsprogs",
        &["-f".into(), "-p".into(), name.clone()],
        image,
    )?;
    fs::create_dir_all(to).map_err(io_error("create", to))?;
    let request = format!("rdump {dir} {}", to.display());
    run("debugfs", "e2fsprogs", &["-R".into(), request, name], image).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tool_names_its_package() {
        let dir = tempfile::tempdir().unwrap();
        let error = run("no-such-tool", "some-package", &[], dir.path()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no-such-tool was not found; install it with: apt-get install some-package"
        );
    }

    #[test]
    fn fat_takes_its_serial_without_the_dash() {
        assert!(
            Fs::Vfat
                .mkfs_arguments("1A2B-3C4D")
                .contains(&"1A2B3C4D".to_owned())
        );
    }
}
