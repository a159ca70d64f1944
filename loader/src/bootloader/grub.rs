//! GRUB where grub-mkconfig reads /etc/default/grub.d: Debian, Ubuntu and their relatives. A file of ours there,
//! then update-grub.
//!
//! Facts: grub-mkconfig of Debian 12 and 13 and Ubuntu: /etc/default/grub, then /etc/default/grub.d/*.cfg
//! in the C locale's order are sourced by sh; the kernel takes the last plain `crashkernel=`. Our file
//! sorts after kdump-tools.cfg, which sets one too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::change::{BootLoaderError, Change, read};
use super::effect::{Effect, Entry, judge, took};
use super::grub_cfg;
use super::kind::BootLoader;
use super::loader::Loader;
use super::machine::Machine;
use super::variables::Variables;
use crate::{crashkernel, root};

const FILE: &str = "/etc/default/grub";
const DIRECTORY: &str = "/etc/default/grub.d";
const OURS: &str = "/etc/default/grub.d/zz-afterpanic.cfg";
/// The name in earlier versions; it sorts before kdump-tools.cfg.
const FORMER: &str = "/etc/default/grub.d/90-afterpanic.cfg";
/// The time that the shell may take to source the files.
const SHELL: Duration = Duration::from_secs(10);

pub(super) struct Grub;

impl Loader for Grub {
    fn kind(&self) -> BootLoader {
        BootLoader::Grub
    }

    fn in_charge(&self, machine: &Machine<'_>) -> bool {
        !machine.not_grub() && reads_directory(machine)
    }

    fn read(&self, machine: &Machine<'_>) -> Result<Vec<Entry>, String> {
        grub_cfg::read(machine)
    }

    fn propose(
        &self,
        machine: &Machine<'_>,
        value: Option<&str>,
    ) -> Result<Change, BootLoaderError> {
        let mut change = propose(machine.root, value)?;
        // The files may be right, and update-grub was not run since.
        let entries = self.read(machine).unwrap_or_default();
        let stale = |value| entries.iter().any(|entry| !took(&entry.cmdline, value));
        if change.is_empty() && !value.is_some_and(stale) {
            return Ok(change);
        }
        if updates(machine) {
            change.run(&["update-grub"]);
            return Ok(change);
        }
        // This layout, but nothing here can make a grub.cfg of it.
        let steps: Vec<String> = (change.edits.iter())
            .map(|edit| match &edit.after {
                Some(text) => {
                    let line = text.lines().last().unwrap_or_default();
                    format!("write to {}: {line}", edit.path.display())
                }
                None => format!("remove {}", edit.path.display()),
            })
            .collect();
        let run = match steps.is_empty() {
            true => "run update-grub".to_owned(),
            false => format!("{}, then run update-grub", steps.join(", then ")),
        };
        Ok(change.by_hand(run))
    }

    /// Evaluates the written files as update-grub does, and looks into the grub.cfg that it wrote. Under
    /// another root nothing was executed and no grub.cfg was written.
    fn verify(&self, machine: &Machine<'_>, value: &str) -> Effect {
        let here = machine.root == Path::new("/");
        let cmdline = if here {
            sourced(&files(machine.root))
        } else {
            evaluated(machine.root)
        };
        match cmdline {
            Err(why) => Effect::Unknown(why),
            Ok(cmdline) if !took(&cmdline, value) => {
                let all = crashkernel::parameters(&cmdline).join(" and ");
                Effect::NotTaken(format!(
                    "the files in {DIRECTORY} together give crashkernel={all}"
                ))
            }
            Ok(_) if here => judge(self.read(machine), value),
            Ok(_) => Effect::Taken,
        }
    }
}

/// Whether a change of the files reaches grub.cfg by Debian's update-grub.
fn updates(machine: &Machine<'_>) -> bool {
    machine.tool("update-grub")
}

/// Whether grub-mkconfig reads /etc/default/grub.d here. Its own text tells; where it is not readable, Debian's
/// update-grub or files in the directory do.
pub(super) fn reads_directory(machine: &Machine<'_>) -> bool {
    let debians = || {
        let dpkg = ["/etc/debian_version", "/var/lib/dpkg"];
        let dpkg = dpkg.iter().any(|path| machine.has(path));
        updates(machine) && (dpkg || machine.has(DIRECTORY) && !is_elsewhere(machine))
    };
    match machine.script("grub-mkconfig") {
        Some(script) if script.is_empty() => debians(),
        Some(script) => script.contains("default/grub.d") && updates(machine),
        None => debians() || files(machine.root).len() > 1 && !is_elsewhere(machine),
    }
}

/// Whether os-release hints at a distribution whose grub-mkconfig reads no directory; asked only where nothing
/// better tells.
fn is_elsewhere(machine: &Machine<'_>) -> bool {
    let text = machine.text("/etc/os-release");
    let ids = text
        .lines()
        .filter(|line| line.starts_with("ID=") || line.starts_with("ID_LIKE="));
    let known = [
        "arch", "suse", "opensuse", "fedora", "rhel", "gentoo", "void", "alpine",
    ];
    ids.flat_map(|line| line.split(['=', '"', '\'', ' ']))
        .any(|id| known.contains(&id))
}

/// The line of our file.
fn line(value: &str) -> String {
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

/// Our file and the one of earlier versions.
fn propose(root: &Path, value: Option<&str>) -> Result<Change, BootLoaderError> {
    let mut change = Change::new(BootLoader::Grub);
    let after = match value {
        Some(value) => {
            check(root, value, &mut change)?;
            Some(text(value))
        }
        None => None,
    };
    change.edit(Path::new(OURS), read(root, Path::new(OURS))?, after);
    let former = Path::new(FORMER);
    change.edit(former, read(root, former)?, None);
    Ok(change)
}

/// Refuses a value that a later file or line undoes, before anything is written, and notes what else sets one.
fn check(root: &Path, value: &str, change: &mut Change) -> Result<(), BootLoaderError> {
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
    Ok(())
}

/// What the files give together, without a shell; the error says why that cannot be told.
fn evaluated(root: &Path) -> Result<String, String> {
    let mut seen = Variables::default();
    for path in files(root) {
        let text = read(root, &path).map_err(|why| why.to_string())?;
        seen.source(&text.unwrap_or_default());
    }
    match &seen.unknown {
        Some(line) => Err(format!("this line needs a shell: {line}")),
        None => Ok(seen.cmdline()),
    }
}

/// The two variables after sh sourced the files, with a clean environment; the error says why that cannot be
/// told.
pub(super) fn sourced(files: &[PathBuf]) -> Result<String, String> {
    let script = "for f in \"$@\"; do [ -e \"$f\" ] && . \"$f\" >/dev/null; done; \
        printf '\\n%s' \"$GRUB_CMDLINE_LINUX $GRUB_CMDLINE_LINUX_DEFAULT\"";
    let failed = |why: std::io::Error| format!("cannot run sh: {why}");
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
            return Err("sourcing the files in sh takes too long".to_owned());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().map_err(failed)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    match text.rsplit_once('\n') {
        Some((_, cmdline)) if output.status.success() => Ok(cmdline.to_owned()),
        _ => Err("sh cannot source the files".to_owned()),
    }
}

#[cfg(test)]
mod tests;
