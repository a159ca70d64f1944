//! What tells the boot loaders apart: EFI variables, the command line, installed tools and files.

use std::fs;
use std::path::{Path, PathBuf};

use super::change::{BootLoaderError, read};
use crate::words::words;
use crate::{efi, probe, root};

/// Where the EFI system partition and the extended boot partition are mounted.
pub(super) const BOOT_PARTITIONS: [&str; 3] = ["/efi", "/boot", "/boot/efi"];

/// The machine under a root prefix, read once.
pub(super) struct Machine<'a> {
    pub(super) root: &'a Path,
    /// The running kernel's release; empty when /proc does not tell.
    pub(super) release: String,
    /// The words of the running kernel's command line.
    pub(super) words: Vec<String>,
    /// LoaderInfo: `systemd-boot 257.7`, `GRUB 2.12`, `Limine 9.2.0` …
    pub(super) loader_info: Option<String>,
    /// A unified kernel image's stub started this kernel: its StubInfo.
    pub(super) stub_info: Option<String>,
    /// `None`: nothing tells.
    pub(super) secure_boot: Option<bool>,
}

impl<'a> Machine<'a> {
    pub(super) fn read(root: &'a Path) -> Self {
        let cmdline = root::text(root, "/proc/cmdline").unwrap_or_default();
        Self {
            root,
            release: probe::running_release(root).unwrap_or_default(),
            words: words(&cmdline),
            loader_info: efi::loader(root, "LoaderInfo"),
            stub_info: efi::loader(root, "StubInfo"),
            secure_boot: efi::secure_boot(root),
        }
    }

    pub(super) fn has(&self, path: &str) -> bool {
        root::under(self.root, path).exists()
    }

    pub(super) fn tool(&self, name: &str) -> bool {
        root::tool(self.root, name).is_some()
    }

    /// The text of a program that is a script.
    pub(super) fn script(&self, name: &str) -> Option<String> {
        root::text(self.root, root::tool(self.root, name)?).ok()
    }

    /// The text of a file; empty when it is not there or cannot be read.
    pub(super) fn text(&self, path: impl AsRef<Path>) -> String {
        root::text(self.root, path).unwrap_or_default()
    }

    /// The text of a file that is to be changed; `None`: it is not there.
    pub(super) fn file(&self, path: &str) -> Result<Option<String>, BootLoaderError> {
        read(self.root, Path::new(path))
    }

    /// The files of a directory whose names end with `suffix`, sorted.
    pub(super) fn files(&self, directory: &str, suffix: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(root::under(self.root, directory));
        let mut found: Vec<PathBuf> = (entries.into_iter().flatten().flatten())
            .filter(|entry| entry.file_name().to_string_lossy().ends_with(suffix))
            .map(|entry| Path::new(directory).join(entry.file_name()))
            .collect();
        found.sort();
        found
    }

    /// The value of a parameter of the running kernel's command line.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        (self.words.iter()).find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }

    /// Whether the boot loader that says so in LoaderInfo begins with this name.
    pub(super) fn says(&self, name: &str) -> bool {
        let info = self.loader_info.as_deref().unwrap_or_default();
        info.get(..name.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(name))
    }

    /// Whether another boot loader than GRUB said that it started this kernel.
    pub(super) fn not_grub(&self) -> bool {
        self.stub_info.is_some()
            || ["systemd-boot", "Limine", "rEFInd"]
                .iter()
                .any(|name| self.says(name))
    }
}

/// Whether two values of `root=` name one filesystem; `None`: they name it in different ways.
pub(super) fn same_root(here: &str, there: &str) -> Option<bool> {
    let by_id = |name: &str| {
        let kinds = ["UUID=", "PARTUUID=", "LABEL=", "ZFS="];
        kinds.into_iter().find(|kind| name.starts_with(kind))
    };
    match here.eq_ignore_ascii_case(there) {
        true => Some(true),
        false if by_id(here).is_some() && by_id(here) == by_id(there) => Some(false),
        false => None,
    }
}
