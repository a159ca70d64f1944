//! Headers as cryptsetup writes them, and others; lines of /proc/keys.

use super::*;

const ID: &str = "7d26b7b4-e342-4d2d-b660-7426b0996720";

fn made(json: &str) -> Vec<u8> {
    let mut header = vec![0; 0x4000];
    header[..8].copy_from_slice(b"LUKS\xba\xbe\x00\x02");
    header[8..16].copy_from_slice(&0x4000_u64.to_be_bytes());
    header[168..168 + ID.len()].copy_from_slice(ID.as_bytes());
    header[HEADER..HEADER + json.len()].copy_from_slice(json.as_bytes());
    header
}

/// As cryptsetup 2.7 writes it.
fn json() -> String {
    r#"{"keyslots":{"1":{"type":"luks2","key_size":64,"area":{}}},"tokens":{},
    "segments":{"0":{"type":"crypt","offset":"16777216","size":"dynamic","iv_tweak":"0",
    "encryption":"aes-xts-plain64","sector_size":512}},
    "digests":{"0":{"type":"pbkdf2","keyslots":["1"],"segments":["0"]}},
    "config":{"json_size":"12288","keyslots_size":"16744448"}}"#
        .to_owned()
}

#[test]
fn the_table_comes_from_the_header_and_names_the_key() {
    let (id, line) = table(&made(&json()), 4096).unwrap();
    assert_eq!(id, ID);
    assert_eq!(
        (line.start, line.sectors, &*line.target),
        (0, 4096, "crypt")
    );
    assert_eq!(
        line.params,
        format!("aes-xts-plain64 :64:user:cryptsetup:{ID} 0 {{0}} 32768")
    );
    assert_eq!(line.devices, [ID]);
    let large = json().replace(r#""sector_size":512"#, r#""sector_size":4096"#);
    let (_, line) = table(&made(&large), 4096).unwrap();
    assert!(
        line.params.ends_with("{0} 32768 1 sector_size:4096"),
        "{}",
        line.params
    );
    let volume = DeviceMapper {
        name: "x".into(),
        uuid: "CRYPT-LUKS2-x".into(),
        vg_uuid: None,
        lv_uuid: None,
        vg_seqno: None,
        table: vec![line],
    };
    assert_eq!(volume.key(), Some(&*format!("cryptsetup:{ID}")));
}

#[test]
fn a_header_that_is_not_plain_is_refused() {
    let more = r#""segments":{"1":{"type":"linear","offset":"1","iv_tweak":"0","encryption":"x","sector_size":512},"#;
    for (from, to, part) in [
        (
            r#""segments":{"0""#,
            &*format!("{more}\"0\""),
            "not one plain segment",
        ),
        (
            r#""type":"crypt""#,
            r#""type":"hw-opal-crypt""#,
            "not one plain segment",
        ),
        (
            r#""sector_size":512"#,
            r#""sector_size":512,"integrity":{}"#,
            "not one plain segment",
        ),
        (
            r#""sector_size":512"#,
            r#""sector_size":520"#,
            "its sectors",
        ),
        (
            r#""config":{"#,
            r#""config":{"requirements":{"mandatory":["online-reencrypt-v2"]},"#,
            "not one plain segment",
        ),
        (r#""16777216""#, r#""1""#, "where its data begins"),
        ("aes-xts-plain64", "aes {1}", "where its data begins"),
        (r#""keyslots":["1"]"#, r#""keyslots":["7"]"#, "no key slot"),
        (
            r#""key_size":64"#,
            r#""key_size":-1"#,
            "cannot be understood",
        ),
    ] {
        let changed = json().replacen(from, to, 1);
        assert_ne!(changed, json(), "{from}");
        let why = table(&made(&changed), 8).unwrap_err().to_string();
        assert!(why.contains(part), "{to}: {why}");
    }
    let mut other = made(&json());
    other[7] = 1;
    assert!(table(&other, 8).is_err());
    other[7] = 2;
    other[170] = b' ';
    assert!(table(&other, 8).is_err());
    assert!(table(&[], 8).is_err());
}

#[test]
fn only_a_logon_key_that_can_be_used_counts() {
    let line = |flags: &str, timeout: &str, kind: &str, key: &str| {
        format!("1a2b3c4d {flags}     2 {timeout} 3f010000     0     0 {kind:<9} {key}: 64")
    };
    let key = key(ID);
    let good = line("I--Q---", "perm", "logon", &key);
    assert_eq!(valid(&good), Some(&*key));
    assert_eq!(valid(&line("I--Q---", "  4h", "logon", &key)), Some(&*key));
    for line in [
        line("I--Q---", "expd", "logon", &key),
        line("IR-Q---", "perm", "logon", &key),
        line("I--Q--i", "perm", "logon", &key),
        line("---Q-N-", "perm", "logon", &key),
        line("I--Q---", "perm", "user", &key),
        String::new(),
    ] {
        assert_eq!(valid(&line), None, "{line}");
    }
}
