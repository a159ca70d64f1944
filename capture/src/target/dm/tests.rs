//! The bytes that the kernel gets, and metadata that is not what was recorded.

use super::*;

const PV: &str = "abcdef-ghij-klmn-opqr-stuv-wxyz-012345";

fn segment(start: u64, target: &str, params: &str, devices: &[&str]) -> Segment {
    Segment {
        start,
        sectors: 8192,
        target: target.into(),
        params: params.into(),
        devices: devices.iter().map(|id| (*id).to_owned()).collect(),
    }
}

#[test]
fn a_table_is_laid_out_as_the_header_says() {
    let table = [
        segment(0, "linear", "{0} 2048", &["a"]),
        segment(8192, "striped", "2 128 {0} 2048 {1} 10240", &["a", "b"]),
    ];
    let number = |id: &str| Some(if id == "a" { "254:1" } else { "8:16" }.to_owned());
    let bytes = targets(&table, &number).unwrap();
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    // sector_start, length, status and next (above), type, parameters.
    assert_eq!((word(0), word(8)), (0, 8192));
    let next = usize::try_from(word(16) >> 32).unwrap();
    assert_eq!(&bytes[24..31], b"linear\0");
    assert_eq!(&bytes[40..51], b"254:1 2048\0");
    assert_eq!(next % 8, 0);
    assert_eq!((word(next), word(next + 8)), (8192, 8192));
    assert!(bytes[next + 40..].starts_with(b"2 128 254:1 2048 8:16 10240\0"));
    assert_eq!(
        bytes.len(),
        next + usize::try_from(word(next + 16) >> 32).unwrap()
    );

    assert!(targets(&table, &|_| None).is_err());
    let nonsense = [segment(0, "linear", "{3} 2048", &["a"])];
    assert!(targets(&nonsense, &number).is_err());
}

#[test]
fn a_minor_number_is_split_in_the_answer() {
    let mut answer = vec![0; 312];
    // Major 253, minor 0x12345: the low byte, the major at bit 8, the rest from bit 20.
    answer[40..48].copy_from_slice(&(0x45_u64 | 253 << 8 | 0x123 << 20).to_le_bytes());
    assert_eq!(minor(&answer), 0x12345);
}

#[test]
fn a_buffer_that_lies_about_its_length_is_not_given_to_the_kernel() {
    let null = File::open("/dev/null").unwrap();
    for length in [0, 20, 311, 400] {
        let mut buffer = vec![0; length];
        if let Some(size) = buffer.get_mut(12..16) {
            size.copy_from_slice(&312_u32.to_le_bytes());
        }
        let error = sys::device_mapper(&null, DEV_CREATE, &mut buffer).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    }
}

fn volume() -> DeviceMapper {
    DeviceMapper {
        name: "vg0-crash".into(),
        uuid: "LVM-x".into(),
        vg_uuid: Some("VG".into()),
        lv_uuid: Some("LV".into()),
        vg_seqno: Some(12),
        table: vec![segment(0, "linear", "{0} 2048", &[PV])],
    }
}

fn text(vg: &str, seqno: u32, lv: &str) -> String {
    format!(
        "vg0 {{\nid = \"{vg}\"\nseqno = {seqno}\nphysical_volumes {{\npv0 {{\nid = \"{PV}\"\n}}\n}}\n\
         logical_volumes {{\ncrash {{\nid = \"{lv}\"\n}}\n}}\n}}\n"
    )
}

fn verified(text: Option<&str>) -> Result<(), String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pv");
    std::fs::write(&path, crate::target::assemble::tests::pv(PV, text)).unwrap();
    verify(&volume(), &[(PV.to_owned(), &path)])
}

#[test]
fn metadata_that_was_changed_is_not_trusted() {
    assert_eq!(verified(Some(&text("VG", 12, "LV"))), Ok(()));
    for (text, part) in [
        (Some(text("VG", 13, "LV")), "sequence number is 13"),
        (Some(text("VG", 11, "LV")), "sequence number is 11"),
        (Some(text("other", 12, "LV")), "not of the volume group VG"),
        (
            Some(text("VG", 12, "other")),
            "the volume LV is not in its group",
        ),
        (
            Some(text("VG", 12, "LV").replace(PV, "p")),
            "is not in the volume group any more",
        ),
        (Some("vg0 {\nid =".into()), "cannot be understood"),
        (None, "none of its physical volumes"),
    ] {
        let why = verified(text.as_deref()).unwrap_err();
        assert!(why.contains(part), "{why}");
    }
    let mut nothing = volume();
    nothing.vg_seqno = None;
    assert!(verify(&nothing, &[]).is_err());
}
