//! Whether a target that takes crash directories after the reboot takes them now.

use super::finding::{Examined, Finding, Level, chain, finding, size};
use super::server::write_and_remove;
use super::target::{lies_open, open_on};
use crate::remote::{self, RemoteError};
use crate::shipping;
use config::Target;
use nix::errno::Errno;
use std::path::Path;

const CHECK: &str = "target";

/// One finding a target with `at_boot`, and one where what goes there is not sealed.
pub(super) fn check(on: &Examined<'_>) -> Vec<Finding> {
    let sealed = !on.config.dump.recipients.is_empty();
    let mut out = Vec::new();
    for (place, target) in shipping::targets(on.config) {
        out.push(probe(on.root, &place, target));
        out.extend((!sealed).then(|| match target.ssh {
            Some(_) => lies_open(&place),
            None => open_on(&place),
        }));
    }
    out
}

/// Opens the target as `collect --ship` does, writes, renames and removes a directory.
fn probe(on: &Path, name: &str, target: &Target) -> Finding {
    let name = format!("{name}, after the reboot");
    let denied = |error: &std::io::Error| error.kind() == std::io::ErrorKind::PermissionDenied;
    match remote::open(on, target) {
        Ok(opened) => match write_and_remove(opened.store.place()) {
            Ok(free) => finding(
                CHECK,
                Level::Ok,
                format!("{name}: written, renamed and removed; {} free", size(free)),
            ),
            Err(error) => failed(&name, &error.to_string()),
        },
        Err(RemoteError::Key { source, .. }) if denied(&source) => finding(
            CHECK,
            Level::NotMade,
            format!("{name}: not checked (only root can read the key)"),
        ),
        Err(RemoteError::Mount {
            errno: Errno::EPERM,
            ..
        }) => finding(
            CHECK,
            Level::NotMade,
            format!("{name}: not checked (only root can mount it)"),
        ),
        Err(error) => failed(&name, &chain(&error)),
    }
}

/// What is saved here stays here until the server takes it.
fn failed(name: &str, why: &str) -> Finding {
    let text = format!("{name}: {why}; crashes stay on this machine until then");
    finding(CHECK, Level::Warn, text).fix("mend it, then: sudo afterpanic collect --ship")
}
