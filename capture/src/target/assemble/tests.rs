//! Stacks that must not be built: what is missing, what was replaced, what is there twice. Nothing is
//! written to any device, also when assembling fails.

use super::super::block::Device;
use super::*;
use plan::superblock::{Found, probe};
use plan::{FsType, Identity, Segment};
use sha2::{Digest, Sha256};

const PV: &str = "abcdef-ghij-klmn-opqr-stuv-wxyz-012345";
const ARRAY: &str = "0a0b0c0d111122223333444455556666";

/// A physical volume of 1 MiB with this text in a metadata area at 4 KiB.
pub(crate) fn pv(id: &str, text: Option<&str>) -> Vec<u8> {
    let mut disk = vec![0; 1 << 20];
    let mut put = |at: usize, bytes: &[u8]| disk[at..at + bytes.len()].copy_from_slice(bytes);
    put(512, b"LABELONE");
    put(532, &32_u32.to_le_bytes());
    put(536, b"LVM2 001");
    put(544, id.replace('-', "").as_bytes());
    let text = text.map(|text| (4096_u64, 65536_u64, text));
    let mut areas = vec![1 << 20, 65536 * 2, 0, 0];
    areas.extend(text.iter().flat_map(|(at, size, _)| [*at, *size]));
    for (n, word) in areas.iter().chain(&[0, 0]).enumerate() {
        put(544 + 40 + n * 8, &u64::to_le_bytes(*word));
    }
    if let Some((_, _, text)) = text {
        put(4096 + 4, b" LVM2 x[5A%r0N*>");
        put(4096 + 40, &512_u64.to_le_bytes());
        put(4096 + 48, &(text.len() as u64).to_le_bytes());
        put(4096 + 512, text.as_bytes());
    }
    disk
}

/// A member of the array with metadata 1.0 that holds ext4, as both its members show it.
fn member(own: u8, events: u8) -> Vec<u8> {
    let mut disk = vec![0; 1 << 20];
    disk[1080..1082].copy_from_slice(&[0x53, 0xef]);
    let at = 2032 * 512;
    disk[at..at + 8].copy_from_slice(&[0xfc, 0x4e, 0x2b, 0xa9, 1, 0, 0, 0]);
    disk[at + 16..at + 32]
        .copy_from_slice(b"\x0a\x0b\x0c\x0d\x11\x11\x22\x22\x33\x33\x44\x44\x55\x55\x66\x66");
    disk[at + 144..at + 152].copy_from_slice(&2032_u64.to_le_bytes());
    disk[at + 168] = own;
    disk[at + 200] = events;
    disk
}

struct Lab {
    dir: tempfile::TempDir,
    candidates: Vec<Candidate>,
}

impl Lab {
    fn new(disks: &[(&str, &str, Vec<u8>)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let candidates = disks.iter().map(|(name, serial, bytes)| {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            Candidate {
                found: probe(&path, 2048).unwrap(),
                device: Device {
                    name: (*name).into(),
                    path,
                    serial: (!serial.is_empty()).then(|| (*serial).into()),
                    ..Device::default()
                },
                partuuid: None,
            }
        });
        let candidates = candidates.collect();
        Self { dir, candidates }
    }

    fn hashes(&self) -> Vec<Vec<u8>> {
        let hash = |c: &Candidate| Sha256::digest(std::fs::read(&c.device.path).unwrap()).to_vec();
        self.candidates.iter().map(hash).collect()
    }

    /// What a step comes to: an error, or what is missing.
    fn step(&self, stack: Vec<Layer>, settled: Option<u64>) -> String {
        let before = self.hashes();
        let fs = Filesystem {
            fstype: FsType::Ext4,
            identity: Identity::Uuid("x".into()),
            uuid: None,
            path: "/".into(),
            options: Vec::new(),
            stack,
        };
        let mut assembly = Assembly::default();
        let machine = Machine {
            sys: self.dir.path(),
            dev: self.dir.path(),
        };
        let settled = settled.map(Duration::from_secs);
        let came = assembly.step(&fs, &self.candidates, machine, settled);
        assert_eq!(self.hashes(), before, "a disk was written to");
        came.err()
            .or_else(|| assembly.missing.take())
            .unwrap_or_default()
    }
}

fn disk(serial: &str) -> Layer {
    Layer::Disk {
        name: "vda".into(),
        wwid: None,
        serial: Some(serial.into()),
        sectors: 2048,
    }
}

fn volume() -> Layer {
    Layer::Dm(DeviceMapper {
        name: "vg0-crash".into(),
        uuid: "LVM-x".into(),
        vg_uuid: Some("VG".into()),
        lv_uuid: Some("LV".into()),
        vg_seqno: Some(4),
        table: vec![Segment {
            start: 0,
            sectors: 64,
            target: "linear".into(),
            params: "{0} 2048".into(),
            devices: vec![PV.into()],
        }],
    })
}

const LUKS: &str = "7d26b7b4-e342-4d2d-b660-7426b0996720";

fn encrypted() -> Layer {
    Layer::Dm(DeviceMapper {
        name: "crash".into(),
        uuid: "CRYPT-LUKS2-x".into(),
        vg_uuid: None,
        lv_uuid: None,
        vg_seqno: None,
        table: vec![Segment {
            start: 0,
            sectors: 64,
            target: "crypt".into(),
            params: format!("aes-xts-plain64 :64:user:cryptsetup:{LUKS} 0 {{0}} 32768"),
            devices: vec![LUKS.into()],
        }],
    })
}

fn array() -> Layer {
    Layer::Md {
        name: "md0".into(),
        uuid: ARRAY.into(),
        level: "raid1".into(),
        metadata: "1.0".into(),
        members: 2,
        events: 20,
    }
}

fn group(seqno: u32) -> Vec<u8> {
    let text = format!(
        "vg0 {{\nid = \"VG\"\nseqno = {seqno}\nphysical_volumes {{\npv0 {{\nid = \"{PV}\"\n}}\n}}\n\
         logical_volumes {{\ncrash {{\nid = \"LV\"\n}}\n}}\n}}\n"
    );
    pv(PV, Some(&text))
}

#[test]
fn a_volume_is_built_only_from_the_disk_that_was_recorded() {
    let stack = || vec![volume(), disk("A")];
    // Everything is as it was: it gets as far as device-mapper, which is not there.
    let came = Lab::new(&[("vda", "A", group(4))]).step(stack(), None);
    assert!(came.contains("mapper/control"), "{came}");
    // Extended after arming.
    let came = Lab::new(&[("vda", "A", group(5))]).step(stack(), None);
    assert!(came.contains("sequence number is 5"), "{came}");
    // Replaced after arming by a copy.
    let came = Lab::new(&[("vda", "B", group(4))]).step(stack(), None);
    assert!(came.contains("serial number is B, not A"), "{came}");
    // Gone.
    let came = Lab::new(&[("vda", "A", vec![0; 1 << 20])]).step(stack(), None);
    assert!(
        came.contains(&format!("the physical volume {PV} of vg0-crash")),
        "{came}"
    );
}

#[test]
fn an_encrypted_volume_is_found_by_its_own_uuid_and_needs_its_key() {
    let luks = |id: &str| {
        let mut disk = vec![0; 1 << 20];
        disk[..8].copy_from_slice(b"LUKS\xba\xbe\x00\x02");
        disk[168..168 + id.len()].copy_from_slice(id.as_bytes());
        disk
    };
    let stack = || vec![encrypted(), disk("A")];
    // Everything is as it was: it gets as far as the keys, which no panicked kernel handed over here.
    let came = Lab::new(&[("vda", "A", luks(LUKS))]).step(stack(), None);
    assert!(
        came.contains("crash: the kernel gives no keys back"),
        "{came}"
    );
    let came = Lab::new(&[("vda", "A", luks("other"))]).step(stack(), None);
    assert!(came.contains(LUKS), "{came}");
    let came = Lab::new(&[("vda", "B", luks(LUKS))]).step(stack(), None);
    assert!(came.contains("serial number is B, not A"), "{came}");
}

#[test]
fn a_copy_beside_the_original_is_told_apart_or_refused() {
    let both = |a: &str, b: &str| Lab::new(&[("vda", a, group(4)), ("vdb", b, group(4))]);
    let came = both("B", "A").step(vec![volume(), disk("A")], None);
    assert!(came.contains("mapper/control"), "{came}");
    let came = both("", "").step(vec![volume(), disk("A")], None);
    assert!(
        came.contains("vda, vdb each say they are the physical volume"),
        "{came}"
    );
    let members = Lab::new(&[
        ("vda", "", member(1, 20)),
        ("vdb", "", member(2, 20)),
        ("vdc", "", member(2, 20)),
    ]);
    let came = members.step(vec![array(), disk("A"), disk("B")], Some(60));
    assert!(
        came.contains("vdb, vdc each say they are a member"),
        "{came}"
    );
}

#[test]
fn an_array_waits_for_its_members_and_leaves_out_what_had_left_it() {
    let stack = || vec![array(), disk("A"), disk("B")];
    let two = [("vda", "A", member(1, 20)), ("vdb", "B", member(2, 21))];
    // Both are there: it gets as far as md, which is not there.
    let came = Lab::new(&two).step(stack(), None);
    assert!(
        came.contains("from vda vdb") && came.contains("new_array"),
        "{came}"
    );
    let one = Lab::new(&two[..1]);
    assert!(
        one.step(stack(), Some(1))
            .contains("1 of 2 members of the array md0")
    );
    let came = one.step(stack(), Some(60));
    assert!(
        came.contains("from vda:") && came.contains("new_array"),
        "{came}"
    );
    let old = Lab::new(&[("vda", "A", member(1, 19))]);
    assert!(old.step(stack(), Some(60)).contains("0 of 2 members"));
}

#[test]
fn what_the_kernel_holds_already_is_left_alone() {
    let mut lab = Lab::new(&[("vda", "A", member(1, 20))]);
    lab.candidates[0].device.held = true;
    assert_eq!(lab.step(vec![array()], None), "");
    lab.candidates.push(Candidate {
        device: Device {
            dm_uuid: Some("LVM-x".into()),
            path: lab.candidates[0].device.path.clone(),
            ..Device::default()
        },
        found: Found::default(),
        partuuid: None,
    });
    assert_eq!(lab.step(vec![volume()], None), "");
}
