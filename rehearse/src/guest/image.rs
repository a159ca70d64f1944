//! The initramfs of the first kernel, built on the host.
//!
//! It is the smallest machine that `afterpanic load` can arm: the two binaries, a config, the
//! kernel image under /boot, the kernel's modules (those that the guest loads, with the indexes)
//! and the script. Modules are decompressed here, because the guest has nothing to do it with.

use super::scratch::{Writer, closure, plain};
use super::{SCRIPT, Script};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Why the guest's image could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
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
    /// The kernel's modules are not complete.
    #[error("Cannot resolve the guest's modules under {path}: {said}")]
    Modules {
        /// The directory.
        path: PathBuf,
        /// What is wrong.
        said: String,
    },
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ImageError {
    let path = path.to_owned();
    move |source| ImageError::Io { what, path, source }
}

/// A kernel on this machine that can be booted in a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelFiles {
    /// What `uname -r` says in it.
    pub release: String,
    /// vmlinuz.
    pub image: PathBuf,
    /// Its `lib/modules/<release>`.
    pub modules: PathBuf,
}

/// The two binaries that are put into the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// `afterpanic`, static.
    pub afterpanic: PathBuf,
    /// `afterpanic-capture`, static.
    pub capture: PathBuf,
}

/// What goes into the guest.
#[derive(Debug)]
pub struct Contents<'a> {
    /// The kernel it runs and arms.
    pub kernel: &'a KernelFiles,
    /// Ours.
    pub binaries: &'a Binaries,
    /// The text of /etc/afterpanic.toml.
    pub config: &'a str,
    /// Modules that the guest loads before anything else, by name; built-in ones are left out.
    pub load: &'a [String],
    /// Modules that are only there, with what they need, for `afterpanic load` to find.
    pub present: &'a [String],
    /// Modules that are kept out although something needs them.
    pub absent: &'a [String],
    /// Further files: path in the guest, file on the host.
    pub files: &'a [(String, PathBuf)],
}

/// Builds the image into `to`; the script's modules are filled in.
///
/// # Errors
/// A file is missing or unreadable, a module cannot be resolved.
pub fn build(contents: &Contents<'_>, mut script: Script, to: &Path) -> Result<(), ImageError> {
    let mut cpio = Writer::new();
    for dir in [
        "boot",
        "dev",
        "etc",
        "lib",
        "lib/modules",
        "proc",
        "run",
        "sys",
        "tmp",
        "usr",
        "usr/bin",
        "usr/lib",
        "usr/lib/afterpanic",
        "var",
        "var/crash",
        "var/lib",
        "var/lib/afterpanic",
    ] {
        cpio.dir(dir, 0o755);
    }
    cpio.char_device("dev/console", 0o600, 5, 1);
    cpio.char_device("dev/null", 0o666, 1, 3);
    let kernel = contents.kernel;
    for (name, mode, path) in [
        ("usr/bin/afterpanic", 0o755, &contents.binaries.afterpanic),
        (
            "usr/lib/afterpanic/afterpanic-capture",
            0o755,
            &contents.binaries.capture,
        ),
        (
            &*format!("boot/vmlinuz-{}", kernel.release),
            0o644,
            &kernel.image,
        ),
    ] {
        cpio.file(name, mode, &read(path)?);
    }
    cpio.symlink("init", "usr/bin/afterpanic");
    cpio.file("etc/afterpanic.toml", 0o644, contents.config.as_bytes());
    for (name, path) in contents.files {
        cpio.file(name.trim_start_matches('/'), 0o644, &read(path)?);
    }
    script.modules = modules(contents, &mut cpio)?;
    let json =
        serde_json::to_vec_pretty(&script).map_err(|e| io_error("describe", to)(e.into()))?;
    cpio.file(SCRIPT.trim_start_matches('/'), 0o644, &json);
    fs::write(to, cpio.finish()).map_err(io_error("write", to))
}

fn read(path: &Path) -> Result<Vec<u8>, ImageError> {
    fs::read(path).map_err(io_error("read", path))
}

/// Puts the module tree into the image; the paths to load, in order.
fn modules(contents: &Contents<'_>, cpio: &mut Writer) -> Result<Vec<PathBuf>, ImageError> {
    let root = &contents.kernel.modules;
    let base = format!("lib/modules/{}", contents.kernel.release);
    cpio.dir(&base, 0o755);
    for index in [
        "dep",
        "softdep",
        "builtin",
        "builtin.modinfo",
        "alias",
        "order",
        "devname",
    ] {
        let name = format!("modules.{index}");
        match fs::read(root.join(&name)) {
            Ok(bytes) => cpio.file(&format!("{base}/{name}"), 0o644, &bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_error("read", &root.join(&name))(error)),
        }
    }
    let wanted = |names: &[String]| {
        closure(root, names).map_err(|said| ImageError::Modules {
            path: root.clone(),
            said,
        })
    };
    let load = wanted(contents.load)?;
    let mut all = load.clone();
    for path in wanted(contents.present)? {
        if !all.contains(&path) {
            all.push(path);
        }
    }
    let mut loaded = Vec::new();
    for path in all {
        let name = path
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        let stem = name.split('.').next().unwrap_or_default().replace('-', "_");
        let bytes = plain(&root.join(&path)).map_err(io_error("read", &root.join(&path)))?;
        if load.contains(&path) {
            let at = format!("modules/{stem}.ko");
            cpio.dir("modules", 0o755);
            cpio.file(&at, 0o644, &bytes);
            loaded.push(PathBuf::from(format!("/{at}")));
        }
        if !contents.absent.contains(&stem) {
            let at = format!("{base}/{}", path.display());
            cpio.file(&at, 0o644, &read(&root.join(&path))?);
        }
    }
    Ok(loaded)
}
