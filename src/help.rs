//! The example in each verb's long help, and the command line with them.
//!
//! The files are transcripts of real runs. A test of tests/cli/golden makes them anew and compares. Those of `load`,
//! `unload`, `rehearse`, `reboot` and `capture` need a machine: `server grub` of the laboratory runs them. Those that need
//! a debugger or a mount are copied from a run on a core of 6.12.

use crate::commands::Cli;
use crate::frontpage;
use clap::{Command, CommandFactory};

/// Verbs with their transcripts.
const EXAMPLES: &[(&str, &str)] = &[
    ("bt", include_str!("help/bt.txt")),
    ("capture", include_str!("help/capture.txt")),
    ("collect", include_str!("help/collect.txt")),
    ("config", include_str!("help/config.txt")),
    ("convert", include_str!("help/convert.txt")),
    ("crash", include_str!("help/crash.txt")),
    ("crash-test", include_str!("help/crash-test.txt")),
    ("dis", include_str!("help/dis.txt")),
    ("dmesg", include_str!("help/dmesg.txt")),
    ("doctor", include_str!("help/doctor.txt")),
    ("drgn", include_str!("help/drgn.txt")),
    ("image", include_str!("help/image.txt")),
    ("info", include_str!("help/info.txt")),
    ("list", include_str!("help/list.txt")),
    ("load", include_str!("help/load.txt")),
    ("mods", include_str!("help/mods.txt")),
    ("mount", include_str!("help/mount.txt")),
    ("pages", include_str!("help/pages.txt")),
    ("ps", include_str!("help/ps.txt")),
    ("read", include_str!("help/read.txt")),
    ("reboot", include_str!("help/reboot.txt")),
    ("rehearse", include_str!("help/rehearse.txt")),
    ("report", include_str!("help/report.txt")),
    ("reserve", include_str!("help/reserve.txt")),
    ("signature", include_str!("help/signature.txt")),
    ("status", include_str!("help/status.txt")),
    ("struct", include_str!("help/struct.txt")),
    ("sym", include_str!("help/sym.txt")),
    ("unload", include_str!("help/unload.txt")),
    ("verify", include_str!("help/verify.txt")),
    ("vmlinux", include_str!("help/vmlinux.txt")),
    ("what", include_str!("help/what.txt")),
];

/// The command line: for parsing, `--help`, man pages and completions.
pub(crate) fn command() -> Command {
    let command = Cli::command().after_help(frontpage::verbs());
    command.mut_subcommands(|verb| match example(verb.get_name()) {
        Some(text) => verb.after_long_help(text),
        None => verb,
    })
}

/// A verb's example. Each line is indented, so that troff keeps it a line of its own.
fn example(verb: &str) -> Option<String> {
    let (_, transcript) = EXAMPLES.iter().find(|(name, _)| *name == verb)?;
    let lines = transcript
        .trim_end()
        .lines()
        .map(|line| format!("  {line}"));
    Some(format!(
        "Example:\n{}",
        lines.collect::<Vec<_>>().join("\n")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_a_transcript_of_its_verb() {
        let command = Cli::command();
        for (verb, transcript) in EXAMPLES {
            assert!(command.find_subcommand(verb).is_some(), "{verb}");
            let begins = [
                format!("$ afterpanic {verb}"),
                format!("$ sudo afterpanic {verb}"),
            ];
            assert!(
                begins.iter().any(|begin| transcript.starts_with(begin)),
                "{verb}: {transcript}"
            );
            assert!(transcript.lines().count() > 1, "{verb} has no output");
            let mut output = transcript.lines().skip(1);
            assert!(output.any(|line| line.trim() != "…"), "{verb}");
        }
        let hidden = ["man", "completions", "help"];
        for verb in command.get_subcommands().map(clap::Command::get_name) {
            let shown = EXAMPLES.iter().any(|(name, _)| *name == verb);
            assert!(shown || hidden.contains(&verb), "{verb} has no example");
        }
    }
}
