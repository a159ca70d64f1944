//! What the fuzz targets of the store run: shared by the targets and by the tests that replay the
//! corpus.
//!
//! No input may panic, hang, or take memory that its own size does not justify.

use std::cmp::Ordering;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use store::manifest::CrashFacts;
use store::raw::Stream;
use store::rotation::{self, Need};
use store::{Crash, Keep, Store, audit, loop_guard, names};

/// The crash directory that the manifest is in.
const NAME: &str = "web-20261121T231500Z";

/// Names of directories, one a line: read, ordered and made.
pub(crate) fn names(data: &[u8]) {
    let mut crashes = Vec::new();
    for line in data.split(|byte| *byte == b'\n').take(100) {
        let node = names::reduce(line);
        assert!(!node.is_empty() && node.len() <= 64 && !node.starts_with('.'));
        let own = format!("{node}-20261121T231500Z-2.partial");
        let own = Crash::parse(Path::new(&own)).map(|crash| (crash.node, crash.serial));
        assert_eq!(own, Some((node, 2)));
        let text = String::from_utf8_lossy(line);
        let Some(crash) = Crash::parse(&Path::new("/store").join(&*text)) else {
            continue;
        };
        assert_eq!(
            Some(&*crash.name()),
            Path::new(&*text).file_name().and_then(|n| n.to_str())
        );
        let suffix = crash.state.suffix();
        let serial = match crash.serial {
            1 => String::new(),
            n => format!("-{n}"),
        };
        let made = format!("{}-{}{serial}{suffix}", crash.node, crash.stamp);
        let again = Crash::parse(Path::new(&made));
        let again = again.map(|crash| (crash.node, crash.stamp, crash.serial, crash.state));
        let (node, stamp) = (crash.node.clone(), crash.stamp.clone());
        assert_eq!(again, Some((node, stamp, crash.serial, crash.state)));
        crashes.push(crash);
    }
    crashes.sort_by(Crash::order);
    for pair in crashes.windows(2) {
        if let [a, b] = pair {
            assert!(a.order(b) != Ordering::Greater);
        }
    }
}

/// A store with one crash directory, made once.
fn base() -> &'static Path {
    static BASE: OnceLock<PathBuf> = OnceLock::new();
    BASE.get_or_init(|| {
        let base = std::env::temp_dir().join(format!("store-fuzz-{}", std::process::id()));
        let dir = base.join(NAME);
        let _ = fs::create_dir_all(&dir);
        let _ = fs::set_permissions(&dir, fs::Permissions::from_mode(0o700));
        let _ = fs::write(base.join("secret"), "outside");
        let _ = fs::write(dir.join("dmesg.txt"), "last words");
        let _ = fs::write(dir.join("vmcore.elf"), vec![7; 9000]);
        base
    })
}

/// A manifest in a crash directory, as every reader sees it.
pub(crate) fn manifest(data: &[u8]) {
    let base = base();
    let dir = base.join(NAME);
    if fs::write(dir.join("manifest.json"), data).is_err() {
        return;
    }
    let Ok(store) = Store::open(base) else {
        return;
    };
    let Ok(history) = rotation::earlier(&store) else {
        return;
    };
    let _ = loop_guard::next(&store, 1_795_302_900, Some(10));
    let this = CrashFacts::default();
    for need in [Need::Core(1 << 30), Need::SmallFiles] {
        let keep = Keep {
            dumps: 1,
            ..Keep::default()
        };
        let gone = rotation::removals(&history.crashes, &this, &keep, 0, need);
        let whole = history.crashes.iter().any(|crash| crash.whole);
        assert!(!whole || gone.names.is_empty(), "the only whole core");
    }
    for file in audit::audit(&dir).unwrap_or_default() {
        let inside = ["dmesg.txt", "vmcore.elf", "manifest.json"];
        assert!(
            file.outcome.is_err() || inside.contains(&&*file.name),
            "a file outside: {:?}",
            file.name
        );
    }
}

/// The CRC-32 of gzip, bit by bit: not the code that is tested.
fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32| match crc & 1 {
        1 => (crc >> 1) ^ 0xedb8_8320,
        _ => crc >> 1,
    };
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc))
    })
}

/// A block of a stream with a right checksum.
fn summed(block: &mut [u8]) {
    let sum = crc(block.get(..4092).unwrap_or_default());
    if let Some(place) = block.get_mut(4092..4096) {
        place.copy_from_slice(&sum.to_le_bytes());
    }
}

/// What lies behind the first MiB of a raw target. Blocks that look like entries get a right checksum, or none would
/// be read.
pub(crate) fn raw_target(data: &[u8]) {
    const FIRST: usize = 1 << 20;
    let path = base().join("device");
    let mut device = vec![0; FIRST];
    device.extend_from_slice(data.get(..1 << 20).unwrap_or(data));
    device.resize(device.len().next_multiple_of(4096) + (128 << 10), 0);
    let size = device.len() as u64;
    for block in device.chunks_mut(4096).skip(FIRST / 4096) {
        if block.starts_with(b"AFTERPANIC-ENTRY") {
            summed(block);
        }
    }
    let mut header = b"AFTERPANIC-RAW\n\0\x01\0\0\0\x01\0\0\0".to_vec();
    header.extend_from_slice(&7_u64.to_le_bytes());
    header.extend_from_slice(&size.to_le_bytes());
    header.resize(4096, 0);
    summed(&mut header);
    device.splice(..4096, header);
    if fs::write(&path, &device).is_err() {
        return;
    }
    let opened = Stream::open(&path, false);
    assert!(matches!(opened, Ok(Some(_))), "the header is right");
    let Ok(Some(stream)) = opened else { return };
    assert!(stream.room() <= size);
    for (name, len) in stream.files() {
        assert!(
            !name.starts_with('/') && name.split('/').all(|part| part != ".." && !part.is_empty())
        );
        let content = stream.content(&name).map(|content| content.take(size + 1));
        let read = content.map_or(0, |mut content| {
            io::copy(&mut content, &mut io::sink()).unwrap_or(0)
        });
        assert!(read <= len.min(size));
    }
}
