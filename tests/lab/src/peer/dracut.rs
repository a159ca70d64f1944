//! The peer's image for a target on a server, made by dracut as kdump-utils makes it.
//!
//! dracut runs in a Debian of its own, with the options of kdump-utils' mkdumprd (2026-03): host only, strict,
//! stripped, in a squashfs with zstd, systemd as PID 1. Its module kdumpbase is for Fedora and RHEL; tests/lab/dracut is
//! what takes its place. Where they differ, the peer is better off:
//!
//! - systemd-networkd with a static address, not NetworkManager with its D-Bus;
//! - kdump.sh's second of sleep before the first look at the network, and its copy of the capture kernel's journal, are left
//!   out;
//! - /sys is empty while dracut runs, so it takes no drivers of this machine. Those of the guest's card and export are named
//!   to it;
//! - makedumpfile is the newest one: Debian 13's keeps free pages of Linux 6.12.

use crate::apt::{Apt, unpack};
use crate::network::Kind;
use crate::network::host::{ADDRESS, Host, MAC};
use crate::nfs::EXPORT;
use crate::{debootstrap, ssh, tools};
use anyhow::{Context, Result, ensure};
use rehearse::guest::image::KernelFiles;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const SUITE: &str = "trixie";
const PACKAGES: &str = "systemd-sysv,udev,dbus,kmod,dracut,dracut-network,dracut-squash,squashfs-tools,zstd,cpio,gawk,\
                        makedumpfile,kexec-tools,openssh-client,nfs-common,iproute2,binutils";
/// The module's files in tests/lab/dracut.
const FILES: [&str; 3] = ["module-setup.sh", "capture.sh", "peer-capture.service"];
/// Where the module lies in the Debian.
const MODULE: &str = "usr/lib/dracut/modules.d/99peer";
/// Where the capture kernel mounts the export.
const AT: &str = "/kdumproot";

/// Runs dracut in the Debian `$0` with the modules `$1` of the kernel `$2`. Its empty /sys says nothing about this machine,
/// whose hardware is not the guest's, and nobody else sees what is mounted.
const CHROOT: &str = "mount -t proc proc \"$0/proc\" && mount -t tmpfs tmpfs \"$0/sys\" && mount -t tmpfs tmpfs \"$0/run\" && \
                      mount --bind /dev \"$0/dev\" && mount --bind \"$1\" \"$0/usr/lib/modules/$2\" && shift 2 && \
                      exec chroot \"$0\" dracut \"$@\"";

/// How makedumpfile is called; `-F` and threads are added as kdump.sh does.
pub(super) const WAY: &str = "-l -d 31";

/// What kdump-utils puts on the capture kernel's command line and `load` does not (x86_64, gen-kdump-sysconfig.sh).
pub(super) const ADDED: [&str; 6] = [
    "nr_cpus=1",
    "mce=off",
    "udev.children-max=2",
    "hest_disable",
    "novmcoredd",
    "pcie_ports=compat",
];

/// What `load` adds and kdump-utils does not.
pub(super) const DROPPED: [&str; 4] = [
    "cryptomgr.notests",
    "initramfs_options",
    "kfence.sample_interval",
    "oops",
];

/// Options of mkdumprd, without those of a form or a target.
const OPTIONS: [&str; 15] = [
    "--force",
    "--quiet",
    "--hostonly",
    "--hostonly-cmdline",
    "--hostonly-i18n",
    "--hostonly-mode",
    "strict",
    "--hostonly-nics",
    "",
    "--aggressive-strip",
    "--no-hostonly-default-device",
    "--omit",
    "rdma plymouth resume ifcfg earlykdump",
    "--add",
    "peer",
];

/// Where the account's key is in the Debian and in the image.
const SSH_KEY: &str = "/root/.ssh/kdump_id";

/// An image of dracut.
#[derive(Debug)]
pub(super) struct Image {
    /// The file.
    pub(super) path: PathBuf,
    /// Bytes of the same contents as dracut packs them without a squashfs, with zstd.
    pub(super) unsquashed: u64,
}

/// A Debian with dracut.
#[derive(Debug)]
pub(super) struct Dracut {
    root: PathBuf,
}

impl Dracut {
    /// Makes the Debian, once.
    ///
    /// # Errors
    /// This is not root, or a package cannot be had.
    pub(super) fn new() -> Result<Self> {
        let root = crate::cache().join("dracut");
        let made = root.join("made");
        if !made.exists() {
            debootstrap::make(SUITE, PACKAGES, &root)?;
            for deb in Apt::new(tools::SUITE)?.download(&["makedumpfile".to_owned()])? {
                unpack(&deb, &root)?;
            }
            fs::write(&made, "")?;
        }
        Ok(Self { root })
    }

    /// Makes the image for a server, whose store is `store` here and which the guest calls `host`.
    ///
    /// # Errors
    /// dracut fails.
    pub(super) fn image(
        &self,
        kernel: &KernelFiles,
        server: &Host,
        host: &str,
        store: &Path,
    ) -> Result<Image> {
        let module = self.root.join(MODULE);
        fs::create_dir_all(&module)?;
        let from = crate::root().join("tests/lab/dracut");
        for name in FILES {
            fs::copy(from.join(name), module.join(name))?;
        }
        let network = format!(
            "[Match]\nMACAddress={MAC}\n[Network]\nAddress={ADDRESS}/24\nGateway={host}\nLinkLocalAddressing=no\n\
             IPv6AcceptRA=no\n"
        );
        fs::write(module.join("eth.network"), network)?;
        let port = server.port();
        let (kind, dir) = match server {
            Host::Nfs(_) => (Kind::Nfs, format!("{AT}/var/crash")),
            Host::Ssh(_) => (Kind::Ssh, store.display().to_string()),
        };
        let name = kind.name();
        let config = format!(
            "KIND={name}\nADDRESS={ADDRESS}\nWAY='{WAY}'\nAT={AT}\nDIR='{dir}'\nSERVER=root@{host}\nPORT={port}\n"
        );
        fs::write(self.root.join("etc/peer.conf"), config)?;
        let home = self.root.join("root/.ssh");
        let _ = fs::remove_dir_all(&home);
        fs::create_dir_all(&home)?;
        for (there, here) in server.files(true, host)? {
            let name = if there == ssh::KEY {
                "kdump_id"
            } else {
                "known_hosts"
            };
            fs::copy(here, home.join(name))?;
        }
        let path = crate::cache().join(format!("dracut-{name}.img"));
        let target = match kind {
            Kind::Nfs => {
                let mount = format!("{host}:{EXPORT} {AT} nfs4 vers=4.2,port={port},rw");
                [
                    "--add-drivers",
                    "virtio_pci virtio_net nfsv4",
                    "--mount",
                    &mount,
                ]
                .map(String::from)
            }
            Kind::Ssh => [
                "--add-drivers",
                "virtio_pci virtio_net",
                "--sshkey",
                SSH_KEY,
            ]
            .map(String::from),
        };
        let made = |form: &[&str]| -> Result<u64> {
            let fixed = OPTIONS.iter().chain(form).map(|word| (*word).to_owned());
            let last = ["--kver", &kernel.release, "/tmp/peer.img"].map(String::from);
            self.run(kernel, fixed.chain(target.clone()).chain(last))?;
            let image = self.root.join("tmp/peer.img");
            let bytes = fs::metadata(&image)?.len();
            fs::rename(image, &path)?;
            Ok(bytes)
        };
        let unsquashed = made(&["--zstd"])?;
        made(&["--add", "squash-squashfs", "--squash-compressor", "zstd"])?;
        Ok(Image { path, unsquashed })
    }

    fn run(&self, kernel: &KernelFiles, words: impl Iterator<Item = String>) -> Result<()> {
        fs::create_dir_all(self.root.join("usr/lib/modules").join(&kernel.release))?;
        let at = self.root.with_extension("log");
        let log = File::create(&at)?;
        let status = Command::new("unshare")
            .args([
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "sh",
                "-c",
                CHROOT,
            ])
            .arg(&self.root)
            .arg(&kernel.modules)
            .arg(&kernel.release)
            .args(words)
            .env("PATH", debootstrap::PATH)
            .env("LC_ALL", "C")
            .env_remove("TMPDIR")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .status()
            .context("Cannot run unshare")?;
        ensure!(
            status.success(),
            "dracut failed ({status}; it needs root); see {}",
            at.display()
        );
        Ok(())
    }
}
