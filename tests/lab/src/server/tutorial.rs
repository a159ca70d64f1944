//! The tutorial's commands on both machines: those of the build machine are run here, what the server said of its own is
//! judged here. So are the examples in the help of the verbs that need a real machine.

use super::Life;
use crate::page::{self, PAGE, Place};
use crate::{cache, root};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::process::{Command, Stdio};

/// Verbs whose example in `src/help` is a run on this server. The rehearsal is the tutorial's own.
const EXAMPLES: [&str; 5] = ["load", "unload", "rehearse", "capture", "reboot"];

/// The commands of the tutorial, and behind them the examples that are not among them.
pub(super) fn commands() -> Result<Vec<page::Command>> {
    let text = fs::read_to_string(root().join(PAGE))?;
    let mut commands =
        page::commands(&text).with_context(|| format!("{PAGE} cannot be followed"))?;
    for verb in EXAMPLES {
        let path = root().join(format!("src/help/{verb}.txt"));
        let text =
            fs::read_to_string(&path).with_context(|| format!("Cannot read {}", path.display()))?;
        let example = page::example(verb, commands.len() + 1, &text)?;
        match commands.iter_mut().find(|c| c.line == example.line) {
            // Both show the same run.
            Some(known) => ensure!(
                page::missing(&example.sample, &known.sample).is_empty(),
                "{} and {PAGE} show different runs",
                path.display()
            ),
            None => commands.push(example),
        }
    }
    Ok(commands)
}

/// Runs the page's commands for the build machine.
pub(super) fn build(commands: &[page::Command], profile: &str, life: &mut Life) -> Result<()> {
    for command in commands.iter().filter(|c| c.place == Place::Build) {
        let mut line = command.line.clone();
        if profile != "release" {
            line = format!("{line} --profile {profile}");
        }
        eprintln!("lab: {line}");
        let output = Command::new("sh")
            .args(["-c", &format!("{line} 2>&1")])
            .current_dir(root())
            .env_remove("RUSTFLAGS")
            .stdin(Stdio::null())
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let printed = text.lines().map(|line| (command.number, line.to_owned()));
        life.printed.extend(printed);
        if output.status.code() == Some(command.exit) {
            life.passed += 1;
            life.ran.push(command.number);
        } else {
            life.failed.push(format!(
                "page {}: {line}: {}",
                command.number, output.status
            ));
        }
    }
    Ok(())
}

/// Whether every command has run, and what each printed is what page and help show.
pub(super) fn judge(commands: &[page::Command], life: &mut Life) {
    for command in commands {
        let what = format!("page {}: {}", command.number, command.line);
        if !life.ran.contains(&command.number) {
            life.holds(&what, &["it did not run".into()]);
        } else if !command.sample.is_empty() {
            let missing = page::missing(&command.sample, &of(command, life));
            life.holds(&format!("{what} prints what is shown"), &missing);
        }
    }
}

/// What a command printed.
fn of(command: &page::Command, life: &Life) -> Vec<String> {
    let lines = life.printed.iter().filter(|(n, _)| *n == command.number);
    lines.map(|(_, line)| line.clone()).collect()
}

/// Keeps what the commands printed, in `tutorial.txt`, for whoever writes page and help.
pub(super) fn keep(commands: &[page::Command], life: &Life) -> Result<()> {
    let mut text = String::new();
    for command in commands {
        text += &format!("$ {}\n", command.line);
        for line in of(command, life) {
            text += &format!("{line}\n");
        }
    }
    let path = cache().join("server/tutorial.txt");
    fs::write(&path, text).with_context(|| format!("Cannot write {}", path.display()))
}

/// A line that a command of the page printed, and the command's number.
pub(super) fn printed(said: &str) -> Option<(usize, String)> {
    let (number, line) = said.strip_prefix("page ")?.split_once('|')?;
    let line = line.strip_prefix(' ').unwrap_or(line);
    Some((number.parse().ok()?, line.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_are_run_on_the_server() {
        let commands = commands().unwrap();
        let script = fs::read_to_string(root().join("tests/lab/server/grub")).unwrap();
        for command in &commands {
            let when = match command.place {
                Place::Build => continue,
                Place::Server(boot) => format!("    page {boot}\n"),
                Place::Example(verb) => format!("    page {verb}\n"),
            };
            assert!(script.contains(&when), "{command:?}");
        }
        let rehearsal = commands.iter().find(|c| c.line.ends_with("rehearse"));
        assert!(matches!(rehearsal.unwrap().place, Place::Server(_)));
    }

    #[test]
    fn what_a_command_printed_is_known_by_its_number() {
        let line = printed("page 12| armed   yes").unwrap();
        assert_eq!(line, (12, "armed   yes".to_owned()));
        assert_eq!(printed("page 3|").unwrap(), (3, String::new()));
        assert_eq!(printed("ok page 3: afterpanic list"), None);
    }

    #[test]
    fn a_command_that_did_not_run_and_one_that_prints_something_else_fail() {
        let text = "```sh server boot-1\na\nb\n```\n```text\nfine\n```\n";
        let commands = page::commands(text).unwrap();
        let judged = |ran: &[usize], printed: &str| {
            let mut life = Life {
                ran: ran.to_vec(),
                printed: vec![(2, printed.to_owned())],
                ..Life::default()
            };
            judge(&commands, &mut life);
            life.failed
        };
        assert_eq!(judged(&[1, 2], "fine"), [""; 0]);
        assert_eq!(judged(&[2], "fine").len(), 1);
        assert_eq!(judged(&[1, 2], "not fine").len(), 1);
    }
}
