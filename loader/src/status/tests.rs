//! Tests of status on small trees.

use super::*;
use crate::iomem::Range;
use crate::state::Input;

fn status(root: &Path) -> Status {
    super::status(root, &Config::default())
}

fn put(dir: &Path, path: &str, text: &str) {
    let path = dir.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn machine(loaded: &str, size: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "sys/kernel/notes", "");
    put(dir.path(), "sys/kernel/kexec_crash_loaded", loaded);
    put(dir.path(), "sys/kernel/kexec_crash_size", size);
    put(dir.path(), "proc/cmdline", "quiet crashkernel=96M\n");
    put(dir.path(), "proc/sys/kernel/random/boot_id", "one\n");
    dir
}

fn record(dir: &Path, boot_id: &str) {
    put(dir, "etc/afterpanic.toml", "x");
    let state = State {
        loaded: Some(LoadedState {
            release: "6.12".to_owned(),
            kernel: "/boot/vmlinuz".into(),
            kept_kernel: None,
            image: "/var/lib/afterpanic/images/6.12.img".into(),
            image_bytes: 5,
            cmdline: String::new(),
            syscall: Syscall::File,
            halts: false,
            at: 0,
            boot_id: boot_id.to_owned(),
            inputs: vec![
                Input::of(dir, Path::new("/etc/afterpanic.toml")),
                Input::of(dir, Path::new("/later")),
            ],
            servers: Vec::new(),
        }),
        ..State::default()
    };
    state.write(dir).unwrap();
}

/// As for a user who may not read root's record.
#[test]
fn what_cannot_be_read_is_not_called_armed() {
    let dir = machine("1\n", "100663296\n");
    std::fs::create_dir_all(dir.path().join("var/lib/afterpanic/state.json")).unwrap();
    let status = status(dir.path());
    assert_eq!(status.armed, Armed::Unknown);
    assert!(status.why.contains("only root"), "{}", status.why);
    assert_eq!(status.next.as_deref(), Some("sudo afterpanic status"));
    assert!(status.unrecorded);
    assert!(status.warnings.iter().any(|w| w.contains("state.json")));
    put(dir.path(), "sys/kernel/kexec_crash_loaded", "0\n");
    assert_eq!(
        super::status(dir.path(), &Config::default()).armed,
        Armed::No
    );
}

#[test]
fn nothing_reserved_nothing_loaded_no_kexec_no_sysfs() {
    let said = |dir: &tempfile::TempDir| {
        let s = status(dir.path());
        (s.armed, s.why)
    };
    let dir = machine("0\n", "0\n");
    let (armed, why) = said(&dir);
    assert_eq!(armed, Armed::No);
    assert!(
        why.contains("is on the command line, but the kernel reserved nothing"),
        "{why}"
    );
    put(dir.path(), "proc/cmdline", "quiet");
    assert_eq!(said(&dir).1, "no memory is reserved for a capture kernel");
    put(dir.path(), "sys/kernel/kexec_crash_size", "5");
    assert_eq!(said(&dir).1, "no capture kernel is loaded");
    std::fs::remove_file(dir.path().join("sys/kernel/kexec_crash_loaded")).unwrap();
    assert_eq!(
        said(&dir),
        (
            Armed::No,
            "the running kernel was built without kexec".to_owned()
        )
    );
    assert_eq!(said(&tempfile::tempdir().unwrap()).0, Armed::Unknown);
}

#[test]
fn the_new_names_are_read_too() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "sys/kernel/kexec/crash_loaded", "1\n");
    put(dir.path(), "sys/kernel/kexec/crash_size", "42\n");
    put(
        dir.path(),
        "sys/kernel/kexec/crash_cma_ranges",
        "1000-1fff\n3000-2fff\nx\n",
    );
    let s = status(dir.path());
    assert_eq!(s.armed, Armed::Yes);
    assert!(s.why.contains("not on record"));
    assert_eq!(s.reservation.bytes, Some(42));
    assert_eq!(
        s.reservation.cma,
        [Range {
            start: 0x1000,
            end: 0x2000
        }]
    );
}

#[test]
fn ours_is_current_until_an_input_changes_and_only_in_this_boot() {
    let dir = machine("1\n", "100663296\n");
    record(dir.path(), "one");
    let s = status(dir.path());
    assert_eq!((s.armed, s.armed.exit_code()), (Armed::Yes, 0));
    assert_eq!(s.kernel.as_deref(), Some("6.12"));
    assert!(s.image.unwrap().age_seconds.unwrap() > 1_000_000);
    put(dir.path(), "etc/afterpanic.toml", "longer");
    put(dir.path(), "later", "");
    let s = status(dir.path());
    assert_eq!((s.armed, s.armed.exit_code()), (Armed::Stale, 3));
    assert_eq!(
        s.image.unwrap().changed,
        ["/etc/afterpanic.toml changed", "/later is new"]
    );
    record(dir.path(), "another boot");
    assert_eq!(status(dir.path()).kernel, None);
}

#[test]
fn json_has_addresses_as_hex_strings() {
    let dir = machine("0", "1");
    put(dir.path(), "proc/iomem", "1000-1fff : Crash kernel\n");
    let json = serde_json::to_value(status(dir.path())).unwrap();
    assert_eq!(json["reservation"]["main"]["start"], "0x1000");
    assert_eq!(json["armed"], "no");
}

#[test]
fn every_targets_store_is_looked_at() {
    let dir = machine("0", "1");
    let text =
        "[[target]]\npath = \"/srv/crash\"\n[[target]]\ndevice = \"UUID=0a0b\"\npath = \"/x\"\n";
    let config = Config::parse(text).unwrap();
    put(dir.path(), "var/crash/web-20260101T030000Z/dmesg.txt", "");
    put(dir.path(), "srv/crash/web-20260101T010000Z/dmesg.txt", "");
    let found = super::status(dir.path(), &config);
    let last = found.last_dump.unwrap();
    assert_eq!(last.path, dir.path().join("srv/crash/web-20260101T010000Z"));
    assert!(found.warnings[0].starts_with("UUID=0a0b is not mounted here"));
}
