use super::*;
use std::io::Write;

const SIZE: u64 = 24 << 20;

struct Bench {
    dir: tempfile::TempDir,
    device: PathBuf,
    base: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (device, base) = (dir.path().join("device"), dir.path().join("base"));
        File::create(&device).unwrap().set_len(SIZE).unwrap();
        fs::create_dir(&base).unwrap();
        Self { dir, device, base }
    }

    fn begun() -> Self {
        let bench = Self::new();
        Stream::begin(&bench.device, &bench.base).unwrap();
        bench
    }

    fn stream(&self) -> Stream {
        of(&self.base).unwrap().unwrap()
    }

    fn read(&self) -> Stream {
        Stream::open(&self.device, false).unwrap().unwrap()
    }

    fn write(&self, at: u64, bytes: &[u8]) {
        let device = OpenOptions::new().write(true).open(&self.device).unwrap();
        device.write_all_at(bytes, at).unwrap();
    }
}

fn text(stream: &Stream, name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut content = stream.content(name).unwrap();
    content.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn files_and_a_core_are_read_back() {
    let bench = Bench::begun();
    let crash = bench.dir.path().join("n.partial");
    fs::create_dir_all(crash.join("pstore")).unwrap();
    fs::write(crash.join("dmesg.txt"), "log").unwrap();
    fs::write(crash.join(".table"), "scratch").unwrap();
    let mut stream = bench.stream();
    stream.name("n.partial").unwrap();
    stream.append_all(&crash).unwrap();
    let mut region = bench.stream().region("vmcore.elf.zst").unwrap();
    let core = vec![0x5a; 3_000_000];
    region.device.write_all_at(&core, region.at).unwrap();
    (region.reached)(core.len() as u64).unwrap();
    fs::write(crash.join("dmesg.txt"), "longer log").unwrap();
    fs::write(crash.join("pstore/one"), "record").unwrap();
    let mut stream = bench.stream();
    assert_eq!(stream.len_of("vmcore.elf.zst"), 3_000_000);
    stream.append_all(&crash).unwrap();
    stream.name("n").unwrap();
    let stream = bench.read();
    assert_eq!(stream.directory(), Some("n"));
    let mut files = stream.files();
    files.sort();
    let expected = [
        ("dmesg.txt", 10),
        ("pstore/one", 6),
        ("vmcore.elf.zst", 3_000_000),
    ];
    assert_eq!(files, expected.map(|(name, len)| (name.to_owned(), len)));
    assert_eq!(text(&stream, "dmesg.txt"), b"longer log");
    assert_eq!(text(&stream, "vmcore.elf.zst"), core);
    let mut stream = bench.stream();
    stream.discard("vmcore.elf.zst").unwrap();
    assert!(bench.read().content("vmcore.elf.zst").is_none());
    stream.collected().unwrap();
    assert!(Stream::open(&bench.device, false).unwrap().is_none());
}

#[test]
fn nothing_is_written_over_something_else() {
    for (at, bytes) in [
        (0, &b"XFSB"[..]),
        (1080, &[0x53, 0xef]),
        (4086, b"SWAPSPACE2"),
        (0x8001, b"CD001"),
        (0x1_0040, b"_BHRfS_M"),
        (700_000, b"x"),
    ] {
        let bench = Bench::new();
        bench.write(at, bytes);
        let before = fs::read(&bench.device).unwrap();
        let error = Stream::begin(&bench.device, &bench.base).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{at}");
        assert!(fs::read(&bench.device).unwrap() == before, "{at}");
        // A signature that came after the stream keeps the next one away, too.
        let bench = Bench::begun();
        bench.write(at, bytes);
        assert!(Stream::begin(&bench.device, &bench.base).is_err(), "{at}");
    }
}

#[test]
fn an_earlier_stream_gives_way_and_shows_nothing_of_itself() {
    let bench = Bench::begun();
    let mut stream = bench.stream();
    stream.name("first").unwrap();
    stream.put("dmesg.txt", 3, &mut &b"log"[..]).unwrap();
    Stream::begin(&bench.device, &bench.base).unwrap();
    let stream = bench.read();
    assert_eq!((stream.directory(), stream.files().len()), (None, 0));
}

#[test]
fn a_stream_that_is_cut_off_or_damaged_is_read_as_far_as_it_goes() {
    let bench = Bench::begun();
    let mut stream = bench.stream();
    stream.name("n.partial").unwrap();
    stream.put("one", 3, &mut &b"abc"[..]).unwrap();
    let second = stream.next;
    stream.put("two", 3, &mut &b"def"[..]).unwrap();
    bench.write(second + 50, b"damage");
    let stream = bench.read();
    assert_eq!(stream.files(), [("one".to_owned(), 3)]);
    // A length beyond the device is held to it.
    let long = Entry {
        id: stream.id,
        kind: Kind::File,
        len: u64::MAX / 2,
        name: "vmcore.elf".into(),
    };
    bench.write(second, &long.encode());
    let stream = bench.read();
    let read = io::copy(&mut stream.content("vmcore.elf").unwrap(), &mut io::sink()).unwrap();
    assert!(read < SIZE, "{read}");
    for name in ["../up", "a/../b", "/etc/passwd", "", "a/b/c"] {
        let climbs = Entry {
            name: name.into(),
            len: 0,
            ..long.clone()
        };
        bench.write(second, &climbs.encode());
        assert_eq!(bench.read().files().len(), 1, "{name}");
    }
}

#[test]
fn a_full_device_is_an_error_and_what_fitted_stays() {
    let bench = Bench::begun();
    let crash = bench.dir.path().join("n");
    fs::create_dir(&crash).unwrap();
    fs::write(crash.join("a"), "small").unwrap();
    let mut large = File::create(crash.join("b")).unwrap();
    large.write_all(&vec![1; 23 << 20]).unwrap();
    fs::write(crash.join("c"), "small, too").unwrap();
    let mut stream = bench.stream();
    assert!(stream.append_all(&crash).is_err());
    let names: Vec<String> = bench
        .read()
        .files()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["a", "c"]);
    let small = Bench::new();
    File::create(&small.device)
        .unwrap()
        .set_len(9 << 20)
        .unwrap();
    assert!(Stream::begin(&small.device, &small.base).is_err());
}
