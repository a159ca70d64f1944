//! The Debian packages that building and booting need: installed when that is possible, else named.

use crate::apt;
use crate::run::root;
use anyhow::{Result, bail};
use std::path::Path;
use std::process::Command;

/// What has to be there, and the package that brings it. A path with a slash is a file.
pub(crate) type Needs = &'static [(&'static str, &'static str)];

/// What building, and booting machines, needs.
pub(crate) const MACHINES: Needs = &[
    ("cc", "gcc"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    (
        "/usr/share/seabios/bios-256k.bin|/usr/share/qemu/bios-256k.bin",
        "seabios",
    ),
    ("/usr/share/qemu/linuxboot_dma.bin", "qemu-system-data"),
    ("depmod", "kmod"),
    ("mkfs.ext4", "e2fsprogs"),
    ("debugfs", "e2fsprogs"),
    ("mkfs.xfs", "xfsprogs"),
    ("mkfs.btrfs", "btrfs-progs"),
    ("mkfs.vfat", "dosfstools"),
    (
        "/usr/share/OVMF/OVMF_CODE_4M.fd|/usr/share/OVMF/OVMF_CODE.fd|/usr/share/edk2/ovmf/OVMF_CODE.fd",
        "ovmf",
    ),
];

/// What the comparisons with other tools need besides.
pub(crate) const TRUTH: Needs = &[
    ("gdb", "gdb"),
    ("readelf", "binutils"),
    ("zstd", "zstd"),
    ("python3", "python3"),
    ("/usr/lib/python3/dist-packages/drgn", "python3-drgn"),
    ("tar", "tar"),
    ("xz", "xz-utils"),
    ("/usr/share/doc/python3-venv/copyright", "python3-venv"),
    ("sshd", "openssh-server"),
    ("ssh-keygen", "openssh-client"),
];

/// What compiling a kernel needs besides.
pub(crate) const COMPILE: Needs = &[
    ("make", "make"),
    ("flex", "flex"),
    ("bison", "bison"),
    ("bc", "bc"),
    ("pahole", "dwarves"),
    ("/usr/include/libelf.h", "libelf-dev"),
    ("/usr/include/openssl/ssl.h", "libssl-dev"),
];

/// What cores of other architectures need besides.
pub(crate) const ARM: Needs = &[
    ("qemu-system-aarch64", "qemu-system-arm"),
    ("/usr/share/AAVMF/AAVMF_CODE.fd", "qemu-efi-aarch64"),
    ("qemu-system-riscv64", "qemu-system-misc"),
    ("qemu-system-ppc64", "qemu-system-ppc"),
    ("qemu-system-s390x", "qemu-system-misc"),
    ("qemu-aarch64-static", "qemu-user-static"),
    ("dpkg-deb", "dpkg"),
];

/// What a core of each architecture that is read only needs, which every run has.
pub(crate) const CORES: Needs = &[
    ("qemu-system-riscv64", "qemu-system-misc"),
    ("qemu-system-ppc64", "qemu-system-ppc"),
    ("qemu-system-s390x", "qemu-system-misc"),
    ("dpkg-deb", "dpkg"),
];

/// What a machine of aarch64 needs besides, started without firmware.
pub(crate) const AARCH64: Needs = &[("qemu-system-aarch64", "qemu-system-arm")];

/// What building for aarch64 needs besides.
pub(crate) const CROSS: Needs = &[
    ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"),
    ("/usr/aarch64-linux-gnu/lib/libc.a", "libc6-dev-arm64-cross"),
    ("dpkg-deb", "dpkg"),
];

/// What compiling libkdumpfile's test programs needs besides.
pub(crate) const DUMPERS: Needs = &[
    ("/usr/include/zlib.h", "zlib1g-dev"),
    ("/usr/include/lzo/lzo1x.h", "liblzo2-dev"),
    ("/usr/include/snappy-c.h", "libsnappy-dev"),
    ("/usr/include/zstd.h", "libzstd-dev"),
];

/// What kernels with signatures need besides.
pub(crate) const SIGNED: Needs = &[
    ("sbsign", "sbsigntool"),
    ("openssl", "openssl"),
    ("/usr/share/ovmf/PkKek-1-snakeoil.key", "ovmf"),
];

/// What the life of a Debian server needs besides.
pub(crate) const SERVER: Needs = &[("debootstrap", "debootstrap"), ("dpkg-deb", "dpkg")];

/// What fleet/'s engines and stores need besides: Spark, and Azure's emulator.
pub(crate) const FLEET: Needs = &[("java", "default-jre-headless"), ("npm", "npm")];

/// What reading our packages needs besides.
pub(crate) const PACKAGES: Needs = &[
    ("dpkg-deb", "dpkg"),
    ("rpm", "rpm"),
    ("rpm2cpio", "rpm2cpio"),
    ("cpio", "cpio"),
];

fn there(what: &str) -> bool {
    if what.contains('/') {
        return what.split('|').any(|path| Path::new(path).exists());
    }
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    path.split(':')
        .any(|dir| Path::new(dir).join(what).is_file())
}

/// Installs what is missing, or says how, by one command for all of it.
///
/// # Errors
/// Something is missing and cannot be installed from here.
pub(crate) fn ensure(needs: &[Needs]) -> Result<()> {
    let mut packages: Vec<&str> = needs
        .iter()
        .copied()
        .flatten()
        .filter(|(what, _)| !there(what))
        .map(|(_, p)| *p)
        .collect();
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    let command = format!(
        "apt-get install -y --no-install-recommends {}",
        packages.join(" ")
    );
    if !there("apt-get") {
        bail!(
            "These are missing, in Debian's names: {}",
            packages.join(", ")
        );
    }
    if !is_root() {
        bail!("Something is missing; run this once, then again what you ran: sudo {command}");
    }
    eprintln!("xtask: {command}");
    // Package lists may be absent on a fresh machine, or too old to install from.
    if !apt(&command)? {
        apt("apt-get update")?;
        if !apt(&command)? {
            bail!("That failed: is a package mirror reachable from here? By hand: {command}");
        }
    }
    let missing: Vec<&str> = needs
        .iter()
        .copied()
        .flatten()
        .filter(|(what, _)| !there(what))
        .map(|(w, _)| *w)
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        bail!("Still missing after that: {}", missing.join(", "))
    }
}

/// Whether an apt command succeeded.
fn apt(command: &str) -> Result<bool> {
    let make = || {
        let mut words = command.split(' ');
        let mut apt = Command::new(words.next().unwrap_or_default());
        apt.args(["-q", "-o", "Acquire::Check-Valid-Until=false"])
            .args(["-o", "Acquire::Retries=3"])
            .args(words)
            .current_dir(root());
        apt
    };
    match apt::run(&make, apt::PATIENCE, &mut |line| eprintln!("xtask: {line}")) {
        apt::End::Done => Ok(true),
        apt::End::Failed => Ok(false),
        apt::End::Locked(why) => bail!("Another process keeps apt busy: {why}. By hand: {command}"),
    }
}

fn is_root() -> bool {
    // The owner of /proc/self is who we are.
    std::os::unix::fs::MetadataExt::uid(&match std::fs::metadata("/proc/self") {
        Ok(meta) => meta,
        Err(_) => return false,
    }) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_and_files_are_found() {
        assert!(there("sh") && there("/no/such/file|/bin/sh"));
        assert!(!there("no-such-program") && !there("/no/such/file"));
    }
}
