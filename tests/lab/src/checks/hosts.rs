//! One core, read by our program on machines of two architectures: the answers are the same, byte for byte.
//! The other machine's program runs under QEMU's emulation of user mode.

use super::found::Found;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::{Command, Stdio};

/// What is asked; the core's path stands behind.
const QUESTIONS: [&[&str]; 7] = [
    &["report"],
    &["report", "--json"],
    &["signature"],
    &["dmesg"],
    &["info"],
    &["bt", "--all"],
    &["ps"],
];

/// The answers of the programs for other architectures that were built are those of this machine's.
pub(super) fn check(found: &Found<'_>, core: &Path) -> Result<()> {
    ensure!(!found.others.is_empty(), "no program of another machine");
    for (arch, program) in &found.others {
        let mut bytes = 0;
        for question in QUESTIONS {
            let mut own = Command::new(&found.binaries.afterpanic);
            let mut other = Command::new(format!("qemu-{arch}-static"));
            let own = answer(own.args(question).arg(core))?;
            let other = answer(other.arg(program).args(question).arg(core))?;
            let shown = question.join(" ");
            let at = own.iter().zip(&other).take_while(|(a, b)| a == b).count();
            ensure!(
                own == other,
                "{shown}: the program of {arch} says something else at byte {at} of {}",
                own.len()
            );
            ensure!(!own.is_empty(), "{shown} says nothing");
            bytes += own.len();
        }
        eprintln!("lab: {arch} and this machine give the same {bytes} bytes");
    }
    Ok(())
}

/// What a program says on its stdout. How it ends is part of it.
fn answer(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output();
    let output = output.with_context(|| {
        format!(
            "{} cannot be run; it is in Debian's package qemu-user-static",
            command.get_program().display()
        )
    })?;
    let mut said = output.stdout;
    said.extend(format!("{}", output.status).bytes());
    Ok(said)
}
