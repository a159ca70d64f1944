//! kernelstub, which owns the boot entries of Pop!_OS.
//!
//! Facts: kernelstub(8): `--add-options`, `--delete-options`; it writes /etc/kernelstub/configuration and the
//! entries on the EFI system partition.

use super::bls;
use super::change::{BootLoaderError, Change};
use super::effect::{Entry, took};
use super::kind::BootLoader;
use super::loader::Loader;
use super::machine::Machine;
use crate::crashkernel;

pub(super) struct Kernelstub;

impl Loader for Kernelstub {
    fn kind(&self) -> BootLoader {
        BootLoader::Kernelstub
    }

    fn in_charge(&self, machine: &Machine<'_>) -> bool {
        machine.tool("kernelstub")
            && machine.has("/etc/kernelstub/configuration")
            && !machine.says("GRUB")
            && machine.parameter("BOOT_IMAGE").is_none()
    }

    /// Its entries are named after the system, without a machine id: the one whose `root=` is this one's.
    fn read(&self, machine: &Machine<'_>) -> Result<Vec<Entry>, String> {
        let mut entries = bls::all(machine);
        let root = machine.parameter("root").unwrap_or_default();
        entries.retain(|entry| !root.is_empty() && entry.cmdline.contains(&format!("root={root}")));
        Ok(entries)
    }

    fn propose(
        &self,
        machine: &Machine<'_>,
        value: Option<&str>,
    ) -> Result<Change, BootLoaderError> {
        let mut change = Change::new(self.kind());
        let entries = self.read(machine).unwrap_or_default();
        let all: String = entries
            .iter()
            .map(|entry| format!("{} ", entry.cmdline))
            .collect();
        let mut now = crashkernel::parameters(&all);
        now.sort();
        now.dedup();
        if value.is_some_and(|value| entries.iter().all(|e| took(&e.cmdline, value)))
            && !entries.is_empty()
        {
            return Ok(change);
        }
        for old in now.iter().filter(|old| Some(old.as_str()) != value) {
            change.run(&[
                "kernelstub",
                "--delete-options",
                &format!("crashkernel={old}"),
            ]);
        }
        if let Some(value) = value {
            change.run(&[
                "kernelstub",
                "--add-options",
                &format!("crashkernel={value}"),
            ]);
        }
        Ok(change)
    }
}
