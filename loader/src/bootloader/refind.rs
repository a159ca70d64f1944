//! rEFInd: the lines are shown, nothing is written.
//!
//! Facts: "Configuring the Boot Manager" of rEFInd 0.14: refind_linux.conf beside the kernel has lines of a
//! quoted title and quoted options; a stanza of refind.conf has `options "…"`.

use super::change::{BootLoaderError, Change};
use super::effect::{Entry, took};
use super::grub_cfg;
use super::kind::BootLoader;
use super::lines::{self, Part};
use super::loader::Loader;
use super::machine::Machine;

const LINUX: &str = "/boot/refind_linux.conf";
const STANZAS: [&str; 3] = [
    "/boot/efi/EFI/refind/refind.conf",
    "/efi/EFI/refind/refind.conf",
    "/boot/EFI/refind/refind.conf",
];

pub(super) struct Refind;

/// The options of a line of refind_linux.conf; the one for single-user mode is left.
fn options(line: &str) -> Option<&str> {
    let line = line.trim();
    if !line.starts_with('"') {
        return None;
    }
    let options = line.split('"').nth(3)?;
    (!options.split(' ').any(|word| word == "single")).then_some(options)
}

/// The options of a stanza's line.
fn stanza(line: &str) -> Option<&str> {
    let rest = line.trim().strip_prefix("options")?;
    Some(rest.trim().trim_matches('"'))
}

fn file(machine: &Machine<'_>) -> Option<(&'static str, Part)> {
    if machine.has(LINUX) {
        return Some((LINUX, options));
    }
    let path = STANZAS.into_iter().find(|path| machine.has(path))?;
    Some((path, stanza))
}

impl Loader for Refind {
    fn kind(&self) -> BootLoader {
        BootLoader::Refind
    }

    fn in_charge(&self, machine: &Machine<'_>) -> bool {
        let unsaid = machine.loader_info.is_none() && machine.parameter("BOOT_IMAGE").is_none();
        machine.says("rEFInd")
            || unsaid
                && machine.stub_info.is_none()
                && file(machine).is_some()
                && grub_cfg::files(machine).is_empty()
    }

    fn read(&self, machine: &Machine<'_>) -> Result<Vec<Entry>, String> {
        match file(machine) {
            Some((path, part)) => Ok(lines::read(machine, path, part)),
            None => Err(format!("{LINUX} was not found")),
        }
    }

    fn propose(
        &self,
        machine: &Machine<'_>,
        value: Option<&str>,
    ) -> Result<Change, BootLoaderError> {
        let mut change = Change::new(self.kind());
        let entries = self.read(machine).unwrap_or_default();
        if value.is_some_and(|value| entries.iter().all(|e| took(&e.cmdline, value)))
            && !entries.is_empty()
        {
            return Ok(change);
        }
        let Some((path, part)) = file(machine) else {
            let value = value.unwrap_or("VALUE");
            let running = super::change::with_value(&machine.words.join(" "), Some(value));
            return Ok(change.by_hand(format!(
                "write this line to {LINUX}: \"Boot with standard options\" \"{running}\""
            )));
        };
        lines::edit(machine, path, part, value, &mut change)?;
        Ok(lines::steps(change, path))
    }
}
