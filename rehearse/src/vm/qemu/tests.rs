//! The command line, without starting anything; running machines are tested in the laboratory.

use super::*;

fn after<'a>(arguments: &'a [String], flag: &str) -> Vec<&'a str> {
    arguments
        .windows(2)
        .filter(|w| w[0] == flag)
        .map(|w| w[1].as_str())
        .collect()
}

#[test]
fn disks_keep_their_order_and_names() {
    let mut vm = Vm::new("k", "c");
    for (path, serial) in [("/a,b", "target"), ("/c", "out")] {
        vm.disks.push(DiskImage {
            path: path.into(),
            serial: serial.into(),
            ..DiskImage::default()
        });
    }
    let arguments = vm.arguments(Accel::Tcg).unwrap();
    let drives = after(&arguments, "-drive");
    assert!(drives[0].ends_with("file=/a,,b"), "{drives:?}");
    assert!(drives[1].ends_with("file=/c"), "{drives:?}");
    let devices = after(&arguments, "-device");
    assert!(devices[0].contains("serial=target") && devices[1].contains("serial=out"));
}

#[test]
fn each_bus_has_a_controller_and_a_disk_on_it() {
    for (bus, controller, disk) in [
        (Bus::VirtioScsi, "virtio-scsi-pci", "scsi-hd"),
        (Bus::Ahci, "ich9-ahci", "ide-hd"),
        (Bus::UsbStorage, "qemu-xhci", "usb-storage"),
    ] {
        let mut vm = Vm::new("k", "c");
        vm.disks.push(DiskImage {
            serial: "s".into(),
            bus,
            options: "werror=report".into(),
            ..DiskImage::default()
        });
        let arguments = vm.arguments(Accel::Tcg).unwrap();
        let devices = after(&arguments, "-device");
        assert_eq!(devices.len(), 2, "{devices:?}");
        assert!(devices[0].starts_with(controller) && devices[0].ends_with("id=bus0"));
        assert!(devices[1].starts_with(disk) && devices[1].contains("bus=bus0.0"));
        assert!(after(&arguments, "-drive")[0].contains(",werror=report,"));
    }
}

#[test]
fn a_reboot_ends_the_run_unless_wanted() {
    let mut vm = Vm::new("k", "c");
    assert!(
        vm.arguments(Accel::Tcg)
            .unwrap()
            .contains(&"-no-reboot".to_owned())
    );
    vm.reboots = true;
    assert!(
        !vm.arguments(Accel::Tcg)
            .unwrap()
            .contains(&"-no-reboot".to_owned())
    );
}

#[test]
fn a_machine_of_another_architecture_has_a_board_a_cpu_and_a_firmware_of_its_own() {
    let mut vm = Vm::new("k", "c");
    vm.machine = crate::vm::machine::of("aarch64").unwrap();
    let arguments = vm.arguments(Accel::TcgOneThread).unwrap();
    assert_eq!(after(&arguments, "-cpu"), ["cortex-a57"]);
    assert!(after(&arguments, "-machine")[0].starts_with("virt"));
    assert!(crate::vm::machine::of("arm").is_none());
}

#[test]
fn the_last_line_with_content_is_the_reason() {
    assert_eq!(
        last_words(Some(&b"warning: a\nqemu: no kvm\n\n"[..])),
        "qemu: no kvm"
    );
    assert_eq!(last_words(None::<&[u8]>), "");
}
