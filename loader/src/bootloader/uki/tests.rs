//! Unified kernel images: found by the stub's variables or by name, addons, Secure Boot, rebuilding.

use std::fs;
use std::path::Path;

use super::super::tests::{put, tree};
use super::super::{BootLoader, Effect, detect, effect, propose};
use crate::efi::tests::{put_loader, put_secure_boot};

/// An EFI program with these sections.
fn program(root: &Path, path: &str, sections: &[(&str, &str)]) {
    let mut file = vec![0_u8; 0x400];
    file[..2].copy_from_slice(b"MZ");
    file[0x3c] = 0x80;
    file[0x80..0x84].copy_from_slice(b"PE\0\0");
    file[0x86] = u8::try_from(sections.len()).unwrap();
    for (n, (name, text)) in sections.iter().enumerate() {
        let at = 0x80 + 24 + n * 40;
        file[at..at + name.len()].copy_from_slice(name.as_bytes());
        let (from, length) = (
            u32::try_from(file.len()).unwrap(),
            u32::try_from(text.len()).unwrap(),
        );
        for (offset, value) in [(8, length), (16, length), (20, from)] {
            file[at + offset..at + offset + 4].copy_from_slice(&value.to_le_bytes());
        }
        file.extend_from_slice(text.as_bytes());
    }
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, file).unwrap();
}

fn machine(uki: &str) -> tempfile::TempDir {
    let dir = tree(&[
        ("proc/sys/kernel/osrelease", "6.12.1\n"),
        ("proc/cmdline", "root=UUID=1 ro"),
    ]);
    program(
        dir.path(),
        uki,
        &[(".uname", "6.12.1"), (".cmdline", "root=UUID=1 ro\n")],
    );
    dir
}

#[test]
fn where_nothing_tells_of_secure_boot_both_ways_are_shown() {
    let dir = machine("efi/EFI/Linux/0123-6.12.1.efi");
    assert_eq!(detect(dir.path()), BootLoader::Uki);
    let said = propose(dir.path(), "96M").unwrap().by_hand.unwrap();
    assert!(
        said.contains("--output=/efi/EFI/Linux/0123-6.12.1.efi.extra.d/afterpanic.addon.efi"),
        "{said}"
    );
    assert!(said.contains("--cmdline=crashkernel=96M"), "{said}");
    assert!(
        said.contains("add crashkernel=96M to /etc/kernel/cmdline and rebuild"),
        "{said}"
    );
    assert!(
        said.contains("kernel-install add 6.12.1 /usr/lib/modules/6.12.1/vmlinuz"),
        "{said}"
    );
}

#[test]
fn an_unsigned_addon_is_never_made_under_secure_boot() {
    let dir = machine("efi/EFI/Linux/0123-6.12.1.efi");
    put(dir.path(), "usr/bin/ukify", "");
    put(dir.path(), super::STUB, "");
    put(
        dir.path(),
        "etc/kernel/uki.conf",
        "[UKI]\nSecureBootPrivateKey=/etc/kernel/key.pem\nSecureBootCertificate=/etc/kernel/cert.pem\n",
    );
    put_secure_boot(dir.path(), true);
    let change = propose(dir.path(), "96M").unwrap();
    assert!(change.commands.is_empty());
    let said = change.by_hand.unwrap();
    assert!(said.contains("--secureboot-private-key=/etc/kernel/key.pem --secureboot-certificate=/etc/kernel/cert.pem"), "{said}");
    assert!(
        said.contains("an addon without a signature is not read"),
        "{said}"
    );
    put_secure_boot(dir.path(), false);
    assert_eq!(
        propose(dir.path(), "96M").unwrap().command_line().unwrap(),
        "mkdir -p /efi/EFI/Linux/0123-6.12.1.efi.extra.d && ukify build --cmdline=crashkernel=96M \
         --output=/efi/EFI/Linux/0123-6.12.1.efi.extra.d/afterpanic.addon.efi"
    );
}

#[test]
fn what_image_and_addons_say_together_counts() {
    let dir = machine("boot/EFI/Linux/arch-linux+3-1.efi");
    put_loader(dir.path(), "StubInfo", "systemd-stub 257.7");
    put_loader(
        dir.path(),
        "StubImageIdentifier",
        "\\EFI\\Linux\\arch-linux+3-1.efi",
    );
    put_secure_boot(dir.path(), false);
    put(dir.path(), "usr/bin/ukify", "");
    put(dir.path(), super::STUB, "");
    let addon = "boot/EFI/Linux/arch-linux.efi.extra.d/afterpanic.addon.efi";
    assert!(
        propose(dir.path(), "96M")
            .unwrap()
            .command_line()
            .unwrap()
            .contains(addon)
    );
    program(dir.path(), addon, &[(".cmdline", "crashkernel=96M\0")]);
    assert_eq!(effect(dir.path(), "96M"), Effect::Taken);
    assert!(propose(dir.path(), "96M").unwrap().is_empty());
    // An addon that comes later wins: one of ours would do nothing.
    program(
        dir.path(),
        "boot/loader/addons/kdump.addon.efi",
        &[(".cmdline", "crashkernel=512M")],
    );
    let change = propose(dir.path(), "96M").unwrap();
    assert!(
        change.notes[0].contains("/boot/loader/addons/kdump.addon.efi comes later"),
        "{:?}",
        change.notes
    );
    assert!(change.by_hand.is_some());
}

#[test]
fn what_builds_the_image_is_named() {
    let dir = machine("efi/EFI/Linux/0123-6.12.1.efi");
    put(
        dir.path(),
        "etc/mkinitcpio.d/linux.preset",
        "default_uki=\"/efi/EFI/Linux/arch-linux.efi\"\n",
    );
    let said = propose(dir.path(), "96M").unwrap().by_hand.unwrap();
    assert!(said.ends_with("mkinitcpio -P"), "{said}");
    fs::remove_dir_all(dir.path().join("etc/mkinitcpio.d")).unwrap();
    put(dir.path(), "etc/dracut.conf.d/uki.conf", "uefi=\"yes\"\n");
    let said = propose(dir.path(), "96M").unwrap().by_hand.unwrap();
    assert!(
        said.ends_with("dracut --force --uefi --kver 6.12.1"),
        "{said}"
    );
}

#[test]
fn an_addon_is_taken_back_by_removing_it() {
    let dir = machine("efi/EFI/Linux/0123-6.12.1.efi");
    put_secure_boot(dir.path(), false);
    put(dir.path(), "usr/bin/ukify", "");
    put(dir.path(), super::STUB, "");
    let change = propose(dir.path(), "96M").unwrap();
    super::super::keep(dir.path(), &change, "96M").unwrap();
    let addon = "efi/EFI/Linux/0123-6.12.1.efi.extra.d/afterpanic.addon.efi";
    program(dir.path(), addon, &[(".cmdline", "crashkernel=96M")]);
    let undo = super::super::propose_undo(dir.path()).unwrap().unwrap();
    assert_eq!(undo.change.command_line(), Some(format!("rm /{addon}")));
    fs::remove_file(dir.path().join(addon)).unwrap();
    let undo = super::super::propose_undo(dir.path()).unwrap().unwrap();
    assert!(undo.change.is_empty());
}

/// ukify and its stubs may lie unpacked under UKIFY_ROOT (systemd-ukify, systemd-boot-efi and python3-pefile of
/// Debian).
#[test]
#[ignore = "needs ukify(1): UKIFY_ROOT=/ cargo test -p loader --lib -- --ignored ukify"]
fn what_ukify_makes_is_read() {
    let tools = std::path::PathBuf::from(std::env::var("UKIFY_ROOT").unwrap_or("/".into()));
    let dir = machine("efi/EFI/Linux/other.efi");
    let uki = dir.path().join("efi/EFI/Linux/arch-linux.efi");
    let addon = dir
        .path()
        .join("efi/EFI/Linux/arch-linux.efi.extra.d/afterpanic.addon.efi");
    fs::create_dir_all(addon.parent().unwrap()).unwrap();
    // Any EFI program is a kernel to it.
    let stubs = tools.join("usr/lib/systemd/boot/efi");
    let kernel = stubs.join("addonx64.efi.stub");
    let linux = format!("--linux={}", kernel.display());
    let ukify = |stub: &str, output: &Path, arguments: &[&str]| {
        let stub = stubs.join(stub);
        let status = std::process::Command::new("python3")
            .env("PYTHONPATH", tools.join("usr/lib/python3/dist-packages"))
            .arg(tools.join("usr/bin/ukify"))
            .args(["build", &format!("--stub={}", stub.display())])
            .arg(format!("--output={}", output.display()))
            .args(arguments)
            .status();
        assert!(status.unwrap().success());
    };
    let image = [&linux, "--cmdline=root=UUID=1 ro", "--uname=6.12.1"];
    ukify("linuxx64.efi.stub", &uki, &image);
    put_loader(dir.path(), "StubInfo", "systemd-stub 257");
    put_loader(
        dir.path(),
        "StubImageIdentifier",
        "\\EFI\\Linux\\arch-linux.efi",
    );
    assert!(matches!(effect(dir.path(), "96M"), Effect::NotTaken(_)));
    ukify("addonx64.efi.stub", &addon, &["--cmdline=crashkernel=96M"]);
    assert_eq!(effect(dir.path(), "96M"), Effect::Taken);
    let inside = initramfs::kernel::uki::kernel_of(fs::read(&uki).unwrap());
    assert_eq!(inside, fs::read(kernel).unwrap());
}
