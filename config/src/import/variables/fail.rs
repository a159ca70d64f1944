//! KDUMP_FAIL_CMD: a command line of the shell that ends the capture kernel after a failure.

use super::super::imported::{Fate, action};
use super::super::{hook, shell};
use crate::model::{Action, Config};

/// Programs that are a shell.
const SHELLS: [&str; 6] = ["sh", "bash", "dash", "busybox", "sulogin", "zsh"];

/// Takes the action over.
pub(super) fn take(text: &str, config: &mut Config, fate: &mut Fate) {
    let mut found = None;
    for command in text.split([';', '&', '|']) {
        let words = shell::words(command);
        let Some((program, arguments)) = words.split_first() else {
            continue;
        };
        let program = program.rsplit('/').next().unwrap_or_default();
        match ending(program, arguments) {
            Some(action) => found = Some(action),
            None if SHELLS.contains(&program) => hook::rescue(shell_path(command), config, fate),
            None => fate.nothing(format!("{program} is not run")),
        }
    }
    match found {
        Some(action) => {
            config.after.failure = action;
            fate.take("failure in [after]");
        }
        None => fate.nothing("the machine reboots"),
    }
}

/// The shell's path, or where it is everywhere.
fn shell_path(command: &str) -> &str {
    let word = command.split_ascii_whitespace().next().unwrap_or_default();
    match word.starts_with('/') && !word.contains("..") {
        true => word,
        false => "/bin/sh",
    }
}

/// How a command ends the machine's run.
fn ending(program: &str, arguments: &[String]) -> Option<Action> {
    let has = |word: &str| arguments.iter().any(|a| a == word);
    match program {
        "systemctl" => arguments.iter().find_map(|word| action(word)),
        "shutdown" if has("-r") => Some(Action::Reboot),
        "shutdown" if has("-H") => Some(Action::Halt),
        "shutdown" => Some(Action::Poweroff),
        "init" | "telinit" if has("6") => Some(Action::Reboot),
        "init" | "telinit" if has("0") => Some(Action::Poweroff),
        "halt" if has("-p") => Some(Action::Poweroff),
        _ => action(program),
    }
}
