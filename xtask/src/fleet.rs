//! The checks of fleet/, which is a workspace of its own. The short set has formatting, tests, the program end to end over
//! S3 with the crash directories of three real panics, and its site in a browser. The full set has lints as well, the
//! other stores, and four query engines over a million rows.
//!
//! Servers and engines come from Python's package index, into a virtual environment under fleet/target, and one from
//! npm's; both stay from run to run.

use crate::run::{cargo, root};
use std::process::{Command, Stdio};

/// A step and its name.
type Named = (&'static str, Command);

/// Where the laboratory leaves the crash directories of the short set's panics.
pub(crate) const CRASHES: &str = "target/lab/crashes";
/// Where the site is made.
const SITE: &str = "fleet/target/site";

/// Brings the packages of requirements files up to date, then runs a script: `$0` stands for it and its arguments.
const PYTHON: &str = "\
set -e
env=fleet/target/python
[ -x $env/bin/python ] || python3 -m venv $env
for file; do
    if ! cmp -s fleet/tests/$file $env/$file; then
        $env/bin/pip --quiet --disable-pip-version-check install --requirement fleet/tests/$file
        cp fleet/tests/$file $env/$file
    fi
done
exec $env/bin/python fleet/tests/$0";

/// Azure's emulator by npm.
const AZURITE: &str = "\
set -e
to=fleet/target/azurite
main=$to/node_modules/azurite/dist/src/blob/main.js
[ -f $main ] || npm install --silent --no-audit --no-fund --prefix $to azurite@3.37.0
";

/// What every change must pass, besides [`end_to_end`].
pub(crate) fn code() -> Vec<Named> {
    let mut format = of_fleet(&["fmt"]);
    format.arg("--check");
    let tests = ["test", "--locked", "--quiet", "--no-fail-fast"];
    vec![
        ("fleet: format", format),
        ("fleet: tests", of_fleet(&tests)),
    ]
}

/// The program over S3 with the crashes that the panics left, and its site. After the panics.
pub(crate) fn end_to_end() -> Vec<Named> {
    let script = format!("s3.py {} --crashes {CRASHES} --site {SITE}", program());
    let mut site = cargo(&["run", "--quiet", "--locked", "--package", "lab"]);
    site.args(["--", "pages", SITE]);
    vec![
        ("fleet: over S3", python("", &script, &["requirements.txt"])),
        ("fleet: its site in a browser", site),
    ]
}

/// What the full set has besides.
pub(crate) fn long() -> Vec<Named> {
    let mut lints = of_fleet(&["clippy", "--all-targets", "--locked", "--quiet"]);
    lints.args(["--", "-D", "warnings"]);
    let files = ["requirements.txt", "requirements-full.txt"];
    let s3 = format!("s3.py {}", program());
    let stores = format!("stores.py {} --azurite $main", program());
    let engines = format!("engines.py {}", program());
    vec![
        ("fleet: lints", lints),
        ("fleet: over S3", python("", &s3, &files)),
        ("fleet: other stores", python(AZURITE, &stores, &files)),
        ("fleet: four engines", python("", &engines, &files)),
    ]
}

fn of_fleet(words: &[&str]) -> Command {
    let mut command = cargo(words);
    command.args(["--manifest-path", "fleet/Cargo.toml"]);
    command
}

/// A script of fleet/tests with its arguments.
fn python(first: &str, script: &str, requirements: &[&str]) -> Command {
    let mut command = Command::new("sh");
    let text = PYTHON.replace("$0", script);
    command
        .args(["-c", &format!("{first}{text}"), "sh"])
        .args(requirements)
        .current_dir(root())
        .env_remove("RUSTFLAGS")
        .stdin(Stdio::null());
    command
}

/// Where the tests' build leaves the program.
fn program() -> String {
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    format!("fleet/target/{triple}/debug/afterpanic-fleet")
}
