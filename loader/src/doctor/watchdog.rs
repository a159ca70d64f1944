//! What brings the machine back when the capture kernel itself hangs.

use std::fs;

use super::finding::{Examined, Finding, Level, finding};
use super::kernel::choice;
use crate::arm::Choice;
use crate::root;

const CHECK: &str = "watchdog";

pub(super) fn check(on: &Examined<'_>) -> Vec<Finding> {
    let class = root::under(on.root, "/sys/class/watchdog");
    let mut names: Vec<String> = fs::read_dir(class)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    let identity = |name: &String| {
        root::text(on.root, format!("/sys/class/watchdog/{name}/identity")).unwrap_or_default()
    };
    // A software watchdog dies with its kernel.
    let real: Vec<String> = names
        .iter()
        .map(identity)
        .filter(|i| !i.is_empty() && i != "Software Watchdog")
        .collect();
    if let Some(first) = real.first() {
        return vec![finding(CHECK, Level::Ok, first.clone())];
    }
    let text = if choice(on) == Choice::Load {
        "no hardware watchdog: a capture kernel that hangs stays down"
    } else {
        "no hardware watchdog: a capture kernel that hangs stays down, and so does one that was overwritten \
         in memory (with kexec_file_load the kernel's own check spins without a word)"
    };
    vec![finding(CHECK, Level::Note, text)]
}
