//! What makes a proof void.

use super::*;
use std::fs;
use std::time::{Duration, SystemTime};

fn put(root: &Path, path: &str, text: &str) {
    let path = root::under(root, path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn machine() -> (tempfile::TempDir, Proof) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    put(root, "/proc/sys/kernel/osrelease", "6.12\n");
    put(root, "/boot/vmlinuz-6.12", "kernel");
    let image = image_path("6.12");
    let with = vec![
        Proven::file(root, "kernel", Path::new("/boot/vmlinuz-6.12")).unwrap(),
        Proven::bytes("image", &image, b"image"),
        Proven::file(root, "config", Path::new("/etc/afterpanic.toml")).unwrap(),
    ];
    let proof = Proof {
        by: "rehearse".into(),
        at: 5,
        release: "6.12".into(),
        passed: true,
        summary: String::new(),
        peak: None,
        with,
    };
    (dir, proof)
}

#[test]
fn it_holds_until_kernel_image_or_config_change() {
    let (dir, proof) = machine();
    let root = dir.path();
    let void = || proof.void_because(root);
    assert_eq!(void(), [""; 0]);
    // Loaded as it was proved.
    put(root, "/var/lib/afterpanic/images/6.12.img", "image");
    assert_eq!(void(), [""; 0]);
    put(root, "/var/lib/afterpanic/images/6.12.img", "imagE");
    assert_eq!(
        void(),
        ["/var/lib/afterpanic/images/6.12.img is not the image that was proved"]
    );
    put(root, "/var/lib/afterpanic/images/6.12.img", "image");
    put(root, "/etc/afterpanic.toml", "");
    assert_eq!(void(), ["/etc/afterpanic.toml changed since"]);
    fs::remove_file(root.join("etc/afterpanic.toml")).unwrap();
    fs::remove_file(root.join("boot/vmlinuz-6.12")).unwrap();
    assert_eq!(void(), ["/boot/vmlinuz-6.12 was removed since"]);
    put(root, "/boot/vmlinuz-6.12", "kernel, but newer");
    put(root, "/proc/sys/kernel/osrelease", "6.13\n");
    assert_eq!(
        void(),
        ["this is Linux 6.13", "/boot/vmlinuz-6.12 changed since"]
    );
}

#[test]
fn a_file_that_was_only_touched_voids_nothing() {
    let (dir, proof) = machine();
    let kernel = fs::File::options()
        .append(true)
        .open(dir.path().join("boot/vmlinuz-6.12"))
        .unwrap();
    kernel
        .set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(99))
        .unwrap();
    assert_eq!(proof.void_because(dir.path()), [""; 0]);
}

#[test]
fn a_proof_of_an_earlier_version_is_still_read() {
    let text =
        r#"{"by":"rehearse","at":5,"release":"6.12","passed":true,"summary":"s","peak":null}"#;
    let proof: Proof = serde_json::from_str(text).unwrap();
    assert!(proof.with.is_empty());
}
