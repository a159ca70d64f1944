//! The checks of fleet/, which is a workspace of its own: formatting, lints, tests, and the program against S3 and three
//! query engines from Python's package index, in a virtual environment under fleet/target.

use crate::run::{cargo, root};
use std::process::{Command, Stdio};

/// Makes the environment when it is missing or of other packages, then runs the test.
const ENGINES: &str = "\
set -e
env=fleet/target/python
if ! cmp -s fleet/tests/requirements.txt $env/requirements.txt; then
    rm -rf $env
    python3 -m venv $env
    $env/bin/pip --quiet --disable-pip-version-check install --requirement fleet/tests/requirements.txt
    cp fleet/tests/requirements.txt $env/requirements.txt
fi
exec $env/bin/python fleet/tests/engines.py \"$0\" fleet/tests/crash";

/// The steps, by name.
pub(crate) fn steps() -> Vec<(&'static str, Command)> {
    let of_fleet = |words: &[&str]| {
        let mut command = cargo(words);
        command.args(["--manifest-path", "fleet/Cargo.toml"]);
        command
    };
    let mut lints = of_fleet(&["clippy", "--all-targets", "--locked", "--quiet"]);
    lints.args(["--", "-D", "warnings"]);
    let mut format = of_fleet(&["fmt"]);
    format.arg("--check");
    let mut engines = Command::new("sh");
    engines
        .args(["-c", ENGINES])
        .arg(program())
        .current_dir(root())
        .env_remove("RUSTFLAGS")
        .stdin(Stdio::null());
    vec![
        ("fleet: format", format),
        ("fleet: lints", lints),
        (
            "fleet: tests",
            of_fleet(&["test", "--locked", "--quiet", "--no-fail-fast"]),
        ),
        ("fleet: S3 and engines", engines),
    ]
}

/// Where the tests' build leaves the program.
fn program() -> String {
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    format!("fleet/target/{triple}/debug/afterpanic-fleet")
}
