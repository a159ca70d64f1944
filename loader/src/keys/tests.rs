//! A configfs of plain files: what is registered, taken again and taken back.

use super::*;
use crate::kernel::{Call, Recorder};

const KEY: &str = "cryptsetup:7d26b7b4-e342-4d2d-b660-7426b0996720";
const ENTRY: &str = "afterpanic-7d26b7b4-e342-4d2d-b660-7426b0996720";

struct Machine(tempfile::TempDir);

impl Machine {
    fn new(keyring: bool) -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(machine.at("")).unwrap();
        fs::create_dir_all(machine.0.path().join("proc")).unwrap();
        let line = format!("1a2b3c4d I--Q---  2 perm 3f010000  0  0 logon  {KEY}: 64\n");
        let line = if keyring { &line } else { "" };
        fs::write(machine.0.path().join("proc/keys"), line).unwrap();
        machine
    }

    fn at(&self, path: &str) -> PathBuf {
        root::under(self.0.path(), DIR).join(path)
    }

    fn keys(&self, wanted: &[&str]) -> Keys<'_> {
        Keys {
            root: self.0.path(),
            wanted: wanted.iter().map(|key| (*key).to_owned()).collect(),
        }
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_default()
    }
}

#[test]
fn a_key_is_registered_once_and_taken_back_when_no_target_needs_it() {
    let machine = Machine::new(true);
    let kernel = Recorder::default();
    fs::create_dir(machine.at("of-another")).unwrap();
    for _ in 0..2 {
        machine.keys(&[KEY]).register(&kernel).unwrap();
        assert_eq!(machine.text(&format!("{ENTRY}/description")), KEY);
    }
    assert_eq!(kernel.calls(), vec![Call::ReachUserKeyring; 2]);
    // In configfs the file goes with its directory.
    fs::remove_file(machine.at(&format!("{ENTRY}/description"))).unwrap();
    machine.keys(&[]).register(&kernel).unwrap();
    assert!(!machine.at(ENTRY).exists() && machine.at("of-another").exists());
}

#[test]
fn a_key_that_expired_is_taken_from_the_image_that_is_loaded() {
    let machine = Machine::new(true);
    let kernel = Recorder::default();
    machine.keys(&[KEY]).register(&kernel).unwrap();
    assert_eq!(machine.text("reuse"), "0");
    fs::write(machine.0.path().join("proc/keys"), "").unwrap();
    machine.keys(&[KEY]).register(&kernel).unwrap();
    assert_eq!(machine.text("reuse"), "1");
    // After the load the next one looks in the keyring again.
    machine.keys(&[KEY]).verify(&kernel).unwrap();
    assert_eq!(machine.text("reuse"), "0");
    // The kernel refuses while no loaded image has keys: here because it is no file.
    fs::remove_file(machine.at("reuse")).unwrap();
    fs::create_dir(machine.at("reuse")).unwrap();
    let why = machine.keys(&[KEY]).register(&kernel).unwrap_err();
    assert!(matches!(why, Refusal::NoKey { .. }), "{why}");
}

#[test]
fn an_image_that_did_not_get_its_key_is_taken_out() {
    let machine = Machine::new(true);
    fs::create_dir(machine.at("reuse")).unwrap();
    let kernel = Recorder::default();
    let why = machine.keys(&[KEY]).verify(&kernel).unwrap_err();
    assert!(why.to_string().contains("did not hand the key"), "{why}");
    assert_eq!(kernel.calls(), [Call::Unload(Slot::Crash, Syscall::File)]);
    assert!(machine.keys(&[]).verify(&kernel).is_ok());
    assert!(machine.keys(&[KEY]).need_file_load().is_err());
}
