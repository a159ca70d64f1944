//! SUSE: pbl (update-bootloader in earlier versions) for GRUB, sdbootutil for Boot Loader Specification entries.
//!
//! Facts: pbl(8), whose `--del-option` and `--add-option` edit GRUB_CMDLINE_LINUX_DEFAULT in /etc/default/grub,
//! and `--config` writes grub.cfg; LOADER_TYPE in /etc/sysconfig/bootloader; `sdbootutil update-all-entries`
//! writes /etc/kernel/cmdline into every entry. On a transactional system grub.cfg lies in the read-only
//! snapshot: transactional-update(8) makes a new one.

use super::bls;
use super::change::{BootLoaderError, Change};
use super::effect::{Effect, Entry, judge, took};
use super::grub_cfg;
use super::grub_mkconfig::FILE;
use super::kind::BootLoader;
use super::loader::Loader;
use super::machine::Machine;
use super::variables::{Variables, with_value};
use crate::crashkernel;

/// More values than the kernel has forms.
const MOST: usize = 8;

/// GRUB with its own configuration.
pub(super) struct Pbl;

/// Entries: grub2-bls or systemd-boot.
pub(super) struct Sdbootutil;

/// What /etc/sysconfig/bootloader says.
fn loader_type(machine: &Machine<'_>) -> String {
    let text = machine.text("/etc/sysconfig/bootloader");
    let value = text
        .lines()
        .find_map(|l| l.trim().strip_prefix("LOADER_TYPE="));
    value
        .unwrap_or_default()
        .trim_matches(['"', '\''])
        .to_owned()
}

fn is_suse(machine: &Machine<'_>) -> bool {
    let has = |tool| machine.tool(tool);
    (has("pbl") || has("update-bootloader") || machine.has("/usr/lib/bootloader/bootloader_entry"))
        && machine.stub_info.is_none()
}

impl Loader for Sdbootutil {
    fn kind(&self) -> BootLoader {
        BootLoader::Sdbootutil
    }

    fn in_charge(&self, machine: &Machine<'_>) -> bool {
        let by_type = matches!(loader_type(machine).as_str(), "grub2-bls" | "systemd-boot");
        (by_type && is_suse(machine))
            || machine.tool("sdbootutil")
                && !machine.tool("grubby")
                && (machine.says("systemd-boot") || bls::by_grub(machine))
    }

    fn read(&self, machine: &Machine<'_>) -> Result<Vec<Entry>, String> {
        bls::read_entries(machine)
    }

    fn propose(
        &self,
        machine: &Machine<'_>,
        value: Option<&str>,
    ) -> Result<Change, BootLoaderError> {
        const CMDLINE: &str = "/etc/kernel/cmdline";
        let mut change = Change::new(self.kind());
        bls::later_kernels(machine, value, &mut change)?;
        let entries = self.read(machine).unwrap_or_default();
        let done = |entry: &Entry| match value {
            Some(value) => took(&entry.cmdline, value),
            None => !entry.cmdline.contains("crashkernel="),
        };
        if change.edits.is_empty() && !entries.is_empty() && entries.iter().all(done) {
            change.notes.clear();
            return Ok(change);
        }
        if machine.file(CMDLINE)?.is_some() && machine.tool("sdbootutil") {
            change.run(&["sdbootutil", "update-all-entries"]);
            return Ok(change);
        }
        let step = match value {
            Some(value) => format!("add crashkernel={value} to"),
            None => "remove crashkernel= from".to_owned(),
        };
        change.edits.clear();
        Ok(change.by_hand(format!(
            "{step} {CMDLINE}, then run sdbootutil update-all-entries"
        )))
    }
}

impl Loader for Pbl {
    fn kind(&self) -> BootLoader {
        BootLoader::Pbl
    }

    fn in_charge(&self, machine: &Machine<'_>) -> bool {
        is_suse(machine) && !machine.not_grub()
    }

    fn read(&self, machine: &Machine<'_>) -> Result<Vec<Entry>, String> {
        grub_cfg::read(machine)
    }

    fn propose(
        &self,
        machine: &Machine<'_>,
        value: Option<&str>,
    ) -> Result<Change, BootLoaderError> {
        let mut change = Change::new(self.kind());
        let before = machine.file(FILE)?;
        let mut now = Variables::default();
        now.source(before.as_deref().unwrap_or_default());
        let good = |cmdline: &str| match value {
            Some(value) => took(cmdline, value),
            None => !cmdline.contains("crashkernel="),
        };
        let entries = self.read(machine).unwrap_or_default();
        let generated = entries.iter().all(|entry| good(&entry.cmdline));
        if now.unknown.is_none() && before.is_some() && good(&now.cmdline()) && generated {
            return Ok(change);
        }
        if !machine.tool("pbl") {
            let after = with_value(before.as_deref().unwrap_or_default(), value);
            change.edit(std::path::Path::new(FILE), before, Some(after));
            change.run(&["update-bootloader", "--refresh"]);
            return Ok(change);
        }
        // Each call takes one away.
        let there = crashkernel::parameters(&now.cmdline()).len().clamp(1, MOST);
        for _ in 0..there {
            change.run(&["pbl", "--del-option", "crashkernel"]);
        }
        if let Some(value) = value {
            change.run(&["pbl", "--add-option", &format!("crashkernel={value}")]);
        }
        let general = before.as_deref().unwrap_or_default().lines();
        let general = general.filter(|line| line.trim().starts_with("GRUB_CMDLINE_LINUX="));
        if general.filter(|line| line.contains("crashkernel=")).count() > 0 {
            change.notes.push(format!(
                "GRUB_CMDLINE_LINUX in {FILE} has a crashkernel= too, which pbl does not change"
            ));
        }
        if machine.tool("transactional-update") {
            change.run(&["transactional-update", "grub.cfg"]);
            let steps = change.command_line().unwrap_or_default();
            return Ok(change.by_hand(steps));
        }
        change.run(&["pbl", "--config"]);
        Ok(change)
    }

    fn verify(&self, machine: &Machine<'_>, value: &str) -> Effect {
        let mut seen = Variables::default();
        seen.source(&machine.text(FILE));
        match seen.unknown {
            None if !took(&seen.cmdline(), value) => {
                Effect::NotTaken(format!("{FILE} gives: {}", seen.cmdline().trim()))
            }
            _ => judge(self.read(machine), value),
        }
    }
}

#[cfg(test)]
mod tests;
