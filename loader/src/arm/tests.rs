//! Tests of loading against the recording fake, on a small tree.

use super::*;
use crate::kernel::{Call, Recorder};
use std::os::unix::fs::PermissionsExt;

struct Machine {
    dir: tempfile::TempDir,
}

const IOMEM: &str = "00001000-0009fbff : System RAM\n00100000-3fffffff : System RAM\n  30000000-3bffffff : Crash kernel\n";

impl Machine {
    fn new() -> Self {
        let machine = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        machine.put("proc/iomem", IOMEM);
        machine.put("proc/cmdline", "crashkernel=192M");
        machine.put("proc/self/status", "Name:\tx\nCapEff:\t000001ffffffffff\n");
        machine.put("proc/sys/kernel/random/boot_id", "b00t\n");
        machine.put("sys/kernel/notes", "");
        machine.put("sys/kernel/kexec_crash_loaded", "0\n");
        machine.put("sys/kernel/kexec_crash_size", "201326592\n");
        machine.put("vmlinuz", "");
        std::fs::write(machine.path("vmlinuz"), bzimage(0x300_0000)).unwrap();
        machine
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn request(&self) -> LoadRequest {
        LoadRequest {
            root: self.dir.path().to_owned(),
            kernel: self.path("vmlinuz"),
            image: Source::Bytes(b"cpio".to_vec()),
            cmdline: "console=ttyS0".to_owned(),
            syscall: Choice::File,
            keep: None,
            purgatory: Purgatory::default(),
        }
    }

    fn refused(&self, change: impl FnOnce(&mut LoadRequest)) -> (String, usize) {
        let kernel = Recorder::default();
        let mut request = self.request();
        change(&mut request);
        let error = load(&kernel, &request).unwrap_err();
        let mut said = error.to_string();
        if let Some(source) = std::error::Error::source(&error) {
            said = format!("{said}: {source}");
        }
        (said, kernel.calls().len())
    }
}

/// The kernel as an EFI program with a directory of certificates.
fn signed(mut kernel: Vec<u8>) -> Vec<u8> {
    kernel[..2].copy_from_slice(b"MZ");
    kernel[0x3c] = 0x40;
    kernel[0x40..0x44].copy_from_slice(b"PE\0\0");
    kernel[0x58..0x5a].copy_from_slice(&[0x0b, 2]);
    kernel[0x58 + 108] = 16;
    kernel[0x58 + 144] = 1;
    kernel[0x58 + 148] = 1;
    kernel
}

fn bzimage(init_size: u32) -> Vec<u8> {
    let mut b = vec![0; 5 * 512 + 64];
    b[0x1f1] = 4;
    b[0x1f4] = 4;
    b[0x1fe..0x206].copy_from_slice(b"\x55\xaa\xeb\x6aHdrS");
    b[0x206..0x208].copy_from_slice(&[0x0f, 2]);
    b[0x20f] = 1;
    b[0x300..0x304].copy_from_slice(b"6.12");
    b[0x211] = 1;
    b[0x232] = 0x20;
    b[0x234] = 1;
    b[0x236] = 0x7f;
    b[0x238..0x23a].copy_from_slice(&[0xff, 7]);
    b[0x25b] = 1;
    b[0x260..0x264].copy_from_slice(&init_size.to_le_bytes());
    b
}

/// An EFI program with the kernel as its only section, `.linux`.
fn unified(linux: &[u8]) -> Vec<u8> {
    let mut b = vec![0; 512];
    b[..2].copy_from_slice(b"MZ");
    b[0x3c] = 0x40;
    b[0x40..0x44].copy_from_slice(b"PE\0\0");
    b[0x46] = 1;
    let section = 0x40 + 24;
    b[section..section + 6].copy_from_slice(b".linux");
    let length = u32::try_from(linux.len()).unwrap().to_le_bytes();
    for (at, value) in [(8, length), (16, length), (20, 512_u32.to_le_bytes())] {
        b[section + at..section + at + 4].copy_from_slice(&value);
    }
    b.extend_from_slice(linux);
    b.extend_from_slice(b"initrd and more");
    b
}

#[test]
fn of_a_unified_kernel_image_the_kernel_is_loaded_and_kept() {
    let machine = Machine::new();
    std::fs::write(machine.path("linux.efi"), unified(&bzimage(0x300_0000))).unwrap();
    let kernel = Recorder::default();
    let request = LoadRequest {
        kernel: machine.path("linux.efi"),
        keep: Some(Vec::new()),
        ..machine.request()
    };
    assert_eq!(load(&kernel, &request).unwrap().release, "6.12");
    let calls = kernel.calls();
    let [Call::FileLoad { kernel, .. }] = calls.as_slice() else {
        panic!("{calls:?}")
    };
    assert_eq!(*kernel, bzimage(0x300_0000));
    let kept = machine.path("var/lib/afterpanic/images/6.12.vmlinuz");
    assert_eq!(std::fs::read(kept).unwrap(), bzimage(0x300_0000));
}

#[test]
fn the_kernel_gets_the_bytes_that_were_checked() {
    let machine = Machine::new();
    let kernel = Recorder::default();
    let loaded = load(&kernel, &machine.request()).unwrap();
    assert_eq!(
        (loaded.release.as_str(), loaded.syscall),
        ("6.12", Syscall::File)
    );
    assert_eq!(loaded.region.unwrap().len(), 192 << 20);
    let calls = kernel.calls();
    let [
        Call::FileLoad {
            kernel,
            initrd,
            cmdline,
            slot: Slot::Crash,
        },
    ] = calls.as_slice()
    else {
        panic!("{calls:?}")
    };
    assert_eq!(*kernel, bzimage(0x300_0000));
    assert_eq!(initrd.as_deref(), Some(b"cpio".as_slice()));
    assert_eq!(cmdline.to_bytes(), b"console=ttyS0");
}

#[test]
fn whatever_can_be_checked_is_refused_before_the_call() {
    let m = Machine::new();
    let check = |said: (String, usize), want: &str| {
        assert!(said.0.contains(want), "{}", said.0);
        assert_eq!(said.1, 0, "the kernel was asked");
    };
    check(
        m.refused(|r| r.kernel = m.path("none")),
        "Cannot read the kernel",
    );
    check(m.refused(|r| r.image = Source::Bytes(vec![])), "empty");
    check(
        m.refused(|r| r.cmdline = "x".repeat(1990)),
        "1990 bytes, 1986 are possible",
    );
    check(m.refused(|r| r.cmdline = "a\0b".to_owned()), "NUL");
    m.put("vmlinuz", "#!/bin/sh");
    check(m.refused(|_| ()), "It is a script, not a bzImage");
    std::fs::write(m.path("vmlinuz"), bzimage(0xc00_0000)).unwrap();
    check(m.refused(|_| ()), "1.4 MiB are missing");
    std::fs::write(m.path("vmlinuz"), bzimage(0x300_0000)).unwrap();
    m.put("proc/sys/kernel/kexec_load_limit_panic", "0\n");
    check(m.refused(|_| ()), "kexec_load_limit_panic is 0");
    m.put("proc/sys/kernel/kexec_load_limit_panic", "-1\n");
    m.put("proc/sys/kernel/kexec_load_disabled", "1\n");
    check(m.refused(|_| ()), "kexec_load_disabled");
    m.put("proc/sys/kernel/kexec_load_disabled", "0\n");
    m.put("proc/self/status", "CapEff:\t000001ffffbfffff\n");
    check(m.refused(|_| ()), "needs root");
    m.put("proc/iomem", "00001000-0009fbff : System RAM\n");
    m.put("sys/kernel/kexec_crash_size", "0\n");
    check(
        m.refused(|_| ()),
        "crashkernel=192M is on the command line, but",
    );
    m.put("proc/cmdline", "quiet");
    check(m.refused(|_| ()), "not on the kernel's command line");
    std::fs::remove_file(m.path("sys/kernel/kexec_crash_size")).unwrap();
    std::fs::remove_file(m.path("sys/kernel/kexec_crash_loaded")).unwrap();
    check(m.refused(|_| ()), "built without kexec");
}

#[test]
fn each_errno_says_what_where_and_next() {
    let m = Machine::new();
    let said = |errno| {
        let kernel = Recorder::failing(&[errno]);
        load(&kernel, &m.request()).unwrap_err().to_string()
    };
    assert!(said(Errno::EKEYREJECTED).contains("mokutil"));
    assert!(said(Errno::ENOKEY).contains("ENOKEY"));
    assert!(said(Errno::ELIBBAD).contains("malformed"));
    assert!(said(Errno::ENODATA).contains("not signed"));
    assert!(said(Errno::ENOSYS).contains("use --syscall load"));
    assert!(said(Errno::EPERM).contains("securityfs"));
    m.put(
        "sys/kernel/security/lockdown",
        "none [integrity] confidentiality\n",
    );
    let (unsigned, calls) = m.refused(|_| ());
    assert!(unsigned.contains("it is not signed"), "{unsigned}");
    assert_eq!(calls, 0, "what is loaded stays");
    std::fs::write(m.path("vmlinuz"), signed(bzimage(16 << 20))).unwrap();
    assert!(said(Errno::EPERM).contains("lockdown requires a good one"));
}

#[test]
fn only_errors_about_format_fall_back() {
    for errno in [Errno::ENOSYS, Errno::ENOEXEC, Errno::ENOTSUP, Errno::EINVAL] {
        assert!(falls_back(errno), "{errno}");
        // That a kernel lacks the other call is no fault.
        assert_eq!(fell_back(errno).is_none(), errno == Errno::ENOSYS);
    }
    for errno in [
        Errno::EPERM,
        Errno::EKEYREJECTED,
        Errno::ENOKEY,
        Errno::ENODATA,
        Errno::ELIBBAD,
        Errno::EADDRNOTAVAIL,
        Errno::ENOMEM,
    ] {
        assert!(!falls_back(errno), "{errno}");
    }
}

#[test]
fn busy_is_tried_again() {
    let m = Machine::new();
    let kernel = Recorder::failing(&[Errno::EBUSY, Errno::EBUSY]);
    load(&kernel, &m.request()).unwrap();
    assert_eq!(kernel.calls().len(), 3);
}

#[test]
fn a_refused_load_puts_the_kept_image_back() {
    let m = Machine::new();
    m.put("etc/afterpanic.toml", "");
    let mut request = m.request();
    request.keep = Some(vec![PathBuf::from("/etc/afterpanic.toml")]);
    request.image = Source::Bytes(b"the first".to_vec());
    load(&Recorder::default(), &request).unwrap();
    m.put("sys/kernel/kexec_crash_loaded", "1\n");

    // The next image is built over the kept one before it is loaded.
    let image = m.path("var/lib/afterpanic/images/6.12.img");
    state::replace(&image, b"the second").unwrap();
    request.image = Source::Path(image.clone());
    let kernel = Freeing::new(&m, &[Errno::ENOMEM]);
    let error = load(&kernel, &request).unwrap_err();
    assert_eq!(error.previous, Previous::Restored);
    assert_eq!(kernel.last_image(), b"the first");

    m.put("sys/kernel/kexec_crash_loaded", "1\n");
    let kernel = Freeing::new(&m, &[Errno::ENOMEM, Errno::ENOMEM]);
    let said = load(&kernel, &request).unwrap_err().to_string();
    assert!(said.contains("NOTHING IS ARMED"), "{said}");
    assert_eq!(
        std::fs::metadata(image).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

/// A kernel that frees the loaded image before it looks at the new one, as Linux does, and whose
/// first calls fail.
struct Freeing<'a> {
    machine: &'a Machine,
    calls: Recorder,
}

impl<'a> Freeing<'a> {
    fn new(machine: &'a Machine, answers: &[Errno]) -> Self {
        let calls = Recorder::failing(answers);
        Self { machine, calls }
    }

    fn last_image(&self) -> Vec<u8> {
        match self.calls.calls().pop() {
            Some(Call::FileLoad {
                initrd: Some(initrd),
                ..
            }) => initrd,
            other => panic!("{other:?}"),
        }
    }
}

impl Kernel for Freeing<'_> {
    fn kexec_file_load(&self, load: &FileLoad<'_>) -> Result<(), Errno> {
        self.machine.put("sys/kernel/kexec_crash_loaded", "0\n");
        self.calls.kexec_file_load(load)?;
        self.machine.put("sys/kernel/kexec_crash_loaded", "1\n");
        Ok(())
    }
    fn kexec_load(&self, load: &crate::kernel::SegmentLoad<'_>) -> Result<(), Errno> {
        self.calls.kexec_load(load)
    }
    fn unload(&self, slot: Slot, by: Syscall) -> Result<(), Errno> {
        self.calls.unload(slot, by)
    }
    fn reboot(&self, how: crate::kernel::Reboot) -> Result<(), Errno> {
        self.calls.reboot(how)
    }
    fn reach_user_keyring(&self) -> Result<(), Errno> {
        self.calls.reach_user_keyring()
    }
    fn sync(&self) {
        self.calls.sync();
    }
    fn remount_read_only(&self, mount_point: &Path) -> Result<(), Errno> {
        self.calls.remount_read_only(mount_point)
    }
}

#[test]
fn what_the_kernel_did_not_free_is_not_loaded_again() {
    let m = Machine::new();
    let mut request = m.request();
    request.keep = Some(vec![]);
    load(&Recorder::default(), &request).unwrap();
    m.put("sys/kernel/kexec_crash_loaded", "1\n");
    let kernel = Recorder::failing(&[Errno::ENOMEM]);
    let error = load(&kernel, &request).unwrap_err();
    assert_eq!(error.previous, Previous::None);
    assert_eq!(kernel.calls().len(), 1);
}

#[test]
fn what_another_program_had_loaded_is_replaced_by_ours_and_said() {
    let m = Machine::new();
    let mut request = m.request();
    request.keep = Some(vec![]);
    load(&Recorder::default(), &request).unwrap();
    m.put("proc/sys/kernel/random/boot_id", "the next\n");
    m.put("sys/kernel/kexec_crash_loaded", "1\n");
    let kernel = Freeing::new(&m, &[Errno::ENOMEM]);
    let error = load(&kernel, &request).unwrap_err();
    assert_eq!(error.previous, Previous::Replaced);
}

#[test]
fn what_is_kept_is_on_record_in_the_next_boot_too() {
    let m = Machine::new();
    let mut request = m.request();
    request.keep = Some(vec![]);
    load(&Recorder::default(), &request).unwrap();
    std::fs::remove_file(m.path("vmlinuz")).unwrap();
    m.put("proc/sys/kernel/random/boot_id", "the next\n");
    let kernel = Recorder::default();
    reload_kept(&kernel, m.dir.path()).unwrap();
    assert!(matches!(kernel.calls().as_slice(), [Call::FileLoad { .. }]));
    m.put("sys/kernel/kexec_crash_loaded", "1\n");
    let status = crate::status::status(m.dir.path(), &config::Config::default());
    assert_eq!(status.kernel.as_deref(), Some("6.12"));
}

#[test]
fn what_is_loaded_is_told_from_what_would_be() {
    let m = Machine::new();
    let mut request = m.request();
    request.keep = Some(vec![]);
    load(&Recorder::default(), &request).unwrap();
    let is_current = |cmdline| crate::status::is_current(m.dir.path(), &m.path("vmlinuz"), cmdline);
    assert!(!is_current("console=ttyS0"), "nothing is loaded");
    m.put("sys/kernel/kexec_crash_loaded", "1\n");
    assert!(is_current("console=ttyS0"));
    assert!(!is_current("console=ttyS1"));
    // Another image was built since, and not loaded.
    let image = m.path("var/lib/afterpanic/images/6.12.img");
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
    let touch = |time| {
        std::fs::File::open(&image)
            .unwrap()
            .set_modified(time)
            .unwrap();
    };
    touch(later);
    assert!(!is_current("console=ttyS0"));
    touch(std::time::UNIX_EPOCH);
    assert!(is_current("console=ttyS0"));
    m.put("proc/sys/kernel/random/boot_id", "the next\n");
    assert!(!is_current("console=ttyS0"));
}

#[test]
fn unloading_works_without_kexec_file_load() {
    let m = Machine::new();
    let kernel = Recorder::failing(&[Errno::ENOSYS]);
    unload(&kernel, m.dir.path()).unwrap();
    assert_eq!(
        kernel.calls(),
        [
            Call::Unload(Slot::Crash, Syscall::File),
            Call::Unload(Slot::Crash, Syscall::Load)
        ]
    );
}
