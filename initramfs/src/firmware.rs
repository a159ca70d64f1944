//! Firmware files that drivers in the image ask the kernel for: of network cards and host bus adapters.
//!
//! A driver names every file that it may ask for in its module information (`firmware=`, MODULE_FIRMWARE in
//! include/linux/module.h); which one depends on the device. All that are there go in. The kernel looks into
//! `updates/RELEASE`, `updates`, `RELEASE` and the folder itself, for the plain file and for one with `.zst` or
//! `.xz` (drivers/base/firmware_loader/main.c, Linux 5.10 to 7.2).

use std::path::PathBuf;

use goblin::elf::Elf;

use crate::closure::Closure;
use crate::modules::{Index, ModuleError, read};
use crate::root::Root;

/// Where the kernel looks below the folders that have the names of its own.
const DIR: &str = "/lib/firmware";
/// Endings of packed files, which the kernel unpacks.
const PACKED: [&str; 3] = ["", ".zst", ".xz"];

/// Modules here ask for no firmware. They are the largest of an image, and need not be unpacked for it.
const NO_DRIVERS: [&str; 5] = [
    "kernel/arch/",
    "kernel/crypto/",
    "kernel/fs/",
    "kernel/lib/",
    "kernel/net/",
];

/// The firmware of an image's drivers.
#[derive(Debug, Default)]
pub(crate) struct Firmware {
    /// The files to take in, each with who asks.
    pub files: Vec<(PathBuf, String)>,
    /// A note for each driver that asks and gets nothing.
    pub notes: Vec<String>,
}

/// Finds it.
///
/// # Errors
/// A module cannot be read.
pub(crate) fn of(root: &Root, index: &Index, closure: &Closure) -> Result<Firmware, ModuleError> {
    let mut found = Firmware::default();
    let mut take = |driver: &str, names: &[String]| {
        let before = found.files.len();
        for path in names.iter().filter_map(|name| find(root, index, name)) {
            found.files.push((path, format!("firmware of {driver}")));
        }
        if let (Some(first), true) = (names.first(), found.files.len() == before) {
            found.notes.push(format!(
                "{driver} can load firmware such as {first}; none of its files is in {DIR}"
            ));
        }
    };
    for picked in &closure.modules {
        let Some(module) = index.module(&picked.name) else {
            continue;
        };
        let plain = NO_DRIVERS.iter().any(|dir| module.path.starts_with(dir));
        if !plain && index.path(module).is_file() {
            take(&picked.name, &asked(&read(index, module)?));
        }
    }
    for (name, _) in &closure.builtin {
        take(name, index.builtin_firmware(name));
    }
    found.files.sort();
    found.files.dedup_by(|one, other| one.0 == other.0);
    Ok(found)
}

/// The names in the information of a module; none where it has none.
fn asked(module: &[u8]) -> Vec<String> {
    let Ok(elf) = Elf::parse(module) else {
        return Vec::new();
    };
    let named = |section: &&goblin::elf::SectionHeader| {
        elf.shdr_strtab.get_at(section.sh_name) == Some(".modinfo")
    };
    let range = elf.section_headers.iter().find(named);
    let range = range.and_then(|section| section.file_range());
    let records = range
        .and_then(|range| module.get(range))
        .unwrap_or_default();
    let names = records.split(|byte| *byte == 0);
    let names = names.filter_map(|record| record.strip_prefix(b"firmware="));
    names
        .filter_map(|name| String::from_utf8(name.to_vec()).ok())
        .collect()
}

/// The first file of that name where the kernel looks.
fn find(root: &Root, index: &Index, name: &str) -> Option<PathBuf> {
    // A name leads nowhere else.
    if name.is_empty() || name.starts_with('/') || name.split('/').any(|part| part == "..") {
        return None;
    }
    let release = index.release();
    let folders = [
        format!("{DIR}/updates/{release}"),
        format!("{DIR}/updates"),
        format!("{DIR}/{release}"),
        DIR.to_owned(),
    ];
    let mut paths = folders
        .iter()
        .flat_map(|folder| PACKED.map(|ending| PathBuf::from(format!("{folder}/{name}{ending}"))));
    paths.find(|path| {
        let place = root.resolve(path);
        place.is_ok_and(|place| root.host(place).is_file())
    })
}

#[cfg(test)]
mod tests;
