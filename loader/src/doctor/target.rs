//! Whether the dump can be written: the target is found, writable and large enough.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use initramfs::build::BuildError;
use initramfs::resolve::ResolveError;
use plan::{FsType, Layer, TargetKind};

use super::finding::{Examined, Finding, Level, chain, finding};
use super::raw;
use super::server;
use super::space::space;
use crate::probe::meminfo;
use crate::root;
use crate::stores;

const CHECK: &str = "target";

pub(super) fn check(on: &Examined<'_>) -> Vec<Finding> {
    let prepared = match &on.prepared {
        Ok(prepared) => prepared,
        Err(why @ BuildError::Resolve(_)) => {
            let level = if on.privileged {
                Level::Fail
            } else {
                Level::NotMade
            };
            let text = chain(why);
            let fix = match why {
                BuildError::Resolve(ResolveError::Mounts { .. }) => "mount -t proc proc /proc",
                BuildError::Resolve(ResolveError::NotInSys { .. }) => "mount -t sysfs sysfs /sys",
                BuildError::Resolve(ResolveError::Superblock { .. }) => {
                    "check that the device is there and readable: sudo lsblk -f"
                }
                BuildError::Resolve(ResolveError::Encrypted { .. }) => {
                    "make the key available as the text says, or name a [[target]] in /etc/afterpanic.toml on a plain partition, with a filesystem or raw, and seal the core there with recipients in [dump]"
                }
                _ if text.contains("multipath map") => {
                    "let the kernel show its paths' WWID and partitions (sudo partprobe), name a [[target]] in /etc/afterpanic.toml on a disk without multipath, or keep that disk out of it (blacklist in /etc/multipath.conf)"
                }
                _ => "name another [[target]] in /etc/afterpanic.toml",
            };
            return vec![finding(CHECK, level, text).fix(fix)];
        }
        Err(_) => {
            return vec![finding(
                CHECK,
                Level::NotMade,
                "not checked: the image cannot be built (see image)",
            )];
        }
    };
    let needed = expected(on.root);
    let mut out = Vec::new();
    for (n, target) in prepared.plan().targets.iter().enumerate() {
        let fs = match &target.kind {
            TargetKind::Filesystem(fs) if fs.fstype == FsType::Raw => {
                out.extend(raw::check(on, fs, prepared.config_target(n), needed));
                continue;
            }
            TargetKind::Filesystem(fs) => fs,
            TargetKind::Nfs(nfs) => {
                out.extend(server::check(on.root, nfs));
                let name = format!("{}:{}", nfs.server, nfs.export);
                out.extend(on.config.dump.recipients.is_empty().then(|| open_on(&name)));
                continue;
            }
            TargetKind::Ssh(ssh) => {
                let target = prepared.config_target(n);
                let target = target.and_then(|at| on.config.target.get(at));
                let key = target.map(config::Target::private_key);
                let key = key.map(|key| root::under(on.root, key));
                out.extend(server::check_ssh(on.root, ssh, key.as_deref()));
                let name = ssh.to_string();
                out.extend(
                    on.config
                        .dump
                        .recipients
                        .is_empty()
                        .then(|| lies_open(&name)),
                );
                continue;
            }
            TargetKind::Directory(_) => continue,
        };
        // A store that is mounted here can be looked at.
        let target = prepared.config_target(n);
        let target = target.and_then(|at| on.config.target.get(at));
        let here = target.and_then(|target| stores::store(target, on.root));
        let shown = here.clone().unwrap_or_else(|| fs.path.clone().into());
        let name = format!(
            "{}: {}{}{}",
            shown.display(),
            fs.fstype.name(),
            paths(&fs.stack),
            luks(&fs.stack)
        );
        let Some(path) = here else {
            out.push(finding(
                CHECK,
                Level::Ok,
                format!("{name}, not mounted here"),
            ));
            continue;
        };
        out.push(space(on, &path, &name, needed));
        out.extend(writers(on.root, &path));
    }
    out.extend(prepared.left_out().iter().map(|one| {
        finding(CHECK, Level::Warn, one.to_string())
            .fix("when the network is up: sudo afterpanic load")
    }));
    if out.is_empty() {
        out.push(
            finding(CHECK, Level::Fail, "no target")
                .fix("name a [[target]] in /etc/afterpanic.toml"),
        );
    }
    out
}

/// That a target is encrypted, and its key is handed over.
fn luks(stack: &[Layer]) -> &'static str {
    let encrypted = |layer: &Layer| matches!(layer, Layer::Dm(volume) if volume.is_encrypted());
    match stack.iter().any(encrypted) {
        true => " on a LUKS volume, whose key the capture kernel gets",
        false => "",
    }
}

/// The paths to a disk with several, each of which will do.
fn paths(stack: &[Layer]) -> String {
    let disks = stack.iter().filter_map(|layer| match layer {
        Layer::Disk { name, wwid, .. } => Some((name.as_str(), wwid.as_deref()?)),
        _ => None,
    });
    let disks: Vec<(&str, &str)> = disks.collect();
    let (Some((_, first)), true) = (disks.first(), disks.len() > 1) else {
        return String::new();
    };
    if disks.iter().any(|(_, wwid)| wwid != first) {
        return String::new();
    }
    let names: Vec<&str> = disks.iter().map(|(name, _)| *name).collect();
    format!(
        " on a multipath map, by the first of {} that answers",
        names.join(", ")
    )
}

/// A core that goes over the network as it is: NFS encrypts nothing, and whoever reads the server's disk
/// reads the memory.
pub(super) fn open_on(name: &str) -> Finding {
    let text = format!("{name}: cores go over the network and lie there unsealed");
    finding(CHECK, Level::Warn, text).fix(SEAL)
}

/// SSH encrypts the way, and not what lies on the server.
pub(super) fn lies_open(name: &str) -> Finding {
    let text = format!("{name}: cores lie there unsealed");
    finding(CHECK, Level::Warn, text).fix(SEAL)
}

/// How cores are sealed.
const SEAL: &str = "make a key with age-keygen and name its public half: [dump] recipients = [\"age1…\"] in /etc/afterpanic.toml";

/// A store that users other than root may write to: they can fill it. Ubuntu's kdump-tools makes
/// /var/crash with mode 3777.
fn writers(root: &Path, path: &Path) -> Option<Finding> {
    let meta = fs::metadata(root::under(root, path)).ok()?;
    let mode = meta.mode() & 0o7777;
    let trusted = meta.uid() == 0 || meta.uid() == nix::unistd::geteuid().as_raw();
    if trusted && mode & 0o022 == 0 {
        return None;
    }
    let who = if trusted {
        format!("others may write to {} (mode {mode:04o})", path.display())
    } else {
        format!("{} belongs to user {}", path.display(), meta.uid())
    };
    let own = path.parent().unwrap_or(path).join("afterpanic");
    let own = own.display();
    Some(
        finding(
            CHECK,
            Level::Warn,
            format!("{who}: they can fill it, and the core then does not fit"),
        )
        .fix(format!(
            "sudo install -d -m 0700 {own}, then set [[target]] path = \"{own}\" in /etc/afterpanic.toml"
        )),
    )
}

/// A dump at level standard: what is neither free nor page cache nor user memory, compressed about
/// three times; no better than a rule of thumb.
fn expected(root: &Path) -> Option<u64> {
    let total = meminfo(root, "MemTotal")?;
    let names = ["MemFree", "Buffers", "Cached", "AnonPages"];
    let dropped: u64 = names
        .iter()
        .filter_map(|n| meminfo(root, n))
        .fold(0, u64::saturating_add);
    let shared = meminfo(root, "Shmem").unwrap_or(0);
    Some((total.saturating_sub(dropped).saturating_add(shared) / 3).max(32 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn several_paths_to_one_disk_are_named() {
        let disk = |name: &str, wwid: &str| Layer::Disk {
            name: name.into(),
            wwid: (!wwid.is_empty()).then(|| wwid.into()),
            serial: None,
            sectors: 8,
        };
        let said = paths(&[disk("sda", "naa.5"), disk("sdb", "naa.5")]);
        assert!(
            said.ends_with("by the first of sda, sdb that answers"),
            "{said}"
        );
        assert_eq!(paths(&[disk("sda", "naa.5")]), "");
        assert_eq!(paths(&[disk("sda", "naa.5"), disk("sdb", "naa.6")]), "");
        assert_eq!(paths(&[disk("sda", ""), disk("sdb", "")]), "");
    }

    #[test]
    fn a_store_that_others_may_write_is_warned_about_with_another_one() {
        let root = tempfile::tempdir().unwrap();
        let store = root.path().join("var/crash");
        let path = Path::new("/var/crash");
        assert_eq!(writers(root.path(), path), None);
        fs::create_dir_all(&store).unwrap();
        let set = |mode| fs::set_permissions(&store, fs::Permissions::from_mode(mode)).unwrap();
        for mode in [0o700, 0o755, 0o2750] {
            set(mode);
            assert_eq!(writers(root.path(), path), None, "{mode:o}");
        }
        for mode in [0o3777, 0o775, 0o1777] {
            set(mode);
            let found = writers(root.path(), path).unwrap();
            assert_eq!(found.level, Level::Warn);
            assert!(
                found.text.contains(&format!("mode {mode:04o}")),
                "{}",
                found.text
            );
            assert!(
                found
                    .fix
                    .unwrap()
                    .contains("install -d -m 0700 /var/afterpanic")
            );
        }
    }
}
