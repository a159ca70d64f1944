//! Whether another kdump service would load its own capture kernel over ours.

use std::fs;
use std::path::Path;

use super::finding::{Examined, Finding, Level, finding};
use crate::root;

const CHECK: &str = "others";
const OURS: &str = "afterpanic.service";
/// Units of other kdump suites.
const UNITS: [&str; 6] = [
    "kdump.service",
    "kdump-tools.service",
    "kdump-early.service",
    "kdumpst-init.service",
    "kdump-steamos.service",
    "kexec-load.service",
];

/// Whether systemd will not start a unit: its file in /etc or /run is a link to /dev/null, or holds no section,
/// as an empty one does (systemd.unit(5)).
pub(super) fn is_masked(root: &Path, unit: &str) -> bool {
    let masks = |directory: &&str| {
        let path = root::under(root, format!("{directory}/{unit}"));
        match fs::read_link(&path) {
            Ok(target) => target == Path::new("/dev/null"),
            Err(_) => root::text(root, format!("{directory}/{unit}"))
                .is_ok_and(|text| !text.lines().any(|line| line.trim_start().starts_with('['))),
        }
    };
    ["/etc/systemd/system", "/run/systemd/system"]
        .iter()
        .any(masks)
}

pub(super) fn check(on: &Examined<'_>) -> Vec<Finding> {
    let mut out = Vec::new();
    if is_masked(on.root, OURS) {
        out.push(
            finding(
                CHECK,
                Level::Fail,
                format!("{OURS} is masked: nothing loads the capture kernel at boot"),
            )
            .fix(format!(
                "systemctl unmask {OURS} && systemctl enable --now {OURS}"
            )),
        );
    }
    let system = root::under(on.root, "/etc/systemd/system");
    for directory in fs::read_dir(system).into_iter().flatten().flatten() {
        let name = directory.file_name();
        if !name.to_string_lossy().ends_with(".wants") {
            continue;
        }
        for unit in UNITS {
            if is_masked(on.root, unit) {
                continue;
            }
            // A link to a unit that was removed still counts: it comes back with its package.
            if directory.path().join(unit).symlink_metadata().is_ok() {
                out.push(
                    finding(
                        CHECK,
                        Level::Warn,
                        format!("{unit} is enabled and loads a capture kernel of its own"),
                    )
                    .fix(format!("systemctl disable --now {unit}")),
                );
            }
        }
    }
    // `,high` and `,low` belong together; of the plain form the kernel takes the last.
    let plain: Vec<&str> = (on.status.reservation.asked.iter())
        .map(String::as_str)
        .filter(|value| {
            ![",high", ",low", ",cma"]
                .iter()
                .any(|form| value.ends_with(form))
        })
        .collect();
    if plain.len() > 1 {
        let text = format!(
            "crashkernel= is given more than once ({}): the last one counts",
            plain.join(" and ")
        );
        out.push(finding(CHECK, Level::Note, text));
    }
    if out.is_empty() {
        out.push(finding(CHECK, Level::Ok, "no other kdump service"));
    }
    out
}
