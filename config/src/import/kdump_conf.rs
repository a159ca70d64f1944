//! `/etc/kdump.conf`: one directive a line.

use std::path::PathBuf;

use super::imported::{Imported, action};
use super::{collector, shell};
use crate::error::nearest;
use crate::model::{Device, Target};
use crate::scalar::Scalar;

/// Directives that name a target of a kind that this version does not write to.
const TARGETS: [(&str, &str); 5] = [
    (
        "raw",
        "a core is a file; put a filesystem on the partition, or choose another target",
    ),
    ("nfs", "this version does not write to NFS"),
    ("ssh", "this version does not write over SSH"),
    ("virtiofs", "this version does not write to virtiofs"),
    ("minix", "this version does not write to minix filesystems"),
];

/// Other directives without a counterpart, and why.
const NOT_TAKEN: [(&str, &str); 16] = [
    ("sshkey", "this version does not write over SSH"),
    ("kdump_pre", "the capture kernel runs no other programs"),
    ("kdump_post", "the capture kernel runs no other programs"),
    (
        "kdump_emergency",
        "the capture kernel runs no other programs",
    ),
    ("extra_bins", "the capture kernel runs no other programs"),
    (
        "force_rebuild",
        "the image is rebuilt whenever an input changes",
    ),
    (
        "force_no_rebuild",
        "the image is rebuilt whenever an input changes",
    ),
    ("fence_kdump_args", "fence_kdump has no counterpart"),
    ("fence_kdump_nodes", "fence_kdump has no counterpart"),
    ("auto_reset_crashkernel", "use `afterpanic reserve`"),
    ("net", "kdump-utils removed this directive"),
    ("options", "kdump-utils removed this directive"),
    ("link_delay", "kdump-utils removed this directive"),
    ("disk_timeout", "kdump-utils removed this directive"),
    ("debug_mem_level", "kdump-utils removed this directive"),
    ("blacklist", "kdump-utils removed this directive"),
];

/// Directives that are taken over.
const TAKEN: [&str; 12] = [
    "path",
    "ext2",
    "ext3",
    "ext4",
    "xfs",
    "btrfs",
    "core_collector",
    "extra_modules",
    "failure_action",
    "default",
    "final_action",
    "dracut_args",
];

/// Whether a word is a directive.
pub(super) fn knows(word: &str) -> bool {
    known().any(|name| name == word)
}

fn known() -> impl Iterator<Item = &'static str> {
    let named = TARGETS.iter().chain(&NOT_TAKEN).map(|(name, _)| *name);
    TAKEN.into_iter().chain(named)
}

/// Takes over what has a counterpart.
pub(super) fn read(text: &str, out: &mut Imported) {
    let mut path: Option<PathBuf> = None;
    let mut device: Option<Device> = None;
    let mut root_too = false;
    for (at, line) in text.lines().enumerate() {
        let at = at + 1;
        let line = line.split('#').next().unwrap_or_default().trim();
        let (word, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let whole = value.trim();
        let value = whole.trim_matches(['"', '\'']);
        match word {
            "" => {}
            "path" => path = Some(PathBuf::from(value)),
            "ext2" | "ext3" | "ext4" | "xfs" | "btrfs" => {
                let scalar = Scalar::Word(whole.replace(['"', '\''], ""));
                match Device::try_from(scalar) {
                    Ok(found) => device = Some(found),
                    Err(why) => out.lose_target(at, format!("{word} {value}: {why}")),
                }
            }
            "core_collector" => core_collector(at, value, out),
            "dracut_args" => dracut_args(at, whole, out),
            "extra_modules" => {
                let names = value.split_ascii_whitespace().map(str::to_owned);
                out.config.image.extra_modules.extend(names);
            }
            "failure_action" | "default" if value == "dump_to_rootfs" => root_too = true,
            "failure_action" | "default" | "final_action" => match action(value) {
                Some(action) if word == "final_action" => out.config.after.success = action,
                Some(action) => out.config.after.failure = action,
                None => out.note(
                    at,
                    format!("{word} {value} has no counterpart; the machine reboots"),
                ),
            },
            _ => unknown(at, word, value, out),
        }
    }
    for target in &mut out.config.target {
        target.device = device.clone();
        if let Some(path) = &path {
            // Inside the device if one is given; written with and without a slash.
            target.path = PathBuf::from("/").join(path);
        }
    }
    if root_too && device.is_some() {
        out.config.target.push(Target::default());
    }
}

fn unknown(at: usize, word: &str, value: &str, out: &mut Imported) {
    let of = |table: &[(&str, &'static str)]| {
        let found = table.iter().find(|(name, _)| *name == word);
        found.map(|(_, why)| *why)
    };
    if let Some(why) = of(&TARGETS) {
        out.lose_target(at, format!("{word} {value} is not taken over: {why}"));
    } else if let Some(why) = of(&NOT_TAKEN) {
        out.note(at, format!("{word} is not taken over: {why}"));
    } else {
        let names: Vec<&str> = known().collect();
        let meant = nearest(word, &names).map_or(String::new(), |name| {
            format!("; the nearest directive is {name}")
        });
        out.note(
            at,
            format!("{word} is not a directive of kdump.conf{meant}"),
        );
    }
}

fn core_collector(at: usize, value: &str, out: &mut Imported) {
    let words = shell::words(value);
    let mut words = words.iter().map(String::as_str);
    match words.next() {
        Some(program) if program.rsplit('/').next() == Some("makedumpfile") => {
            collector::take(at, words, out);
        }
        other => out.note(
            at,
            format!(
                "core_collector {} is not run; afterpanic filters the core itself",
                other.unwrap_or_default()
            ),
        ),
    }
}

/// The image is not made by dracut, but some of its arguments say what belongs into it, and `--mount`
/// says where the core goes.
fn dracut_args(at: usize, value: &str, out: &mut Imported) {
    let words = shell::words(value);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let (name, joined) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word.as_str(), None),
        };
        let mut value = || {
            let next = joined.or_else(|| words.next().map(String::as_str));
            next.unwrap_or_default().to_owned()
        };
        let names = |list: String| -> Vec<String> {
            list.split_ascii_whitespace().map(str::to_owned).collect()
        };
        match name {
            "--add-drivers" | "--force-drivers" => {
                out.config.image.extra_modules.extend(names(value()));
            }
            "--omit-drivers" => out.config.image.omit_modules.extend(names(value())),
            "--mount" => {
                let mount = value();
                out.lose_target(
                    at,
                    format!("dracut_args --mount \"{mount}\" is not taken over: it names a target outside kdump.conf's own keys"),
                );
            }
            _ if name.starts_with('-') => out.note(
                at,
                format!("dracut_args {word} is not taken over: dracut does not make the image"),
            ),
            // The value of an option that was just noted.
            _ => {}
        }
    }
}
