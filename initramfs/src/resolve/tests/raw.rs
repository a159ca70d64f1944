//! Raw targets: nothing on the device, and something that proves it.

use super::*;

#[test]
fn a_raw_target_is_a_device_with_nothing_on_it_and_a_proof() {
    let raw = "[[target]]\nraw = \"/dev/vda1\"\n";
    let mib = vec![0; 1 << 20];
    let fixture = Fixture::new();
    fixture.virtio(&mib);
    fixture.mounts(&[]);
    let resolved = resolve_as(&fixture, raw, RUNNING).unwrap();
    let fs = filesystem(&resolved);
    assert_eq!((fs.fstype, &fs.identity), (FsType::Raw, &Identity::Stack));
    assert_eq!((fs.path.as_str(), fs.stack.len()), ("/var/crash", 2));
    assert_eq!(modules(&fixture, &resolved, RUNNING), ["virtio_blk"]);
    let mut plan = plan::Plan::new(plan::FirstKernel::default());
    plan.targets = resolved.targets;
    plan.validate().unwrap();

    let held = |at: usize, piece: &[u8]| {
        let fixture = Fixture::new();
        let mut content = mib.clone();
        content[at..at + piece.len()].copy_from_slice(piece);
        fixture.virtio(&content);
        fixture.mounts(&[]);
        error(&fixture, raw)
    };
    assert!(held(1080, &[0x53, 0xef]).contains("it holds ext"));
    assert!(held(0, b"LUKS\xba\xbe").contains("it holds crypto_LUKS"));
    assert!(held(4086, b"SWAPSPACE2").contains("it holds something in its first MiB"));
    assert!(held(900_000, b"x").contains("dd if=/dev/zero of=/dev/vda1"));
    // A signature that only udev knows, at the end of the device.
    fixture.file("/run/udev/data/b254:1", "E:ID_FS_TYPE=zfs_member\n");
    assert!(error(&fixture, raw).contains("it holds zfs_member"));
}
