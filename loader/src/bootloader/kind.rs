//! The boot loaders and the tools that own their configuration, by name.

use serde::{Deserialize, Serialize};

/// What reads the kernel's command line at boot, or the tool that writes it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum BootLoader {
    /// GRUB with /etc/default/grub.d: Debian, Ubuntu and their relatives.
    Grub,
    /// GRUB that reads /etc/default/grub only: Arch and others.
    GrubMkconfig,
    /// An ostree deployment: rpm-ostree, bootc or ostree owns the entries.
    Ostree,
    /// A unified kernel image, which has its command line inside.
    Uki,
    /// Boot Loader Specification entries that no other tool owns: systemd-boot, or GRUB that reads them.
    Bls,
    /// grubby: Fedora, RHEL and their relatives.
    Grubby,
    /// SUSE's pbl or update-bootloader.
    Pbl,
    /// SUSE with Boot Loader Specification entries, which sdbootutil writes.
    Sdbootutil,
    /// Proxmox with proxmox-boot-tool.
    Proxmox,
    /// Pop!_OS.
    Kernelstub,
    /// extlinux or syslinux, U-Boot among its users.
    Extlinux,
    /// Limine.
    Limine,
    /// rEFInd.
    Refind,
    /// s390x.
    Zipl,
    /// A system whose image or configuration language sets the command line: NixOS, Ubuntu Core …
    Declared,
    /// Not recognised.
    Unknown,
}

impl BootLoader {
    /// Its name for people; empty when it was not recognised.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Grub | Self::GrubMkconfig => "GRUB",
            Self::Ostree => "ostree",
            Self::Uki => "unified kernel image",
            Self::Bls => "boot loader entries",
            Self::Grubby => "grubby",
            Self::Pbl => "pbl",
            Self::Sdbootutil => "sdbootutil",
            Self::Proxmox => "proxmox-boot-tool",
            Self::Kernelstub => "kernelstub",
            Self::Extlinux => "extlinux",
            Self::Limine => "Limine",
            Self::Refind => "rEFInd",
            Self::Zipl => "zipl",
            Self::Declared => "declared command line",
            Self::Unknown => "",
        }
    }
}
