//! The boot configuration: which boot loader is in charge, and how `crashkernel=` gets into it and out again.
//!
//! One file a boot loader, behind one trait: recognise, read, propose, verify. What is in charge is told by what
//! started this kernel (EFI variables, BOOT_IMAGE) and by the tools and files that are there, never by the
//! distribution's name. Files are written and tools run only where it is certain that the next boot reads them;
//! everywhere else the exact steps are shown and nothing is changed.

mod bls;
mod change;
mod choice;
mod declared;
mod effect;
mod extlinux;
mod grub;
mod grub_cfg;
mod grub_mkconfig;
mod grubby;
mod kernelstub;
mod kind;
mod limine;
mod lines;
mod loader;
mod machine;
mod ostree;
mod pbl;
mod proxmox;
pub(crate) mod record;
mod refind;
mod uki;
mod undo;
mod unknown;
mod variables;
mod zipl;

use std::path::Path;

pub use change::{BootLoaderError, Change, Edit, apply};
pub use effect::Effect;
pub use kind::BootLoader;
pub use record::Reserved;
pub use undo::{Undo, UndoError, forget, keep, propose as propose_undo, still_there};

use choice::in_charge;
use machine::Machine;

/// Finds what is in charge of the boot configuration of the machine under `root`.
#[must_use]
pub fn detect(root: &Path) -> BootLoader {
    in_charge(&Machine::read(root)).kind()
}

/// The change that makes the next boot reserve `value`; an empty one when it already does.
///
/// # Errors
/// When the configuration cannot be read, or something later in it overrides the value.
pub fn propose(root: &Path, value: &str) -> Result<Change, BootLoaderError> {
    let machine = Machine::read(root);
    in_charge(&machine).propose(&machine, Some(value))
}

/// What the next boot will have, from what the boot loader will read.
#[must_use]
pub fn effect(root: &Path, value: &str) -> Effect {
    let machine = Machine::read(root);
    in_charge(&machine).verify(&machine, value)
}

/// The values of `crashkernel=` that the next boot will have, as far as the configuration can be read: those of
/// the entry that asks for the least. Empty: none, or unknown.
pub(crate) fn next_boot(root: &Path) -> Vec<String> {
    let machine = Machine::read(root);
    let entries = in_charge(&machine).read(&machine).unwrap_or_default();
    let values = entries
        .iter()
        .map(|entry| crate::crashkernel::parameters(&entry.cmdline));
    values.min_by_key(Vec::len).unwrap_or_default()
}

#[cfg(test)]
mod tests;
