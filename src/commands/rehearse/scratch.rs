//! The targets of this machine as disks of the VM: same filesystem, same UUID, empty.

use config::{Config, Target};
use dump::seal::Identity;
use plan::TargetKind;
use rehearse::disk::Fs;
use rehearse::storage::{Holds, MoreDisk};

/// The size of the disks beside the first target's, sparse.
const SCRATCH_MIB: u64 = 2048;

/// The disk in the VM for one of this machine's targets.
pub(super) struct Scratch {
    pub fs: Fs,
    pub uuid: String,
    /// The target as the config has it, but by UUID and with the path inside the filesystem.
    target: Target,
}

impl Scratch {
    /// Its disk beside the first one's; the UUID is also what tells it apart.
    pub(super) fn disk(&self) -> MoreDisk {
        let serial = self.uuid.chars().filter(char::is_ascii_hexdigit);
        MoreDisk {
            // virtio shows 20 bytes of a serial number.
            serial: serial.take(20).collect(),
            mib: SCRATCH_MIB,
            holds: Holds::Filesystem(self.uuid.clone()),
            fs: Some(self.fs),
            untouched: false,
        }
    }
}

impl Default for Scratch {
    /// Where this machine's target cannot be told.
    fn default() -> Self {
        Self {
            fs: Fs::Ext4,
            uuid: "5c4a7c4e-0000-4000-8000-000000000001".to_owned(),
            target: Target::default(),
        }
    }
}

/// The targets' filesystems and UUIDs as they are here, each once.
pub(super) fn targets(planned: &[plan::Target]) -> Vec<Scratch> {
    let mut found: Vec<Scratch> = Vec::new();
    for planned in planned {
        if let TargetKind::Filesystem(at) = &planned.kind
            && let Some(fs) = Fs::from_name(at.fstype.name())
            && let Some(uuid) = at.uuid.clone()
            && found.iter().all(|other| other.uuid != uuid)
        {
            let target = Target {
                device: Some(config::Device::Uuid(uuid.clone())),
                path: at.path.clone().into(),
                options: (!at.options.is_empty()).then(|| at.options.join(",")),
                deadline: config::Time(planned.deadline_s),
                ..Target::default()
            };
            found.push(Scratch { fs, uuid, target });
        }
    }
    found
}

/// The config with a scratch disk in place of each target, after `remote` where that is given; the first disk is
/// mounted in the guest, so that it is found by its path.
///
/// A config that seals does so to `key`: nobody has to bring a private key for a rehearsal.
pub(super) fn guest_config(
    config: &Config,
    first: &Scratch,
    others: &[Scratch],
    remote: Option<Target>,
    key: Option<&Identity>,
) -> String {
    let mut guest = config.clone();
    guest.report.identity = None;
    guest.dump.recipients = key.map(Identity::recipient).into_iter().collect();
    guest.target = remote.into_iter().collect();
    guest.target.push(Target {
        deadline: first.target.deadline,
        options: first.target.options.clone(),
        ..Target::default()
    });
    guest.target.extend(others.iter().map(|o| o.target.clone()));
    guest.capture_kernel.kernel = config::KernelChoice::Running;
    guest.show()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn every_target_has_a_disk_of_its_kind_and_uuid() {
        let at = |fstype: &str, uuid: &str, path: &str| {
            serde_json::from_value(serde_json::json!({
                "kind": { "filesystem": {
                    "fstype": fstype, "identity": { "uuid": uuid }, "uuid": uuid, "path": path,
                } },
                "deadline_s": 60,
            }))
            .unwrap()
        };
        let (one, two) = (
            "0a0b0c0d-1111-2222-3333-444455556666",
            "0a0b0c0d-2222-2222-3333-444455556666",
        );
        let planned = [
            at("ext4", one, "/var/crash"),
            at("xfs", two, "/dumps"),
            at("xfs", two, "/others"),
        ];
        let found = targets(&planned);
        assert_eq!(found.len(), 2, "one disk a filesystem");
        let disk = found[1].disk();
        assert_eq!(
            (disk.fs, &disk.holds),
            (Some(Fs::Xfs), &Holds::Filesystem(two.into()))
        );
        assert!(disk.serial.len() <= 20);
        let config = guest_config(&Config::default(), &found[0], &found[1..], None, None);
        let guest = Config::parse(&config).unwrap();
        assert_eq!(guest.target.len(), 2);
        assert_eq!(guest.target[0].path, Path::new("/var/crash"));
        assert_eq!(
            guest.target[1].device,
            Some(config::Device::Uuid(two.into()))
        );
        assert_eq!(guest.target[1].path, Path::new("/dumps"));
        assert_eq!(guest.target[1].deadline, config::Time(60));
    }
}
