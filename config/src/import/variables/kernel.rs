//! The variables that say which kernel captures.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::super::imported::Fate;
use super::super::shell::{Piece, Value};
use crate::model::{Config, KernelChoice};

/// Whether this module knows the variable.
pub(super) fn is_one(name: &str) -> bool {
    matches!(
        name,
        "KDUMP_KERNEL"
            | "KDUMP_KIMAGE"
            | "KDUMP_KVER"
            | "KDUMP_KERNELVER"
            | "KDUMP_BOOTDIR"
            | "KDUMP_IMG"
            | "KDUMP_IMG_EXT"
    )
}

/// Takes the kernel over. `values` has the variables that belong together.
pub(super) fn take(
    name: &str,
    value: &Value,
    values: &BTreeMap<&str, &Value>,
    config: &mut Config,
    fate: &mut Fate,
) {
    match name {
        _ if value.is_empty() => fate.take("the default"),
        // The link that kdump-tools keeps to the running kernel's file.
        "KDUMP_KERNEL" if value.text().as_deref() == Some("/var/lib/kdump/vmlinuz") => {
            fate.take("the running kernel captures");
        }
        "KDUMP_KERNEL" | "KDUMP_KIMAGE" => file(value, config, fate),
        "KDUMP_KVER" if is_release(value) => fate.take("the running kernel's release"),
        "KDUMP_KVER" => fate.take("used for the kernel's file"),
        "KDUMP_KERNELVER" => version(value, values, config, fate),
        "KDUMP_IMG" if value.text().as_deref() == Some("vmlinuz") => {
            fate.take("afterpanic finds the kernel's file");
        }
        "KDUMP_BOOTDIR" if value.text().as_deref() == Some("/boot") => {
            fate.take("afterpanic finds the kernel's file");
        }
        _ => match values
            .get("KDUMP_KERNELVER")
            .is_some_and(|value| !value.is_empty())
        {
            true => fate.take("part of the kernel's path"),
            false => fate.nothing("afterpanic finds the running kernel's file by itself"),
        },
    }
}

/// Whether the shell computes the running kernel's release here.
fn is_release(value: &Value) -> bool {
    matches!(value.pieces(), [Piece::Computed(how)] if is_uname(how))
}

fn is_uname(how: &str) -> bool {
    let inner = how.trim_start_matches("$(").trim_matches(['`', ')']).trim();
    inner == "uname -r"
}

/// A kernel's file by its path.
fn file(value: &Value, config: &mut Config, fate: &mut Fate) {
    match (value.text(), value.pieces()) {
        (Some(path), _) if path.starts_with('/') => {
            config.capture_kernel.kernel = KernelChoice::Path(PathBuf::from(path));
            fate.take("kernel in [capture_kernel]");
        }
        // /boot/vmlinuz-`uname -r`
        (None, [Piece::Text(head), Piece::Computed(how)])
            if is_uname(how) && head.ends_with('-') =>
        {
            fate.take("the running kernel captures");
        }
        (Some(path), _) => fate.nothing(format!("\"{path}\" is not an absolute path")),
        (None, _) => fate.nothing(
            "only a shell can compute this path. The running kernel captures; else set `kernel` in \
             [capture_kernel]",
        ),
    }
}

/// A kernel by its release: `$KDUMP_BOOTDIR/$KDUMP_IMG-$KDUMP_KERNELVER$KDUMP_IMG_EXT`.
fn version(value: &Value, values: &BTreeMap<&str, &Value>, config: &mut Config, fate: &mut Fate) {
    let part = |name: &str, default: &str| match values.get(name) {
        Some(value) if !value.is_empty() => value.text(),
        _ => Some(default.to_owned()),
    };
    if is_release(value) {
        return fate.take("the running kernel captures");
    }
    let parts = (
        part("KDUMP_BOOTDIR", "/boot"),
        part("KDUMP_IMG", "vmlinuz"),
        value.text(),
        part("KDUMP_IMG_EXT", ""),
    );
    let path = match parts {
        (_, _, Some(path), _) if path.starts_with('/') => path,
        (Some(dir), Some(image), Some(version), Some(extension)) if dir.starts_with('/') => {
            fate.remark("look whether this file is the kernel that is meant");
            format!("{dir}/{image}-{version}{extension}")
        }
        _ => return fate.nothing("only a shell can compute this kernel's path"),
    };
    fate.take(format!("kernel = \"{path}\" in [capture_kernel]"));
    config.capture_kernel.kernel = KernelChoice::Path(PathBuf::from(path));
}
