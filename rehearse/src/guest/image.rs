//! The initramfs of the crashed kernel, built on the host.
//!
//! It is the smallest machine that `afterpanic load` can arm: the two binaries, a config, the
//! kernel image under /boot, the kernel's modules as they are (those that the guest loads, with the
//! indexes) and the script.

use super::{SCRIPT, Script};
use initramfs::closure::{self, Wanted};
use initramfs::cpio::{S_IFCHR, S_IFDIR, S_IFLNK, S_IFREG, Writer};
use initramfs::files::{Taken, TakenKind};
use initramfs::modules::{Index, ModuleError};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
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
    #[error("The guest's modules cannot be resolved")]
    Modules(#[from] ModuleError),
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
    /// Programs and their libraries, links and all.
    pub tools: &'a [Taken],
}

/// Builds the image into `to`; the script's modules are filled in.
///
/// # Errors
/// A file is missing or unreadable, a module cannot be resolved.
pub fn build(contents: &Contents<'_>, mut script: Script, to: &Path) -> Result<(), ImageError> {
    let mut tree = Tree::default();
    for dir in [
        "dev",
        "proc",
        "run",
        "sys",
        "tmp",
        "var/crash",
        "var/lib/afterpanic",
    ] {
        tree.dir(dir)?;
    }
    tree.put("dev/console", S_IFCHR | 0o600, (5, 1), &[])?;
    tree.put("dev/null", S_IFCHR | 0o666, (1, 3), &[])?;
    let kernel = contents.kernel;
    let vmlinuz = format!("boot/vmlinuz-{}", kernel.release);
    for (name, mode, path) in [
        ("usr/bin/afterpanic", 0o755, &contents.binaries.afterpanic),
        (
            "usr/lib/afterpanic/afterpanic-capture",
            0o755,
            &contents.binaries.capture,
        ),
        (vmlinuz.as_str(), 0o644, &kernel.image),
    ] {
        tree.file(name, mode, &read(path)?)?;
    }
    tree.put("init", S_IFLNK | 0o777, (0, 0), b"usr/bin/afterpanic")?;
    tree.file("etc/afterpanic.toml", 0o644, contents.config.as_bytes())?;
    for (name, path) in contents.files {
        // What may be run here may be run there.
        let mode = fs::metadata(path).map_err(io_error("read", path))?.mode() & 0o111;
        tree.file(name.trim_start_matches('/'), 0o644 | mode, &read(path)?)?;
    }
    for one in contents.tools {
        let path = one.path.display().to_string();
        let path = path.trim_start_matches('/');
        match &one.kind {
            TakenKind::File(mode, bytes) => tree.file(path, mode & 0o7777, bytes)?,
            TakenKind::Link(to) => tree.link(path, to.as_os_str().as_encoded_bytes())?,
        }
    }
    script.modules = modules(contents, &mut tree)?;
    let json =
        serde_json::to_vec_pretty(&script).map_err(|e| io_error("describe", to)(e.into()))?;
    tree.file(SCRIPT.trim_start_matches('/'), 0o644, &json)?;
    fs::write(to, tree.cpio.finish()).map_err(io_error("write", to))
}

fn read(path: &Path) -> Result<Vec<u8>, ImageError> {
    fs::read(path).map_err(io_error("read", path))
}

/// An archive that writes missing parents by itself.
#[derive(Default)]
struct Tree {
    cpio: Writer,
    dirs: BTreeSet<String>,
}

impl Tree {
    fn dir(&mut self, path: &str) -> Result<(), ImageError> {
        if path.is_empty() || !self.dirs.insert(path.to_owned()) {
            return Ok(());
        }
        self.put(path, S_IFDIR | 0o755, (0, 0), &[])
    }

    fn file(&mut self, path: &str, mode: u32, data: &[u8]) -> Result<(), ImageError> {
        self.put(path, S_IFREG | mode, (0, 0), data)
    }

    fn link(&mut self, path: &str, to: &[u8]) -> Result<(), ImageError> {
        // A link to a folder must not be made a folder by what comes after it.
        self.dirs.insert(path.to_owned());
        self.put(path, S_IFLNK | 0o777, (0, 0), to)
    }

    fn put(
        &mut self,
        path: &str,
        mode: u32,
        rdev: (u32, u32),
        data: &[u8],
    ) -> Result<(), ImageError> {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.dir(parent)?;
        }
        if self.cpio.entry(path, mode, rdev, data) {
            Ok(())
        } else {
            Err(io_error("hold 4 GiB and more of", Path::new(path))(
                io::ErrorKind::FileTooLarge.into(),
            ))
        }
    }
}

/// Puts the module tree into the image; the paths to load, in order.
fn modules(contents: &Contents<'_>, tree: &mut Tree) -> Result<Vec<PathBuf>, ImageError> {
    let KernelFiles {
        release,
        modules: root,
        ..
    } = contents.kernel;
    let base = format!("lib/modules/{release}");
    tree.dir(&base)?;
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
            Ok(bytes) => tree.file(&format!("{base}/{name}"), 0o644, &bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_error("read", &root.join(&name))(error)),
        }
    }
    let index = Index::open_dir(root, release)?;
    let wanted = |names: &[String]| {
        let wanted: Vec<_> = names
            .iter()
            .map(|n| Wanted::required(n, "the guest"))
            .collect();
        closure::resolve(&index, &wanted, &[]).map(|c| c.modules)
    };
    let load = wanted(contents.load)?;
    let present = wanted(contents.present)?;
    let mut loaded = Vec::new();
    let mut written = BTreeSet::new();
    for picked in load.iter().chain(&present) {
        let Some(module) = index
            .module(&picked.name)
            .filter(|_| written.insert(&picked.name))
        else {
            continue;
        };
        let bytes = read(&index.path(module))?;
        // What `afterpanic load` shall not find is loaded from elsewhere.
        let at = match contents.absent.contains(&picked.name) {
            false => format!("{base}/{}", module.path),
            true => format!("absent/{}", module.path),
        };
        tree.file(&at, 0o644, &bytes)?;
        if load.iter().any(|l| l.name == picked.name) {
            loaded.push(PathBuf::from(format!("/{at}")));
        }
    }
    Ok(loaded)
}
