//! `/etc/kdump.conf`: one directive a line. kdump-utils reads a line as a word and the rest, drops the
//! rest from the first `#`, and double quotes around it. It refuses a file that has an unknown directive,
//! one directive twice, or two targets.

mod target;

use std::collections::HashSet;

use super::imported::{Draft, Fate, action};
use super::{collector, hook, shell};
use crate::error::{nearest, slip_of};
use crate::model::Config;
use plan::When;
use target::Targets;

/// Directives without a counterpart, and why.
const NOT_TAKEN: [(&str, &str); 11] = [
    (
        "force_rebuild",
        "the image is rebuilt whenever an input changes",
    ),
    (
        "force_no_rebuild",
        "the image is rebuilt whenever an input changes",
    ),
    (
        "fence_kdump_args",
        "the capture kernel sends nothing to a cluster",
    ),
    (
        "fence_kdump_nodes",
        "the capture kernel sends nothing to a cluster. Give the fence agent more time than a dump takes",
    ),
    (
        "auto_reset_crashkernel",
        "`afterpanic reserve` says what to reserve",
    ),
    ("options", "kdump-utils refuses this old directive"),
    ("link_delay", "kdump-utils refuses this old directive"),
    ("disk_timeout", "kdump-utils refuses this old directive"),
    ("debug_mem_level", "kdump-utils refuses this old directive"),
    ("blacklist", "kdump-utils refuses this old directive"),
    ("KDUMP_PATH", "a variable inside kdump-utils"),
];

/// Directives that are taken over.
const TAKEN: [&str; 12] = [
    "path",
    "sshkey",
    "core_collector",
    "extra_modules",
    "failure_action",
    "default",
    "final_action",
    "dracut_args",
    "kdump_pre",
    "kdump_post",
    "kdump_emergency",
    "extra_bins",
];

/// Directives whose values do not add up.
const ONCE: [&str; 5] = [
    "path",
    "core_collector",
    "failure_action",
    "default",
    "final_action",
];

/// Whether a word is a directive.
pub(super) fn knows(word: &str) -> bool {
    known().any(|name| name == word)
}

fn known() -> impl Iterator<Item = &'static str> {
    let named = NOT_TAKEN.iter().map(|(name, _)| *name);
    TAKEN.into_iter().chain(target::NAMES).chain(named)
}

/// Takes over what has a counterpart.
pub(super) fn read(text: &str, out: &mut Draft) {
    let mut targets = Targets::default();
    let mut seen: HashSet<String> = HashSet::new();
    let mut fates: Vec<(usize, &str, Fate)> = Vec::new();
    for (at, line) in (1..).zip(text.lines()) {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') || out.skip(at, at, trimmed) {
            continue;
        }
        let (word, rest) = trimmed
            .split_once(char::is_whitespace)
            .unwrap_or((trimmed, ""));
        let value = rest.split('#').next().unwrap_or_default().trim();
        let mut fate = Fate::default();
        directive(word, value, &mut targets, &mut out.config, &mut fate);
        if ONCE.contains(&word) && !seen.insert(word.to_owned()) {
            fate.remark(format!(
                "{word} is there twice, which kdump-utils refuses; the last one counts here"
            ));
        }
        fates.push((at, trimmed, fate));
    }
    targets.settle(&mut out.config, &mut fates);
    for (at, text, fate) in fates {
        out.row(at, at, text, &fate);
    }
}

fn directive(word: &str, value: &str, targets: &mut Targets, config: &mut Config, fate: &mut Fate) {
    let plain = unquoted(value);
    if target::NAMES.contains(&word) {
        return targets.named(word, value, fate);
    }
    if value.is_empty() && knows(word) {
        match word {
            "path" => fate.block("path has no value, which kdump-utils refuses"),
            _ => fate.nothing(format!("{word} has no value, which kdump-utils refuses")),
        }
        return;
    }
    match word {
        "path" => targets.path(plain, fate),
        "sshkey" => targets.key(plain, fate),
        "core_collector" => core_collector(plain, config, fate),
        "dracut_args" => dracut_args(value, targets, config, fate),
        "extra_modules" => {
            let names = plain.split_ascii_whitespace().map(str::to_owned);
            config.image.extra_modules.extend(names);
            fate.take("extra_modules in [image]");
        }
        "kdump_pre" => {
            hook::program(When::Pre, plain, config, fate);
            fate.remark("it runs before the target is mounted, and the dump goes on if it fails");
        }
        "kdump_post" => {
            hook::program(When::Post, plain, config, fate);
            fate.remark("it gets the state of the core in AFTERPANIC_CORE instead of $1");
        }
        "kdump_emergency" => hook::program(When::Failure, plain, config, fate),
        "extra_bins" => hook::files(plain, config, fate),
        "failure_action" | "default" if plain == "dump_to_rootfs" => targets.rootfs(fate),
        "failure_action" | "default" | "final_action" => final_action(word, plain, config, fate),
        _ => unknown(word, plain, fate),
    }
}

fn final_action(word: &str, value: &str, config: &mut Config, fate: &mut Fate) {
    match action(value) {
        Some(action) if word == "final_action" => {
            config.after.success = action;
            fate.take("success in [after]");
        }
        Some(action) => {
            config.after.failure = action;
            fate.take("failure in [after]");
        }
        // kdump-utils' own image has bash.
        None if value == "shell" => hook::rescue("/bin/bash", config, fate),
        None => fate.nothing(format!("\"{value}\" is not an action; the machine reboots")),
    }
}

/// Without the quotes around it.
fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        let inner = value
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote));
        if let Some(inner) = inner {
            return inner;
        }
    }
    value
}

fn unknown(word: &str, value: &str, fate: &mut Fate) {
    if let Some((_, why)) = NOT_TAKEN.iter().find(|(name, _)| *name == word) {
        match *word {
            _ if matches!(
                word,
                "force_rebuild" | "force_no_rebuild" | "auto_reset_crashkernel"
            ) && matches!(value, "0" | "no") =>
            {
                fate.take(*why);
            }
            _ => fate.nothing(*why),
        }
        return;
    }
    let names: Vec<&str> = known().collect();
    let slip = slip_of(word, &names);
    let why = match slip {
        Some(name) => format!("not a directive of kdump.conf; {name} is meant"),
        None => match nearest(word, &names) {
            Some(name) => format!("not a directive of kdump.conf; the nearest one is {name}"),
            None => "not a directive of kdump.conf".to_owned(),
        },
    };
    let is_target = slip.is_some_and(|name| target::NAMES.contains(&name) || name == "path");
    match is_target || target::looks_like_one(value) {
        true => fate.block(format!("{why}. It may say where the core goes")),
        false => fate.nothing(why),
    }
}

fn core_collector(value: &str, config: &mut Config, fate: &mut Fate) {
    let words = shell::words(value);
    let Some((program, arguments)) = words.split_first() else {
        return;
    };
    match program.rsplit('/').next().unwrap_or_default() {
        "makedumpfile" => collector::take(arguments, collector::Extent::All, config, fate),
        "cp" | "cat" | "scp" | "dd" => {
            config.dump.level = dump::Level::ALL;
            config.dump.format = Some(vmcore::write::OutputFormat::Elf);
            fate.take("level = \"all\" and format = \"elf\" in [dump]");
        }
        _ => fate.nothing(format!(
            "{program} is not run; afterpanic filters and writes the core itself"
        )),
    }
}

/// The image is not made by dracut, but some of its arguments say what belongs into it, and `--mount`
/// says where the core goes.
fn dracut_args(value: &str, targets: &mut Targets, config: &mut Config, fate: &mut Fate) {
    let words = shell::words(value);
    // The whole value may be quoted once more.
    let words = match words.as_slice() {
        [one] => shell::words(one),
        _ => words,
    };
    let mut words = words.iter().map(String::as_str).peekable();
    while let Some(word) = words.next() {
        let (name, joined) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        let mut value = || {
            let next = joined.or_else(|| words.next_if(|word| !word.starts_with('-')));
            next.unwrap_or_default().to_owned()
        };
        let names = |list: String| -> Vec<String> {
            let names = list.split([' ', ',', '\t']).filter(|name| !name.is_empty());
            names.map(str::to_owned).collect()
        };
        match name {
            "--add-drivers" | "--force-drivers" | "-d" | "--drivers" => {
                config.image.extra_modules.extend(names(value()));
                fate.take("extra_modules in [image]");
            }
            "--omit-drivers" => {
                config.image.omit_modules.extend(names(value()));
                fate.take("omit_modules in [image]");
            }
            "-I" | "--install" | "--install-optional" => {
                let paths = names(value());
                let (absolute, other): (Vec<_>, Vec<_>) = paths
                    .into_iter()
                    .partition(|path| path.starts_with('/') && !path.split('/').any(|p| p == ".."));
                if !absolute.is_empty() {
                    let paths = absolute.into_iter().map(Into::into);
                    config.image.extra_files.extend(paths);
                    fate.take("extra_files in [image]");
                }
                if !other.is_empty() {
                    fate.nothing(format!("{}: not an absolute path", other.join(" ")));
                }
            }
            "--mount" => targets.mount(&value(), fate),
            _ if name.starts_with('-') => {
                // An option's own value is part of it.
                let taken = words.next_if(|word| !word.starts_with('-'));
                let taken = taken.map_or(String::new(), |value| format!(" \"{value}\""));
                fate.nothing(format!(
                    "{word}{taken} is left out: dracut does not make the image"
                ));
            }
            _ => fate.nothing(format!(
                "{word} is left out: dracut does not make the image"
            )),
        }
    }
}
