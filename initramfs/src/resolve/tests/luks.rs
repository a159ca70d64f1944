//! Opened LUKS2 volumes: what has to be there before one can be a target.

use super::*;

const ID: &str = "7d26b7b4-e342-4d2d-b660-7426b0996720";

/// An opened volume on a partition, with its filesystem mounted.
fn opened() -> Fixture {
    let fixture = Fixture::new();
    let json = r#"{"keyslots":{"0":{"key_size":64}},"digests":{"0":{"keyslots":["0"],"segments":["0"]}},
        "segments":{"0":{"type":"crypt","offset":"16777216","size":"dynamic","iv_tweak":"0",
        "encryption":"aes-xts-plain64","sector_size":512}},"config":{}}"#;
    fixture.virtio(&bytes(&[
        (0, b"LUKS\xba\xbe\x00\x02"),
        (8, &0x4000_u64.to_be_bytes()),
        (168, ID.as_bytes()),
        (4096, json.as_bytes()),
        (0x4000, &[0]),
    ]));
    fixture.modules(&[
        "drivers/md/dm-crypt",
        "crypto/xts",
        "arch/x86/aesni-intel",
        "crypto/padlock",
    ]);
    let alias = fixture
        .path()
        .join(format!("lib/modules/{RUNNING}/modules.alias"));
    let mut text = std::fs::read_to_string(&alias).unwrap();
    text.push_str("alias crypto-aes aesni_intel\nalias crypto-aes padlock\nalias crypto-xts xts\n");
    std::fs::write(alias, text).unwrap();
    for loaded in ["aesni_intel", "xts"] {
        fixture.file(&format!("/sys/module/{loaded}/initstate"), "live");
    }
    fixture.block("virtual/block/dm-0", "253:0", 4096, &xfs());
    let dm = "/sys/devices/virtual/block/dm-0/dm";
    fixture.file(&format!("{dm}/uuid"), "CRYPT-LUKS2-7d26b7b4-crash");
    fixture.file(&format!("{dm}/name"), "crash");
    fixture.stacked("dm-0", "vda1");
    fixture.mounts(&[("253:0", "/", "/", "xfs", "/dev/mapper/crash")]);
    fixture
}

const KEYS: &str = "/sys/kernel/config/crash_dm_crypt_keys";

#[test]
fn a_volume_whose_key_is_in_a_keyring_is_described_with_what_it_encrypts_with() {
    let fixture = opened();
    fixture.file(&format!("{KEYS}/count"), "0\n");
    let key = format!("1a2b3c4d I--Q---  2 perm 3f010000  0  0 logon  cryptsetup:{ID}: 64\n");
    fixture.file("/proc/keys", key);
    let resolved = default(&fixture);
    assert_eq!(
        modules(&fixture, &resolved, RUNNING),
        [
            "virtio_blk",
            "dm_mod",
            "dm_crypt",
            "aesni_intel",
            "xts",
            "xfs"
        ]
    );
    let [
        Layer::Dm(volume),
        Layer::Partition { .. },
        Layer::Disk { .. },
    ] = filesystem(&resolved).stack.as_slice()
    else {
        panic!("{:?}", filesystem(&resolved).stack);
    };
    assert_eq!(volume.key(), Some(&*format!("cryptsetup:{ID}")));
    assert_eq!(volume.table[0].sectors, 4096);
}

#[test]
fn without_its_key_a_volume_is_refused_until_a_loaded_image_has_it() {
    let fixture = opened();
    assert!(error(&fixture, "").contains("this kernel hands no key over"));
    fixture.file(&format!("{KEYS}/count"), "1\n");
    let why = error(&fixture, "");
    assert!(
        why.contains("is in no keyring") && why.contains(ID),
        "{why}"
    );
    let entry = format!("{KEYS}/afterpanic-{ID}/description");
    fixture.file(&entry, format!("cryptsetup:{ID}\n"));
    assert!(error(&fixture, "").contains("is in no keyring"));
    fixture.file("/sys/kernel/kexec_crash_loaded", "1\n");
    default(&fixture);
}
