//! A device and everything above it up to its bus: which drivers hold them, and their modules.

use std::path::{Path, PathBuf};

use crate::closure::Wanted;
use crate::modules::{Found, Index};
use crate::root::Root;

/// The machine that is looked at, and the kernel that the image is for.
#[derive(Clone, Copy)]
pub(super) struct Machine<'a> {
    pub root: &'a Root,
    pub index: &'a Index,
    /// Whether the kernel that runs is the one of the index: then what has no module is built in.
    pub same_kernel: bool,
}

/// What one device on the way to the bus says about its driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Driver {
    /// The device's name: `0000:00:04.0`.
    pub device: String,
    /// The driver that holds it.
    pub driver: String,
    /// The driver's module; none if it is built into the running kernel.
    pub module: Option<String>,
    /// What the device calls itself.
    pub modalias: Option<String>,
}

impl Machine<'_> {
    /// The folder of a block device, by `major:minor`.
    pub(super) fn by_number(&self, dev: &str) -> Option<PathBuf> {
        self.root
            .resolve(Path::new("/sys/dev/block").join(dev))
            .ok()
    }

    /// The folder of a block device, by its kernel name.
    pub(super) fn by_name(&self, name: &str) -> Option<PathBuf> {
        let name = name.replace('/', "!");
        self.root
            .resolve(Path::new("/sys/class/block").join(name))
            .ok()
    }

    /// The device node of a block device, from its uevent.
    pub(super) fn node(&self, sys: &Path) -> PathBuf {
        let name = self
            .uevent(sys, "DEVNAME")
            .unwrap_or_else(|| name_of(sys).replace('!', "/"));
        Path::new("/dev").join(name)
    }

    /// A value of a device's uevent.
    pub(super) fn uevent(&self, sys: &Path, key: &str) -> Option<String> {
        let text = self.root.text(sys.join("uevent"))?;
        text.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            (name == key).then(|| value.to_owned())
        })
    }

    /// A value of udev's database about a block device.
    pub(super) fn udev(&self, sys: &Path, key: &str) -> Option<String> {
        let dev = self.root.text(sys.join("dev"))?;
        let text = self.root.text(format!("/run/udev/data/b{dev}"))?;
        text.lines().find_map(|line| {
            let (name, value) = line.strip_prefix("E:")?.split_once('=')?;
            (name == key).then(|| value.to_owned())
        })
    }

    /// The drivers from the bus down to the device at `sys`.
    pub(super) fn drivers(&self, sys: &Path) -> Vec<Driver> {
        let mut found = Vec::new();
        for sys in self.ways_up(sys) {
            let mut way = Vec::new();
            for dir in sys.ancestors() {
                if dir == Path::new("/sys/devices") || dir.as_os_str().len() < 2 {
                    break;
                }
                let Some(driver) = self.root.link_name(dir.join("driver")) else {
                    continue;
                };
                way.push(Driver {
                    device: name_of(dir),
                    driver,
                    module: self.root.link_name(dir.join("driver/module")),
                    modalias: self.root.text(dir.join("modalias")),
                });
            }
            way.reverse();
            for driver in way {
                if !found.contains(&driver) {
                    found.push(driver);
                }
            }
        }
        found
    }

    /// Where the ways to the bus begin: the device itself, or every controller of an NVMe namespace
    /// that stands under a subsystem (CONFIG_NVME_MULTIPATH).
    pub(super) fn ways_up(&self, sys: &Path) -> Vec<PathBuf> {
        let Some(subsystem) = sys
            .ancestors()
            .find(|dir| name_of(dir).starts_with("nvme-subsys"))
        else {
            return vec![sys.to_owned()];
        };
        self.root
            .names(subsystem)
            .iter()
            .filter(|name| {
                name.strip_prefix("nvme")
                    .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
            })
            .filter_map(|name| self.root.resolve(subsystem.join(name)).ok())
            .collect()
    }

    /// The modules that drive the device at `sys`, from the bus down.
    pub(super) fn modules(&self, sys: &Path, what: &str) -> Vec<Wanted> {
        let mut wanted = Vec::new();
        for driver in self.drivers(sys) {
            let why = format!("{what}: {} is held by {}", driver.device, driver.driver);
            for name in self.names(&driver) {
                wanted.push(Wanted::driver(name, why.clone()));
            }
        }
        wanted
    }

    /// What to ask the index for. For another kernel than the running one the driver may be a module
    /// here and built in there, or the other way round, and have another name.
    fn names(&self, driver: &Driver) -> Vec<String> {
        if self.same_kernel {
            return driver.module.iter().cloned().collect();
        }
        if let Some(module) = &driver.module
            && self.index.find(module).is_some()
        {
            return vec![module.clone()];
        }
        if let Some(alias) = &driver.modalias
            && let Some(Found::Modules(names)) = self.index.find_alias(alias)
        {
            return names;
        }
        match &driver.module {
            Some(module) => vec![module.clone()],
            None if self.index.module(&driver.driver).is_some() => vec![driver.driver.clone()],
            None => Vec::new(),
        }
    }
}

/// The last part of a path, as text.
pub(super) fn name_of(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// What a disk calls itself everywhere in the world.
pub(super) fn wwid(machine: &Machine, sys: &Path) -> Option<String> {
    ["wwid", "device/wwid"]
        .iter()
        .find_map(|file| machine.root.text(sys.join(file)))
}

/// The devices that this one is made of.
pub(super) fn slaves(machine: &Machine, sys: &Path) -> Vec<PathBuf> {
    let dir = sys.join("slaves");
    machine
        .root
        .names(&dir)
        .iter()
        .filter_map(|name| machine.root.resolve(dir.join(name)).ok())
        .collect()
}
