//! Debian's GRUB: a file of ours in /etc/default/grub.d, and update-grub.
//!
//! Facts: grub-mkconfig of Debian 12 and 13 and Ubuntu: /etc/default/grub, then /etc/default/grub.d/*.cfg
//! in the C locale's order are sourced by sh; the kernel takes the last plain `crashkernel=`. Our file
//! sorts after kdump-tools.cfg, which sets one too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::change::{BootLoader, BootLoaderError, Change, Edit, read};
use super::variables::Variables;
use crate::{crashkernel, root};

const FILE: &str = "/etc/default/grub";
const DIRECTORY: &str = "/etc/default/grub.d";
pub(super) const OURS: &str = "/etc/default/grub.d/zz-afterpanic.cfg";
/// The name in earlier versions; it sorts before kdump-tools.cfg.
const FORMER: &str = "/etc/default/grub.d/90-afterpanic.cfg";
/// The time that the shell may take to source the files.
const SHELL: Duration = Duration::from_secs(10);

/// Whether Debian's update-grub is there, which reads /etc/default/grub.d.
pub(super) fn is_debians(root: &Path) -> bool {
    if root::tool(root, "update-grub").is_none() {
        return false;
    }
    let mkconfig = root::tool(root, "grub-mkconfig");
    let mkconfig = mkconfig.and_then(|path| root::text(root, path).ok());
    match mkconfig.filter(|text| !text.is_empty()) {
        Some(script) => script.contains("default/grub.d"),
        None => ["/etc/debian_version", "/var/lib/dpkg", DIRECTORY]
            .iter()
            .any(|path| root::under(root, path).exists()),
    }
}

/// Whether files in /etc/default/grub.d are read here: there are some, and grub-mkconfig does not say
/// otherwise.
pub(super) fn has_directory(root: &Path) -> bool {
    let mkconfig = root::tool(root, "grub-mkconfig");
    let mkconfig = mkconfig.and_then(|path| root::text(root, path).ok());
    let ignores = mkconfig.is_some_and(|script| !script.contains("default/grub.d"));
    files(root).len() > 1 && !ignores
}

/// The line of our file.
pub(super) fn line(value: &str) -> String {
    format!("GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT crashkernel={value}\"")
}

fn text(value: &str) -> String {
    format!(
        "# Written by `afterpanic reserve`: memory for the capture kernel.\n{}\n",
        line(value)
    )
}

/// The files in the order in which update-grub sources them.
fn files(root: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(root::under(root, DIRECTORY))
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| Path::new(DIRECTORY).join(e.file_name()))
        .filter(|p| p.extension().is_some_and(|e| e == "cfg"))
        .collect();
    files.sort();
    files.insert(0, PathBuf::from(FILE));
    files
}

pub(super) fn propose(root: &Path, value: &str) -> Result<Change, BootLoaderError> {
    let mut change = Change::new(BootLoader::Grub);
    let after = text(value);
    let mut order = files(root);
    order.retain(|path| path != Path::new(OURS) && path != Path::new(FORMER));
    order.push(PathBuf::from(OURS));
    order.get_mut(1..).unwrap_or_default().sort();
    // Evaluated as it will be: a file or a line that undoes ours is found before anything is written.
    let mut seen = Variables::default();
    let mut ours_read = false;
    for path in &order {
        if path == Path::new(OURS) {
            seen.source(&after);
            ours_read = true;
            continue;
        }
        let Some(text) = read(root, path)? else {
            continue;
        };
        let before = took(&seen.cmdline(), value);
        seen.source(&text);
        let sets = text
            .lines()
            .map(str::trim)
            .rfind(|l| l.contains("GRUB_CMDLINE_LINUX") && !l.starts_with('#'));
        if ours_read && before && !took(&seen.cmdline(), value) {
            return Err(BootLoaderError::Conflict {
                path: path.clone(),
                line: sets.unwrap_or_default().to_owned(),
            });
        }
        if !ours_read && sets.is_some_and(|l| l.contains("crashkernel=")) {
            change.notes.push(format!(
                "{} sets crashkernel= too; ours comes later and wins",
                path.display()
            ));
        }
    }
    if !took(&seen.cmdline(), value) && seen.unknown.is_none() {
        // `,high` or `,low` against a plain value elsewhere: the kernel takes the plain one.
        let plain = crashkernel::parameters(&seen.cmdline());
        return Err(BootLoaderError::Conflict {
            path: PathBuf::from(FILE),
            line: format!("crashkernel={}", plain.first().cloned().unwrap_or_default()),
        });
    }
    if let Some(line) = seen.unknown {
        change.notes.push(format!(
            "this line needs a shell, so its effect is known only after --apply: {line}"
        ));
    }
    let before = read(root, Path::new(OURS))?;
    if before.as_deref() != Some(after.as_str()) {
        change.edits.push(Edit {
            path: PathBuf::from(OURS),
            before,
            after: Some(after),
        });
    }
    if let Some(before) = read(root, Path::new(FORMER))? {
        change.edits.push(Edit {
            path: PathBuf::from(FORMER),
            before: Some(before),
            after: None,
        });
    }
    if !change.edits.is_empty() {
        change.command = Some(vec!["update-grub".to_owned()]);
    }
    Ok(change)
}

/// Whether a kernel with this command line takes the value: the last of its form, and no plain value
/// beside `,high`, `,low` or `,cma` (the kernel prefers the plain one).
fn took(cmdline: &str, value: &str) -> bool {
    let form = |v: &str| {
        [",high", ",low", ",cma"]
            .into_iter()
            .find(|f| v.ends_with(f))
    };
    let all = crashkernel::parameters(cmdline);
    let last = all.iter().rfind(|v| form(v) == form(value));
    let plain = all.iter().any(|v| form(v).is_none());
    last.is_some_and(|last| last == value) && (form(value).is_none() || !plain)
}

/// What GRUB makes of the written files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The next boot has the value.
    Taken,
    /// It has not, for this reason.
    NotTaken(String),
    /// It cannot be told, for this reason.
    Unknown(String),
}

/// Evaluates the written files as update-grub does, and looks into the grub.cfg that it wrote. Under
/// another root nothing is executed and no grub.cfg was written.
#[must_use]
pub fn effect(root: &Path, value: &str) -> Effect {
    let cmdline = if root == Path::new("/") {
        sourced(&files(root))
    } else {
        let mut seen = Variables::default();
        for path in files(root) {
            seen.source(&root::text(root, path).unwrap_or_default());
        }
        match &seen.unknown {
            Some(line) => Err(Effect::Unknown(format!("this line needs a shell: {line}"))),
            None => Ok(seen.cmdline()),
        }
    };
    match cmdline {
        Err(unknown) => return unknown,
        Ok(cmdline) if !took(&cmdline, value) => {
            let all = crashkernel::parameters(&cmdline).join(" and ");
            return Effect::NotTaken(format!(
                "the files in {DIRECTORY} together give crashkernel={all}"
            ));
        }
        Ok(_) => {}
    }
    let written = root::text(root, "/boot/grub/grub.cfg").unwrap_or_default();
    match root == Path::new("/") && !written.is_empty() {
        true => in_grub_cfg(&written, value),
        false => Effect::Taken,
    }
}

/// The first normal entry of a grub.cfg.
fn in_grub_cfg(text: &str, value: &str) -> Effect {
    let entry = (text.lines().map(str::trim)).find_map(|l| l.strip_prefix("linux"));
    match entry {
        Some(linux) if took(linux, value) => Effect::Taken,
        Some(_) => Effect::NotTaken(format!(
            "the first entry of /boot/grub/grub.cfg has no crashkernel={value}"
        )),
        None => Effect::Unknown("/boot/grub/grub.cfg has no linux line".to_owned()),
    }
}

/// The two variables after sh sourced the files, with a clean environment; the error is
/// [`Effect::Unknown`].
fn sourced(files: &[PathBuf]) -> Result<String, Effect> {
    let script = "for f in \"$@\"; do [ -e \"$f\" ] && . \"$f\" >/dev/null; done; \
        printf '\\n%s' \"$GRUB_CMDLINE_LINUX $GRUB_CMDLINE_LINUX_DEFAULT\"";
    let failed = |why: std::io::Error| Effect::Unknown(format!("cannot run sh: {why}"));
    let mut child = Command::new("/bin/sh")
        .args(["-c", script, "sh"])
        .args(files)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let end = Instant::now() + SHELL;
    while child.try_wait().map_err(failed)?.is_none() {
        if Instant::now() > end {
            let _ = child.kill();
            let _ = child.wait();
            return Err(Effect::Unknown(
                "sourcing the files in sh takes too long".to_owned(),
            ));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().map_err(failed)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    match text.rsplit_once('\n') {
        Some((_, cmdline)) if output.status.success() => Ok(cmdline.to_owned()),
        _ => Err(Effect::Unknown("sh cannot source the files".to_owned())),
    }
}

#[cfg(test)]
mod tests;
