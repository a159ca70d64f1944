//! A kernel without types: the questions that need none are answered all the same, and each answer says
//! what is missing.

use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::{Command, Stdio};

/// Verbs, and what each must answer.
const ASKED: [(&[&str], &str); 3] = [
    (&["report"], "acme_poll"),
    (&["bt"], "acme_poll"),
    (&["pages"], "free"),
];

/// Asks the core.
///
/// # Errors
/// An answer is missing, or does not name the types that it lacks.
pub(super) fn check(afterpanic: &Path, core: &Path) -> Result<()> {
    for (words, answer) in ASKED {
        let verb = words.join(" ");
        let asked = Command::new(afterpanic)
            .args(words)
            .arg(core)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("Cannot run {}", afterpanic.display()))?;
        let text = String::from_utf8_lossy(&asked.stdout).into_owned();
        let said = format!("{text}{}", String::from_utf8_lossy(&asked.stderr));
        // 4: done, degraded.
        ensure!(
            matches!(asked.status.code(), Some(0 | 4)),
            "{verb}: {}: {said}",
            asked.status
        );
        ensure!(
            text.contains(answer),
            "{verb} does not say {answer}: {said}"
        );
        ensure!(
            said.contains("BTF"),
            "{verb} does not say that there is no BTF: {said}"
        );
    }
    Ok(())
}
