//! Kernel images whole, cut off and of other kinds.

use super::*;

/// A small bzImage by the words of boot.rst, 4 setup sectors and `body` after them.
pub(crate) fn image(release: &str, body: &[u8]) -> Vec<u8> {
    let mut b = vec![0; 5 * 512];
    b[0x1f1] = 4;
    let paragraphs = u32::try_from(body.len().div_ceil(16)).unwrap();
    b[0x1f4..0x1f8].copy_from_slice(&paragraphs.to_le_bytes());
    b[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    b[0x200..0x202].copy_from_slice(&[0xeb, 0x6a]);
    b[0x202..0x206].copy_from_slice(b"HdrS");
    b[0x206..0x208].copy_from_slice(&0x020f_u16.to_le_bytes());
    b[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
    b[0x300..0x300 + release.len()].copy_from_slice(release.as_bytes());
    b[0x211] = 1;
    b[0x230..0x234].copy_from_slice(&0x20_0000_u32.to_le_bytes());
    b[0x234] = 1;
    b[0x236..0x238].copy_from_slice(&0x7f_u16.to_le_bytes());
    b[0x238..0x23c].copy_from_slice(&2047_u32.to_le_bytes());
    b[0x258..0x260].copy_from_slice(&0x100_0000_u64.to_le_bytes());
    b[0x260..0x264].copy_from_slice(&0x300_0000_u32.to_le_bytes());
    b.extend_from_slice(body);
    b
}

#[test]
fn reads_a_header() {
    let file = image("6.12.107+deb13 (a@b) #1 SMP", &[7; 100]);
    let got = BzImage::parse(&file).unwrap();
    assert_eq!(got.release, "6.12.107+deb13");
    assert_eq!(got.init_size, 48 << 20);
    assert_eq!(got.header(&file).len(), 0x26c - 0x1f1);
    assert_eq!(got.payload(&file), [7; 100]);
    assert!(got.above_4g && got.five_level);
}

#[test]
fn every_truncation_is_refused() {
    let file = image("6.1", &[9; 4096]);
    for n in 0..file.len() - 15 {
        let err = BzImage::parse(&file[..n]);
        assert!(
            err.is_err(),
            "{n} of {} bytes passed as an image",
            file.len()
        );
    }
    let said = BzImage::parse(&file[..3000]).unwrap_err().to_string();
    assert!(
        said.contains("ends at byte 6656, the file at 3000"),
        "{said}"
    );
}

#[test]
fn every_single_byte_may_be_anything() {
    let file = image("6.1", &[9; 64]);
    for at in 0x1f1..0x270 {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut hostile = file.clone();
            hostile[at] = value;
            if let Ok(got) = BzImage::parse(&hostile) {
                assert!(got.payload(&hostile).len() as u64 == got.payload_len);
                assert!(!got.header(&hostile).is_empty());
            }
        }
    }
}

#[test]
fn other_containers_are_named() {
    let said = |bytes: &[u8]| BzImage::parse(bytes).unwrap_err().to_string();
    assert!(said(b"").contains("empty"));
    assert!(said(b"\x7fELF\x02\x01\x01").contains("ELF"));
    assert!(said(b"\x1f\x8b\x08").contains("gzip"));
    let mut efi = vec![0; 4096];
    efi[..2].copy_from_slice(b"MZ");
    assert!(said(&efi).contains("unified kernel image"));
    assert!(said(&[1; 4096]).contains("no HdrS"));
    let mut old = image("2.6.32", &[0; 16]);
    old[0x206..0x208].copy_from_slice(&[0x09, 0x02]);
    assert!(said(&old).contains("older than 2.12"));
    let mut narrow = image("6.1-686", &[0; 16]);
    narrow[0x236] = 0;
    assert!(said(&narrow).contains("32-bit"));
}
