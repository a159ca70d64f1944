//! SELinux: whether systemd may start our programs, and what becomes of files that the capture kernel writes.
//!
//! Facts: a service of init_t may execute types such as bin_t; a file that was copied from a home directory keeps
//! user_home_t and gets "Permission denied". The capture kernel loads no policy: what it writes has no label
//! (unlabeled_t after the reboot) until restorecon(8) sets the one of its directory. /sys/fs/selinux/enforce.

use std::path::Path;

use super::finding::{Examined, Finding, Level, finding};
use crate::{root, stores};

const CHECK: &str = "selinux";
const PROGRAMS: [&str; 2] = [
    "/usr/bin/afterpanic",
    "/usr/lib/afterpanic/afterpanic-capture",
];
/// Types that no service may execute.
const WRONG: [&str; 6] = [
    "user_home_t",
    "user_tmp_t",
    "tmp_t",
    "admin_home_t",
    "unlabeled_t",
    "default_t",
];

/// The type of a file's label: `system_u:object_r:bin_t:s0` has bin_t.
fn type_of(root: &Path, path: &Path) -> Option<String> {
    let mut buffer = [0; 256];
    let path = root::under(root, path);
    let length = rustix::fs::getxattr(&path, "security.selinux", &mut buffer).ok()?;
    let label = String::from_utf8_lossy(buffer.get(..length)?).into_owned();
    label
        .trim_end_matches('\0')
        .split(':')
        .nth(2)
        .map(str::to_owned)
}

pub(super) fn check(on: &Examined<'_>) -> Vec<Finding> {
    let configured = || {
        let text = root::text(on.root, "/etc/selinux/config").unwrap_or_default();
        text.lines().any(|line| line.trim() == "SELINUX=enforcing")
    };
    let enforcing = match root::number(on.root, "/sys/fs/selinux/enforce") {
        Some(enforce) => enforce != 0,
        // Not mounted: what the next boot will do.
        None if configured() => true,
        None => return Vec::new(),
    };
    let mut out = Vec::new();
    for path in PROGRAMS {
        let label = type_of(on.root, Path::new(path));
        if let Some(label) = label.filter(|label| WRONG.contains(&label.as_str())) {
            let level = if enforcing { Level::Fail } else { Level::Warn };
            out.push(
                finding(
                    CHECK,
                    level,
                    format!("{path} is labelled {label}: SELinux does not let systemd start it"),
                )
                .fix("restorecon -Rv /usr/bin/afterpanic /usr/lib/afterpanic"),
            );
        }
    }
    if enforcing {
        let paths = stores::stores(on.config, on.root).paths;
        let prefix = on.root.to_string_lossy().trim_end_matches('/').to_owned();
        let first = paths
            .first()
            .map(|path| path.to_string_lossy().into_owned());
        let store = first.map(|path| path.strip_prefix(&prefix).unwrap_or(&path).to_owned());
        let store = store.unwrap_or_else(|| "/var/crash".to_owned());
        out.push(
            finding(CHECK, Level::Note, "SELinux is enforcing: the capture kernel has no policy, so a new crash directory has no label and confined programs cannot read it")
                .fix(format!("restorecon -R {store} after a crash")),
        );
    }
    out
}
