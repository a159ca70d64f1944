//! extlinux.conf, as U-Boot and extlinux read it: the lines are shown, nothing is written.
//!
//! Facts: "Generic Distribution Configuration" of U-Boot; Debian's u-boot-update(8) makes it from
//! /etc/default/u-boot, Alpine's update-extlinux from /etc/update-extlinux.conf.

use super::change::{BootLoaderError, Change, with_value};
use super::effect::{Entry, took};
use super::kind::BootLoader;
use super::lines;
use super::loader::Loader;
use super::machine::Machine;

const FILES: [&str; 4] = [
    "/boot/extlinux/extlinux.conf",
    "/boot/extlinux.conf",
    "/boot/firmware/extlinux/extlinux.conf",
    "/boot/syslinux/syslinux.cfg",
];
/// What a tool makes the file from: the tool, its file, the variable.
const SOURCES: [(&str, &str, &str); 2] = [
    ("u-boot-update", "/etc/default/u-boot", "U_BOOT_PARAMETERS"),
    (
        "update-extlinux",
        "/etc/update-extlinux.conf",
        "default_kernel_opts",
    ),
];

pub(super) struct Extlinux;

/// What follows `append` in a line.
fn append(line: &str) -> Option<&str> {
    let (word, rest) = line.trim().split_once([' ', '\t'])?;
    word.eq_ignore_ascii_case("append").then_some(rest)
}

fn file(machine: &Machine<'_>) -> Option<&'static str> {
    FILES.into_iter().find(|path| machine.has(path))
}

impl Loader for Extlinux {
    fn kind(&self) -> BootLoader {
        BootLoader::Extlinux
    }

    fn in_charge(&self, machine: &Machine<'_>) -> bool {
        file(machine).is_some()
            && machine.loader_info.is_none()
            && !machine.has("/etc/default/grub")
    }

    fn read(&self, machine: &Machine<'_>) -> Result<Vec<Entry>, String> {
        let path = file(machine).unwrap_or_default();
        Ok(lines::read(machine, path, append))
    }

    fn propose(
        &self,
        machine: &Machine<'_>,
        value: Option<&str>,
    ) -> Result<Change, BootLoaderError> {
        let mut change = Change::new(self.kind());
        let Some(path) = file(machine) else {
            return Ok(change);
        };
        let entries = self.read(machine).unwrap_or_default();
        if value.is_some_and(|value| entries.iter().all(|e| took(&e.cmdline, value)))
            && !entries.is_empty()
        {
            return Ok(change);
        }
        for (tool, source, name) in SOURCES {
            if machine.tool(tool) {
                let text = machine.text(source);
                let old = text
                    .lines()
                    .find_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='));
                let old = old.unwrap_or_default().trim_matches(['"', '\'']);
                let new = with_value(old, value);
                return Ok(
                    change.by_hand(format!("in {source} set {name}=\"{new}\", then run {tool}"))
                );
            }
        }
        lines::edit(machine, path, append, value, &mut change)?;
        Ok(lines::steps(change, path))
    }
}
