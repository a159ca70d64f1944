//! Volume groups whose physical volumes were laid out by hand, text and all.

use super::super::fixture::{Fixture, RUNNING, bytes, xfs};
use super::{Layer, error, filesystem, modules, resolve_as};

const VG: &str = "VVVVVVvvvvVVVVvvvvVVVVvvvvVVVVVV";
const LV: &str = "LLLLLLllllLLLLllllLLLLllllLLLLLL";
const PV0: &str = "000000aaaa0000aaaa0000aaaa000000";
const PV1: &str = "111111bbbb1111bbbb1111bbbb111111";

/// 6-4-4-4-4-4-6, written out independently of the code.
fn id(raw: &str) -> String {
    let (a, rest) = raw.split_at(6);
    let middle: Vec<_> = (0..5).map(|n| &rest[n * 4..n * 4 + 4]).collect();
    format!("{a}-{}-{}", middle.join("-"), &rest[20..])
}

fn text(segments: &str) -> String {
    format!(
        "vg0 {{\nid = \"{}\"\nseqno = 12\nformat = \"lvm2\"\nextent_size = 8192\n\
         physical_volumes {{\n\
         pv0 {{\nid = \"{}\"\ndevice = \"/dev/vda1\"\npe_start = 2048\npe_count = 99\n}}\n\
         pv1 {{\nid = \"{}\"\ndevice = \"/dev/sdz\"\npe_start = 4096\npe_count = 99\n}}\n}}\n\
         logical_volumes {{\nother {{\nid = \"x\"\n}}\n\
         crash {{\nid = \"{}\"\nstatus = [\"READ\", \"WRITE\", \"VISIBLE\"]\nsegment_count = 2\n{segments}}}\n}}\n}}\n",
        id(VG),
        id(PV0),
        id(PV1),
        id(LV)
    )
}

/// A physical volume: label, header, one data area, one metadata area of 64 KiB at 4096. The text
/// begins 100 bytes before the area's end, so that it wraps around.
fn pv(id: &str, text: &str) -> Vec<u8> {
    let (area, size) = (4096_usize, 65536_usize);
    let start = size - 100;
    let mut header = id.as_bytes().to_vec();
    for word in [
        1_u64 << 30,
        1 << 20,
        0,
        0,
        0,
        area as u64,
        size as u64,
        0,
        0,
    ] {
        header.extend(word.to_le_bytes());
    }
    let mut location = Vec::new();
    for word in [area as u64, size as u64, start as u64, text.len() as u64] {
        location.extend(word.to_le_bytes());
    }
    let (first, wrapped) = text.as_bytes().split_at(100.min(text.len()));
    bytes(&[
        (512, b"LABELONE"),
        (532, &32_u32.to_le_bytes()),
        (536, b"LVM2 001"),
        (544, &header),
        (area + 4, b" LVM2 x[5A%r0N*>"),
        (area + 20, &1_u32.to_le_bytes()),
        (area + 24, &location),
        (area + start, first),
        (area + 512, wrapped),
    ])
}

fn machine(segments: &str) -> Fixture {
    let fixture = Fixture::new();
    let text = text(segments);
    fixture.virtio(&pv(PV0, &text));
    fixture.block(
        "pci0000:00/0000:00:09.0/virtio5/block/vdb",
        "254:16",
        8192,
        &pv(PV1, &text),
    );
    fixture.block("virtual/block/dm-3", "253:3", 8192, &xfs());
    fixture.file(
        "/sys/devices/virtual/block/dm-3/dm/uuid",
        format!("LVM-{VG}{LV}\n"),
    );
    fixture.file("/sys/devices/virtual/block/dm-3/dm/name", "vg0-crash\n");
    fixture.stacked("dm-3", "vda1");
    fixture.stacked("dm-3", "vdb");
    fixture.mounts(&[("253:3", "/", "/", "xfs", "/dev/mapper/vg0-crash")]);
    fixture
}

const LINEAR: &str = "\
segment2 {\nstart_extent = 10\nextent_count = 5\ntype = \"striped\"\nstripe_count = 1\nstripes = [\n\"pv1\", 3\n]\n}
segment1 {\nstart_extent = 0\nextent_count = 10\ntype = \"striped\"\nstripe_count = 1\nstripes = [\n\"pv0\", 0\n]\n}
";

#[test]
fn a_linear_volume_over_two_disks() {
    let fixture = machine(LINEAR);
    let resolved = resolve_as(&fixture, "", RUNNING).unwrap();
    assert_eq!(
        modules(&fixture, &resolved, RUNNING),
        ["virtio_blk", "dm_mod", "xfs"]
    );
    let stack = &filesystem(&resolved).stack;
    let Layer::Dm(dm) = &stack[0] else {
        panic!("{stack:?}");
    };
    assert_eq!(dm.name, "vg0-crash");
    assert_eq!(
        (dm.vg_seqno, dm.vg_uuid.as_deref()),
        (Some(12), Some(id(VG).as_str()))
    );
    let table: Vec<_> = dm
        .table
        .iter()
        .map(|s| {
            (
                s.start,
                s.sectors,
                s.target.as_str(),
                s.params.as_str(),
                s.devices.clone(),
            )
        })
        .collect();
    assert_eq!(
        table,
        [
            (0, 81920, "linear", "{0} 2048", vec![id(PV0)]),
            (81920, 40960, "linear", "{0} 28672", vec![id(PV1)]),
        ]
    );
    assert_eq!(stack.len(), 4, "the volume, a partition and two disks");
}

#[test]
fn a_striped_volume() {
    let fixture = machine(
        "segment1 {\nstart_extent = 0\nextent_count = 4\ntype = \"striped\"\nstripe_count = 2\nstripe_size = 128\nstripes = [\n\"pv0\", 1,\n\"pv1\", 0\n]\n}\n",
    );
    let resolved = resolve_as(&fixture, "", RUNNING).unwrap();
    let Layer::Dm(dm) = &filesystem(&resolved).stack[0] else {
        panic!("no volume");
    };
    assert_eq!(dm.table[0].target, "striped");
    assert_eq!(dm.table[0].params, "2 128 {0} 10240 {1} 4096");
    assert_eq!(dm.table[0].devices, [id(PV0), id(PV1)]);
}

#[test]
fn the_origin_of_a_snapshot_is_refused() {
    let fixture = machine(LINEAR);
    fixture.block("virtual/block/dm-2", "253:2", 8192, &xfs());
    fixture.file(
        "/sys/devices/virtual/block/dm-2/dm/uuid",
        format!("LVM-{VG}{LV}-real\n"),
    );
    fixture.stacked("dm-3", "dm-2");
    let message = error(&fixture, "");
    assert!(message.contains("a snapshot or its origin"), "{message}");
}

#[test]
fn what_cannot_be_put_together_is_said() {
    for (segments, part) in [
        (
            LINEAR.replace("striped", "thin"),
            "segment2: it is of type \"thin\"",
        ),
        (
            LINEAR.replace("start_extent = 10", "start_extent = 11"),
            "leave a hole",
        ),
        (
            LINEAR.replace("\"pv1\"", "\"pv7\""),
            "pv7 is no physical volume",
        ),
        (
            LINEAR.replace("extent_count = 5", "extent_count = 99999999999999999"),
            "too large",
        ),
        (String::new(), "no segments"),
    ] {
        let message = error(&machine(&segments), "");
        assert!(message.contains(part), "{message}");
        assert!(message.contains("vg0-crash"), "{message}");
    }
    let fixture = machine(LINEAR);
    fixture.file("/dev/vda1", bytes(&[]));
    assert!(error(&fixture, "").contains("there is no LVM label"));
    let fixture = machine(LINEAR);
    fixture.file("/dev/vda1", pv(PV0, "vg0 { id ="));
    assert!(error(&fixture, "").contains("cannot be understood"));
}
