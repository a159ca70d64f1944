//! The man pages: what clap knows of each verb, then examples, exit codes, files, and the other pages.
//! `afterpanic.toml.5` is the shipped config.

use super::examples;
use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use std::fs;
use std::io;
use std::path::Path;

/// The exit codes have one table, for people and for these pages.
const EXIT_CODES: &str = include_str!("../../../docs/exit-codes.md");

/// The shipped config.
const CONFIG: &str = include_str!("../../../dist/afterpanic.toml");

const FILES: [(&str, &str); 6] = [
    ("/etc/afterpanic.toml", "the config; see afterpanic.toml(5)"),
    ("/var/crash", "the default store of crash directories"),
    (
        "/var/lib/afterpanic",
        "what is loaded, the image, and the proofs",
    ),
    (
        "/usr/lib/afterpanic/afterpanic-capture",
        "PID 1 of the capture kernel",
    ),
    (
        "/usr/lib/systemd/system/afterpanic.service",
        "arms at boot; others beside it arm early, reload, and collect",
    ),
    (
        "/usr/share/doc/afterpanic",
        "the changelog, and pages about set-up, JSON and formats",
    ),
];

/// Writes every page into a folder.
pub(super) fn write(command: Command, dir: &Path) -> io::Result<()> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut names = Vec::new();
    collect(&command, &mut names);
    page(&command, &names, dir)?;
    fs::write(dir.join("afterpanic.toml.5"), config()?)
}

fn name(command: &Command) -> &str {
    command
        .get_display_name()
        .unwrap_or_else(|| command.get_name())
}

fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|sub| !sub.is_hide_set())
}

fn collect(command: &Command, names: &mut Vec<String>) {
    names.push(name(command).to_owned());
    for sub in shown(command) {
        collect(sub, names);
    }
}

/// The page of a command, and those of the commands below it.
fn page(command: &Command, names: &[String], dir: &Path) -> io::Result<()> {
    for sub in shown(command) {
        page(sub, names, dir)?;
    }
    let man = Man::new(command.clone());
    let mut out = Vec::new();
    man.render_title(&mut out)?;
    man.render_name_section(&mut out)?;
    man.render_synopsis_section(&mut out)?;
    man.render_description_section(&mut out)?;
    man.render_options_section(&mut out)?;
    if shown(command).next().is_some() {
        man.render_subcommands_section(&mut out)?;
    }
    let mut roff = Roff::new();
    exit_status(&mut roff);
    files(&mut roff);
    show(&mut roff, name(command));
    see_also(&mut roff, name(command), names);
    roff.to_writer(&mut out)?;
    fs::write(dir.join(man.get_filename()), out)
}

/// A word or line, and what it is.
fn term(roff: &mut Roff, term: &str, text: &str) {
    roff.control("TP", []);
    roff.text([bold(term)]);
    roff.text([roman(text)]);
}

fn exit_status(roff: &mut Roff) {
    roff.control("SH", ["EXIT STATUS"]);
    for row in EXIT_CODES.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        if let [_, code, meaning, ..] = cells.as_slice()
            && code.parse::<u8>().is_ok()
        {
            term(roff, code, &meaning.replace('`', ""));
        }
    }
}

fn files(roff: &mut Roff) {
    roff.control("SH", ["FILES"]);
    for (path, what) in FILES {
        term(roff, path, what);
    }
}

fn show(roff: &mut Roff, page: &str) {
    roff.control("SH", ["EXAMPLES"]);
    for (command, what) in examples::of(page) {
        term(roff, &format!("afterpanic {command}"), what);
    }
}

/// The pages above, beside and below this one, and those of others.
fn see_also(roff: &mut Roff, page: &str, names: &[String]) {
    // `afterpanic-config` of `afterpanic-config-show`.
    let parts: Vec<&str> = page.splitn(3, '-').take(2).collect();
    let family = parts.join("-");
    let near = |name: &&String| {
        *name != page
            && (page == "afterpanic" || *name == "afterpanic" || name.starts_with(&family))
    };
    let mut words: Vec<String> = names
        .iter()
        .filter(near)
        .map(|name| format!("{name}(1)"))
        .collect();
    words.extend(
        [
            "afterpanic.toml(5)",
            "crash(8)",
            "kexec(8)",
            "makedumpfile(8)",
        ]
        .map(String::from),
    );
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman(words.join(", "))]);
}

/// The page of the config: its keys are explained in the shipped file.
fn config() -> io::Result<Vec<u8>> {
    let source = concat!("afterpanic ", env!("CARGO_PKG_VERSION"));
    let mut roff = Roff::new();
    roff.control("TH", ["afterpanic.toml", "5", "", source, ""]);
    roff.control("SH", ["NAME"]);
    roff.text([roman("afterpanic.toml - config of afterpanic")]);
    roff.control("SH", ["DESCRIPTION"]);
    roff.text([roman(
        "/etc/afterpanic.toml is a TOML file. Each key is listed here with its default.",
    )]);
    roff.control("SH", ["KEYS"]);
    roff.control("nf", []);
    for line in CONFIG.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman(
        "afterpanic(1), afterpanic-config(1), afterpanic-load(1)",
    )]);
    let mut out = Vec::new();
    roff.to_writer(&mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::Cli;
    use clap::{CommandFactory, Parser};

    #[test]
    fn every_page_has_its_sections_and_its_example() {
        let dir = tempfile::tempdir().unwrap();
        write(Cli::command(), dir.path()).unwrap();
        let mut pages = 0;
        for entry in fs::read_dir(dir.path()).unwrap() {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            let name = path.file_name().unwrap().to_str().unwrap();
            if name.ends_with(".5") {
                assert!(text.contains("rescue_deadline"), "{text}");
                continue;
            }
            pages += 1;
            for section in ["NAME", "OPTIONS", "EXAMPLES", "FILES", "SEE ALSO"] {
                assert!(
                    text.contains(&format!(".SH {section}"))
                        || text.contains(&format!(".SH \"{section}\"")),
                    "{name}: {section}"
                );
            }
            assert!(
                text.contains("EXIT STATUS") && text.contains("wrong usage"),
                "{name}"
            );
            let page = name.strip_suffix(".1").unwrap();
            assert!(!examples::of(page).is_empty(), "{page} has no example");
        }
        assert!(pages > 30, "{pages}");
    }

    #[test]
    fn every_example_is_a_command_and_belongs_to_its_page() {
        let mut command = Cli::command().disable_help_subcommand(true);
        command.build();
        let mut names = Vec::new();
        collect(&command, &mut names);
        for (page, examples) in examples::all() {
            assert!(names.iter().any(|name| name == page), "{page} is no page");
            for (words, _) in *examples {
                let line = format!("afterpanic {words}");
                let parsed = Cli::try_parse_from(line.split(' '));
                assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
                let verb = page.replacen("afterpanic-", "", 1).replace('-', " ");
                let plain = words.replace('-', " ");
                assert!(*page == "afterpanic" || plain.starts_with(&verb), "{line}");
            }
        }
    }

    #[test]
    fn a_page_names_its_neighbours() {
        let mut roff = Roff::new();
        let names = [
            "afterpanic",
            "afterpanic-config",
            "afterpanic-config-show",
            "afterpanic-load",
        ];
        let names = names.map(String::from);
        see_also(&mut roff, "afterpanic-config-show", &names);
        let text = roff.to_roff();
        assert!(text.contains("afterpanic\\-config(1)"), "{text}");
        assert!(!text.contains("load(1)"), "{text}");
    }
}
