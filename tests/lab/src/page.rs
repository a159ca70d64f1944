//! The commands of a tutorial page, as they are printed: where each runs, how it ends, what it prints.
//!
//! A fenced block says in its info string where its lines run: ```` ```sh build ```` on the build machine,
//! ```` ```sh server boot-2 ```` on the server in its second boot since the tutorial began. `exit-3` behind it is the
//! exit code; without it 0. The last line of a boot that is not the last one reboots the machine. A block ```` ```text ````
//! is a sample of what the command before it printed. Every other fenced block is an error, so that none is left out.

use anyhow::{Context, Result, bail, ensure};
use std::fmt::Write;

/// The tutorial.
pub const PAGE: &str = "docs/first-dump.md";

/// Where a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On the build machine, in the workspace.
    Build,
    /// On the server, in this boot; the first is 1.
    Server(u32),
    /// On the server, where its script says so: the example in the help of this verb.
    Example(&'static str),
}

/// One line of the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Its number on the page; the first is 1.
    pub number: usize,
    /// Where it runs.
    pub place: Place,
    /// The exit code that the page promises.
    pub exit: i32,
    /// The line as it is printed.
    pub line: String,
    /// What it prints, in the page's words; none: the page does not say.
    pub sample: Vec<String>,
}

/// The commands of a page in their order.
///
/// # Errors
/// A fenced block does not say where it runs, is empty or never closed, or the boots are not in order.
pub fn commands(page: &str) -> Result<Vec<Command>> {
    let mut found: Vec<Command> = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else {
            continue;
        };
        let mut block = Vec::new();
        loop {
            match lines.next() {
                Some("```") => break,
                Some(inside) => block.push(inside.to_owned()),
                None => bail!("the block ```{info} is never closed"),
            }
        }
        ensure!(!block.is_empty(), "the block ```{info} is empty");
        let words: Vec<&str> = info.split_whitespace().collect();
        match words.as_slice() {
            ["text"] => {
                let of = found.last_mut().context("a sample before any command")?;
                ensure!(of.sample.is_empty(), "two samples of: {}", of.line);
                of.sample = block;
            }
            ["sh", place, rest @ ..] => {
                let (place, rest) = self::place(place, rest)?;
                let exit = match rest {
                    [] => 0,
                    [one] => one
                        .strip_prefix("exit-")
                        .and_then(|code| code.parse().ok())
                        .with_context(|| format!("the block ```{info}: what is {one}?"))?,
                    _ => bail!("the block ```{info} says too much"),
                };
                for line in block {
                    found.push(Command {
                        number: found.len() + 1,
                        place,
                        exit,
                        line,
                        sample: Vec::new(),
                    });
                }
            }
            _ => bail!("the block ```{info} does not say where it runs"),
        }
    }
    let mut last = 0;
    for command in &found {
        if let Place::Server(boot) = command.place {
            ensure!(
                boot == last || boot == last + 1,
                "boot {boot} follows boot {last}: {}",
                command.line
            );
            last = boot;
        }
    }
    Ok(found)
}

fn place<'a, 'b>(word: &'a str, rest: &'b [&'a str]) -> Result<(Place, &'b [&'a str])> {
    match (word, rest) {
        ("build", rest) => Ok((Place::Build, rest)),
        ("server", [boot, rest @ ..]) => {
            let number = boot.strip_prefix("boot-").and_then(|n| n.parse().ok());
            let number = number.with_context(|| format!("what is {boot}?"))?;
            Ok((Place::Server(number), rest))
        }
        _ => bail!("{word} is no place: build, or server boot-N"),
    }
}

/// The example in a verb's help as a command: a transcript of one command, `$ ` before it.
///
/// # Errors
/// It is no such transcript.
pub fn example(verb: &'static str, number: usize, transcript: &str) -> Result<Command> {
    let mut lines = transcript.lines();
    let line = lines.next().and_then(|line| line.strip_prefix("$ "));
    Ok(Command {
        number,
        place: Place::Example(verb),
        exit: 0,
        line: line.context("a transcript begins with `$ `")?.to_owned(),
        sample: lines.map(str::to_owned).collect(),
    })
}

/// What the server's script reads: boot or verb, exit code, number and line, with tabs between.
#[must_use]
pub fn script(commands: &[Command]) -> String {
    let mut text = String::new();
    for command in commands {
        let when = match command.place {
            Place::Build => continue,
            Place::Server(boot) => boot.to_string(),
            Place::Example(verb) => verb.to_owned(),
        };
        // Writing into a String cannot fail.
        let _ = writeln!(
            text,
            "{when}\t{}\t{}\t{}",
            command.exit, command.number, command.line
        );
    }
    text
}

/// The lines of a sample that the output does not have, in its order. Words with a digit agree with each other,
/// white space does not count, and a line or an end of a line that is `…` stands for anything.
#[must_use]
pub fn missing(sample: &[String], output: &[String]) -> Vec<String> {
    let mut rest = output;
    let mut skip = true;
    let mut missing = Vec::new();
    for line in sample {
        if line.trim() == "…" {
            skip = true;
            continue;
        }
        let at = rest.iter().position(|printed| agree(line, printed));
        match at {
            Some(at) if skip || at == 0 => {
                rest = rest.get(at + 1..).unwrap_or_default();
                skip = false;
            }
            _ => missing.push(line.clone()),
        }
    }
    missing
}

fn agree(sample: &str, printed: &str) -> bool {
    let masked = |text: &str| -> Vec<String> {
        let word = |word: &str| match word.contains(|c: char| c.is_ascii_digit()) {
            true => "#".to_owned(),
            false => word.to_owned(),
        };
        text.split_whitespace().map(word).collect()
    };
    let printed = masked(printed);
    match sample.trim_end().strip_suffix('…') {
        Some(begin) => printed.starts_with(&masked(begin)),
        None => masked(sample) == printed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_tutorial_says_of_every_command_where_it_runs() {
        let path = crate::root().join(PAGE);
        let found = commands(&std::fs::read_to_string(path).unwrap()).unwrap();
        let on = |place| found.iter().filter(move |c| c.place == place).count();
        assert!(on(Place::Build) >= 2, "{found:#?}");
        for boot in 1..=3 {
            assert!(on(Place::Server(boot)) >= 3, "{found:#?}");
        }
        // What the page shows is what somebody ran.
        assert!(found.iter().filter(|c| !c.sample.is_empty()).count() >= 5);
        for (at, command) in found.iter().enumerate() {
            let next = found.get(at + 1).map(|next| next.place);
            if let (Place::Server(boot), Some(Place::Server(then))) = (command.place, next)
                && boot != then
            {
                let leaves = ["sudo reboot", "sudo afterpanic crash-test --yes"];
                assert!(leaves.contains(&command.line.as_str()), "{command:?}");
            }
        }
    }

    #[test]
    fn blocks_become_commands() {
        let page = "# A\n```sh build\na\n```\nText.\n```sh server boot-1\nb\nc d\n```\n```text\nprinted\n```\n\
                    ```sh server boot-2 exit-3\ne\n```\n";
        let found = commands(page).unwrap();
        let short: Vec<_> = found
            .iter()
            .map(|c| (c.number, c.place, c.exit, c.line.as_str()))
            .collect();
        assert_eq!(
            short,
            [
                (1, Place::Build, 0, "a"),
                (2, Place::Server(1), 0, "b"),
                (3, Place::Server(1), 0, "c d"),
                (4, Place::Server(2), 3, "e"),
            ]
        );
        assert_eq!(found[2].sample, ["printed"]);
        assert_eq!(script(&found), "1\t0\t2\tb\n1\t0\t3\tc d\n2\t3\t4\te\n");
    }

    #[test]
    fn an_example_becomes_a_command() {
        let found = example("load", 7, "$ sudo afterpanic load\nloaded Linux 6.1\n").unwrap();
        assert_eq!(
            script(std::slice::from_ref(&found)),
            "load\t0\t7\tsudo afterpanic load\n"
        );
        assert_eq!(found.sample, ["loaded Linux 6.1"]);
        assert!(example("load", 7, "sudo afterpanic load\n").is_err());
    }

    #[test]
    fn a_block_that_the_laboratory_would_not_run_is_an_error() {
        for page in [
            "```\nafterpanic list\n```\n",
            "```sh\nafterpanic list\n```\n",
            "```sh server\na\n```\n",
            "```sh elsewhere\na\n```\n",
            "```sh server boot-2\na\n```\n",
            "```sh server boot-1 exit-x\na\n```\n",
            "```sh build\na\n",
            "```sh build\n```\n",
            "```text\nprinted\n```\n",
        ] {
            assert!(commands(page).is_err(), "{page}");
        }
    }

    #[test]
    fn a_sample_is_compared_without_its_figures() {
        let output = lines("armed   yes, 112 MiB\nfilter  7 of 7\nproof   none\ndumps   none\n");
        let same = |sample: &str| missing(&lines(sample), &output);
        assert_eq!(same("armed yes, 96 MiB\nfilter  6 of 6\n"), [""; 0]);
        assert_eq!(same("armed   yes, 1 MiB\n…\ndumps   none"), [""; 0]);
        assert_eq!(same("armed   …\n"), [""; 0]);
        assert_eq!(same("armed   no\n"), ["armed   no"]);
        // A line in between is left out without saying so.
        assert_eq!(same("armed   yes, 1 MiB\nproof   none"), ["proof   none"]);
        assert_eq!(same("…\ndumps none\narmed …\n"), ["armed …"]);
    }
}
