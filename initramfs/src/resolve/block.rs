//! The stack of devices under a filesystem, and the modules for each of them.

use std::path::{Path, PathBuf};

use plan::Layer;

use super::error::ResolveError;
use super::sysfs::{Machine, name_of, slaves, wwid};
use super::transport::{self, is_numbered};
use super::{luks, lvm, md, multipath};
use crate::closure::Wanted;

/// Devices stacked deeper than this are a circle.
const MAX_DEPTH: usize = 16;

/// Names of block devices, up to the number, that are no disks.
const NO_DISKS: [(&str, &str); 4] = [
    ("zram", "a disk in memory"),
    ("ram", "a disk in memory"),
    ("pmem", "a disk in memory"),
    ("bcache", "a bcache device"),
];

/// Everything under one mounted device.
#[derive(Debug, Default)]
pub(super) struct Stack {
    /// From what is mounted down to the disks.
    pub layers: Vec<Layer>,
    /// Modules, from the bus up to the topmost layer.
    pub wanted: Vec<Wanted>,
    /// Whether a disk hangs on a bus that is slow to appear.
    pub slow: bool,
}

/// The stack under the device at `sys`, for a target called `what`.
pub(super) fn stack(machine: &Machine, sys: &Path, what: &str) -> Result<Stack, ResolveError> {
    let mut stack = Stack::default();
    descend(machine, sys, what, &mut stack, 0)?;
    Ok(stack)
}

fn descend(
    machine: &Machine,
    sys: &Path,
    what: &str,
    stack: &mut Stack,
    depth: usize,
) -> Result<(), ResolveError> {
    let root = machine.root;
    let name = name_of(sys);
    let refuse = |kind: &str| ResolveError::Layer {
        device: name.clone(),
        what: kind.to_owned(),
    };
    if depth > MAX_DEPTH {
        return Err(refuse("a device that stands on itself"));
    }
    let sectors = root.number(sys.join("size")).unwrap_or_default();
    if let Some(number) = root.number(sys.join("partition")) {
        stack.layers.push(partition(machine, sys, number));
        let disk = sys.parent().unwrap_or(sys);
        return descend(machine, disk, what, stack, depth + 1);
    }
    if root.exists(sys.join("dm")) {
        let uuid = root.text(sys.join("dm/uuid")).unwrap_or_default();
        if let Some(map) = multipath::of(&uuid) {
            return over_paths(
                machine,
                &multipath::paths(machine, sys, map)?,
                what,
                stack,
                depth,
            );
        }
        let below = slaves(machine, sys);
        if uuid.starts_with("CRYPT-") {
            let volume = luks::volume(machine, sys, &uuid, &below)?;
            let why = format!("{what}: {name} is a LUKS volume");
            let modules = luks::modules(machine, &volume, &why);
            stack.layers.push(Layer::Dm(volume));
            return below_first(machine, &below, what, stack, depth, |wanted| {
                wanted.extend(modules);
            });
        }
        if !uuid.starts_with("LVM-") {
            let map = root.text(sys.join("dm/name")).unwrap_or_default();
            return Err(refuse(&kind_of_dm(&uuid, &map)));
        }
        stack
            .layers
            .push(Layer::Dm(lvm::volume(machine, sys, &uuid, &below)?));
        return below_first(machine, &below, what, stack, depth, |wanted| {
            wanted.push(Wanted::required(
                "dm_mod",
                format!("{what}: {name} is a logical volume"),
            ));
        });
    }
    if root.exists(sys.join("md")) {
        let below = slaves(machine, sys);
        let array = md::array(machine, sys, &below)?;
        let why = format!("{what}: {name} is an array");
        let personality = md::personality(&array.level);
        stack.layers.push(Layer::Md {
            name,
            uuid: array.uuid,
            level: array.level,
            metadata: array.metadata,
            members: array.members,
            events: array.events,
        });
        return below_first(machine, &below, what, stack, depth, |wanted| {
            wanted.push(Wanted::required(personality, why));
        });
    }
    if root.exists(sys.join("loop")) {
        return Err(refuse("a loop device, that is a file"));
    }
    for (prefix, kind) in NO_DISKS {
        if is_numbered(&name, prefix) {
            return Err(refuse(kind));
        }
    }
    if let Some(what) = transport::over_network(machine, sys) {
        return Err(ResolveError::Network { device: name, what });
    }
    stack.wanted.extend(machine.modules(sys, what));
    stack.slow |= sys.to_string_lossy().contains("/usb");
    let serial = ["serial", "device/serial"]
        .iter()
        .find_map(|file| root.text(sys.join(file)));
    stack.layers.push(Layer::Disk {
        serial: serial.or_else(|| machine.udev(sys, "ID_SERIAL_SHORT")),
        wwid: wwid(machine, sys),
        sectors,
        name,
    });
    Ok(())
}

/// The partition at `sys` as a layer.
fn partition(machine: &Machine, sys: &Path, number: u64) -> Layer {
    let name = name_of(sys);
    let partuuid = machine
        .uevent(sys, "PARTUUID")
        .or_else(|| machine.udev(sys, "ID_PART_ENTRY_UUID"))
        .or_else(|| by_link(machine, &name, "/dev/disk/by-partuuid"));
    Layer::Partition {
        number: u32::try_from(number).unwrap_or_default(),
        partuuid,
        start: machine.root.number(sys.join("start")).unwrap_or_default(),
        sectors: machine.root.number(sys.join("size")).unwrap_or_default(),
        name,
    }
}

/// The paths of a multipath map: each disk is recorded, and any of them will do.
fn over_paths(
    machine: &Machine,
    paths: &multipath::Paths,
    what: &str,
    stack: &mut Stack,
    depth: usize,
) -> Result<(), ResolveError> {
    if let Some((sys, number)) = &paths.partition {
        stack.layers.push(partition(machine, sys, *number));
    }
    let mut refused = None;
    for disk in &paths.disks {
        // One that the capture kernel cannot reach costs that path.
        if let Err(error) = descend(machine, disk, what, stack, depth.saturating_add(1)) {
            refused = Some(error);
        }
    }
    let reached = |layer: &Layer| matches!(layer, Layer::Disk { .. });
    match refused {
        Some(error) if !stack.layers.iter().any(reached) => Err(error),
        _ => Ok(()),
    }
}

/// Visits the devices below, and after them what the device above needs itself.
fn below_first(
    machine: &Machine,
    below: &[PathBuf],
    what: &str,
    stack: &mut Stack,
    depth: usize,
    then: impl FnOnce(&mut Vec<Wanted>),
) -> Result<(), ResolveError> {
    for sys in below {
        descend(machine, sys, what, stack, depth + 1)?;
    }
    then(&mut stack.wanted);
    Ok(())
}

/// The name of the link in `dir` that leads to this device.
pub(super) fn by_link(machine: &Machine, device: &str, dir: &str) -> Option<String> {
    machine
        .root
        .names(dir)
        .into_iter()
        .find(|link| machine.root.link_name(Path::new(dir).join(link)).as_deref() == Some(device))
}

fn kind_of_dm(uuid: &str, map: &str) -> String {
    match uuid.split('-').next().unwrap_or_default() {
        kind if kind.starts_with("part") => {
            format!("the partition {map} of a device-mapper device")
        }
        "DMRAID" => format!("the firmware RAID {map}"),
        _ => format!("the device-mapper device {map} of an unknown kind"),
    }
}
