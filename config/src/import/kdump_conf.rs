//! `/etc/kdump.conf`: one directive a line.

use std::path::PathBuf;

use super::{Imported, action, collector};
use crate::model::Device;
use crate::scalar::Scalar;

/// Directives with no counterpart, and why.
const NOT_TAKEN: [(&str, &str); 21] = [
    (
        "raw",
        "cores are files; give the partition a filesystem, or choose another target",
    ),
    (
        "nfs",
        "network targets are not supported; choose a local disk",
    ),
    (
        "ssh",
        "network targets are not supported; choose a local disk",
    ),
    ("sshkey", "network targets are not supported"),
    ("virtiofs", "virtiofs is not supported; choose a local disk"),
    ("minix", "minix is not supported; choose another filesystem"),
    ("kdump_pre", "no programs run in the capture kernel"),
    ("kdump_post", "no programs run in the capture kernel"),
    ("kdump_emergency", "no programs run in the capture kernel"),
    ("extra_bins", "no programs run in the capture kernel"),
    (
        "force_rebuild",
        "the image is built again whenever an input changed",
    ),
    (
        "force_no_rebuild",
        "the image is built again whenever an input changed",
    ),
    ("dracut_args", "the image is not made by dracut"),
    ("fence_kdump_args", "fence_kdump has no counterpart"),
    ("fence_kdump_nodes", "fence_kdump has no counterpart"),
    ("auto_reset_crashkernel", "see: afterpanic reserve"),
    ("net", "it was given up long ago"),
    ("options", "it was given up long ago"),
    ("link_delay", "it was given up long ago"),
    ("disk_timeout", "it was given up long ago"),
    ("debug_mem_level", "it was given up long ago"),
];

/// Whether a word is a directive.
pub(super) fn knows(word: &str) -> bool {
    NOT_TAKEN.iter().any(|(name, _)| *name == word)
        || matches!(
            word,
            "path"
                | "ext2"
                | "ext3"
                | "ext4"
                | "xfs"
                | "btrfs"
                | "core_collector"
                | "extra_modules"
                | "failure_action"
                | "default"
                | "final_action"
        )
}

/// Takes over what has a counterpart.
pub(super) fn read(text: &str, out: &mut Imported) {
    let mut path: Option<PathBuf> = None;
    let mut device: Option<Device> = None;
    for (at, line) in text.lines().enumerate() {
        let at = at + 1;
        let line = line.split('#').next().unwrap_or_default().trim();
        let (word, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let value = value.trim().trim_matches('"');
        match word {
            "" => {}
            "path" => path = Some(PathBuf::from(value)),
            "ext2" | "ext3" | "ext4" | "xfs" | "btrfs" => {
                match Device::try_from(Scalar::Word(value.to_owned())) {
                    Ok(found) => device = Some(found),
                    Err(why) => out.note(at, why),
                }
            }
            "core_collector" => {
                let mut words = value.split_ascii_whitespace();
                match words.next() {
                    Some(program) if program.ends_with("makedumpfile") => {
                        collector::take(at, words, out);
                    }
                    other => out.note(
                        at,
                        format!(
                            "{} is not run; cores are filtered by afterpanic",
                            other.unwrap_or("it")
                        ),
                    ),
                }
            }
            "extra_modules" => {
                let names = value.split_ascii_whitespace().map(str::to_owned);
                out.config.image.extra_modules.extend(names);
            }
            "failure_action" | "default" | "final_action" => match action(value) {
                Some(action) if word == "final_action" => out.config.after.success = action,
                Some(action) => out.config.after.failure = action,
                None => out.note(
                    at,
                    format!("{word} {value} has no counterpart; the machine reboots"),
                ),
            },
            _ => match NOT_TAKEN.iter().find(|(name, _)| *name == word) {
                Some((_, why)) => out.note(at, format!("{word} is not taken over: {why}")),
                None => out.note(at, format!("{word} is no directive of kdump.conf")),
            },
        }
    }
    for target in &mut out.config.target {
        target.device = device.take();
        if let Some(path) = &path {
            // Inside the device if one is given; written with and without a slash.
            target.path = PathBuf::from("/").join(path);
        }
    }
}
