//! The writer against bytes made by hand, the reader against the writer and against damage.

use super::*;

#[test]
fn an_entry_is_written_as_the_format_says() {
    let mut writer = Writer::new();
    assert!(writer.entry("a", 0o100_755, (0, 0), b"xyz"));
    let bytes = writer.finish();
    let expected = concat!(
        "070701",
        "00000001000081ed0000000000000000000000010000000000000003",
        "0000000000000000000000000000000000000002",
        "00000000",
        "a\0",
        "xyz\0",
        "070701",
        "00000000000000000000000000000000000000010000000000000000",
        "000000000000000000000000000000000000000b",
        "00000000",
        "TRAILER!!!\0\0\0\0",
    );
    assert_eq!(String::from_utf8(bytes).unwrap(), expected);
}

fn sample() -> Vec<u8> {
    let mut writer = Writer::new();
    for (path, mode, rdev, data) in [
        ("dev", 0o040_755, (0, 0), &b""[..]),
        ("dev/console", 0o020_600, (5, 1), b""),
        ("init", 0o100_755, (0, 0), b"12345"),
        ("lib", 0o120_777, (0, 0), b"usr/lib"),
    ] {
        assert!(writer.entry(path, mode, rdev, data));
    }
    writer.finish()
}

#[test]
fn what_is_written_is_read_back() {
    let bytes = sample();
    let mut reader = Reader::new(&bytes);
    let entries: Vec<_> = reader.by_ref().collect::<Result<_, _>>().unwrap();
    let kinds: Vec<_> = entries
        .iter()
        .map(|e| (e.path.as_str(), e.kind(), e.rdev, e.data))
        .collect();
    assert_eq!(
        kinds,
        [
            ("dev", Kind::Directory, (0, 0), &b""[..]),
            ("dev/console", Kind::Device, (5, 1), b""),
            ("init", Kind::File, (0, 0), b"12345"),
            ("lib", Kind::Symlink, (0, 0), b"usr/lib"),
        ]
    );
    assert_eq!(reader.position(), bytes.len());
    assert_eq!(bytes.len() % 4, 0);
}

#[test]
fn a_cut_anywhere_is_an_error_and_never_a_panic() {
    let bytes = sample();
    for end in 0..bytes.len() - 3 {
        let result: Result<Vec<_>, _> = Reader::new(&bytes[..end]).collect();
        assert!(result.is_err(), "cut at {end}");
    }
}

#[test]
fn sizes_that_lie_are_errors() {
    for field in [6, 11] {
        let mut bytes = sample();
        bytes[6 + field * 8..14 + field * 8].copy_from_slice(b"ffffffff");
        assert_eq!(
            Reader::new(&bytes).next(),
            Some(Err(ReadError::Cut { at: 0 }))
        );
    }
    let mut bytes = sample();
    bytes[20] = b'g';
    assert_eq!(
        Reader::new(&bytes).next(),
        Some(Err(ReadError::Header { at: 0 }))
    );
}
