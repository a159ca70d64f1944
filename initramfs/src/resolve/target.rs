//! One target of the config: which filesystem on which device, and what proves it.

use std::path::{Path, PathBuf};

use config::Device;
use plan::superblock::{probe, takes_stream};
use plan::{self, Filesystem, FsType, Identity, Layer, TargetKind};

use super::error::ResolveError;
use super::resolved::Resolved;
use super::sysfs::{Machine, name_of};
use super::{block, mountinfo};
use crate::closure::Wanted;

/// Seconds that a disk may take to appear; on USB twice as long.
const DEVICE_WAIT: u64 = 30;

/// Resolves one target; its modules and programs are added to `out`.
pub(super) fn resolve(
    machine: &Machine,
    target: &config::Target,
    out: &mut Resolved,
) -> Result<plan::Target, ResolveError> {
    if let Some(device) = &target.raw {
        return raw(machine, target, device, out);
    }
    let place = match &target.device {
        None => mounted(machine, &target.path)?,
        Some(device) => Place {
            sys: find(machine, device)?,
            inside: target.path.clone(),
            mount: None,
        },
    };
    let what = match &target.device {
        None => target.path.display().to_string(),
        Some(_) => format!("the target on {}", name_of(&place.sys)),
    };
    let stack = block::stack(machine, &place.sys, &what)?;
    let found = identify(machine, &place.sys)?;
    let fstype = FsType::from_name(&found.fstype).ok_or_else(|| ResolveError::Filesystem {
        device: name_of(&place.sys),
        found: found.fstype.clone(),
    })?;
    if fstype == FsType::Btrfs {
        one_device(machine, &found, &place.sys)?;
    }
    out.wanted.extend(stack.wanted);
    out.wanted
        .extend(filesystem_modules(machine, fstype.name(), &what));

    let mut options: Vec<String> = target
        .options
        .iter()
        .flat_map(|options| options.split(','))
        .map(str::trim)
        .filter(|option| !option.is_empty() && *option != "rw" && *option != "defaults")
        .map(str::to_owned)
        .collect();
    if fstype == FsType::Btrfs && place.mount.is_some() {
        // The path is counted from the top of the filesystem, whatever its default subvolume is.
        options.push("subvolid=5".to_owned());
    }
    Ok(plan::Target {
        kind: TargetKind::Filesystem(Filesystem {
            fstype,
            identity: identity(target.device.as_ref(), &found, &place.sys)?,
            uuid: found.uuid,
            path: text(&place.inside),
            options,
            stack: stack.layers,
        }),
        deadline_s: target.deadline.seconds(),
        device_wait_s: device_wait(stack.slow),
        takes: target.copy.takes(),
        keep: target.keep,
    })
}

/// Seconds that the capture kernel waits for a device; disks on some buses are slow to appear.
fn device_wait(slow: bool) -> u64 {
    if slow { 2 * DEVICE_WAIT } else { DEVICE_WAIT }
}

/// A device without a filesystem: the stack must prove it.
fn raw(
    machine: &Machine,
    target: &config::Target,
    device: &Device,
    out: &mut Resolved,
) -> Result<plan::Target, ResolveError> {
    let sys = find(machine, device)?;
    let name = name_of(&sys);
    let refuse = |found: &str| ResolveError::Raw {
        device: name.clone(),
        node: machine.node(&sys),
        found: found.to_owned(),
    };
    if !machine.root.names(sys.join("holders")).is_empty() {
        return Err(refuse("is a part of another device"));
    }
    let stack = block::stack(machine, &sys, &format!("the raw target on {name}"))?;
    let proof = match stack.layers.first() {
        Some(Layer::Dm(_) | Layer::Md { .. }) => true,
        Some(Layer::Partition { partuuid, .. }) if partuuid.is_some() => true,
        _ => stack.layers.iter().any(|layer| match layer {
            Layer::Disk { wwid, serial, .. } => wwid.is_some() || serial.is_some(),
            _ => false,
        }),
    };
    if !proof {
        return Err(refuse(
            "has no partition UUID, no serial number and no WWID, so nothing tells it from other disks",
        ));
    }
    vacant(machine, &sys, &refuse)?;
    out.wanted.extend(stack.wanted);
    Ok(plan::Target {
        kind: TargetKind::Filesystem(Filesystem {
            fstype: FsType::Raw,
            identity: Identity::Stack,
            uuid: None,
            path: text(&target.path),
            options: Vec::new(),
            stack: stack.layers,
        }),
        deadline_s: target.deadline.seconds(),
        device_wait_s: device_wait(stack.slow),
        takes: target.copy.takes(),
        keep: target.keep,
    })
}

/// Whether a device holds nothing but an earlier stream.
fn vacant(
    machine: &Machine,
    sys: &Path,
    refuse: &dyn Fn(&str) -> ResolveError,
) -> Result<(), ResolveError> {
    let node = machine.node(sys);
    let sectors = machine.root.number(sys.join("size")).unwrap_or_default();
    let probed = machine.root.open_path(&node).and_then(|path| {
        let found = probe(&path, sectors)?;
        Ok((found, takes_stream(&path)?))
    });
    let (found, takes) = match probed {
        Ok(probed) => probed,
        Err(source) => return Err(ResolveError::Superblock { path: node, source }),
    };
    let udev = machine.udev(sys, "ID_FS_TYPE");
    match (&found.member, found.fs, udev) {
        (Some(member), ..) => Err(refuse(&format!("holds {}", member.kind()))),
        (None, Some(fs), _) if fs != FsType::Raw => Err(refuse(&format!("holds {}", fs.name()))),
        (None, _, Some(kind)) => Err(refuse(&format!("holds {kind}"))),
        _ if takes => Ok(()),
        _ => Err(refuse("holds something in its first MiB")),
    }
}

/// A target of an image for another machine: nothing here is looked at.
pub(crate) fn elsewhere(target: &config::Target, fstype: FsType) -> Option<plan::Target> {
    let (identity, uuid) = match target.device.as_ref()? {
        Device::Uuid(uuid) => (Identity::Uuid(uuid.clone()), Some(uuid.clone())),
        Device::Label(label) => (Identity::Label(label.clone()), None),
        Device::PartUuid(uuid) => (Identity::Partuuid(uuid.clone()), None),
        Device::Path(_) => return None,
    };
    Some(plan::Target {
        kind: TargetKind::Filesystem(Filesystem {
            fstype,
            identity,
            uuid,
            path: text(&target.path),
            options: target
                .options
                .iter()
                .flat_map(|options| options.split(','))
                .filter(|option| !option.is_empty() && *option != "rw")
                .map(str::to_owned)
                .collect(),
            stack: Vec::new(),
        }),
        deadline_s: target.deadline.seconds(),
        device_wait_s: device_wait(true),
        takes: target.copy.takes(),
        keep: target.keep,
    })
}

/// The modules of a filesystem. vfat cannot be mounted without its character sets.
pub(crate) fn filesystem_wanted(fstype: &str, what: &str) -> Vec<Wanted> {
    let why = format!("{what}: its filesystem is {fstype}");
    let mut wanted = vec![Wanted::required(format!("fs-{fstype}"), why.clone())];
    if fstype == "vfat" {
        for charset in ["nls_cp437", "nls_ascii", "nls_iso8859_1", "nls_utf8"] {
            wanted.push(Wanted::optional(charset, why.clone()));
        }
    }
    wanted
}

fn filesystem_modules(machine: &Machine, fstype: &str, what: &str) -> Vec<Wanted> {
    let mut wanted = filesystem_wanted(fstype, what);
    // Kernels before 5.2 have no list of built-in aliases; there the plain name must do.
    if machine.index.find(&format!("fs-{fstype}")).is_none()
        && let Some(first) = wanted.first_mut()
    {
        first.name = fstype.to_owned();
    }
    wanted
}

/// What a device holds and what that calls itself.
#[derive(Clone, Debug)]
struct Superblock {
    /// The kernel's name of the filesystem; or blkid's of what the device is a part of.
    fstype: String,
    uuid: Option<String>,
    label: Option<String>,
}

/// A filesystem's device, and where in it the crash directories go.
struct Place {
    sys: PathBuf,
    inside: PathBuf,
    mount: Option<mountinfo::Mount>,
}

/// The place behind a path of the running system. The path itself need not exist yet.
fn mounted(machine: &Machine, path: &Path) -> Result<Place, ResolveError> {
    let table = Path::new("/proc/self/mountinfo");
    let bytes = machine.root.bytes(table).or_else(|_| {
        // `self` is a link to a process that a fixture tree does not have.
        std::fs::read(machine.root.host("/proc/mountinfo"))
    });
    let bytes = bytes.map_err(|source| ResolveError::Mounts {
        path: machine.root.host(table),
        source,
    })?;
    let mounts = mountinfo::parse(&bytes);
    let real = existing(machine, path);
    let mount = mountinfo::of(&mounts, &real).ok_or_else(|| ResolveError::NotMounted {
        path: path.to_owned(),
    })?;
    let no_disk = || ResolveError::NoDisk {
        path: path.to_owned(),
        fstype: mount.fstype.clone(),
    };
    let sys = if mount.dev.starts_with("0:") {
        // btrfs shows a number of its own; its source is one of its devices.
        if mount.fstype != "btrfs" || !mountinfo::is_node(&mount.source) {
            return Err(no_disk());
        }
        let node = machine.root.resolve(&mount.source);
        let node = node.unwrap_or_else(|_| mount.source.clone());
        machine.by_name(&name_of(&node))
    } else {
        machine.by_number(&mount.dev)
    };
    let sys = sys.ok_or_else(|| ResolveError::NotInSys {
        device: match mount.fstype.as_str() {
            "btrfs" => mount.source.display().to_string(),
            _ => mount.dev.clone(),
        },
        what: path.display().to_string(),
    })?;
    let rest = real.strip_prefix(&mount.point).unwrap_or(Path::new(""));
    Ok(Place {
        sys,
        inside: mount.root.join(rest),
        mount: Some(mount.clone()),
    })
}

/// `path` with the links of its existing part followed.
fn existing(machine: &Machine, path: &Path) -> PathBuf {
    for ancestor in path.ancestors() {
        if let Ok(real) = machine.root.resolve(ancestor) {
            let rest = path.strip_prefix(ancestor).unwrap_or(Path::new(""));
            return real.join(rest);
        }
    }
    path.to_owned()
}

/// The device that the config names.
fn find(machine: &Machine, device: &Device) -> Result<PathBuf, ResolveError> {
    let (wanted, links, matches): (String, &str, fn(&Superblock, &str) -> bool) = match device {
        Device::Path(path) => {
            let missing = || ResolveError::NoDevice {
                wanted: path.display().to_string(),
            };
            let node = machine.root.resolve(path).map_err(|_| missing())?;
            return machine
                .by_name(&name_of(&node))
                .or_else(|| by_node(machine, &node))
                .ok_or_else(missing);
        }
        Device::Uuid(uuid) => (uuid.clone(), "/dev/disk/by-uuid", |found, wanted| {
            found
                .uuid
                .as_deref()
                .is_some_and(|uuid| uuid.eq_ignore_ascii_case(wanted))
        }),
        Device::Label(label) => (label.clone(), "/dev/disk/by-label", |found, wanted| {
            found.label.as_deref() == Some(wanted)
        }),
        Device::PartUuid(uuid) => (uuid.clone(), "/dev/disk/by-partuuid", |_, _| false),
    };
    let name = config::Scalar::from(device.clone()).to_string();
    let mut found: Vec<PathBuf> = Vec::new();
    for block in machine.root.names("/sys/class/block") {
        let Some(sys) = machine.by_name(&block) else {
            continue;
        };
        // Members of arrays and volume groups may look like what they are part of.
        if machine.root.number(sys.join("size")) == Some(0)
            || !machine.root.names(sys.join("holders")).is_empty()
        {
            continue;
        }
        let is_it = if matches!(device, Device::PartUuid(_)) {
            [
                machine.uevent(&sys, "PARTUUID"),
                machine.udev(&sys, "ID_PART_ENTRY_UUID"),
            ]
            .into_iter()
            .flatten()
            .any(|uuid| uuid.eq_ignore_ascii_case(&wanted))
        } else {
            identify(machine, &sys).is_ok_and(|found| matches(&found, &wanted))
        };
        if is_it {
            found.push(sys);
        }
    }
    if found.is_empty() {
        let link = Path::new(links).join(wanted.replace(' ', "\\x20"));
        let linked = machine
            .root
            .link_name(link)
            .and_then(|name| machine.by_name(&name));
        found.extend(linked);
    }
    match found.as_slice() {
        [] => Err(ResolveError::NoDevice { wanted: name }),
        [one] => Ok(one.clone()),
        several => Err(ResolveError::Ambiguous {
            wanted: name,
            devices: several.iter().map(|sys| name_of(sys)).collect(),
        }),
    }
}

/// A node whose name is not the kernel's own, by comparing what uevents say.
fn by_node(machine: &Machine, node: &Path) -> Option<PathBuf> {
    machine
        .root
        .names("/sys/class/block")
        .iter()
        .filter_map(|name| machine.by_name(name))
        .find(|sys| machine.node(sys) == node)
}

/// What the device holds, from its own first bytes or, where they may not be read, from udev.
fn identify(machine: &Machine, sys: &Path) -> Result<Superblock, ResolveError> {
    let node = machine.node(sys);
    let probed = machine.root.open_path(&node).and_then(|path| {
        probe(
            &path,
            machine.root.number(sys.join("size")).unwrap_or_default(),
        )
    });
    let from_udev = || {
        Some(Superblock {
            fstype: machine.udev(sys, "ID_FS_TYPE")?,
            uuid: machine.udev(sys, "ID_FS_UUID"),
            label: machine.udev(sys, "ID_FS_LABEL"),
        })
    };
    match probed {
        Ok(found) if found.member.is_some() || found.fs.is_some_and(|fs| fs != FsType::Raw) => {
            let some = |text: String| (!text.is_empty()).then_some(text);
            let fstype = match (&found.member, found.fs) {
                (Some(member), _) => member.kind(),
                (None, fs) => fs.map_or("", FsType::name),
            };
            Ok(Superblock {
                fstype: fstype.to_owned(),
                uuid: some(found.uuid),
                label: some(found.label),
            })
        }
        Ok(_) => from_udev().ok_or_else(|| ResolveError::Filesystem {
            device: name_of(sys),
            found: "no filesystem that is known".to_owned(),
        }),
        Err(source) => from_udev().ok_or(ResolveError::Superblock { path: node, source }),
    }
}

/// What the capture kernel will look for.
fn identity(
    device: Option<&Device>,
    found: &Superblock,
    sys: &Path,
) -> Result<Identity, ResolveError> {
    if let Some(Device::Label(label)) = device {
        return Ok(Identity::Label(label.clone()));
    }
    if let Some(Device::PartUuid(uuid)) = device {
        return Ok(Identity::Partuuid(uuid.clone()));
    }
    match (&found.uuid, &found.label) {
        (Some(uuid), _) => Ok(Identity::Uuid(uuid.clone())),
        (None, Some(label)) => Ok(Identity::Label(label.clone())),
        (None, None) => Err(ResolveError::Filesystem {
            device: name_of(sys),
            found: format!("a {} without UUID and label", found.fstype),
        }),
    }
}

/// A btrfs over several devices would have to be put together from all of them.
fn one_device(machine: &Machine, found: &Superblock, sys: &Path) -> Result<(), ResolveError> {
    let uuid = found.uuid.as_deref().unwrap_or_default();
    let devices = machine.root.names(format!("/sys/fs/btrfs/{uuid}/devices"));
    if devices.len() > 1 {
        return Err(ResolveError::Layer {
            device: name_of(sys),
            what: format!("part of a btrfs over {} devices", devices.len()),
        });
    }
    Ok(())
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
