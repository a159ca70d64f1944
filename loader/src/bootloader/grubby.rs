//! grubby, which owns the boot entries of Fedora, RHEL and their relatives (and sdubby, which has its name, for
//! systemd-boot).
//!
//! Facts: grubby(8); `--args` replaces a parameter of the same name. /etc/kernel/cmdline, where it exists, is what
//! entries of later kernels are made from (kernel-install(8), 20-grub.install).

use super::bls;
use super::change::{BootLoaderError, Change};
use super::effect::{Entry, took};
use super::grub_cfg;
use super::kind::BootLoader;
use super::loader::Loader;
use super::machine::Machine;
use crate::crashkernel;

pub(super) struct Grubby;

impl Loader for Grubby {
    fn kind(&self) -> BootLoader {
        BootLoader::Grubby
    }

    fn in_charge(&self, machine: &Machine<'_>) -> bool {
        machine.tool("grubby") && machine.stub_info.is_none() && !machine.says("Limine")
    }

    fn read(&self, machine: &Machine<'_>) -> Result<Vec<Entry>, String> {
        let entries = bls::read_entries(machine)?;
        match entries.is_empty() {
            true => grub_cfg::read(machine),
            false => Ok(entries),
        }
    }

    fn propose(
        &self,
        machine: &Machine<'_>,
        value: Option<&str>,
    ) -> Result<Change, BootLoaderError> {
        let mut change = Change::new(self.kind());
        let entries = self.read(machine).unwrap_or_default();
        let done = |entry: &Entry| match value {
            Some(value) => took(&entry.cmdline, value),
            None => !entry.cmdline.contains("crashkernel="),
        };
        if entries.is_empty() || !entries.iter().all(done) {
            let what = match value {
                Some(value) => format!("--args=crashkernel={value}"),
                None => "--remove-args=crashkernel".to_owned(),
            };
            // `--args` replaces one parameter; of several none may stay.
            let several = |entry: &Entry| crashkernel::parameters(&entry.cmdline).len() > 1;
            if value.is_some() && entries.iter().any(several) {
                change.run(&["grubby", "--update-kernel=ALL", "--remove-args=crashkernel"]);
            }
            change.run(&["grubby", "--update-kernel=ALL", &what]);
        }
        bls::later_kernels(machine, value, &mut change)?;
        Ok(change)
    }
}

#[cfg(test)]
mod tests;
