//! Limine: the lines are shown, nothing is written.
//!
//! Facts: CONFIG.md of Limine 8 and 9 (`cmdline:` or `kernel_cmdline:` in limine.conf; `CMDLINE=` in limine.cfg
//! before); limine-entry-tool of Arch's relatives makes it from KERNEL_CMDLINE[default] in /etc/default/limine.

use super::change::{BootLoaderError, Change};
use super::effect::{Entry, took};
use super::grub_cfg;
use super::kind::BootLoader;
use super::lines;
use super::loader::Loader;
use super::machine::Machine;

const FILES: [&str; 10] = [
    "/boot/limine.conf",
    "/boot/limine/limine.conf",
    "/boot/EFI/limine/limine.conf",
    "/boot/EFI/BOOT/limine.conf",
    "/boot/efi/limine.conf",
    "/boot/efi/EFI/limine/limine.conf",
    "/efi/limine.conf",
    "/efi/EFI/limine/limine.conf",
    "/boot/limine.cfg",
    "/boot/limine/limine.cfg",
];

pub(super) struct Limine;

fn cmdline(line: &str) -> Option<&str> {
    let line = line.trim();
    let (name, rest) = line.split_once([':', '='])?;
    let known = ["cmdline", "kernel_cmdline"];
    known
        .iter()
        .any(|known| name.trim().eq_ignore_ascii_case(known))
        .then_some(rest.trim())
}

fn file(machine: &Machine<'_>) -> Option<&'static str> {
    FILES.into_iter().find(|path| machine.has(path))
}

impl Loader for Limine {
    fn kind(&self) -> BootLoader {
        BootLoader::Limine
    }

    fn in_charge(&self, machine: &Machine<'_>) -> bool {
        let unsaid = machine.loader_info.is_none() && machine.parameter("BOOT_IMAGE").is_none();
        machine.says("Limine")
            || unsaid
                && machine.stub_info.is_none()
                && file(machine).is_some()
                && grub_cfg::files(machine).is_empty()
    }

    fn read(&self, machine: &Machine<'_>) -> Result<Vec<Entry>, String> {
        match file(machine) {
            Some(path) => Ok(lines::read(machine, path, cmdline)),
            None => Err("limine.conf was not found".to_owned()),
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
        if machine.tool("limine-update") || machine.tool("limine-entry-tool") {
            let step = match value {
                Some(value) => format!(
                    "add this line to /etc/default/limine: KERNEL_CMDLINE[default]+=\" crashkernel={value}\""
                ),
                None => "remove crashkernel= from KERNEL_CMDLINE in /etc/default/limine".to_owned(),
            };
            return Ok(change.by_hand(format!("{step}, then run limine-update")));
        }
        let path = file(machine).unwrap_or("limine.conf");
        lines::edit(machine, path, cmdline, value, &mut change)?;
        Ok(lines::steps(change, path))
    }
}
