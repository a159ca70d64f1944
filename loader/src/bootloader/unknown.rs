//! A boot loader that was not recognised: the operator is told the parameter.

use super::change::{BootLoaderError, Change};
use super::effect::Entry;
use super::kind::BootLoader;
use super::loader::Loader;
use super::machine::Machine;
use crate::efi;

pub(super) struct Unknown;

impl Loader for Unknown {
    fn kind(&self) -> BootLoader {
        BootLoader::Unknown
    }

    fn in_charge(&self, _: &Machine<'_>) -> bool {
        true
    }

    fn read(&self, _: &Machine<'_>) -> Result<Vec<Entry>, String> {
        Err("the boot loader was not recognised".to_owned())
    }

    fn propose(
        &self,
        machine: &Machine<'_>,
        value: Option<&str>,
    ) -> Result<Change, BootLoaderError> {
        let mut change = Change::new(self.kind());
        if let Some(info) = &machine.loader_info {
            let what = format!("{info} started this kernel, but its configuration was not found");
            change.notes.push(what);
            if machine.says("systemd-boot") {
                return Ok(change.by_hand(
                    "mount the EFI system partition (at /efi, /boot or /boot/efi), then run this again",
                ));
            }
        } else if efi::started(machine.root) {
            change.notes.push(
                "if the firmware starts the kernel itself (efibootmgr -v), its boot entry holds the command line"
                    .to_owned(),
            );
        }
        let step = match value {
            Some(value) => format!("add crashkernel={value} to"),
            None => "remove crashkernel= from".to_owned(),
        };
        Ok(change.by_hand(format!(
            "{step} the kernel's command line in the boot loader's config"
        )))
    }
}
