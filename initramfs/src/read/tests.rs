//! Images put together here, packed in every way, one behind the other.

use super::*;
use crate::archive::Archive;
use crate::compress::Compression;

fn archive(name: &str, content: &[u8]) -> Archive {
    let mut archive = Archive::new();
    archive.file(name, 0o644, content.to_vec(), "test").unwrap();
    archive
}

fn image() -> Vec<u8> {
    let mut bytes = archive("kernel/x86/microcode/GenuineIntel.bin", b"early")
        .pack(Compression::None)
        .unwrap();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    for (name, compression) in [
        ("one", Compression::Zstd(3)),
        ("two", Compression::Gzip),
        ("three", Compression::None),
        ("four", Compression::Lz4),
    ] {
        bytes.extend(archive(name, name.as_bytes()).pack(compression).unwrap());
    }
    bytes
}

#[test]
fn sections_are_told_apart_wherever_they_end() {
    let contents = Contents::new(&image()).unwrap();
    let ways: Vec<_> = contents.sections().iter().map(|s| s.compression).collect();
    assert_eq!(ways, ["none", "zstd", "gzip", "none", "lz4"]);
    assert_eq!(contents.file("/four").unwrap(), b"four");
    assert_eq!(contents.file("two").unwrap(), b"two");
    assert!(
        contents
            .file("five")
            .unwrap_err()
            .to_string()
            .contains("no file /five")
    );
    assert!(contents.why().unwrap().is_none());
    let packed: u64 = contents.sections().iter().map(|s| s.packed).sum();
    assert!(packed <= image().len() as u64);
}

#[test]
fn a_large_archive_is_packed_in_parts_and_read_as_one() {
    let mut archive = Archive::new();
    let files = ["a/one", "a/two", "three"].map(|name| (name, name.repeat(600_000).into_bytes()));
    for (name, content) in &files {
        archive.file(name, 0o644, content.clone(), "test").unwrap();
    }
    for compression in [
        Compression::Zstd(3),
        Compression::Gzip,
        Compression::Lz4,
        Compression::None,
    ] {
        let bytes = archive.pack(compression).unwrap();
        assert_eq!(bytes, archive.pack(compression).unwrap());
        let contents = Contents::new(&bytes).unwrap();
        for (name, content) in &files {
            assert!(contents.file(name).unwrap() == *content, "{compression:?}");
        }
        assert_eq!(contents.entries().unwrap().len(), 4, "{compression:?}");
    }
    let contents = Contents::new(&archive.pack(Compression::Zstd(3)).unwrap()).unwrap();
    assert_eq!(contents.sections().len(), 3);
}

#[test]
fn of_two_files_with_one_path_the_last_counts() {
    let mut bytes = archive("a", b"old").pack(Compression::Zstd(1)).unwrap();
    bytes.extend(archive("a", b"new").pack(Compression::Gzip).unwrap());
    assert_eq!(Contents::new(&bytes).unwrap().file("a").unwrap(), b"new");
}

#[test]
fn damage_is_an_error_and_never_a_panic() {
    let bytes = image();
    assert!(matches!(
        Contents::new(b"MZ"),
        Err(ImageError::Unknown { at: 0 })
    ));
    let mut spoilt = 0;
    for at in (0..bytes.len()).step_by(7) {
        let mut broken = bytes.clone();
        broken[at] ^= 0x55;
        let outcome = Contents::new(&broken).and_then(|c| c.entries().map(|e| e.len()));
        spoilt += usize::from(outcome.is_err());
        let _ = Contents::new(&bytes[..at]).map(|c| c.entries().map(|e| e.len()));
    }
    assert!(spoilt > 20, "{spoilt}");
}

#[test]
fn extraction_stays_in_its_folder() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let contents = Contents::new(&image()).unwrap();
    let done = extract(&contents, &out).unwrap();
    assert_eq!(
        done,
        Extracted {
            files: 5,
            skipped: 0,
            private: 0,
        }
    );
    assert_eq!(std::fs::read(out.join("three")).unwrap(), b"three");
    assert!(matches!(
        extract(&contents, &out),
        Err(ImageError::Write { .. })
    ));

    for (path, link) in [("../evil", None), ("a/b", Some("a"))] {
        let mut writer = crate::cpio::Writer::new();
        if let Some(link) = link {
            assert!(writer.entry(link, 0o120_777, (0, 0), b"/tmp"));
        }
        assert!(writer.entry(path, 0o100_644, (0, 0), b"x"));
        let contents = Contents::new(&writer.finish()).unwrap();
        let out = dir.path().join(path.replace('/', "_"));
        assert!(matches!(
            extract(&contents, &out),
            Err(ImageError::Escape { .. })
        ));
    }
    assert!(!dir.path().join("evil").exists());
}

#[test]
fn private_keys_are_not_written_out() {
    let mut archive = Archive::new();
    archive
        .file("etc/ok", 0o600, b"open".to_vec(), "test")
        .unwrap();
    archive
        .file("/ssh/key-0", 0o600, b"secret".to_vec(), "test")
        .unwrap();
    let bytes = archive.pack(Compression::None).unwrap();
    let contents = Contents::new(&bytes).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let done = extract(&contents, &dir.path().join("out")).unwrap();
    assert_eq!((done.files, done.private), (1, 1));
    assert!(dir.path().join("out/etc/ok").exists() && !dir.path().join("out/ssh/key-0").exists());
    assert!(is_private("/ssh/key-0") && is_private("ssh/key-1") && !is_private("/etc/ssh/key-1"));
}
