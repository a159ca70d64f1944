//! A kernel without types: the questions that need none are answered all the same, and each answer says
//! what is missing.

use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::{Command, Stdio};

/// Verbs, what each must answer, and what it must say that it lacks. The names of a module's functions are where
/// struct module says, which only types tell: bt names those of the kernel proper, from the module's caller to the
/// entry of the system call.
const ASKED: [(&[&str], &[&str], &str); 4] = [
    (&["report"], &["acme_poll"], "BTF"),
    (
        &["bt"],
        &["do_one_initcall", "load_module", "entry_SYSCALL_64"],
        "BTF",
    ),
    (&["pages"], &["free"], "BTF"),
    (&["verify"], &["sound"], "no symbol linux_banner"),
];

/// Asks the core.
///
/// # Errors
/// An answer is missing, or does not name the types that it lacks.
pub(super) fn check(afterpanic: &Path, core: &Path) -> Result<()> {
    for (words, answers, lacks) in ASKED {
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
        for answer in answers {
            ensure!(
                text.contains(answer),
                "{verb} does not say {answer}: {said}"
            );
        }
        ensure!(
            said.contains(lacks),
            "{verb} does not say that it lacks {lacks}: {said}"
        );
    }
    Ok(())
}
