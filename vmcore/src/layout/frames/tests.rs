//! Frames as their codecs make them, measured.

use super::*;
use std::io::Write;

fn lengths(codec: Codec, file: &[u8]) -> Vec<Measured> {
    let mut peek = |at: u64, n: usize| {
        let at = usize::try_from(at).ok()?;
        file.get(at..at.checked_add(n)?).map(<[u8]>::to_vec)
    };
    let mut all = Vec::new();
    let mut at = 0;
    while let Some(frame) = measure(codec, at, &mut peek) {
        at += frame.packed;
        all.push(frame);
    }
    all
}

#[test]
fn frames_are_measured_as_their_codecs_made_them() {
    for len in [0_usize, 1, 255, 256, 70_000, 300_000] {
        let content: Vec<u8> = (0..len).map(|i| ((i * i) >> 7) as u8).collect();
        for checksum in [false, true] {
            let mut packer = zstd::bulk::Compressor::new(3).unwrap();
            packer.include_checksum(checksum).unwrap();
            let one = packer.compress(&content).unwrap();
            let mut file = one.clone();
            file.extend_from_slice(&skippable_header(OURS, 5).unwrap());
            file.extend_from_slice(b"12345");
            file.extend_from_slice(&one);
            let got = lengths(Codec::Zstd, &file);
            assert_eq!(got.len(), 3);
            assert_eq!(got[0], got[2]);
            assert_eq!(got[0].packed, one.len() as u64);
            assert_eq!(got[0].plain, Some(len as u64));
            assert_eq!(
                got[1],
                Measured {
                    packed: 13,
                    plain: Some(0)
                }
            );
            file.pop();
            assert_eq!(lengths(Codec::Zstd, &file).len(), 2, "the last is cut off");

            let info = lz4_flex::frame::FrameInfo::new()
                .block_checksums(checksum)
                .content_checksum(checksum)
                .content_size(Some(len as u64));
            let mut lz4 = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
            lz4.write_all(&content).unwrap();
            let lz4 = lz4.finish().unwrap();
            let want = Measured {
                packed: lz4.len() as u64,
                plain: Some(len as u64),
            };
            assert_eq!(lengths(Codec::Lz4, &lz4), [want]);
        }
    }
}

#[test]
fn the_checksum_of_nothing_is_the_codecs() {
    let mut packer = zstd::bulk::Compressor::new(1).unwrap();
    packer.include_checksum(true).unwrap();
    let frame = packer.compress(&[]).unwrap();
    let tail = le32(&frame, frame.len() - 4);
    assert_eq!(tail, Some(Codec::Zstd.empty_checksum()));
    let info = lz4_flex::frame::FrameInfo::new().content_checksum(true);
    let lz4 = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
    let frame = lz4.finish().unwrap();
    assert_eq!(
        le32(&frame, frame.len() - 4),
        Some(Codec::Lz4.empty_checksum())
    );
}

#[test]
fn footers_and_entries_read_back() {
    let footer = Footer {
        frames: 7,
        checksums: true,
    };
    let bytes = footer.encode(Codec::Zstd);
    assert_eq!(bytes.len(), 9);
    assert_eq!(Footer::parse(Codec::Zstd, &bytes), Some(footer));
    assert_eq!(Footer::parse(Codec::Lz4, &bytes), None);
    assert_eq!(footer.table_len(), 8 + 7 * 12 + 9);
    let entry = Entry {
        packed: 1,
        plain: 2,
        checksum: Some(3),
    };
    assert_eq!(Entry::parse(&entry.encode()), Some(entry));
    assert_eq!(Entry::parse(&entry.encode()[..8]).unwrap().checksum, None);
}
