//! libkdumpfile's own tests, with our reader in place of the programs that read a dump.
//!
//! The source comes from Debian's archive and is built in the cache, never in this repository. Its makers of dumps are
//! compiled; its scripts run as they are. A script counts that reads a dump it made; what tests libkdumpfile's own
//! interfaces (address maps, page table walks given by hand, threads, attributes that can be set) has no counterpart here.
//! What differs and why stands in tests/lab/expected/libkdumpfile.toml; one more or one fewer is a failure.

mod dumpers;

use crate::apt::{Apt, run};
use crate::results::Entry;
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub use dumpers::run as dumper;

const SUITE: &str = "trixie";
const PACKAGE: &str = "libkdumpfile";
/// What makes dumps.
const MAKERS: [&str; 5] = ["mkbinary", "mkelf", "mkdiskdump", "mklkcd", "mksadump"];
/// What every maker is compiled with.
const SHARED: [&str; 4] = ["data.c", "param.c", "rle.c", "slurp.c"];
/// The libraries of its compressions, and where Debian has them.
const LIBRARIES: [(&str, &str); 4] = [
    ("z", "zlib1g-dev"),
    ("lzo2", "liblzo2-dev"),
    ("snappy", "libsnappy-dev"),
    ("zstd", "libzstd-dev"),
];
/// What reads dumps, and is ours here.
const DUMPERS: [&str; 3] = ["./dumpdata", "./checkattr", "./multiread"];

/// Scripts that do not pass, and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Differs {
    /// What our reader says in each.
    says: String,
    /// How many of them.
    count: usize,
    /// Why.
    reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    differs: Vec<Differs>,
}

/// Its name, and what it shows.
#[must_use]
pub fn about() -> (String, String) {
    let about = "libkdumpfile's own test scripts that read a dump, with our reader in place of its programs";
    (PACKAGE.into(), about.into())
}

/// Fetches, builds, and runs the scripts.
///
/// # Errors
/// The source cannot be fetched or built. What differs is in the entry.
pub fn check() -> Result<Vec<Entry>> {
    let expected: Expected = toml::from_str(&fs::read_to_string(
        crate::root().join("tests/lab/expected/libkdumpfile.toml"),
    )?)?;
    let dir = crate::cache().join(PACKAGE);
    let source = source(&dir)?;
    let build = dir.join("build");
    let _ = fs::remove_dir_all(&build);
    fs::create_dir_all(&build)?;
    make(&source, &build)?;
    dumpers::install(&build, &std::env::current_exe()?)?;
    let tests = source.join("tests");
    let mut entry = Entry {
        name: PACKAGE.into(),
        kernel: String::new(),
        checks: 0,
        failed: Vec::new(),
    };
    let mut differing = BTreeMap::new();
    for name in scripts(&tests)? {
        entry.checks += 1;
        if let Err(why) = script(&tests, &build, &name) {
            differing.insert(name, format!("{why:#}"));
        }
    }
    ensure!(entry.checks > 0, "{} has no scripts", tests.display());
    println!(
        "{PACKAGE}: {} scripts, {} differ",
        entry.checks,
        differing.len()
    );
    for known in &expected.differs {
        let before = differing.len();
        differing.retain(|_, why: &mut String| !why.contains(&known.says));
        let count = before - differing.len();
        println!("{count:4} \"{}\": {}", known.says, known.reason);
        if count != known.count {
            let text = format!("{count} say \"{}\" instead of {}", known.says, known.count);
            entry.failed.push(text);
        }
    }
    for (name, why) in &differing {
        println!("     {name}: {why}");
        entry.failed.push(name.clone());
    }
    Ok(vec![entry])
}

/// The unpacked source, fetched once.
fn source(dir: &Path) -> Result<PathBuf> {
    if let Some(tree) = tree(dir) {
        return Ok(tree);
    }
    fs::create_dir_all(dir)?;
    eprintln!("lab: fetching the source of {PACKAGE}");
    let archive = Apt::sources(SUITE)?.source(PACKAGE, dir)?;
    run(Command::new("tar")
        .arg("-xf")
        .arg(&archive)
        .arg("-C")
        .arg(dir))?;
    fs::remove_file(&archive)?;
    tree(dir).with_context(|| format!("{} holds no {PACKAGE}-*/tests", archive.display()))
}

fn tree(dir: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(dir).ok()?.flatten().map(|entry| entry.path());
    let mut trees = entries.filter(|path| path.join("tests/Makefile.am").exists());
    trees.next()
}

/// Compiles what makes dumps.
fn make(source: &Path, build: &Path) -> Result<()> {
    // What the build system would fill in: its version, and which libraries there are.
    let header = source.join("include/libkdumpfile/addrxlat.h.in");
    let text = fs::read_to_string(&header)?;
    fs::create_dir_all(build.join("libkdumpfile"))?;
    fs::write(build.join("libkdumpfile/addrxlat.h"), filled(&text))?;
    fs::write(build.join("config.h"), "")?;
    for maker in MAKERS {
        let mut cc = Command::new("cc");
        cc.args(["-w", "-O1", "-D_GNU_SOURCE", "-o"])
            .arg(build.join(maker));
        for (name, _) in LIBRARIES {
            let name = name.trim_end_matches('2').to_uppercase();
            let name = if name == "Z" { "ZLIB".into() } else { name };
            cc.arg(format!("-DUSE_{name}=1"));
        }
        cc.arg("-I")
            .arg(build)
            .arg("-I")
            .arg(source.join("include"));
        let files = SHARED.iter().map(|file| (*file).to_owned());
        for file in files.chain([format!("{maker}.c")]) {
            cc.arg(source.join("tests").join(file));
        }
        cc.args(LIBRARIES.map(|(name, _)| format!("-l{name}")));
        let packages = LIBRARIES.map(|(_, package)| package).join(" ");
        run(&mut cc).with_context(|| {
            format!("Cannot compile {maker}; it needs gcc and, of Debian: {packages}")
        })?;
    }
    Ok(())
}

/// A header with every `@WORD@` filled in.
fn filled(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((head, tail)) = rest.split_once('@') {
        out.push_str(head);
        let word = tail.split_once('@').filter(|(word, _)| {
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
        });
        rest = match word {
            Some((_, after)) => {
                out.push('0');
                after
            }
            None => {
                out.push('@');
                tail
            }
        };
    }
    out + rest
}

/// The scripts that read dumps by our dumpers alone.
fn scripts(tests: &Path) -> Result<Vec<String>> {
    let makefile = fs::read_to_string(tests.join("Makefile.am"))?;
    let list = makefile
        .split_once("test_scripts = \\\n")
        .context("Makefile.am has no test_scripts")?
        .1;
    let mut names = Vec::new();
    for line in list.lines() {
        let name = line.trim_end_matches('\\').trim();
        if reads(tests, name)? {
            names.push(name.to_owned());
        }
        if !line.ends_with('\\') {
            break;
        }
    }
    Ok(names)
}

/// Whether a script, or what it sources, calls a dumper and no other program of libkdumpfile's.
fn reads(tests: &Path, name: &str) -> Result<bool> {
    let path = tests.join(name);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut whole = text.clone();
    for line in text.lines() {
        let sourced = line.trim().strip_prefix(". \"$srcdir\"/");
        if let Some(other) = sourced {
            whole += &fs::read_to_string(tests.join(other.trim()))?;
        }
    }
    let calls = |program: &str| whole.contains(program);
    let programs = whole
        .split_whitespace()
        .map(|word| word.trim_start_matches("$("));
    let others = programs.filter(|word| word.starts_with("./") || word.starts_with("../"));
    let known = |word: &str| {
        DUMPERS.contains(&word)
            || MAKERS
                .iter()
                .any(|maker| word.strip_prefix("./") == Some(maker))
    };
    Ok(DUMPERS.iter().any(|dumper| calls(dumper)) && others.into_iter().all(known))
}

/// Runs a script; fails as it does.
fn script(tests: &Path, build: &Path, name: &str) -> Result<()> {
    let output = Command::new("timeout")
        .args(["60", "bash"])
        .arg(tests.join(name))
        .current_dir(build)
        .env("srcdir", tests)
        .env("SIZEOF_OFF_T", "8")
        .stdin(Stdio::null())
        .output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    fs::write(build.join(format!("{name}.log")), &said)?;
    if !output.status.success() {
        let lines: Vec<&str> = said
            .lines()
            .filter(|l| !l.starts_with("not compared: ") && !l.starts_with("compared: "))
            .collect();
        let last = lines
            .iter()
            .rev()
            .take(3)
            .rev()
            .copied()
            .collect::<Vec<_>>();
        bail!("{}: {}", output.status, last.join("; "));
    }
    // A script whose every question was passed over has tested nothing.
    let asked = said.contains("not compared: ")
        && !said.contains("\ncompared: ")
        && !said.starts_with("compared: ");
    let dumped = fs::read_to_string(tests.join(name))?.contains("./dumpdata");
    ensure!(!asked || dumped, "nothing of it was compared");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::filled;

    #[test]
    fn words_between_at_signs_are_filled_in() {
        assert_eq!(filled("a @VER_A@ b @file x@y @B@"), "a 0 b @file x@y 0");
    }
}
