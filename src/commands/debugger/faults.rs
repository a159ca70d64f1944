//! Where a released crash is itself wrong, also with the debug vmlinux.
//!
//! Seen with crash 9.0.2 and Debian's 7.2.13 beside the debug vmlinux: `struct module` has lost
//! `num_gpl_syms`, without which crash stops; with `--no_modules` it starts, gives 1970 as the date of the
//! crash, and `bt` shows functions that are not on the stack.

use std::path::Path;
use std::process::{Command, Stdio};
use vmcore::kernel::Kernel;

/// The newest crash that is known to be wrong.
const LAST: [u32; 3] = [9, 0, 2];
/// The option with which it starts all the same.
pub(super) const WITHOUT_MODULES: &str = "--no_modules";

/// Whether this is a kernel that crash up to 9.0.2 does not know.
fn is_unknown(kernel: &Kernel) -> bool {
    kernel.types().is_ok_and(|types| {
        types.find_type("struct module").is_some()
            && types.member("module", "num_syms").is_ok()
            && types.member("module", "num_gpl_syms").is_err()
    })
}

fn what(crash: &str, kernel: &Kernel) -> String {
    let release = kernel.vmcoreinfo().osrelease().unwrap_or("this kernel");
    format!(
        "{crash} does not know Linux {release}, whatever the vmlinux: it stops at its modules without \
         {WITHOUT_MODULES}, its date is wrong, and its bt shows functions that are not on the stack. Next: \
         afterpanic bt, or afterpanic drgn"
    )
}

/// What to say of crash in general; `None`: nothing is known to be wrong.
pub(crate) fn in_general(kernel: &Kernel) -> Option<String> {
    let [major, minor, patch] = LAST;
    is_unknown(kernel).then(|| what(&format!("crash up to {major}.{minor}.{patch}"), kernel))
}

/// What to say of this crash.
pub(super) fn of_program(program: &Path, kernel: &Kernel) -> Option<String> {
    if !is_unknown(kernel) {
        return None;
    }
    let said = Command::new(program)
        .arg("-v")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let version = said.lines().find_map(|line| line.strip_prefix("crash "))?;
    (numbers(version)? <= LAST).then(|| what(&format!("crash {}", version.trim()), kernel))
}

/// `9.0.2++` as numbers.
fn numbers(version: &str) -> Option<[u32; 3]> {
    let mut parts = version.trim().split(|c: char| !c.is_ascii_digit());
    let mut next = || parts.next().and_then(|part| part.parse().ok());
    Some([next()?, next().unwrap_or(0), next().unwrap_or(0)])
}

#[cfg(test)]
mod tests {
    use super::{LAST, numbers};

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(numbers("9.0.2"), Some(LAST));
        assert_eq!(numbers("8.0.10++\n"), Some([8, 0, 10]));
        assert!(numbers("9.0.10") > Some(LAST) && numbers("9.1") > Some(LAST));
        assert!(numbers("8.0.6-3.el9") < Some(LAST));
        assert_eq!(numbers("unknown"), None);
    }
}
