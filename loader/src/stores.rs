//! Where crash directories are on this machine, by the config's targets.
//!
//! Every reader asks here: `last`, `list`, `status`, `collect`, the front page. A target on a device of
//! its own counts where that filesystem is mounted; where it is not, it is named.

use crate::root;
use config::{Config, Copy, Device, Export, Target};
use initramfs::resolve::mountinfo;
use std::fs;
use std::path::{Path, PathBuf};

/// The stores of the config's targets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stores {
    /// Directories that can be read here, in the config's order, with the root prefix.
    pub paths: Vec<PathBuf>,
    /// Targets whose filesystem is not mounted, one sentence each.
    pub elsewhere: Vec<String>,
}

/// The stores of a config below `root`. A store need not exist: nothing may have crashed yet.
#[must_use]
pub fn stores(config: &Config, root: &Path) -> Stores {
    let mut stores = Stores::default();
    let mounts = mounts(root);
    // What is a copy of a crash directory elsewhere is not shown a second time.
    let whole = |target: &&Target| !target.at_boot && target.copy == Copy::Dump;
    for target in config.target.iter().filter(whole) {
        match place(target, &mounts, root) {
            Some(path) => {
                let path = root::under(root, path);
                if !stores.paths.contains(&path) {
                    stores.paths.push(path);
                }
            }
            None if target.ssh.is_some() => stores.elsewhere.push(format!(
                "{} is on a server: crashes saved there in {} are not shown",
                source(target),
                target.path.display()
            )),
            None => stores.elsewhere.push(format!(
                "{} is not mounted here: crashes saved there in {} are not shown",
                source(target),
                target.path.display()
            )),
        }
    }
    stores
}

/// Where the store of one target is, without the root prefix; `None` when its filesystem is not mounted.
pub(crate) fn store(target: &Target, root: &Path) -> Option<PathBuf> {
    place(target, &mounts(root), root)
}

/// The stores on disks of this machine, with the root prefix, and the targets whose filesystem is not mounted, one
/// sentence each.
pub(crate) fn local(config: &Config, root: &Path) -> (Vec<PathBuf>, Vec<String>) {
    let targets = config.target.iter();
    let local = Config {
        target: targets
            .filter(|target| target.server().is_none())
            .cloned()
            .collect(),
        ..config.clone()
    };
    let stores = stores(&local, root);
    (stores.paths, stores.elsewhere)
}

/// Where an export is mounted, without the root prefix.
pub(crate) fn export(export: &Export, root: &Path) -> Option<PathBuf> {
    let mounts = mounts(root);
    mount_of(export, &mounts).map(|mount| mount.point.clone())
}

fn mounts(root: &Path) -> Vec<mountinfo::Mount> {
    let table = fs::read(root::under(root, "/proc/self/mountinfo")).unwrap_or_default();
    mountinfo::parse(&table)
}

fn place(target: &Target, mounts: &[mountinfo::Mount], root: &Path) -> Option<PathBuf> {
    if target.ssh.is_some() {
        // Nobody mounts it here.
        return None;
    }
    match (&target.device, &target.nfs) {
        (_, Some(export)) => on_server(export, target, mounts, root),
        (Some(device), None) => on_device(device, target, mounts, root),
        (None, None) => Some(target.path.clone()),
    }
}

/// Where this machine's directory of a target on a server is when its export is mounted.
fn on_server(
    export: &Export,
    target: &Target,
    mounts: &[mountinfo::Mount],
    root: &Path,
) -> Option<PathBuf> {
    let mount = mount_of(export, mounts)?;
    let inside = target.path.strip_prefix("/").unwrap_or(&target.path);
    let own = initramfs::machine::store_name(&initramfs::root::Root::new(root))?;
    Some(mount.point.join(inside).join(own))
}

/// The mount of a whole export.
fn mount_of<'m>(export: &Export, mounts: &'m [mountinfo::Mount]) -> Option<&'m mountinfo::Mount> {
    let source = export.to_string();
    mounts.iter().find(|mount| {
        mount.fstype.starts_with("nfs")
            && mount.root == Path::new("/")
            && mount.source.as_os_str() == source.as_str()
    })
}

/// Where the store of a target is when its filesystem is mounted whole.
fn on_device(
    device: &Device,
    target: &Target,
    mounts: &[mountinfo::Mount],
    root: &Path,
) -> Option<PathBuf> {
    let real = |path: &Path| {
        let path = root::under(root, path);
        path.canonicalize().unwrap_or(path)
    };
    let node = real(&node_of(device));
    let mount = mounts
        .iter()
        .find(|mount| mount.root == Path::new("/") && real(&mount.source) == node)?;
    let inside = target.path.strip_prefix("/").unwrap_or(&target.path);
    Some(mount.point.join(inside))
}

/// The device of a raw target, without the root prefix.
#[must_use]
pub fn raw_device(target: &Target) -> Option<PathBuf> {
    target.raw.as_ref().map(node_of)
}

/// The link or node of a device, as udev makes it.
fn node_of(device: &Device) -> PathBuf {
    match device {
        Device::Uuid(id) => PathBuf::from("/dev/disk/by-uuid").join(id),
        Device::Label(label) => PathBuf::from("/dev/disk/by-label").join(label),
        Device::PartUuid(id) => PathBuf::from("/dev/disk/by-partuuid").join(id),
        Device::Path(path) => path.clone(),
    }
}

/// The device or export as the config names it.
fn source(target: &Target) -> String {
    match target.server() {
        Some((name, _)) => name,
        None => target.device.as_ref().map(name).unwrap_or_default(),
    }
}

/// The device as the config names it.
fn name(device: &Device) -> String {
    match device {
        Device::Uuid(id) => format!("UUID={id}"),
        Device::Label(label) => format!("LABEL={label}"),
        Device::PartUuid(id) => format!("PARTUUID={id}"),
        Device::Path(path) => path.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn parsed(text: &str, root: &Path) -> Stores {
        stores(&Config::parse(text).unwrap(), root)
    }

    #[test]
    fn every_target_has_its_store() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        assert_eq!(parsed("", root.path()).paths, [at("var/crash")]);
        let text = "[[target]]\npath = \"/srv/crash\"\n[[target]]\npath = \"/var/crash\"\n";
        let found = parsed(text, root.path());
        assert_eq!(found.paths, [at("srv/crash"), at("var/crash")]);
        assert!(found.elsewhere.is_empty());
    }

    #[test]
    fn a_device_counts_where_it_is_mounted() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        for dir in ["proc/self", "dev/disk/by-uuid"] {
            fs::create_dir_all(at(dir)).unwrap();
        }
        fs::write(at("dev/vdb1"), "").unwrap();
        symlink("../../vdb1", at("dev/disk/by-uuid/0a0b")).unwrap();
        let text = "[[target]]\ndevice = \"UUID=0a0b\"\npath = \"/crash\"\n";
        let found = parsed(text, root.path());
        assert!(found.paths.is_empty());
        assert!(found.elsewhere[0].starts_with("UUID=0a0b is not mounted here"));
        let table = "36 35 254:17 / /mnt/dumps rw - ext4 /dev/vdb1 rw\n";
        fs::write(at("proc/self/mountinfo"), table).unwrap();
        let found = parsed(text, root.path());
        assert_eq!(
            (found.paths, found.elsewhere.len()),
            (vec![at("mnt/dumps/crash")], 0)
        );
        let config = Config::parse(text).unwrap();
        assert_eq!(
            store(&config.target[0], root.path()).unwrap(),
            Path::new("/mnt/dumps/crash")
        );
    }

    #[test]
    fn an_export_counts_where_it_is_mounted() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        for dir in ["proc/self", "etc"] {
            fs::create_dir_all(at(dir)).unwrap();
        }
        fs::write(at("etc/machine-id"), "0123456789abcdef0123456789abcdef\n").unwrap();
        let text = "[[target]]\nnfs = \"nas:/srv/dumps\"\n";
        let found = parsed(text, root.path());
        assert!(found.paths.is_empty());
        assert!(found.elsewhere[0].starts_with("nas:/srv/dumps is not mounted here"));
        let table = "36 35 0:50 / /mnt/nas rw - nfs4 nas:/srv/dumps rw,vers=4.2\n";
        fs::write(at("proc/self/mountinfo"), table).unwrap();
        let found = parsed(text, root.path());
        let own = found.paths[0]
            .strip_prefix(at("mnt/nas/var/crash"))
            .unwrap();
        assert_eq!(own.as_os_str().len(), 32);
    }
}
