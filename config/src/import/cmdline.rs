//! Words for the capture kernel's command line.

use super::imported::Fate;
use crate::model::{Auto, Config};

/// Words that afterpanic puts there itself, or that are its default.
const DERIVED: [&str; 4] = ["reset_devices", "nr_cpus=1", "maxcpus=1", "irqpoll"];

/// What the user space of the other suites' images reads. Ours has no systemd, dracut or udev.
const USER_SPACE: [&str; 12] = [
    "systemd.",
    "rd.",
    "udev.",
    "fsck.",
    "dracut",
    "ip=",
    "net_delay=",
    "netroot=",
    "root=",
    "rootflags=",
    "ignition.",
    "kdump_needed",
];

/// The words of a kernel command line: blanks separate, double quotes keep them (`next_arg`,
/// lib/cmdline.c).
pub(super) fn words(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for c in text.chars() {
        quoted ^= c == '"';
        if c.is_whitespace() && !quoted {
            if !word.is_empty() {
                out.push(std::mem::take(&mut word));
            }
        } else if !c.is_control() {
            word.push(c);
        }
    }
    if !word.is_empty() {
        out.push(word);
    }
    out
}

/// Adds words.
pub(super) fn append(text: &str, config: &mut Config, fate: &mut Fate) {
    fate.take("");
    let mut kept = Vec::new();
    for word in words(text) {
        if DERIVED.contains(&word.as_str()) {
            continue;
        }
        if let Some(name) = USER_SPACE.iter().find(|name| word.starts_with(*name)) {
            let unit = *name == "systemd." && word.starts_with("systemd.unit=");
            // Each suite names the unit that saves its core.
            if !unit {
                fate.remark(format!(
                    "{word} is left out: it is for a user space that the capture image does not have"
                ));
            }
            continue;
        }
        let cpus = word
            .strip_prefix("nr_cpus=")
            .or_else(|| word.strip_prefix("maxcpus="));
        if let Some(cpus @ 2..=4096) = cpus.and_then(|n| n.parse::<u32>().ok()) {
            config.capture_kernel.cpus = Auto::Set(cpus);
            fate.take(format!("cpus = {cpus} in [capture_kernel]"));
            continue;
        }
        if word.starts_with("crashkernel=") {
            fate.remark(format!(
                "{word} is left out: the capture kernel reserves no memory itself"
            ));
            continue;
        }
        if word.starts_with("mem=") {
            fate.take(format!(
                "{word} hides the rest of the memory from the capture kernel; `afterpanic rehearse` shows \
                 whether that works"
            ));
        }
        kept.push(word);
    }
    if !kept.is_empty() {
        fate.take("cmdline_add in [capture_kernel]");
    }
    for word in kept {
        if !config.capture_kernel.cmdline_add.contains(&word) {
            config.capture_kernel.cmdline_add.push(word);
        }
    }
}

/// Leaves parameters out.
pub(super) fn remove(text: &str, config: &mut Config, fate: &mut Fate) {
    fate.take("cmdline_drop in [capture_kernel]");
    for word in words(text) {
        let (name, value) = word.split_once('=').unwrap_or((&word, ""));
        if name.is_empty() || name.contains('"') {
            fate.remark(format!("{word} is not the name of a parameter"));
            continue;
        }
        if !value.is_empty() {
            fate.remark(format!("{name} is left out whatever its value is"));
        }
        let name = name.to_owned();
        if !config.capture_kernel.cmdline_drop.contains(&name) {
            config.capture_kernel.cmdline_drop.push(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn quotes_keep_words_together() {
        assert_eq!(
            words(" a=1  dyndbg=\"file x +p\" b "),
            ["a=1", "dyndbg=\"file x +p\"", "b"]
        );
    }
}
