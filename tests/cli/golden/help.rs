//! The front page, and `--help` of every verb that it lists.

use super::transcript::{compare, transcript};
use crate::harness::Machine;

/// The verbs of the front page's groups, and those that are hidden.
fn verbs(page: &str) -> Vec<String> {
    let grouped = page.lines().filter(|line| line.len() > 27);
    let named = grouped.filter_map(|line| {
        let (group, rest) = line.split_at_checked(15)?;
        let verb = rest.split_once("  ")?.0;
        let group = group.trim_end();
        let known = ["", "Arm", "Prove", "Crashes", "Core files", "Set-up"].contains(&group);
        let word = verb.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        (known && word && !verb.is_empty()).then(|| verb.to_owned())
    });
    named
        .chain(["man", "completions"].map(str::to_owned))
        .collect()
}

/// The commands below a verb, by its help.
fn below(help: &str) -> Vec<&str> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let lines = lines.take_while(|line| line.starts_with("  "));
    lines
        .filter_map(|line| line.split_whitespace().next())
        .collect()
}

#[test]
fn every_verb_has_its_help() {
    let machine = Machine::empty();
    let page = machine.run_inside(&["--help"]).exits(0).stdout();
    let verbs = verbs(&page);
    assert!(verbs.len() > 25, "{verbs:?}");
    compare(
        "help/afterpanic",
        transcript(&machine, "\0", &["--help", "--version"]),
    );
    for verb in verbs {
        let help = machine.run_inside(&[&verb, "--help"]).exits(0).stdout();
        let mut asked = vec![format!("{verb} --help")];
        let more = below(&help).into_iter().filter(|name| *name != "help");
        asked.extend(more.map(|name| format!("{verb} {name} --help")));
        let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
        compare(&format!("help/{verb}"), transcript(&machine, "\0", &asked));
    }
}

#[test]
fn the_kinds_of_pages() {
    let asked = &["pages --kinds", "pages --kinds --json"];
    let machine = Machine::empty();
    compare("help/kinds-of-pages", transcript(&machine, "\0", asked));
}

#[test]
fn the_front_page() {
    let machine = Machine::empty();
    machine
        .file("/proc/sys/kernel/hostname", "web-03\n")
        .file("/proc/sys/kernel/osrelease", "6.12.107+deb13-cloud-amd64\n")
        .file("/sys/kernel/kexec_crash_loaded", "0\n")
        .file("/sys/kernel/kexec_crash_size", "0\n");
    compare("help/front-page", transcript(&machine, "\0", &[""]));
}

/// What a verb does is said once: on the front page, in `-h`, `--help`, the man pages and the completions.
#[test]
fn one_sentence_says_what_a_verb_does() {
    let machine = Machine::empty();
    let page = machine.run_inside(&["--help"]).exits(0).stdout();
    let man = machine.path("/man");
    std::fs::create_dir(&man).unwrap();
    machine.run_inside(&["man", "man"]).exits(0);
    let fish = machine
        .run_inside(&["completions", "fish"])
        .exits(0)
        .stdout();
    let plain = |text: &str| text.replace("\\-", "-").replace("\\*(Aq", "'");
    let mut seen = 0;
    for verb in verbs(&page) {
        let begin = format!("{verb:<12}");
        let line = page
            .lines()
            .find(|line| line.get(15..).is_some_and(|rest| rest.starts_with(&begin)));
        // `man` and `completions` are hidden.
        let Some(line) = line else { continue };
        let sentence = line.get(27..).unwrap();
        assert!(line.len() <= 82, "{line}");
        for flag in ["-h", "--help"] {
            let help = machine.run_inside(&[&verb, flag]).exits(0).stdout();
            assert_eq!(help.lines().next().unwrap(), sentence, "{verb} {flag}");
        }
        let text = std::fs::read_to_string(man.join(format!("afterpanic-{verb}.1"))).unwrap();
        let name = plain(&text);
        assert!(
            name.contains(&format!("afterpanic-{verb} - {sentence}"))
                || name.contains(&format!("{verb} - {sentence}")),
            "{verb}: {name}"
        );
        let quoted = sentence.replace('\'', "\\'");
        assert!(fish.contains(&quoted), "{verb}: {quoted}");
        seen += 1;
    }
    assert!(seen > 25, "{seen}");
}
