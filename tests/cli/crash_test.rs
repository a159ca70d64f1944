//! `crash-test` on machines that exist only as files: what it refuses, what it does before the panic,
//! and what the next boot says. The panic itself happens in the laboratory.

#![allow(clippy::unwrap_used)]

use crate::harness::Machine;
use std::fs;

const RELEASE: &str = "6.12.107+deb13-cloud-amd64";
const TRIGGER: &str = "/proc/sysrq-trigger";

/// A machine armed by us whose /var/crash lies on ext4 on a virtio disk.
pub(crate) fn armed() -> Machine {
    let machine = Machine::empty();
    let put = |path: &str, text: &str| {
        machine.file(path, text);
    };
    for (path, text) in [
        ("/proc/cmdline", "quiet crashkernel=192M\n"),
        (
            "/proc/meminfo",
            "MemTotal: 1000000 kB\nMemFree: 800000 kB\n",
        ),
        ("/proc/self/status", "CapEff:\t000001ffffffffff\n"),
        ("/proc/sys/kernel/hostname", "web-03\n"),
        ("/proc/sys/kernel/panic_on_oops", "0\n"),
        ("/proc/sys/kernel/random/boot_id", "one\n"),
        (TRIGGER, ""),
        ("/dev/kmsg", ""),
        ("/sys/kernel/notes", ""),
        ("/sys/kernel/kexec_crash_loaded", "1\n"),
        ("/sys/kernel/kexec_crash_size", "201326592\n"),
        ("/boot/vmlinuz-6.12", "kernel"),
        ("/var/lib/afterpanic/images/6.12.img", "image"),
        (
            "/run/systemd/sessions/7",
            "USER=ada\nSTATE=active\nCLASS=user\nTTY=pts/3\nREMOTE_HOST=10.0.0.9\n",
        ),
    ] {
        put(path, text);
    }
    put("/proc/sys/kernel/osrelease", &format!("{RELEASE}\n"));
    put(
        "/proc/self/mountinfo",
        "20 1 254:1 / / rw - ext4 /dev/vda1 rw\n",
    );
    let modules = format!("/lib/modules/{RELEASE}");
    put(&format!("{modules}/modules.dep"), "");
    put(
        &format!("{modules}/modules.builtin"),
        "kernel/fs/ext4/ext4.ko\nkernel/drivers/block/virtio_blk.ko\n\
         kernel/drivers/virtio/virtio_pci.ko\n",
    );
    put(
        &format!("{modules}/modules.builtin.modinfo"),
        "ext4.alias=fs-ext4\0",
    );
    let pci = "/sys/devices/pci0000:00/0000:00:04.0";
    put(&format!("{pci}/modalias"), "pci:v00001AF4d00001042\n");
    put(
        &format!("{pci}/virtio1/modalias"),
        "virtio:d00000002v00001AF4\n",
    );
    for (device, driver) in [
        (pci.to_owned(), "virtio-pci"),
        (format!("{pci}/virtio1"), "virtio_blk"),
    ] {
        put(&format!("/sys/bus/any/drivers/{driver}/uevent"), "");
        machine.link(
            &format!("{device}/driver"),
            &format!("/sys/bus/any/drivers/{driver}"),
        );
    }
    let disk = format!("{pci}/virtio1/block/vda");
    block(&machine, &disk, "vda", "254:0", &[0; 4096]);
    put(&format!("{disk}/serial"), "abc-123\n");
    let part = format!("{disk}/vda1");
    let mut ext4 = vec![0u8; 128 * 1024];
    for (at, piece) in [
        (1080, &[0x53u8, 0xef][..]),
        (1116, &[0x04]),
        (1120, &[0x42, 0x02]),
        (1128, &[7; 16]),
    ] {
        ext4[at..at + piece.len()].copy_from_slice(piece);
    }
    block(&machine, &part, "vda1", "254:1", &ext4);
    put(&format!("{part}/partition"), "1\n");
    put(&format!("{part}/start"), "2048\n");
    put(
        "/var/lib/afterpanic/state.json",
        &format!(
            r#"{{"loaded":{{"release":"{RELEASE}","kernel":"/boot/vmlinuz-6.12","kept_kernel":null,
            "image":"/var/lib/afterpanic/images/6.12.img","image_bytes":5,"cmdline":"","at":5,
            "syscall":"file","boot_id":"one","inputs":[]}},"proof":null}}"#
        ),
    );
    machine
}

fn block(machine: &Machine, sys: &str, name: &str, dev: &str, content: &[u8]) {
    machine.file(&format!("{sys}/dev"), &format!("{dev}\n"));
    machine.file(&format!("{sys}/size"), "8192\n");
    let uevent = format!("DEVNAME={name}\nDEVTYPE=disk\n");
    machine.file(&format!("{sys}/uevent"), &uevent);
    machine.link(&format!("/sys/dev/block/{dev}"), sys);
    machine.link(&format!("/sys/class/block/{name}"), sys);
    fs::create_dir_all(machine.path("/dev")).unwrap();
    fs::write(machine.path(&format!("/dev/{name}")), content).unwrap();
}

fn read(machine: &Machine, path: &str) -> String {
    fs::read_to_string(machine.path(path)).unwrap()
}

#[test]
fn a_machine_that_is_not_armed_is_left_alone() {
    let machine = armed();
    let program = machine.program();
    machine.file("/sys/kernel/kexec_crash_loaded", "0\n");
    let run = machine
        .run_program(&program, &["crash-test", "--yes"])
        .exits(3);
    assert!(
        run.stdout()
            .contains("this machine is not armed: no capture kernel is loaded"),
        "{}",
        run.stdout()
    );
    assert!(run.stdout().contains("fix: sudo afterpanic load"));
    assert_eq!(read(&machine, TRIGGER), "");
    assert!(!read(&machine, "/var/lib/afterpanic/state.json").contains("crash_test"));
}

#[test]
fn a_target_that_cannot_be_reached_is_reason_enough() {
    let machine = armed();
    let program = machine.program();
    fs::remove_file(machine.path("/sys/dev/block/254:1")).unwrap();
    let run = machine
        .run_program(&program, &["crash-test", "--yes"])
        .exits(3);
    assert!(run.stdout().contains("  the target: "), "{}", run.stdout());
    assert_eq!(read(&machine, TRIGGER), "");
}

#[test]
fn without_yes_it_says_what_it_would_do() {
    let machine = armed();
    let program = machine.program();
    let run = machine.run_program(&program, &["crash-test"]).exits(0);
    let said = run.stdout();
    assert!(
        said.starts_with("Would panic this machine, Linux 6.12.107"),
        "{said}"
    );
    assert!(said.ends_with("Nothing is done without --yes.\n"), "{said}");
    let warned = run.stderr();
    assert!(
        warned.contains("ada is logged in (pts/3 from 10.0.0.9)"),
        "{warned}"
    );
    assert_eq!(read(&machine, TRIGGER), "");
    assert!(!read(&machine, "/var/lib/afterpanic/state.json").contains("crash_test"));
    let json = machine
        .run_program(&program, &["crash-test", "--json"])
        .exits(0)
        .json();
    assert_eq!(
        (&json["ready"], &json["how"]),
        (&true.into(), &"sysrq".into())
    );
    assert_eq!(json["stores"][0], "/var/crash");
    // An oops panics only where it is told to.
    let json = machine
        .run_program(&program, &["crash-test", "--json", "--how", "oops"])
        .exits(3)
        .json();
    assert_eq!(
        json["refusals"][0]["fix"], "sysctl kernel.panic_on_oops=1",
        "{json}"
    );
}

#[test]
fn with_yes_the_mark_is_on_disk_and_in_the_log_before_the_panic() {
    let machine = armed();
    let program = machine.program();
    let run = machine
        .run_program(&program, &["crash-test", "--yes"])
        .exits(1);
    // A file takes the c and does not panic, and that is said.
    assert_eq!(read(&machine, TRIGGER), "c");
    assert!(run.stderr().contains("did not panic"), "{}", run.stderr());
    let said = run.stdout();
    let id = said
        .split_whitespace()
        .nth(1)
        .unwrap()
        .trim_end_matches(':');
    let log = read(&machine, "/dev/kmsg");
    assert_eq!(
        log,
        format!("<4>afterpanic: crash-test {id}: a panic by sysrq is asked for\n")
    );
    let state: serde_json::Value =
        serde_json::from_str(&read(&machine, "/var/lib/afterpanic/state.json")).unwrap();
    let test = &state["crash_test"];
    assert_eq!((&test["id"], &test["boot_id"]), (&id.into(), &"one".into()));
    assert_eq!(test["with"][0]["path"], "/boot/vmlinuz-6.12");
    let status = machine.run(&["status"]).exits(0).stdout();
    let line = format!("test    crash-test {id} was asked for in this boot");
    assert!(status.contains(&line), "{status}");
    // Another boot, nothing has arrived.
    machine.file("/proc/sys/kernel/random/boot_id", "two\n");
    let status = machine.run(&["status"]).stdout();
    assert!(
        status.contains("failed: no core of it has arrived in /var/crash"),
        "{status}"
    );
    let run = machine.run(&["collect"]).exits(4);
    assert!(
        run.stdout().contains("failed: no core of it"),
        "{}",
        run.stdout()
    );
    // The log of another crash does not name the test; this one does.
    let dir = "/var/crash/web-03-20261121T231500Z";
    machine.file(&format!("{dir}/dmesg.txt"), &log);
    let run = machine.run(&["collect"]).exits(4);
    assert!(
        run.stdout()
            .contains(&format!("its log arrived without a core: {dir}")),
        "{}",
        run.stdout()
    );
}
