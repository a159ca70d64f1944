//! Whether pstore still has room for the log of the next panic.
//!
//! Facts: fs/pstore, drivers/firmware/efi/efi-pstore.c, drivers/acpi/apei/erst.c: the firmware's stores hold about
//! 64 KiB and never overwrite a record, ramoops overwrites the oldest. systemd-pstore(8) moves records to
//! /var/lib/systemd/pstore.

use std::fs;

use super::finding::{Examined, Finding, Level, finding, size};
use crate::root;

const CHECK: &str = "pstore";
const DIRECTORY: &str = "/sys/fs/pstore";
/// Records of the firmware that take this much leave no room for the next log.
const FULL: u64 = 32 << 10;
/// And so do so many: each is a variable or a slot of its own.
const MANY: usize = 30;

pub(super) fn check(on: &Examined<'_>) -> Vec<Finding> {
    let entries = fs::read_dir(root::under(on.root, DIRECTORY));
    let records: Vec<(String, u64)> = (entries.into_iter().flatten().flatten())
        .filter_map(|entry| {
            let meta = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            Some((entry.file_name().to_string_lossy().into_owned(), meta.len()))
        })
        .collect();
    let firmware = |name: &str| {
        ["-efi", "-erst", "-nvram", "-powerpc"]
            .iter()
            .any(|b| name.contains(b))
    };
    let kept: Vec<&(String, u64)> = records.iter().filter(|(name, _)| firmware(name)).collect();
    let bytes = kept
        .iter()
        .map(|(_, bytes)| *bytes)
        .fold(0, u64::saturating_add);
    if kept.is_empty() {
        return Vec::new();
    }
    let text = format!(
        "the firmware keeps {} {} of earlier crashes in pstore, {}",
        kept.len(),
        if kept.len() == 1 { "record" } else { "records" },
        size(bytes)
    );
    let fix = "sudo afterpanic collect (copies them to their crash), then sudo rm /sys/fs/pstore/*";
    vec![match bytes >= FULL || kept.len() >= MANY {
        true => finding(
            CHECK,
            Level::Warn,
            format!("{text}: it is full, and the next panic's log does not fit"),
        )
        .fix(fix),
        false => finding(
            CHECK,
            Level::Note,
            format!("{text}: it never overwrites them"),
        )
        .fix(fix),
    }]
}
