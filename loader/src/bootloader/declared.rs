//! Systems whose image or configuration language sets the command line, so that any file written here is
//! replaced: the line to declare is shown.
//!
//! Facts: NixOS manual (`boot.kernelParams`, `boot.crashDump`); Guix manual (`kernel-arguments`); Ubuntu Core
//! (`system.kernel.cmdline-append`); ABroot of Vanilla OS (`abroot kargs edit`); Flatcar (`/oem/grub.cfg`);
//! lilo.conf(5); SONiC (`config kdump`); Photon OS (/boot/photon.cfg); Raspberry Pi (cmdline.txt); Clear Linux
//! (/etc/kernel/cmdline.d, clr-boot-manager).

use super::change::{BootLoaderError, Change};
use super::effect::Entry;
use super::kind::BootLoader;
use super::loader::Loader;
use super::machine::Machine;

/// Whether the machine is such a system.
type Shows = fn(&Machine<'_>) -> bool;

/// What shows the system, and what to do there; `{}` is the value.
const SYSTEMS: [(Shows, &str); 11] = [
    (
        |m| m.has("/etc/NIXOS") || m.has("/nix/var/nix/profiles/system"),
        "add boot.kernelParams = [ \"crashkernel={}\" ]; to /etc/nixos/configuration.nix, then run nixos-rebuild boot",
    ),
    (
        |m| m.has("/var/guix/profiles/system") || m.has("/run/current-system/guix"),
        "add \"crashkernel={}\" to kernel-arguments of the operating-system in /etc/config.scm, then run guix system reconfigure /etc/config.scm",
    ),
    (
        |m| m.parameter("snapd_recovery_mode").is_some() || m.has("/run/mnt/ubuntu-boot"),
        "snap set system system.kernel.cmdline-append=\"crashkernel={}\" (the gadget snap must allow it)",
    ),
    (
        |m| m.tool("abroot"),
        "abroot kargs edit, and add crashkernel={} there",
    ),
    (
        |m| {
            m.has("/oem/grub.cfg")
                || m.has("/usr/share/oem/grub.cfg")
                || m.parameter("flatcar.oem.id").is_some()
        },
        "add this line to /oem/grub.cfg: set linux_append=\"$linux_append crashkernel={}\"",
    ),
    (
        |m| {
            m.has("/etc/sonic")
                || m.parameter("loop")
                    .is_some_and(|image| image.starts_with("image"))
        },
        "add crashkernel={} to the linux lines of /host/grub/grub.cfg (`config kdump memory` sets it for SONiC's own kdump)",
    ),
    (
        |m| m.has("/boot/photon.cfg"),
        "add crashkernel={} to photon_cmdline= in /boot/photon.cfg",
    ),
    (
        |m| m.has("/boot/firmware/cmdline.txt") && m.loader_info.is_none(),
        "add crashkernel={} to the line of /boot/firmware/cmdline.txt",
    ),
    (
        |m| m.has("/boot/cmdline.txt") && m.has("/boot/config.txt") && m.loader_info.is_none(),
        "add crashkernel={} to the line of /boot/cmdline.txt",
    ),
    (
        |m| m.tool("lilo") && m.has("/etc/lilo.conf") && !m.has("/etc/default/grub"),
        "add crashkernel={} to append= in /etc/lilo.conf, then run lilo",
    ),
    (
        |m| m.tool("clr-boot-manager"),
        "write crashkernel={} to /etc/kernel/cmdline.d/crashkernel.conf, then run clr-boot-manager update",
    ),
];

pub(super) struct Declared;

fn step(machine: &Machine<'_>) -> Option<&'static str> {
    let found = SYSTEMS.iter().find(|(shows, _)| shows(machine));
    found.map(|(_, step)| *step)
}

impl Loader for Declared {
    fn kind(&self) -> BootLoader {
        BootLoader::Declared
    }

    fn in_charge(&self, machine: &Machine<'_>) -> bool {
        step(machine).is_some()
    }

    fn read(&self, _: &Machine<'_>) -> Result<Vec<Entry>, String> {
        Err("the system's own configuration sets the command line".to_owned())
    }

    fn propose(
        &self,
        machine: &Machine<'_>,
        value: Option<&str>,
    ) -> Result<Change, BootLoaderError> {
        let change = Change::new(self.kind());
        let step = step(machine).unwrap_or_default();
        Ok(match value {
            Some(value) => change.by_hand(step.replace("{}", value)),
            None => change.by_hand(format!(
                "remove crashkernel= where it was put: {}",
                step.replace("{}", "VALUE")
            )),
        })
    }
}
