//! A machine made of files: `/sys`, `/proc`, `/dev` and `/lib/modules` in a folder of the test.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::modules::Index;
use crate::root::Root;

/// The kernel that runs on it.
pub(crate) const RUNNING: &str = "6.6.6-here";
/// Another kernel that is installed.
pub(crate) const OTHER: &str = "7.7.7-there";

/// What both kernels have as modules; the other one also has a modular virtio and no sd_mod.
const DEP: &str = "\
kernel/drivers/block/virtio_blk.ko:
kernel/drivers/scsi/scsi_mod.ko:
kernel/drivers/scsi/megaraid/megaraid_sas.ko: kernel/drivers/scsi/scsi_mod.ko
kernel/drivers/ata/ahci.ko: kernel/drivers/ata/libata.ko
kernel/drivers/ata/libata.ko: kernel/drivers/scsi/scsi_mod.ko
kernel/drivers/nvme/host/nvme.ko: kernel/drivers/nvme/host/nvme-core.ko
kernel/drivers/nvme/host/nvme-core.ko:
kernel/drivers/usb/host/xhci-pci.ko:
kernel/drivers/usb/storage/usb-storage.ko: kernel/drivers/scsi/scsi_mod.ko
kernel/drivers/md/dm-mod.ko:
kernel/drivers/md/raid1.ko: kernel/drivers/md/md-mod.ko
kernel/drivers/md/md-mod.ko:
kernel/drivers/watchdog/i6300esb.ko:
kernel/drivers/watchdog/hpwdt.ko:
kernel/fs/xfs/xfs.ko:
kernel/fs/btrfs/btrfs.ko:
kernel/fs/fat/vfat.ko: kernel/fs/fat/fat.ko
kernel/fs/fat/fat.ko:
kernel/fs/nls/nls_ascii.ko:
";

const ALIAS: &str = "\
alias fs-xfs xfs
alias fs-btrfs btrfs
alias fs-vfat vfat
alias scsi:t-0x00* sd_mod
";

/// A machine; it vanishes with the value.
pub(crate) struct Fixture {
    dir: TempDir,
}

impl Fixture {
    /// A machine with kernels and nothing else.
    pub(crate) fn new() -> Self {
        let fixture = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        fixture.file("proc/sys/kernel/osrelease", RUNNING);
        let sd = "kernel/drivers/scsi/sd_mod.ko: kernel/drivers/scsi/scsi_mod.ko\n";
        fixture.kernel(
            RUNNING,
            &format!("{DEP}{sd}"),
            ALIAS,
            "kernel/drivers/virtio/virtio_pci.ko\n",
        );
        fixture.kernel(
            OTHER,
            &format!("{DEP}kernel/drivers/virtio/virtio_pci.ko:\n"),
            &format!("{ALIAS}alias pci:v00001AF4d*sv*sd*bc*sc*i* virtio_pci\n"),
            "kernel/drivers/scsi/sd_mod.ko\n",
        );
        fixture
    }

    fn kernel(&self, release: &str, dep: &str, alias: &str, builtin: &str) {
        let dir = format!("lib/modules/{release}");
        for line in dep.lines() {
            let path = line.split(':').next().unwrap();
            self.file(&format!("{dir}/{path}"), "\x7fELF");
        }
        self.file(&format!("{dir}/modules.dep"), dep);
        self.file(&format!("{dir}/modules.alias"), alias);
        self.file(
            &format!("{dir}/modules.builtin"),
            format!("{builtin}kernel/fs/ext4/ext4.ko\n"),
        );
        let info = "ext4.alias=fs-ext4\0ext4.alias=fs-ext3\0";
        self.file(&format!("{dir}/modules.builtin.modinfo"), info);
    }

    /// More modules of the running kernel that need no others, by path below `kernel/`.
    pub(crate) fn modules(&self, paths: &[&str]) {
        let dir = format!("lib/modules/{RUNNING}");
        let table = self.path().join(format!("{dir}/modules.dep"));
        let mut dep = fs::read_to_string(&table).unwrap();
        for path in paths {
            self.file(&format!("{dir}/kernel/{path}.ko"), "\x7fELF");
            dep.push_str(&format!("kernel/{path}.ko:\n"));
        }
        fs::write(table, dep).unwrap();
    }

    /// The prefix.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The prefix as the code takes it.
    pub(crate) fn root(&self) -> Root {
        Root::new(self.path())
    }

    /// The modules of a kernel.
    pub(crate) fn index(&self, release: &str) -> Index {
        Index::open(self.path(), release).unwrap()
    }

    /// A file.
    pub(crate) fn file(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// A link; its target is absolute, as seen from inside.
    pub(crate) fn link(&self, path: &str, target: &str) {
        let path = self.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&path);
        symlink(target, path).unwrap();
    }

    /// A device below /sys/devices with a driver, whose module may be built in (`None`).
    pub(crate) fn device(&self, path: &str, driver: &str, module: Option<&str>, modalias: &str) {
        let sys = format!("/sys/devices/{path}");
        let home = format!("/sys/bus/any/drivers/{driver}");
        self.file(&format!("{sys}/modalias"), format!("{modalias}\n"));
        if !self.path().join(&home[1..]).exists() {
            self.file(&format!("{home}/uevent"), "");
            if let Some(module) = module {
                self.file(&format!("/sys/module/{module}/initstate"), "live\n");
                self.link(&format!("{home}/module"), &format!("/sys/module/{module}"));
            }
        }
        self.link(&format!("{sys}/driver"), &home);
    }

    /// A block device below /sys/devices with its node, which holds these bytes.
    pub(crate) fn block(&self, path: &str, dev: &str, sectors: u64, content: &[u8]) {
        let name = path.rsplit('/').next().unwrap();
        let sys = format!("/sys/devices/{path}");
        self.file(&format!("{sys}/dev"), format!("{dev}\n"));
        self.file(&format!("{sys}/size"), format!("{sectors}\n"));
        self.file(
            &format!("{sys}/uevent"),
            format!("DEVNAME={name}\nDEVTYPE=disk\n"),
        );
        self.link(&format!("/sys/dev/block/{dev}"), &sys);
        self.link(&format!("/sys/class/block/{name}"), &sys);
        self.file(&format!("/dev/{name}"), content);
    }

    /// A partition of the disk at `disk`.
    pub(crate) fn partition(&self, disk: &str, number: u32, dev: &str, content: &[u8]) {
        let name = disk.rsplit('/').next().unwrap();
        let separator = if name.ends_with(|c: char| c.is_ascii_digit()) {
            "p"
        } else {
            ""
        };
        let path = format!("{disk}/{name}{separator}{number}");
        self.block(&path, dev, 4096, content);
        self.file(
            &format!("/sys/devices/{path}/partition"),
            format!("{number}\n"),
        );
        self.file(&format!("/sys/devices/{path}/start"), "2048\n");
    }

    /// Marks `above` as made of `below`, both names of block devices.
    pub(crate) fn stacked(&self, above: &str, below: &str) {
        let sys = |name: &str| {
            let link = self.path().join("sys/class/block").join(name);
            fs::read_link(link).unwrap().to_str().unwrap().to_owned()
        };
        self.link(&format!("{}/slaves/{below}", sys(above)), &sys(below));
        self.link(&format!("{}/holders/{above}", sys(below)), &sys(above));
    }

    /// The mount table: lines of device number, part, place, type and source.
    pub(crate) fn mounts(&self, lines: &[(&str, &str, &str, &str, &str)]) {
        let mut text = String::from("20 1 0:5 / / rw - rootfs none rw\n");
        for (n, (dev, part, point, fstype, source)) in lines.iter().enumerate() {
            text.push_str(&format!(
                "{} 1 {dev} {part} {point} rw,relatime shared:{n} - {fstype} {source} rw\n",
                30 + n
            ));
        }
        self.file("/proc/self/mountinfo", text);
    }

    /// A virtio disk `vda` at 254:0 with one partition `vda1` at 254:1.
    pub(crate) fn virtio(&self, content: &[u8]) {
        let pci = "pci0000:00/0000:00:04.0";
        self.device(
            pci,
            "virtio-pci",
            None,
            "pci:v00001AF4d00001042sv00001AF4sd00001100bc01sc00i00",
        );
        self.device(
            &format!("{pci}/virtio1"),
            "virtio_blk",
            Some("virtio_blk"),
            "virtio:d00000002v00001AF4",
        );
        let disk = format!("{pci}/virtio1/block/vda");
        self.block(&disk, "254:0", 8192, &[0; 512]);
        self.file(&format!("/sys/devices/{disk}/serial"), "abc-123\n");
        self.partition(&disk, 1, "254:1", content);
    }

    /// Where a path of the machine is here.
    pub(crate) fn host(&self, path: &str) -> PathBuf {
        self.path().join(path.trim_start_matches('/'))
    }
}

/// A device's beginning with these pieces at these offsets.
pub(crate) fn bytes(pieces: &[(usize, &[u8])]) -> Vec<u8> {
    let mut out = vec![0; 128 * 1024];
    for (at, piece) in pieces {
        out[*at..at + piece.len()].copy_from_slice(piece);
    }
    out
}

/// The sixteen bytes 1, 2, … and how they are written as a UUID.
pub(crate) const UUID_BYTES: [u8; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
/// The same as text.
pub(crate) const UUID_TEXT: &str = "01020304-0506-0708-090a-0b0c0d0e0f10";

/// A device that holds ext4 (extents in the incompatible features).
pub(crate) fn ext4() -> Vec<u8> {
    bytes(&[
        (1080, &[0x53, 0xef]),
        (1116, &[0x04]),
        (1120, &[0x42, 0x02]),
        (1128, &UUID_BYTES),
        (1144, b"cores"),
    ])
}

/// A device that holds xfs.
pub(crate) fn xfs() -> Vec<u8> {
    bytes(&[(0, b"XFSB"), (32, &UUID_BYTES)])
}

/// A device that holds btrfs.
pub(crate) fn btrfs() -> Vec<u8> {
    bytes(&[(65568, &UUID_BYTES), (65600, b"_BHRfS_M")])
}
