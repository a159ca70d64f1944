use super::*;
use std::fs::{self, File};

const NAME: &str = "n-20261121T231500Z";

struct Bench {
    root: tempfile::TempDir,
    config: Config,
}

impl Bench {
    /// A machine whose raw device holds a stream: the log, and a core of `core` bytes.
    fn new(core: usize, name: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("dev")).unwrap();
        let device = root.path().join("dev/vdb");
        File::create(&device).unwrap().set_len(64 << 20).unwrap();
        let config =
            Config::parse("[keep]\nfree = \"0\"\n[[target]]\nraw = \"/dev/vdb\"\n").unwrap();
        let bench = Self { root, config };
        bench.write(core, name);
        bench
    }

    fn write(&self, core: usize, name: &str) {
        let device = self.root.path().join("dev/vdb");
        let base = tempfile::tempdir().unwrap();
        Stream::begin(&device, base.path()).unwrap();
        let open = || store::raw::of(base.path()).unwrap().unwrap();
        open().name(&format!("{NAME}.partial")).unwrap();
        let dir = base.path().join("crash");
        fs::create_dir_all(dir.join("pstore")).unwrap();
        fs::write(dir.join("dmesg.txt"), "log").unwrap();
        fs::write(dir.join("pstore/one"), "record").unwrap();
        open().append_all(&dir).unwrap();
        let mut region = open().region("vmcore.elf.zst").unwrap();
        use std::os::unix::fs::FileExt;
        region
            .device
            .write_all_at(&vec![7; core], region.at)
            .unwrap();
        (region.reached)(core as u64).unwrap();
        open().name(name).unwrap();
    }

    fn recover(&self) -> Recovered {
        recover(self.root.path(), &self.config)
    }

    fn store(&self) -> PathBuf {
        self.root.path().join("var/crash")
    }
}

#[test]
fn a_stream_becomes_a_crash_directory_once() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new(100_000, NAME);
    let done = bench.recover();
    assert_eq!(
        (done.paths, done.problems),
        (vec![bench.store().join(NAME)], vec![])
    );
    let dir = bench.store().join(NAME);
    assert_eq!(fs::read(dir.join("dmesg.txt")).unwrap(), b"log");
    assert_eq!(fs::read(dir.join("pstore/one")).unwrap(), b"record");
    assert_eq!(
        fs::read(dir.join("vmcore.elf.zst")).unwrap(),
        vec![7; 100_000]
    );
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir), mode(&dir.join("dmesg.txt"))), (0o700, 0o600));
    let again = bench.recover();
    assert!(
        again.paths.is_empty() && again.problems.is_empty(),
        "{again:?}"
    );
    // The same crash time once more is another crash.
    bench.write(10, NAME);
    assert_eq!(
        bench.recover().paths,
        [bench.store().join(format!("{NAME}-2"))]
    );
}

#[test]
fn one_that_was_cut_off_is_finished_with_the_others() {
    let bench = Bench::new(5000, &format!("{NAME}.partial"));
    let stores = [bench.store()];
    let done = crate::run(bench.root.path(), &stores, false, &bench.config).unwrap();
    let settled = bench.store().join(format!("{NAME}.incomplete"));
    assert!(done.paths.contains(&settled), "{done:?}");
    assert_eq!(
        fs::metadata(settled.join("vmcore.elf.zst")).unwrap().len(),
        5000
    );
    assert!(settled.join("manifest.json").is_file());
}

#[test]
fn a_copy_that_was_cut_off_is_begun_anew() {
    let bench = Bench::new(100, NAME);
    let half = bench.store().join(format!(".raw-{NAME}"));
    fs::create_dir_all(&half).unwrap();
    fs::set_permissions(&half, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    fs::write(half.join("dmesg.txt"), "l").unwrap();
    assert_eq!(bench.recover().paths.len(), 1);
    assert!(!half.exists());
    assert_eq!(
        fs::read(bench.store().join(NAME).join("dmesg.txt")).unwrap(),
        b"log"
    );
}

#[test]
fn what_cannot_be_collected_stays_on_the_device() {
    let bench = Bench::new(100, NAME);
    fs::create_dir_all(bench.root.path().join("var")).unwrap();
    fs::write(bench.store(), "no directory").unwrap();
    let done = bench.recover();
    assert!(done.problems[0].contains("/dev/vdb"), "{done:?}");
    fs::remove_file(bench.store()).unwrap();
    assert_eq!(bench.recover().paths.len(), 1);
}
