//! Which boot loader starts this machine.

use super::bls::Bls;
use super::declared::Declared;
use super::extlinux::Extlinux;
use super::grub::Grub;
use super::grub_mkconfig::GrubMkconfig;
use super::grubby::Grubby;
use super::kernelstub::Kernelstub;
use super::limine::Limine;
use super::loader::Loader;
use super::machine::Machine;
use super::ostree::Ostree;
use super::pbl::{Pbl, Sdbootutil};
use super::proxmox::Proxmox;
use super::refind::Refind;
use super::uki::Uki;
use super::unknown::Unknown;
use super::zipl::Zipl;

/// In the order in which they are asked: the owner of a machine's command line before the boot loader that
/// reads it, and what says so itself before what left files behind.
const LOADERS: [&dyn Loader; 15] = [
    &Ostree,
    &Declared,
    &Proxmox,
    &Uki,
    &Grubby,
    &Sdbootutil,
    &Pbl,
    &Kernelstub,
    &Zipl,
    &Bls,
    &Limine,
    &Refind,
    &Grub,
    &Extlinux,
    &GrubMkconfig,
];

/// What starts this machine.
pub(super) fn in_charge(machine: &Machine<'_>) -> &'static dyn Loader {
    let found = LOADERS.iter().find(|loader| loader.in_charge(machine));
    found.copied().unwrap_or(&Unknown)
}
