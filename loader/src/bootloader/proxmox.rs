//! Proxmox VE, Backup Server and Mail Gateway whose EFI system partitions proxmox-boot-tool writes: it copies
//! kernels and command line to each of them. Without such partitions they have Debian's GRUB.
//!
//! Facts: "Host Bootloader" in the Proxmox VE manual: /etc/kernel/proxmox-boot-uuids lists the partitions;
//! with systemd-boot the command line is the first line of /etc/kernel/cmdline, with GRUB it comes from
//! /etc/default/grub; `proxmox-boot-tool refresh` brings either to all partitions, which are not mounted.

use super::change::{BootLoaderError, Change, with_value};
use super::effect::{Effect, Entry, judge, took};
use super::grub::Grub;
use super::kind::BootLoader;
use super::loader::Loader;
use super::machine::Machine;

const UUIDS: &str = "/etc/kernel/proxmox-boot-uuids";
const CMDLINE: &str = "/etc/kernel/cmdline";
const REFRESH: [&str; 2] = ["proxmox-boot-tool", "refresh"];

pub(super) struct Proxmox;

/// Whether GRUB, not systemd-boot, starts from these partitions.
fn by_grub(machine: &Machine<'_>) -> bool {
    !machine.says("systemd-boot")
        && (machine.says("GRUB") || machine.parameter("BOOT_IMAGE").is_some())
}

impl Loader for Proxmox {
    fn kind(&self) -> BootLoader {
        BootLoader::Proxmox
    }

    fn in_charge(&self, machine: &Machine<'_>) -> bool {
        machine.tool("proxmox-boot-tool") && !machine.text(UUIDS).trim().is_empty()
    }

    fn read(&self, machine: &Machine<'_>) -> Result<Vec<Entry>, String> {
        if by_grub(machine) {
            return Grub.read(machine);
        }
        let text = machine.text(CMDLINE);
        match text.lines().next() {
            None => Err(format!("{CMDLINE} is missing or empty")),
            Some(line) => Ok(vec![Entry {
                name: CMDLINE.to_owned(),
                cmdline: line.to_owned(),
            }]),
        }
    }

    fn propose(
        &self,
        machine: &Machine<'_>,
        value: Option<&str>,
    ) -> Result<Change, BootLoaderError> {
        let mut change = Change::new(self.kind());
        if by_grub(machine) {
            let debians = Grub.propose(machine, value)?;
            (change.edits, change.notes) = (debians.edits, debians.notes);
        } else {
            let Some(before) = machine.file(CMDLINE)? else {
                let step = match value {
                    Some(value) => format!("write the command line with crashkernel={value} to"),
                    None => "write the command line without crashkernel= to".to_owned(),
                };
                return Ok(
                    change.by_hand(format!("{step} {CMDLINE}, then run {}", REFRESH.join(" ")))
                );
            };
            let (first, rest) = before.split_once('\n').unwrap_or((&before, ""));
            let after = with_value(first, value);
            if after != first {
                let after = format!("{after}\n{rest}");
                change.edit(
                    std::path::Path::new(CMDLINE),
                    Some(before.clone()),
                    Some(after),
                );
            }
        }
        if !change.edits.is_empty() {
            change.run(&REFRESH);
        }
        Ok(change)
    }

    /// The partitions are not mounted. That the source is right and the tool succeeded is what can be known.
    fn verify(&self, machine: &Machine<'_>, value: &str) -> Effect {
        if by_grub(machine) {
            return Grub.verify(machine, value);
        }
        match self.read(machine) {
            Ok(entries) if entries.iter().any(|entry| took(&entry.cmdline, value)) => Effect::Taken,
            entries => judge(entries, value),
        }
    }
}

#[cfg(test)]
mod tests;
