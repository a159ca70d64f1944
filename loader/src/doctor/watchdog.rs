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
    let mut text =
        "no hardware watchdog: if the capture kernel hangs, the machine stays down until \
                    someone resets it"
            .to_owned();
    if choice(on) != Choice::Load {
        text.push_str(
            ". The same if the loaded image was overwritten before the panic: the check of \
             kexec_file_load then stops the machine without a message",
        );
    }
    vec![finding(CHECK, Level::Note, text)]
}
