//! What `afterpanic` prints with no arguments, and the grouped list of verbs that `--help` shares.

use crate::armed::summary;
use crate::exit::Exit;
use crate::output::{self, Context};
use std::fmt::Write as _;
use std::io::Write as _;

/// The groups of verbs in the order in which a user meets them.
const GROUPS: &[(&str, &[(&str, &str)])] = &[
    (
        "Arm",
        &[
            (
                "doctor",
                "what would keep a dump from happening or arriving, and each fix",
            ),
            (
                "reserve",
                "how much memory the capture kernel needs; --apply sets crashkernel=",
            ),
            (
                "load",
                "load the capture kernel (the systemd unit does this at boot)",
            ),
            ("unload", "take it out again"),
            ("status", "armed or not, and what proves it"),
        ],
    ),
    (
        "Prove",
        &[
            (
                "rehearse",
                "panic this kernel, image and config in a VM; nothing here is touched",
            ),
            ("crash-test", "panic this machine for real (needs --yes)"),
        ],
    ),
    (
        "Crashes",
        &[
            ("list", "crashes saved here"),
            ("report", "why the kernel died"),
            (
                "signature",
                "a name for the bug, and the frames that made it",
            ),
            ("dmesg", "the crashed kernel's log"),
            ("bt", "kernel stacks: --all, --cpus, --pid N, --state D"),
            ("ps", "the tasks"),
            ("mods", "the modules that were loaded"),
            ("struct", "a type, and the values at an address"),
            ("sym", "names to addresses and back; - annotates text"),
            ("dis", "a function's code"),
            ("read", "memory by address or symbol"),
            (
                "what",
                "what is at an address: symbol, task, slab object, page",
            ),
        ],
    ),
    (
        "Core files",
        &[
            (
                "info",
                "a core's format, its kernel, how much memory it holds",
            ),
            (
                "verify",
                "every checksum, and whether the kernel in it is consistent",
            ),
            ("convert", "into another format, or filtered further"),
            (
                "capture",
                "filter and write a core by hand, as the capture kernel does",
            ),
            ("mount", "as files that gdb, drgn and crash open"),
            ("pages", "what RAM was used for, and what each level keeps"),
        ],
    ),
    (
        "Set-up",
        &[
            ("config", "check, show, import"),
            ("image", "build, list, show, check, extract"),
            ("reboot", "into a kernel by kexec, past the firmware"),
            (
                "collect",
                "finish interrupted crash directories (run at boot)",
            ),
        ],
    ),
];

/// The groups as text, one verb a line.
#[must_use]
pub(crate) fn verbs() -> String {
    let mut text = String::new();
    for (group, verbs) in GROUPS {
        for (i, (verb, about)) in verbs.iter().enumerate() {
            let head = if i == 0 { group } else { "" };
            // Writing into a String cannot fail.
            let _ = writeln!(text, "{head:<15}{verb:<12}{about}");
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
            .flat_map(|(_, verbs)| verbs.iter().map(|(verb, _)| *verb))
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
