//! The directives of kdump.conf that say where the core goes.

use std::path::PathBuf;

use super::super::imported::{Fate, OWN_DIRECTORY, RECORD, absolute};
use super::super::place::Place;
use crate::model::{Account, Config, Device, Export, Target};
use crate::scalar::Scalar;

/// Every directive that names a target.
pub(super) const NAMES: [&str; 11] = [
    "ext2", "ext3", "ext4", "xfs", "btrfs", "minix", "nfs", "ssh", "raw", "virtiofs", "net",
];

/// Filesystems that this version writes to.
const LOCAL: [&str; 5] = ["ext2", "ext3", "ext4", "xfs", "btrfs"];

/// The private key where `sshkey` is not set (kdump-lib.sh, `DEFAULT_SSHKEY`).
const KEY: &str = "/root/.ssh/kdump_id_rsa";

/// Why the other directives have no counterpart.
fn why_not(word: &str) -> &'static str {
    match word {
        "net" => "an old directive that kdump-utils refuses; this version writes to no server",
        "virtiofs" => "this version does not write to virtiofs",
        _ => "this version does not write to such a filesystem",
    }
}

/// Whether a value of an unknown directive may say where the core goes.
pub(super) fn looks_like_one(value: &str) -> bool {
    let tag = ["UUID=", "LABEL=", "PARTUUID=", "/dev/", "//"];
    tag.iter().any(|start| value.starts_with(start)) || value.contains(":/") || value.contains('@')
}

/// The target as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Targets {
    path: Option<PathBuf>,
    place: Option<Place>,
    key: Option<PathBuf>,
    options: Option<String>,
    /// How many lines named a target.
    named: usize,
    root_too: bool,
}

impl Targets {
    /// `ext4 UUID=…`, `nfs server:/export`.
    pub(super) fn named(&mut self, word: &str, value: &str, fate: &mut Fate) {
        if value.is_empty() {
            return fate.block(format!("{word} names no target"));
        }
        self.one_more(fate);
        match word {
            "nfs" => self.export(value, fate),
            "ssh" => self.account(value, fate),
            "raw" => self.raw(value, fate),
            _ if LOCAL.contains(&word) => self.device(value, fate),
            _ => fate.block(why_not(word)),
        }
    }

    fn export(&mut self, name: &str, fate: &mut Fate) {
        match Export::try_from(name.replace(['"', '\''], "")) {
            Ok(export) => {
                self.place = Some(Place::Nfs(export));
                fate.take("nfs in [[target]]");
                fate.remark(OWN_DIRECTORY);
            }
            Err(why) => fate.block(why.to_string()),
        }
    }

    /// A partition without a filesystem: kdump-utils, too, copies the core into `path` at the next boot.
    fn raw(&mut self, name: &str, fate: &mut Fate) {
        let scalar = Scalar::Word(name.replace(['"', '\''], ""));
        match Device::try_from(scalar) {
            Ok(Device::Uuid(_) | Device::Label(_)) => {
                fate.block(
                    "UUID= and LABEL= name a filesystem, and raw wants a device without one",
                );
            }
            Ok(device) => {
                self.place = Some(Place::Raw(device));
                fate.take("raw in [[target]]");
                fate.remark(
                    "its first MiB must be zeros: sudo dd if=/dev/zero of=DEVICE bs=1M count=1",
                );
            }
            Err(why) => fate.block(why.to_string()),
        }
    }

    fn account(&mut self, name: &str, fate: &mut Fate) {
        match Account::try_from(name.replace(['"', '\''], "")) {
            Ok(account) => {
                self.place = Some(Place::Ssh(account));
                fate.take("ssh in [[target]]");
                fate.remark(OWN_DIRECTORY);
                fate.remark(RECORD);
            }
            Err(why) => fate.block(why.to_string()),
        }
    }

    /// `sshkey`: the private key, which kdump-utils also has a default for.
    pub(super) fn key(&mut self, value: &str, fate: &mut Fate) {
        match absolute(value) {
            Ok(path) => {
                self.key = Some(path);
                fate.take("key in [[target]]");
            }
            Err(why) => fate.block(why),
        }
    }

    fn one_more(&mut self, fate: &mut Fate) {
        self.named += 1;
        if self.named > 1 {
            fate.block("a second target, which kdump-utils refuses: keep the line that is meant");
        }
    }

    fn device(&mut self, name: &str, fate: &mut Fate) {
        let scalar = Scalar::Word(name.replace(['"', '\''], ""));
        match Device::try_from(scalar) {
            Ok(device) => {
                self.place = Some(Place::Device(device));
                fate.take("device in [[target]]");
            }
            Err(why) => fate.block(why.to_string()),
        }
    }

    /// `path`: on the target, or on this machine.
    pub(super) fn path(&mut self, value: &str, fate: &mut Fate) {
        match absolute(value) {
            Ok(path) => {
                self.path = Some(path);
                fate.take("path in [[target]]");
            }
            Err(why) => fate.block(why),
        }
    }

    /// `dracut_args --mount "DEVICE MOUNTPOINT FSTYPE OPTIONS"`.
    pub(super) fn mount(&mut self, value: &str, fate: &mut Fate) {
        self.one_more(fate);
        let mut fields = value.split_ascii_whitespace();
        let device = fields.next().unwrap_or_default();
        let fstype = fields.nth(1).unwrap_or_default();
        let options = fields.next().unwrap_or_default();
        if matches!(fstype, "nfs" | "nfs4") {
            self.export(device, fate);
        } else if LOCAL.contains(&fstype) {
            self.device(device, fate);
        } else {
            return fate.block(match fstype {
                "" => format!("--mount \"{value}\" names no filesystem type"),
                _ => format!("--mount with {fstype}: {}", why_not(fstype)),
            });
        }
        // The capture kernel writes, whatever the others say.
        let kept: Vec<&str> = options
            .split(',')
            .filter(|word| !matches!(*word, "" | "defaults" | "ro" | "rw"))
            .collect();
        if !kept.is_empty() {
            self.options = Some(kept.join(","));
        }
    }

    /// `failure_action dump_to_rootfs`.
    pub(super) fn rootfs(&mut self, fate: &mut Fate) {
        self.root_too = true;
        fate.take("a second [[target]] on the root filesystem");
    }

    /// Puts the targets into the config.
    pub(super) fn settle(self, config: &mut Config, fates: &mut [(usize, &str, Fate)]) {
        if let Some((.., fate)) = fates
            .iter_mut()
            .find(|(_, text, _)| text.starts_with("sshkey"))
            .filter(|_| !matches!(self.place, Some(Place::Ssh(_))))
        {
            *fate = Fate::default();
            fate.nothing("no ssh line names a server");
        }
        let elsewhere = self.place.is_some();
        if self.path.is_none() && !elsewhere && !self.root_too {
            return;
        }
        let path = self.path.clone().unwrap_or_else(|| Target::default().path);
        for target in &mut config.target {
            target.options.clone_from(&self.options);
            if let Some(place) = self.place.clone() {
                place.put(target);
            }
            let key = || self.key.clone().unwrap_or_else(|| KEY.into());
            target.key = target.ssh.as_ref().map(|_| key());
            target.path.clone_from(&path);
        }
        if !self.root_too {
            return;
        }
        // The same `path` counts on the root filesystem (dump_to_rootfs in kdump.sh).
        match elsewhere {
            true => config.target.push(Target {
                path,
                ..Target::default()
            }),
            false => {
                let is_it = |text: &str| text.contains("dump_to_rootfs");
                if let Some((.., fate)) = fates.iter_mut().find(|(_, text, _)| is_it(text)) {
                    fate.remark("there is no target besides the root filesystem");
                }
            }
        }
    }
}
