//! What `afterpanic` prints with no arguments, and the grouped list of verbs that `--help` shares. What a
//! verb does is said once: in the comment of its variant of [`Verb`].

use crate::armed::summary;
use crate::commands::Verb;
use crate::exit::Exit;
use crate::output::{self, Context};
use clap::Subcommand;
use std::fmt::Write as _;
use std::io::Write as _;

/// The groups of verbs in the order in which a user meets them.
const GROUPS: &[(&str, &[&str])] = &[
    ("Arm", &["doctor", "reserve", "load", "unload", "status"]),
    ("Prove", &["rehearse", "crash-test"]),
    (
        "Crashes",
        &[
            "list",
            "report",
            "signature",
            "dmesg",
            "bt",
            "ps",
            "mods",
            "struct",
            "sym",
            "dis",
            "read",
            "what",
        ],
    ),
    (
        "Core files",
        &[
            "info", "verify", "convert", "capture", "vmlinux", "drgn", "crash", "mount", "pages",
        ],
    ),
    ("Set-up", &["config", "image", "reboot", "collect"]),
];

/// The groups as text, one verb a line, each with the first sentence of its help.
#[must_use]
pub(crate) fn verbs() -> String {
    // Not the whole command line: that asks for this text.
    let verbs = Verb::augment_subcommands(clap::Command::default());
    let mut text = String::new();
    for (group, names) in GROUPS {
        for (i, name) in names.iter().enumerate() {
            let head = if i == 0 { group } else { "" };
            let about = verbs
                .find_subcommand(name)
                .and_then(clap::Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            // Writing into a String cannot fail.
            let _ = writeln!(text, "{head:<15}{name:<12}{about}");
        }
    }
    text
}

/// Prints the front page: this machine's state and the verbs.
///
/// # Errors
/// Only when stdout does not take it: what cannot be found out is said on the page.
pub(crate) fn print(context: &Context) -> anyhow::Result<Exit> {
    // A config that cannot be read is warned about where the crashes are listed.
    let config = config::Config::load(&context.root, context.config.as_deref()).unwrap_or_default();
    let status = loader::status::status(&context.root, &config);
    let crashes = match crate::saved::crashes(context, None) {
        Ok(saved) if saved.crashes.is_empty() => format!("none in {}", saved.places),
        Ok(saved) => format!("{} in {}", saved.crashes.len(), saved.places),
        Err(_) => "not readable: ask as root".to_string(),
    };
    let mut out = output::stdout();
    writeln!(
        out,
        "afterpanic {}: saves what a Linux kernel panic leaves, and says why it died",
        env!("CARGO_PKG_VERSION")
    )?;
    writeln!(out)?;
    writeln!(out, "This machine   {}", this_machine(context))?;
    writeln!(out, "  armed        {}", summary(&status))?;
    writeln!(out, "  crashes      {crashes}")?;
    if let Some(next) = &status.next {
        writeln!(out, "Next           {next}")?;
    }
    writeln!(out)?;
    out.write_all(verbs().as_bytes())?;
    writeln!(out)?;
    writeln!(out, "afterpanic VERB --help explains each.")?;
    Ok(Exit::Done)
}

fn this_machine(context: &Context) -> String {
    let read = |path: &str| {
        std::fs::read_to_string(context.path(path))
            .map(|text| text.trim().to_string())
            .ok()
    };
    let name = read("/proc/sys/kernel/hostname").unwrap_or_else(|| "this host".into());
    let release = read("/proc/sys/kernel/osrelease").unwrap_or_else(|| "of unknown release".into());
    format!("{name}, Linux {release}")
}

#[cfg(test)]
mod tests {
    use super::GROUPS;
    use clap::CommandFactory;

    #[test]
    fn every_verb_stands_on_the_page_exactly_once() {
        let mut listed: Vec<&str> = GROUPS
            .iter()
            .flat_map(|(_, names)| names.iter().copied())
            .collect();
        listed.sort_unstable();
        let command = crate::commands::Cli::command();
        let mut known: Vec<&str> = command
            .get_subcommands()
            .filter(|verb| !verb.is_hide_set())
            .map(clap::Command::get_name)
            .collect();
        known.sort_unstable();
        assert_eq!(listed, known);
    }
}
